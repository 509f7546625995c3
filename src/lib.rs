//! unitbox: containers as real systemd units, with no daemon.
//!
//! One container is one unit whose main process is a tiny monitor. systemd is the state machine and the filesystem is
//! the database: state is observed (unit, cgroup, exit file), only intent is stored. Modules may import downwards only;
//! `tests/layers.rs` holds the table and fails on any other arrow.
//!
//! | module | job | privileges |
//! |---|---|---|
//! | [`types`] | ids, names, signals, exit status, sizes | none |
//! | [`api`] | what others see: paths, exit file, exit codes, D-Bus names, journal fields | none |
//! | [`definition`] | what the user asked for; the one table of options | none |
//! | [`lifecycle`] | the pure state machine of one run | none |
//! | [`sys`] | system calls that nix has not; the only unsafe code | unsafe |
//! | [`plan`] | definition and facts to unit, config.json and files; pure | none |
//! | [`store`] | records on disk: atomic, versioned, locked | files |
//! | [`image`] | OCI layout, unpacked layers, overlay | files, mounts |
//! | [`host`] | runtime, systemd, cgroup, mount, journal behind traits | bus, processes, mounts |
//! | [`container`] | what the tops share: observe, prepare, start, stop, cleanup | all of the above |
//! | [`monitor`], [`generator`], [`bus`], [`cli`] | the four programs | as their man pages say |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod bus;
pub mod cli;
pub mod container;
pub mod definition;
pub mod generator;
pub mod host;
pub mod image;
pub mod lifecycle;
pub mod monitor;
pub mod plan;
pub mod store;
pub mod sys;
pub mod types;
