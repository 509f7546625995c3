//! Tests that need a machine with systemd as PID 1. Each boots its own, and fails where
//! it cannot: none is ever skipped.
//!
//! Run them as root: `cargo nextest run --config-file tests/nextest.toml --test machine`.

mod bench;
mod bench_health;
mod bench_restart;
mod bench_verbs;
mod boot;
mod bus;
mod bus_changes;
mod check;
mod clients;
mod commit;
mod conf;
mod dependencies;
mod deploy;
mod differential;
mod duties;
mod enter;
mod errors;
mod events;
mod exec;
mod faults;
mod files;
mod harness;
mod health;
mod hooks;
mod image_verbs;
mod images;
mod init;
mod isolation;
mod kill_points;
mod kill_random;
mod leaks;
mod limits;
mod logs;
mod machined;
mod mounts;
mod notify;
mod one_stop;
mod package;
mod process;
mod pty_fuzz;
mod pull;
mod reload;
mod restart;
mod restart_table;
mod run;
mod secrets;
mod security;
mod sequences;
mod smoke;
mod stop;
mod terminal;
mod text;
mod tmux;
mod truth;
mod unit;
mod update;
mod users;
mod verbs;
mod vm_devices;
mod vm_limits;
mod vm_lsm;
mod vm_smoke;
mod vm_truth;
mod volumes;

#[path = "../words.rs"]
mod words;
