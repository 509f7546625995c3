//! Throw-away machines for tests, by way of `tests/lab/lab`.

mod lab;
mod leaks;
mod run;

pub(crate) use lab::{Lab, Suite};
pub(crate) use leaks::{Kind, Oracle, list};
pub(crate) use run::Run;
