//! `wait`.

use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::CliError;
use super::{Host, args, output, ps, targets};
use crate::container::observe::{Observation, State, observe};
use crate::container::prepare::defaults;
use crate::container::sketch::sketch;
use crate::container::{Site, wait};
use crate::definition::Definition;
use crate::plan::health;
use crate::store;
use crate::types::parse_duration;

/// The states that can be waited for. `configured` is Podman's word for what `created` is here.
const CONDITIONS: [(&str, State); 10] = [
    ("configured", State::Created),
    ("created", State::Created),
    ("exited", State::Exited),
    ("initialized", State::Initialized),
    ("paused", State::Paused),
    ("removing", State::Removing),
    ("running", State::Running),
    ("stopped", State::Exited),
    ("stopping", State::Stopping),
    ("unknown", State::Unknown),
];

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("wait").about("Wait for the end and print the exit codes");
    super::select::names(command)
        .arg(
            Arg::new("condition")
                .long("condition")
                .value_name("STATE")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("Wait for this state instead"),
        )
        .arg(args::switch(
            "ignore",
            None,
            "One that is not there is no error",
        ))
        .arg(
            Arg::new("interval")
                .long("interval")
                .short('i')
                .value_name("TIME")
                .default_value("250ms")
                .help("How often states are looked at; the end is told at once"),
        )
        .arg(ps::latest())
}

/// What is waited for: any of these.
struct Conditions {
    states: Vec<State>,
    health: Vec<String>,
}

fn conditions(args: &ArgMatches) -> Result<Conditions, CliError> {
    let (mut states, mut health) = (Vec::new(), Vec::new());
    for word in args.get_many::<String>("condition").into_iter().flatten() {
        if matches!(word.as_str(), "healthy" | "unhealthy") {
            health.push(word.clone());
            continue;
        }
        match CONDITIONS.iter().find(|(known, _)| known == word) {
            Some((_, state)) => states.push(*state),
            None => {
                let text = format!("unknown container state: {word}: invalid argument");
                return Err(CliError::Usage(text));
            }
        }
    }
    Ok(Conditions { states, health })
}

/// A span in Go's notation; a bare number counts milliseconds there.
fn interval(args: &ArgMatches) -> Result<Duration, CliError> {
    let text = args
        .get_one::<String>("interval")
        .expect("it has a default");
    if let Ok(millis) = text.parse() {
        return Ok(Duration::from_millis(millis));
    }
    parse_duration(text).map_err(|_| CliError::Usage(format!("time: invalid duration {text:?}")))
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (wanted, interval) = (conditions(args)?, interval(args)?);
    let has_conditions = args.contains_id("condition");
    let mut names: Vec<String> = targets::texts(args, "containers")
        .map(str::to_owned)
        .collect();
    if args.get_flag("latest") {
        names.push(targets::latest(&host.layout)?.id.to_string());
    }
    if names.is_empty() {
        let text = "\"unitbox wait\" requires a name, id, or the \"--latest\" flag";
        return Err(CliError::Usage(text.to_owned()));
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    // All must be there, or have been, before the first is waited for.
    let mut there = Vec::new();
    for name in names {
        let known = wait::is_known(&host.layout, &name);
        match known {
            Err(error) if error.is_not_found() && args.get_flag("ignore") => there.push(None),
            known => {
                known?;
                there.push(Some(name));
            }
        }
    }
    for name in there {
        let text = match name {
            None => "-1".to_owned(),
            Some(name) if has_conditions => for_state(site, &name, &wanted, interval)?,
            Some(name) => match wait::wait(site, &name)? {
                Some(exit) => exit.code_text(),
                None => "0".to_owned(),
            },
        };
        output::say(&text)?;
    }
    Ok(0)
}

/// What runs has one on record; what does not, if its next run has.
fn has_check(site: Site<'_>, definition: &Definition, seen: &Observation) -> bool {
    let planned = || {
        let image = sketch(site.layout, definition).image;
        let image = image.as_ref().map(defaults).unwrap_or_default();
        let plan = health::plan(&definition.options.health, &image.health);
        plan.is_ok_and(|plan| plan.is_some())
    };
    seen.health.is_some() || planned()
}

/// Waits until a container is in one of these states; the exit code if that is its end.
fn for_state(
    site: Site<'_>,
    name: &str,
    wanted: &Conditions,
    interval: Duration,
) -> Result<String, CliError> {
    let states = &wanted.states;
    let id = store::lookup(site.layout, name)?;
    loop {
        let definition = match store::load(site.layout, &id) {
            Err(error) if error.is_not_found() && states.contains(&State::Exited) => {
                let exit = wait::removed(site.layout, id.as_str())?;
                return Ok(exit.ok_or(error)?.code_text());
            }
            found => found?,
        };
        let seen = observe(site.layout, site.manager, &definition)?;
        if states.contains(&State::Exited) && wait::never_ran(site, &id)? {
            return Ok("0".to_owned());
        }
        if states.contains(&seen.state) {
            let exit = seen.exit.filter(|_| seen.state == State::Exited);
            return Ok(exit.map_or_else(|| "-1".to_owned(), |exit| exit.code_text()));
        }
        if let Some(word) = wanted.health.first()
            && !has_check(site, &definition, &seen)
        {
            let text = format!("cannot use condition {word:?}: container {id} has no healthcheck");
            return Err(CliError::Usage(text));
        }
        let health = seen.health.filter(|_| seen.state == State::Running);
        if health.is_some_and(|health| wanted.health.contains(&health.status)) {
            return Ok("-1".to_owned());
        }
        site.manager.disconnect();
        thread::sleep(interval.max(Duration::from_millis(1)));
    }
}
