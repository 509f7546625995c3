//! Lines on standard output, where the reader may be gone.

use std::io::{self, Write};

use clap::ArgMatches;

use super::error::CliError;
use super::template::{Template, Value};

/// Writes text to standard output; a reader that is gone is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    write(text).map(drop)
}

/// Writes text to standard output; false: the reader is gone.
pub(super) fn write(text: &str) -> Result<bool, CliError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::io("write", "standard output")(error)),
        Ok(()) => Ok(true),
    }
}

/// Writes a line to standard output.
pub(super) fn say(line: &str) -> Result<(), CliError> {
    print(&format!("{line}\n"))
}

/// The processor's architecture in Go's word.
pub(super) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `version`.
pub(super) fn version(args: &ArgMatches) -> Result<u8, CliError> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let Some(format) = args.get_one::<String>("format") else {
        say(&format!("unitbox version {VERSION}"))?;
        return Ok(0);
    };
    let client = vec![
        ("APIVersion", VERSION.into()),
        ("Version", VERSION.into()),
        ("OsArch", format!("linux/{}", arch()).into()),
        ("Os", "linux".into()),
    ];
    let client = Value::fields("*define.Version", client);
    let all = Value::fields("*entities.SystemVersionReport", vec![("Client", client)]);
    match format.as_str() {
        "json" => say(&all.to_json())?,
        format => {
            let text = Template::of_one("version", format)?.render(&all)?;
            print(&text)?;
        }
    }
    Ok(0)
}
