//! Where spans and events of the verbs go.

use clap::ArgMatches;
use tracing::Level;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::system::SETTLE;

/// Podman's words for levels, and ours.
pub(super) const LEVELS: [(&str, Level); 8] = [
    ("trace", Level::TRACE),
    ("debug", Level::DEBUG),
    ("info", Level::INFO),
    ("warn", Level::WARN),
    ("warning", Level::WARN),
    ("error", Level::ERROR),
    ("fatal", Level::ERROR),
    ("panic", Level::ERROR),
];

/// Logs to standard error from the level of `--log-level` or UNITBOX_LOG on; warnings without them.
pub(super) fn start(matches: &ArgMatches) {
    let wished = matches.get_one::<String>("log-level").cloned();
    let wished = wished.or_else(|| std::env::var("UNITBOX_LOG").ok());
    let level = wished
        .and_then(|word: String| LEVELS.iter().find(|(level, _)| *level == word))
        .map(|(_, level)| *level)
        .unwrap_or(Level::WARN);
    let verb = matches
        .subcommand()
        .and_then(|(_, args)| args.subcommand_name());
    let writer = match verb == Some(SETTLE) {
        true => BoxMakeWriter::new(std::io::stdout),
        false => BoxMakeWriter::new(std::io::stderr),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer)
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .finish();
    // Only a second one could fail.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
