//! `container prune` and `system prune`: what nobody uses any more.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::filter::Filters;
use super::image::is_dangling;
use super::moment::date;
use super::{Host, args, output, ps, size, table};
use crate::container::observe::State;
use crate::container::stop::Patience;
use crate::container::{ContainerError, Site, remove, volumes as users};
use crate::image::{Image, Images};
use crate::store::{self, volumes};
use crate::sys::paths::Lock;
use crate::sys::time::realtime;
use crate::types::ContainerId;

/// Flags of Podman's `system prune` that are refused, and why.
const REFUSED: [(&str, &str); 2] = [
    ("build", "there are no builds here; use buildah prune"),
    (
        "external",
        "there are no containers of others in the store; use buildah rm",
    ),
];

/// `system prune`.
pub(super) fn command() -> Command {
    Command::new("prune")
        .about("Remove containers that do not run, and images and volumes that nobody uses")
        .arg(args::switch(
            "all",
            Some('a'),
            "Also images that have names",
        ))
        .arg(
            ps::filter()
                .short(None)
                .help("Only those for which this holds: until=TIME, label=KEY[=VALUE]"),
        )
        .arg(args::switch("force", Some('f'), "Do not ask"))
        .arg(args::switch("volumes", None, "Also volumes"))
        .args(REFUSED.map(|(name, reason)| args::switch(name, None, reason).hide(true)))
}

/// `container prune`.
pub(super) fn containers(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    const ASKS: &str = "WARNING! This will remove all non running containers.\n";
    let filters = Filters::of(args, &host.layout, now())?;
    if !args.get_flag("force") && !is_sure(ASKS)? {
        return Ok(0);
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let removed = remove_containers(site, &filters, |id, _| output::say(id.as_str()))?;
    match removed {
        0 => Ok(0),
        code => Err(CliError::Told(code)),
    }
}

/// Microseconds since the epoch.
pub(super) fn now() -> u64 {
    realtime().as_micros() as u64
}

/// Removes the containers that do not run; each is told of, with the bytes of its own that it had. The worst exit code.
fn remove_containers(
    site: Site<'_>,
    filters: &Filters,
    mut told: impl FnMut(&ContainerId, u64) -> Result<(), CliError>,
) -> Result<u8, CliError> {
    let over = |state| [State::Created, State::Initialized, State::Exited].contains(&state);
    let mut worst = 0;
    for entry in ps::list(site)?.entries {
        if !over(entry.seen.state) || !filters.fit(&entry.definition, &entry.seen) {
            continue;
        }
        let id = &entry.definition.id;
        let (own, _) = size::of(site.layout, None, &entry.definition);
        match remove::remove(site, id, false, Patience::Own, false) {
            Ok(()) => told(id, own)?,
            // Whoever is needed, or has been started meanwhile, stays.
            Err(ContainerError::Needed { .. } | ContainerError::State(_)) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let error = CliError::from(error);
                error.report();
                worst = worst.max(error.exit_code());
            }
        }
    }
    Ok(worst)
}

/// What was removed, under its heading.
#[derive(Default)]
struct Report {
    heading: Option<&'static str>,
    bytes: u64,
}

