//! Which containers a verb means: by name, by file, by filter, the last one, or all.

use std::fs;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::switch;
use super::error::CliError;
use super::filter::Filters;
use super::{Host, ps, targets};
use crate::container::Site;
use crate::container::observe::State;
use crate::definition::Definition;
use crate::store;
use crate::sys::time::realtime;
use crate::types::ContainerId;

/// A container that was meant.
pub(super) struct Chosen {
    /// Its id.
    pub(super) id: ContainerId,
    /// What the verb prints: the words of the user, or the id.
    pub(super) shown: String,
}

impl Chosen {
    /// Reads its definition.
    pub(super) fn load(&self, host: &Host) -> Result<Definition, CliError> {
        Ok(store::load(&host.layout, &self.id)?)
    }
}

/// Adds names, `--all` and `--latest` to a verb.
pub(super) fn by_name(command: Command, all: &'static str) -> Command {
    names(command)
        .arg(switch("all", Some('a'), all))
        .arg(ps::latest())
}

/// Adds names only.
pub(super) fn names(command: Command) -> Command {
    command.arg(Arg::new("containers").value_name("CONTAINER").num_args(1..))
}

/// `--cidfile` of verbs that read ids.
pub(super) fn cidfile() -> Arg {
    Arg::new("cidfile")
        .long("cidfile")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .action(ArgAction::Append)
        .help("A file with the id of a container")
}

fn has(args: &ArgMatches, name: &str) -> bool {
    matches!(args.try_get_one::<bool>(name), Ok(Some(true)))
}

/// Finds what was meant; all names must lead somewhere before anything is done. With `--all`, those in a state that the
/// verb is for.
pub(super) fn choose(
    args: &ArgMatches,
    host: &Host,
    site: Site<'_>,
    of: fn(State) -> bool,
) -> Result<Vec<Chosen>, CliError> {
    let files = match args.try_get_many::<PathBuf>("cidfile") {
        Ok(Some(files)) => files.collect(),
        _ => Vec::new(),
    };
    let texts: Vec<&str> = targets::texts(args, "containers").collect();
    let filtered = matches!(args.try_contains_id("filter"), Ok(true));
    check(args, &texts, !files.is_empty(), filtered)?;
    if filtered || has(args, "all") {
        let filters = match filtered {
            true => Filters::of(args, &host.layout, realtime().as_micros() as u64)?,
            false => Filters::default(),
        };
        let list = ps::list(site)?;
        let fits = |entry: &ps::Entry| {
            let state = filtered || of(entry.seen.state);
            state && filters.fit(&entry.definition, &entry.seen)
        };
        let ids = list.entries.iter().filter(|entry| fits(entry));
        let mut ids: Vec<_> = ids.map(|entry| entry.definition.id.clone()).collect();
        if !filtered && of(State::Unknown) {
            ids.extend(list.broken);
        }
        let chosen = |id: ContainerId| Chosen {
            shown: id.to_string(),
            id,
        };
        return Ok(ids.into_iter().map(chosen).collect());
    }
    let ignores = has(args, "ignore") || has(args, "force");
    let mut chosen = Vec::new();
    if has(args, "latest") {
        let id = targets::latest(&host.layout)?.id;
        let shown = id.to_string();
        chosen.push(Chosen { id, shown });
    }
    let mut wanted: Vec<String> = texts.into_iter().map(str::to_owned).collect();
    for file in files {
        match fs::read_to_string(file) {
            Ok(text) => wanted.push(text.lines().next().unwrap_or_default().to_owned()),
            Err(error) if ignores && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let reason = error.to_string().to_lowercase();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                let text = format!("reading CIDFile: open {}: {reason}", file.display());
                return Err(CliError::Usage(text));
            }
        }
    }
    for text in wanted {
        match store::lookup(&host.layout, &text) {
            Ok(id) => chosen.push(Chosen { id, shown: text }),
            Err(error) if ignores && error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(chosen)
}

/// Podman's rules of what goes together, in its words.
fn check(
    args: &ArgMatches,
    texts: &[&str],
    has_files: bool,
    filtered: bool,
) -> Result<(), CliError> {
    let (all, latest) = (has(args, "all"), has(args, "latest"));
    let wrong = |text: &str| Err(CliError::Usage(text.to_owned()));
    if filtered {
        return match texts {
            [] => Ok(()),
            _ => wrong("--filter takes no arguments"),
        };
    }
    if has_files && (all || latest) {
        return wrong("--all, --latest, and --cidfile cannot be used together");
    }
    match (all, latest, texts) {
        (true, true, _) => wrong("--all and --latest cannot be used together"),
        (true, _, [_, ..]) => wrong("no arguments are needed with --all"),
        (_, true, [_, ..]) => wrong("--latest and containers cannot be used together"),
        (false, false, []) if !has_files && !has(args, "running") => {
            wrong("you must provide at least one name or id")
        }
        _ => Ok(()),
    }
}

/// Does something with each; errors are told, the worst exit code counts.
pub(super) fn each(
    chosen: &[Chosen],
    mut action: impl FnMut(&Chosen) -> Result<(), CliError>,
) -> Result<u8, CliError> {
    let mut worst = 0;
    for one in chosen {
        if let Err(error) = action(one) {
            error.report();
            worst = worst.max(error.exit_code());
        }
    }
    match worst {
        0 => Ok(0),
        code => Err(CliError::Told(code)),
    }
}
