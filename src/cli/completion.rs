//! `completion`: from the grammar itself.

use clap::ArgMatches;
use clap_complete::{Shell, generate};

use super::error::CliError;
use super::{command, output};

pub(super) fn run(args: &ArgMatches) -> Result<u8, CliError> {
    let shell = match args.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut text = Vec::new();
    generate(shell, &mut command(), "unitbox", &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
