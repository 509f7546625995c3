//! Lines on standard output, where the reader may be gone.

use std::io::{self, Write};

use super::error::CliError;

/// Writes text to standard output; a reader that is gone is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::io("write", "standard output")(error))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard output.
pub(super) fn say(line: &str) -> Result<(), CliError> {
    print(&format!("{line}\n"))
}

/// `version`.
pub(super) fn version() -> Result<u8, CliError> {
    say(concat!("unitbox version ", env!("CARGO_PKG_VERSION")))?;
    Ok(0)
}
