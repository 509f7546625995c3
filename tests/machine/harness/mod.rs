//! Throw-away machines for tests, by way of `tests/lab/lab` and `tests/lab/vm.sh`.

mod lab;
mod leaks;
mod run;
mod vm;

pub(crate) use lab::{Lab, Suite};
pub(crate) use leaks::{Kind, Oracle, list};
pub(crate) use run::Run;
pub(crate) use vm::Vm;
