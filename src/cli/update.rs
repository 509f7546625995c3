//! `update`: changes limits of a container that is there, and of one that runs.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::{Host, output};
use crate::container::update;
use crate::definition::{Options, options};
use crate::store;

/// What can be changed; everything else belongs to what the container is.
const CHANGEABLE: &[&str] = &[
    "blkio-weight",
    "blkio-weight-device",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "device-read-bps",
    "device-read-iops",
    "device-write-bps",
    "device-write-iops",
    "memory",
    "memory-reservation",
    "memory-swap",
    "memory-swappiness",
    "pids-limit",
];

/// Every option of `create`, so that those which cannot be changed are refused by name; only the others are shown.
pub(super) fn command(option: fn(&'static crate::definition::OptionSpec) -> clap::Arg) -> Command {
    let mut all: Vec<_> = options().collect();
    all.sort_unstable_by_key(|spec| spec.flag);
    let args = all
        .into_iter()
        .map(|spec| option(spec).hide(!CHANGEABLE.contains(&spec.flag)));
    Command::new("update")
        .about("Change the limits of a container")
        .disable_help_flag(true)
        .arg(
            clap::Arg::new("help")
                .long("help")
                .action(clap::ArgAction::Help)
                .help("Print help"),
        )
        .args(args)
        .arg(
            clap::Arg::new("container")
                .value_name("CONTAINER")
                .required(true),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let given = options().filter(|spec| args.contains_id(spec.flag));
    let given: Vec<_> = given.collect();
    if let Some(spec) = given.iter().find(|spec| !CHANGEABLE.contains(&spec.flag)) {
        let text = format!(
            "--{} cannot be changed once the container is made: remove it and make a new one",
            spec.flag
        );
        return Err(CliError::Usage(text));
    }
    let systemd = host.systemd()?;
    let text = args
        .get_one::<String>("container")
        .expect("clap demands it");
    let id = store::lookup(&host.layout, text)?;
    let change = |options: &mut Options| {
        // The two ways to say how much processor time replace each other.
        let says = |flag: &str| given.iter().any(|spec| spec.flag == flag);
        if says("cpus") {
            (options.limits.cpu_quota, options.limits.cpu_period) = (None, None);
        } else if says("cpu-quota") || says("cpu-period") {
            options.limits.cpus = None;
        }
        for spec in &given {
            for value in args.get_many::<String>(spec.flag).into_iter().flatten() {
                spec.apply(options, value)?;
            }
        }
        Ok(())
    };
    let definition = update::update(host.site(&systemd), &id, change)?;
    output::say(definition.id.as_str())?;
    Ok(0)
}
