//! `volume create`, `ls`, `inspect`, `rm`, `exists`, `prune`, `mount` and `unmount`.

use std::collections::BTreeMap;

use clap::ArgMatches;

use super::error::CliError;
use super::listing::{self, Listing};
use super::template::Value;
use super::volume_filter::Filters;
use super::{Host, inspect, output, prune, targets, volume_files};
use crate::api::{ExitCode, Layout};
use crate::container::stop::Patience;
use crate::container::{remove, volumes as users};
use crate::definition::volume;
use crate::store::volumes::{self, Volume, Wish};
use crate::store::{self, StoreError};
use crate::sys::id::random_bytes;
use crate::sys::paths::Lock;
use crate::types::{ContainerId, ObjectNameError, VolumeName};

/// podman-volume-rm(1), "Exit Status": one was not there; a container uses it.
const MISSING: u8 = 1;
const IN_USE: u8 = 2;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (verb, args) = args.subcommand().expect("clap demands a verb");
    match verb {
        "create" => create(args, host),
        "ls" => list(args, host),
        "inspect" => show(args, host),
        "rm" => delete(args, host),
        "exists" => exists(args, host),
        "prune" => prune(args, host),
        "export" => volume_files::export(args, host),
        "import" => volume_files::import(args, host),
        "mount" => mount(args, host),
        "unmount" => unmount(args, host),
        other => unreachable!("clap knows no verb {other}"),
    }
}

fn parse(text: &str) -> Result<VolumeName, CliError> {
    text.parse()
        .map_err(|error: ObjectNameError| CliError::Usage(error.to_string()))
}

fn create(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (mut labels, options) = (BTreeMap::new(), targets::texts(args, "opt"));
    for label in targets::texts(args, "label") {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(key.to_owned(), value.to_owned());
    }
    let options = volume::parse(options).map_err(CliError::Usage)?;
    let name = match args.get_one::<String>("name") {
        Some(name) => parse(name)?,
        None => {
            let random = random_bytes::<32>().map_err(CliError::io("draw", "random bytes"))?;
            parse(ContainerId::from_random(random).as_str())?
        }
    };
    let driver = args.get_one::<String>("driver").map_or("", String::as_str);
    if !["", "local"].contains(&driver) {
        return Err(CliError::Usage(format!(
            "volume {name} uses volume plugin {driver} but it could not be retrieved: no volume plugin with name \
             {driver} available: required plugin missing"
        )));
    }
    let wish = Wish {
        anonymous: false,
        labels,
        options,
    };
    let _hold = volumes::hold(&host.layout, Lock::Shared)?;
    if !volumes::create(&host.layout, &name, wish)? && !args.get_flag("ignore") {
        let name = name.to_string();
        let kind = "volume";
        return Err(StoreError::ObjectExists { kind, name }.into());
    }
    output::say(name.as_str())?;
    Ok(0)
}

fn list(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let all = Filters::of(args, &host.layout)?.choose(&host.layout)?;
    if args.get_flag("quiet") && !args.contains_id("format") {
        let names: String = all
            .iter()
            .map(|volume| format!("{}\n", volume.name))
            .collect();
        output::print(&names)?;
        return Ok(0);
    }
    let rows = all.iter().map(|volume| describe(&host.layout, volume));
    listing::print(args, &VOLUMES, rows.collect())?;
    Ok(0)
}

const VOLUMES: Listing = Listing {
    name: "volumes",
    headings: &[
        ("Anonymous", "ANONYMOUS"),
        ("CreatedAt", "CREATED AT"),
        ("Driver", "DRIVER"),
        ("Labels", "LABELS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Options", "OPTIONS"),
        ("Scope", "SCOPE"),
    ],
    table: "table {{.Driver}}\t{{.Name}}",
    indent: "     ",
};