impl Report {
    fn tell(&mut self, heading: &'static str, what: &str, bytes: u64) -> Result<(), CliError> {
        if self.heading != Some(heading) {
            output::say(heading)?;
            self.heading = Some(heading);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        output::say(what)
    }
}

/// `system prune`.
pub(super) fn system(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let refused = REFUSED.iter().find(|(name, _)| args.get_flag(name));
    if let Some((name, reason)) = refused {
        return Err(CliError::Usage(format!("--{name} is refused: {reason}")));
    }
    let (all, with_volumes) = (args.get_flag("all"), args.get_flag("volumes"));
    let wishes = Wishes::of(args, host)?;
    if !args.get_flag("force") && !is_sure(&warning(all, with_volumes))? {
        return Ok(0);
    }
    let systemd = host.systemd()?;
    let mut report = Report::default();
    let worst = remove_containers(host.site(&systemd), &wishes.containers, |id, bytes| {
        report.tell("Deleted Containers", id.as_str(), bytes)
    })?;
    if with_volumes {
        remove_volumes(host, &wishes, &mut report)?;
    }
    remove_images(host, all, &wishes, &mut report)?;
    store::sweep(&host.layout)?;
    let total = table::size(report.bytes, "");
    output::say(&format!("Total reclaimed space: {total}"))?;
    match worst {
        0 => Ok(0),
        code => Err(CliError::Told(code)),
    }
}

/// `--filter`, for containers and for what is none.
struct Wishes {
    containers: Filters,
    /// Made before this time, microseconds since the epoch.
    before: u64,
    /// Whether it must have the label; its key, and its value if one is given.
    labels: Vec<(bool, String, Option<String>)>,
}

impl Wishes {
    fn of(args: &ArgMatches, host: &Host) -> Result<Self, CliError> {
        let now = now();
        let (mut before, mut labels) = (u64::MAX, Vec::new());
        for text in args.get_many::<String>("filter").into_iter().flatten() {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            let (name, wanted) = match value.split_once('=') {
                Some((name, wanted)) => (name.to_owned(), Some(wanted.to_owned())),
                None => (value.to_owned(), None),
            };
            match key {
                "until" => before = super::filter::until(value, now)?,
                "label" => labels.push((true, name, wanted)),
                "label!" => labels.push((false, name, wanted)),
                _ => return Err(CliError::Usage(format!("{key} is an invalid filter"))),
            }
        }
        Ok(Self {
            containers: Filters::of(args, &host.layout, now)?,
            before,
            labels,
        })
    }

    fn fit(&self, image: &Image) -> bool {
        let made = image.created.as_deref().and_then(date).unwrap_or(0);
        self.fit_made(made, &image.config.labels)
    }

    /// What was made then and has these labels.
    fn fit_made(&self, made: u64, labels: &BTreeMap<String, String>) -> bool {
        let fits = |(has, key, value): &(bool, String, Option<String>)| {
            let found = labels.get(key);
            let same = found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found));
            same == *has
        };
        made < self.before && self.labels.iter().all(fits)
    }
}

/// In Podman's words, without networks and build caches, which there are none of.
fn warning(all: bool, volumes: bool) -> String {
    let mut text = "WARNING! This command removes:\n\t- all stopped containers\n".to_owned();
    if volumes {
        text.push_str("\t- all volumes not used by at least one container\n");
    }
    text.push_str(match all {
        true => "\t- all images without at least one container associated with them\n",
        false => "\t- all dangling images\n",
    });
    text + "\n"
}

fn remove_volumes(host: &Host, wishes: &Wishes, report: &mut Report) -> Result<(), CliError> {
    let hold = volumes::hold(&host.layout, Lock::Exclusive)?;
    for volume in volumes::list(&host.layout)? {
        if wishes.fit_made(volume.created, &volume.labels)
            && users::users(&host.layout, &volume.name).is_empty()
        {
            let bytes = size::tree(&host.layout.volume_data(&volume.name));
            volumes::remove(&host.layout, &hold, &volume.name)?;
            report.tell("Deleted Volumes", volume.name.as_str(), bytes)?;
        }
    }
    Ok(())
}

fn remove_images(
    host: &Host,
    all: bool,
    wishes: &Wishes,
    report: &mut Report,
) -> Result<(), CliError> {
    let images = Images::open(&host.layout.state())?;
    let removed = images.prune(
        &|image, others| (all || is_dangling(image, others)) && wishes.fit(image),
        &|id| super::image::users(host, id),
    )?;
    for image in removed {
        report.tell("Deleted Images", &image.id, image.size)?;
    }
    Ok(())
}

/// Asks, after these words.
pub(super) fn is_sure(words: &str) -> Result<bool, CliError> {
    output::print(&format!("{words}Are you sure you want to continue? [y/N] "))?;
    let _ = io::stdout().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read.map_err(CliError::io("read", "standard input"))? {
        0 => Err(CliError::Usage("EOF".to_owned())),
        _ => Ok(line.trim().to_lowercase().starts_with('y')),
    }
}
