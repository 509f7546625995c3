//! `unitbox-generator`: systemd.generator(7) runs it at boot and at each daemon-reload.
//!
//! It makes no units: containers made on the command line have theirs written by `unitbox`. It runs before anything is
//! mounted and while nothing else does, so that it reads nothing, writes nothing, and ends at once.

use std::ffi::OsString;
use std::process::ExitCode;

/// How many directories systemd hands over: normal, early and late (systemd.generator(7), "Output Directories").
const DIRECTORIES: usize = 3;

/// Why the generator refuses to run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeneratorError {
    /// It was not called as systemd calls it.
    #[error("{0} arguments instead of the three directories of systemd.generator(7)")]
    Arguments(usize),
}

/// Runs the generator: `unitbox-generator NORMAL-DIR EARLY-DIR LATE-DIR`.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match run(args.skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unitbox-generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), GeneratorError> {
    match arguments.count() {
        DIRECTORIES => Ok(()),
        other => Err(GeneratorError::Arguments(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(arguments: &[&str]) -> Result<(), GeneratorError> {
        run(arguments.iter().map(OsString::from))
    }

    #[test]
    fn systemds_three_directories_are_accepted() {
        assert_eq!(run_with(&["/n", "/e", "/l"]), Ok(()));
    }

    #[test]
    fn any_other_call_is_refused() {
        assert_eq!(run_with(&[]), Err(GeneratorError::Arguments(0)));
        let error = run_with(&["/n"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 arguments instead of the three directories of systemd.generator(7)"
        );
    }
}
