//! What a command inside a machine came to.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code, or 128 + the signal that killed it.
    pub(crate) code: i32,
    /// Its standard output, byte for byte.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error, byte for byte.
    pub(crate) stderr: Vec<u8>,
    script: String,
}

impl Run {
    pub(crate) fn new(script: &str, output: Output) -> Self {
        let signal = output.status.signal().map(|signal| 128 + signal);
        let code = output.status.code().or(signal);
        Self {
            code: code.expect("a process that was waited for has a code or a signal"),
            stdout: output.stdout,
            stderr: output.stderr,
            script: script.to_owned(),
        }
    }

    /// Asserts success; returns standard output without the white space around it.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        self.fails(0).out()
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32) -> &Self {
        assert!(
            self.code == code,
            "exit code {} instead of {code}\n--- script\n{}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.script,
            self.out(),
            self.err(),
        );
        self
    }

    /// Standard output as text, without the white space around it.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Standard error as text, without the white space around it.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}
