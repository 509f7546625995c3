//! Throw-away machines for tests, by way of `tests/lab/lab` and `tests/lab/vm.sh`.

pub(crate) mod container;
mod guest;
mod lab;
mod leaks;
mod pty;
mod run;
mod tmux;
mod vm;

pub(crate) use guest::Guest;
pub(crate) use lab::{Lab, Suite, binaries, tool};
pub(crate) use leaks::{Kind, Leak, Oracle, list};
pub(crate) use pty::Terminal;
pub(crate) use run::Run;
pub(crate) use tmux::Tmux;
pub(crate) use vm::Vm;
