//! `system check`: whether all that is on disk fits together.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::args::switch;
use super::error::CliError;
use super::{Host, output};
use crate::container::check::{self as containers, Problem};
use crate::container::stop::Patience;
use crate::container::{remove, volumes};
use crate::image::{Damage, Images};
use crate::store::{self, check as records};
use crate::sys::time::realtime;
use crate::types::{ContainerId, parse_duration};

pub(super) fn command() -> Command {
    Command::new("check")
        .about("Look whether all that is on disk fits together, and mend what does not")
        .arg(switch(
            "force",
            Some('f'),
            "Mend, and remove what cannot be mended: containers, images, volumes",
        ))
        .arg(
            Arg::new("max")
                .long("max")
                .short('m')
                .value_name("DURATION")
                .default_value("24h")
                .help("Blobs and layers that no image has are wrong if they are older"),
        )
        .arg(switch("quick", Some('q'), "Do not read what is in blobs"))
        .arg(switch(
            "repair",
            Some('r'),
            "Mend what loses nothing, and remove damaged images that no container has",
        ))
}

/// How far a problem may be mended.
#[derive(Clone, Copy)]
struct Will {
    repair: bool,
    force: bool,
}

/// What was found.
#[derive(Default)]
struct Findings {
    all: usize,
    left: usize,
}

impl Findings {
    /// Tells a problem, and what has become of it.
    fn tell(&mut self, problem: &str, mended: Option<bool>) -> Result<(), CliError> {
        self.all += 1;
        let mended = mended == Some(true);
        self.left += usize::from(!mended);
        output::say(&match mended {
            true => format!("{problem}: mended"),
            false => problem.to_owned(),
        })
    }
}

/// 0: nothing is wrong, or no longer; 125: something is.
pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let max = args.get_one::<String>("max").map_or("", String::as_str);
    let max = parse_duration(max)
        .map_err(|error| CliError::Usage(format!("invalid argument {max:?} for --max: {error}")))?;
    let force = args.get_flag("force");
    let will = Will {
        repair: force || args.get_flag("repair"),
        force,
    };
    let mut findings = Findings::default();
    check_records(host, will, &mut findings)?;
    check_containers(host, will, &mut findings)?;
    check_images(host, will, (args.get_flag("quick"), max), &mut findings)?;
    match (findings.all, findings.left) {
        (0, _) => output::say("no damage found")?,
        (_, 0) => output::say("all damage is mended")?,
        _ => {
            return Err(CliError::Usage(
                "damage detected in local storage".to_owned(),
            ));
        }
    }
    Ok(0)
}

fn check_records(host: &Host, will: Will, findings: &mut Findings) -> Result<(), CliError> {
    for problem in records::check(&host.layout)? {
        let mended = will
            .repair
            .then(|| records::mend(&problem, will.force))
            .transpose()?;
        findings.tell(&problem.text, mended)?;
    }
    if will.force {
        // Names of what is gone.
        store::sweep(&host.layout)?;
    }
    Ok(())
}

fn check_containers(host: &Host, will: Will, findings: &mut Findings) -> Result<(), CliError> {
    let problems = containers::check(&host.layout)?;
    if problems.is_empty() {
        return Ok(());
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    for problem in problems {
        let mended = match &problem {
            Problem::NoImage(id, _) if will.force => {
                remove::remove(site, id, true, Patience::Own, false)?;
                Some(true)
            }
            problem => will
                .repair
                .then(|| containers::mend(site, problem))
                .transpose()?,
        };
        findings.tell(&problem.to_string(), mended)?;
    }
    Ok(())
}

fn check_images(
    host: &Host,
    will: Will,
    (quick, max): (bool, Duration),
    findings: &mut Findings,
) -> Result<(), CliError> {
    let images = Images::open(&host.layout.state())?;
    // What a damaged image was is not known: it may be that of a container whose image is not found.
    let lacking = containers::check(&host.layout)?;
    let needed = lacking
        .iter()
        .any(|problem| matches!(problem, Problem::NoImage(..)));
    for damage in images.check(quick)? {
        if matches!(&damage, Damage::Unlisted(path) if !is_older(path, max)) {
            continue;
        }
        let users = users(host, &images, &damage)?;
        let is_used = (needed && matches!(damage, Damage::Image { .. })) || !users.is_empty();
        if will.force && !users.is_empty() {
            remove_all(host, &users)?;
        }
        let mended = match will.repair {
            true => Some((will.force || !is_used) && images.mend(&damage)?),
            false => None,
        };
        findings.tell(&damage.to_string(), mended)?;
    }
    // What the images that are gone had.
    if will.repair {
        images.collect_garbage(&HashSet::new())?;
    }
    Ok(())
}

/// The containers of an image that is damaged, as far as that can be told.
fn users(host: &Host, images: &Images, damage: &Damage) -> Result<Vec<ContainerId>, CliError> {
    let Damage::Image { digest, .. } = damage else {
        return Ok(Vec::new());
    };
    let image = images
        .list()?
        .into_iter()
        .find(|image| image.digest == *digest);
    let users = image.map(|image| volumes::image_users(&host.layout, &image.id));
    let users = users.unwrap_or_default().into_iter();
    Ok(users.map(|user| user.id).collect())
}

fn remove_all(host: &Host, containers: &[ContainerId]) -> Result<(), CliError> {
    let systemd = host.systemd()?;
    for id in containers {
        remove::remove(host.site(&systemd), id, true, Patience::Own, false)?;
    }
    Ok(())
}

/// By the time at which it was put in its place: that of its contents may be any.
fn is_older(path: &Path, max: Duration) -> bool {
    let Ok(about) = fs::symlink_metadata(path) else {
        return false;
    };
    let age = realtime()
        .as_secs()
        .saturating_sub(u64::try_from(about.ctime()).unwrap_or(0));
    age >= max.as_secs()
}
