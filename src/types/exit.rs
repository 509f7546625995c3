//! How a process ended.

use super::Signal;

/// How a process ended, as wait(2) tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExitStatus {
    /// It called exit(2) with this code.
    Exited(u8),
    /// This signal ended it.
    Signaled(Signal),
}

impl ExitStatus {
    /// The code a shell and Podman report: the exit code, or 128 plus the signal's number.
    pub fn shell_code(self) -> u8 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signaled(signal) => 128 + signal.number(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_count_from_128() {
        assert_eq!(ExitStatus::Exited(7).shell_code(), 7);
        assert_eq!(ExitStatus::Signaled(Signal::KILL).shell_code(), 137);
        assert_eq!(ExitStatus::Signaled(Signal::TERM).shell_code(), 143);
    }
}