/// All that is known of a volume.
pub(super) fn describe(layout: &Layout, volume: &Volume) -> Value {
    let path = layout.volume_data(&volume.name);
    let mut fields = vec![
        ("Name", volume.name.as_str().into()),
        ("Driver", "local".into()),
        ("Mountpoint", path.display().to_string().into()),
        ("CreatedAt", Value::Time(volume.created)),
        ("Labels", Value::map(&volume.labels)),
        ("Scope", "local".into()),
        ("Options", Value::map(&volume.options)),
    ];
    let mut shown = fields.clone();
    for id in ["UID", "GID"] {
        let given = volume.options.get(id);
        let number = given.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        fields.push((id, number.into()));
        if number > 0 {
            shown.push((id, number.into()));
        }
    }
    fields.push(("Anonymous", volume.anonymous.into()));
    if volume.anonymous {
        shown.push(("Anonymous", true.into()));
    }
    for all in [&mut fields, &mut shown] {
        all.push(("MountCount", 0.into()));
    }
    const TYPE: &str = "*define.InspectVolumeData";
    Value::fields(TYPE, fields).with_json(Value::fields(TYPE, shown))
}

fn show(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let mut found = Vec::new();
    let result = targets::each(targets::texts(args, "names"), |text| {
        let volume = volumes::load(&host.layout, &parse(text)?)?;
        found.push(describe(&host.layout, &volume));
        Ok(())
    });
    inspect::print(args, found)?;
    result
}

fn exists(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args.get_one::<String>("name").expect("clap demands one");
    let there = name
        .parse()
        .is_ok_and(|name| host.layout.volume(&name).is_dir());
    let code = if there {
        ExitCode::Success
    } else {
        ExitCode::Failure
    };
    Ok(code.number())
}

fn delete(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let force = args.get_flag("force");
    targets::each(targets::texts(args, "names"), |text| {
        let name = parse(text)?;
        if force {
            remove_users(host, &name)?;
        }
        let hold = volumes::hold(&host.layout, Lock::Exclusive)?;
        let users = users::users(&host.layout, &name);
        if !users.is_empty() {
            let users: Vec<&str> = users.iter().map(ContainerId::as_str).collect();
            let users = users.join(", ");
            let text = format!(
                "volume {name} is being used by the following container(s): {users}: volume is being used"
            );
            return tell(&CliError::Usage(text), IN_USE);
        }
        match volumes::remove(&host.layout, &hold, &name) {
            Err(error) if error.is_not_found() && force => Ok(()),
            Err(error) if error.is_not_found() => tell(&error.into(), MISSING),
            Err(error) => Err(error.into()),
            Ok(()) => output::say(text),
        }
    })
}

fn tell(error: &CliError, code: u8) -> Result<(), CliError> {
    error.report();
    Err(CliError::Told(code))
}

/// `rm --force` also removes the containers that have the volume.
fn remove_users(host: &Host, name: &VolumeName) -> Result<(), CliError> {
    let users = users::users(&host.layout, name);
    if users.is_empty() {
        return Ok(());
    }
    let systemd = host.systemd()?;
    for id in users {
        match remove::remove(host.site(&systemd), &id, true, Patience::Own, false) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Removes the anonymous and the named volumes that no container has.
fn prune(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    const ASKS: &str = "WARNING! This will remove all volumes not used by at least one container. \
        The following volumes will be removed:\n";
    let filters = Filters::of(args, &host.layout)?;
    let layout = &host.layout;
    let unused = |volume: &Volume| users::users(layout, &volume.name).is_empty();
    if !args.get_flag("force") {
        let mut chosen = filters.choose(layout)?;
        chosen.retain(unused);
        if chosen.is_empty() {
            output::say(&format!("{ASKS}No dangling volumes found"))?;
            return Ok(0);
        }
        let names = chosen.iter().map(|volume| format!("{}\n", volume.name));
        if !prune::is_sure(&format!("{ASKS}{}", names.collect::<String>()))? {
            return Ok(0);
        }
    }
    let hold = volumes::hold(layout, Lock::Exclusive)?;
    for volume in filters.choose(layout)? {
        if unused(&volume) {
            volumes::remove(layout, &hold, &volume.name)?;
            output::say(volume.name.as_str())?;
        }
    }
    Ok(store::sweep(layout).map(|()| 0)?)
}

/// The one volume that a verb is about.
pub(super) fn named(args: &ArgMatches, host: &Host) -> Result<Volume, CliError> {
    let name = args.get_one::<String>("name").expect("clap demands one");
    Ok(volumes::load(&host.layout, &parse(name)?)?)
}

/// A volume is a directory, and there whether somebody uses it or not.
fn mount(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let path = host.layout.volume_data(&named(args, host)?.name);
    output::say(&path.display().to_string())?;
    Ok(0)
}

fn unmount(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    output::say(named(args, host)?.name.as_str())?;
    Ok(0)
}
