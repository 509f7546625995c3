//! `kill`.

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::{Host, output, select};
use crate::container::kill;
use crate::types::Signal;

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("kill").about("Send a signal to payloads");
    let signal = Arg::new("signal")
        .long("signal")
        .short('s')
        .value_name("SIGNAL")
        .default_value("KILL")
        .help("Signal by name or number");
    select::by_name(command, "All that run")
        .arg(select::cidfile())
        .arg(signal)
}

/// A signal by name or number, refused in Podman's words.
fn signal(text: &str) -> Result<Signal, CliError> {
    text.parse().map_err(|_| {
        CliError::Usage(match text.parse::<u64>() {
            Ok(1..) => "valid signals are 1 through 64".to_owned(),
            _ => format!("invalid signal: {text}"),
        })
    })
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let text = args.get_one::<String>("signal").expect("it has a default");
    let signal = signal(text)?;
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let chosen = select::choose(args, host, site, |state| state.has_payload())?;
    select::each(&chosen, |one| {
        kill::kill(site, &one.load(host)?, signal)?;
        output::say(&one.shown)
    })
}
