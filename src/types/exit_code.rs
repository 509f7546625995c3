//! Exit codes of the command line (podman-run(1), "Exit Status").

/// What `unitbox` itself ends with; a container's own code passes through otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Success = 0,
    /// The answer is no (`image exists`), or a verb of Podman's that ends with 1.
    Failure = 1,
    /// An error of our own, or wrong usage.
    Error = 125,
    /// The command of the container cannot be executed.
    NotExecutable = 126,
    /// The command of the container cannot be found.
    NotFound = 127,
}

impl ExitCode {
    /// The number given to exit(3).
    pub fn number(self) -> u8 {
        self as u8
    }
}
