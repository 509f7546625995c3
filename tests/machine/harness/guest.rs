//! What all kinds of machines have in common.

use super::{Lab, Run, Vm};

/// A machine that is on.
pub(crate) trait Guest {
    /// The tool's name for it.
    fn name(&self) -> &str;
    /// Runs a bash script as root inside, with no input, to its end.
    fn sh(&self, script: &str) -> Run;
}

impl Guest for Lab {
    fn name(&self) -> &str {
        Lab::name(self)
    }

    fn sh(&self, script: &str) -> Run {
        Lab::sh(self, script)
    }
}

impl Guest for Vm {
    fn name(&self) -> &str {
        Vm::name(self)
    }

    fn sh(&self, script: &str) -> Run {
        Vm::sh(self, script)
    }
}
