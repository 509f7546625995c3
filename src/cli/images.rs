//! `load`, `rmi`, `image exists`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::args::switch;
use super::error::CliError;
use super::image::is_dangling;
use super::{Host, inspect, output, pull, push, targets};
use crate::api::ExitCode;
use crate::container::stop::Patience;
use crate::container::{remove, volumes};
use crate::definition::{Definition, Source};
use crate::image::{self, Image, Images, Progress, Removed};

/// podman-rmi(1), "Exit Status": a container uses it.
const IN_USE: u8 = 2;

fn open(host: &Host) -> Result<Images, CliError> {
    Ok(Images::open(&host.layout.state())?)
}

/// The grammar of `load`.
pub(super) fn load_command() -> Command {
    Command::new("load")
        .about("Load images of an archive or OCI layout")
        .arg(
            Arg::new("input")
                .long("input")
                .short('i')
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("File or directory; without it, standard input"),
        )
        .arg(switch(
            "quiet",
            Some('q'),
            "For compatibility: only names are printed in any case",
        ))
}

pub(super) fn load(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let images = open(host)?;
    let mut report = |progress: Progress| tracing::info!(?progress, "loading");
    let loaded = match args.get_one::<PathBuf>("input") {
        Some(path) => images.load(image::Source::Path(path), &mut report)?,
        None => {
            let mut stdin = io::stdin().lock();
            let source = image::Source::Stream(&mut stdin, "standard input");
            images.load(source, &mut report)?
        }
    };
    for image in loaded {
        if image.names.is_empty() {
            output::say(&format!("Loaded image: sha256:{}", image.id))?;
        }
        for name in image.names {
            output::say(&format!("Loaded image: {name}"))?;
        }
    }
    Ok(0)
}

pub(super) fn image(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (verb, args) = args.subcommand().expect("clap demands a verb");
    match verb {
        "diff" => return super::diff::images(args, host),
        "import" => return super::import::run(args, host),
        "inspect" => return inspect::images(args, host),
        "pull" => return pull::run(args, host),
        "push" => return push::run(args, host),
        "load" => return load(args, host),
        "rm" => return remove(args, host),
        "exists" => {}
        verb => return super::image::run(verb, args, host).expect("clap knows no other verb"),
    }
    let name = args.get_one::<String>("image").expect("clap demands one");
    let code = match open(host)?.exists(name)? {
        true => ExitCode::Success,
        false => ExitCode::Failure,
    };
    Ok(code.number())
}

/// The grammar of `rmi` and `image rm`.
pub(super) fn remove_command(name: &'static str) -> Command {
    Command::new(name)
        .about("Remove images")
        .arg(switch("all", Some('a'), "All images"))
        .arg(switch("force", Some('f'), "Also their containers"))
        .arg(switch("ignore", Some('i'), "What is not there is no error"))
        .arg(switch(
            "no-prune",
            None,
            "Leave images without a name that it was made of",
        ))
        .arg(Arg::new("images").value_name("IMAGE").num_args(1..))
}

pub(super) fn remove(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let images = open(host)?;
    let mut names: Vec<String> = targets::texts(args, "images").map(str::to_owned).collect();
    let (all, force) = (args.get_flag("all"), args.get_flag("force"));
    if all {
        if !names.is_empty() {
            let text = "when using the --all switch, you may not pass any images names or IDs";
            return Err(CliError::Usage(text.to_owned()));
        }
        names.extend(images.list()?.into_iter().map(|image| image.id));
    } else if names.is_empty() {
        let text = "image name or ID must be specified";
        return Err(CliError::Usage(text.to_owned()));
    }
    let ignored = force || all || args.get_flag("ignore");
    targets::each(names.iter().map(String::as_str), |name| {
        let before = images.list_with_history()?;
        match remove_one(host, &images, name, force, all) {
            Ok(mut removed) => {
                let gone = removed.deleted.take().into_iter();
                let gone: Vec<String> = match args.get_flag("no-prune") {
                    true => gone.collect(),
                    false => gone
                        .flat_map(|id| with_parents(host, &images, &before, id))
                        .collect(),
                };
                for name in removed.untagged {
                    output::say(&format!("Untagged: {name}"))?;
                }
                gone.iter()
                    .try_for_each(|id| output::say(&format!("Deleted: {id}")))
            }
            Err(CliError::Image(image::Error::NotFound(_))) if ignored => Ok(()),
            Err(CliError::Image(error @ image::Error::NotFound(_))) => {
                tell(error, ExitCode::Failure.number())
            }
            Err(CliError::Image(error @ image::Error::InUse { .. })) => tell(error, IN_USE),
            Err(error) => Err(error),
        }
    })
}

/// An image that is gone, and those that it was made of, without a name and of use to nobody: they go, too.
fn with_parents(host: &Host, images: &Images, before: &[Image], id: String) -> Vec<String> {
    let mut gone = vec![id];
    loop {
        let child = before.iter().find(|image| gone.last() == Some(&image.id));
        let removed = images.prune(
            &|image, all| {
                is_dangling(image, all) && child.is_some_and(|child| image.is_parent_of(child))
            },
            &|id| super::image::users(host, id),
        );
        match removed.map(|mut removed| removed.pop()) {
            Ok(Some(parent)) => gone.push(parent.id),
            Ok(None) => return gone,
            Err(error) => {
                tracing::warn!(%error, "images without a name are left for image prune");
                return gone;
            }
        }
    }
}

/// `with_names`: with all its names, also if it is meant by its id.
fn remove_one(
    host: &Host,
    images: &Images,
    name: &str,
    force: bool,
    with_names: bool,
) -> Result<Removed, CliError> {
    if force {
        remove_users(host, images, name)?;
    }
    let users = |id: &str| super::image::users(host, id);
    if with_names && !force {
        return Ok(images.remove_with_names(name, &users)?);
    }
    Ok(images.remove(name, force, &users, &HashSet::new())?)
}

/// Removes the image of a container that others do not use.
pub(super) fn remove_of(host: &Host, definition: &Definition) -> Result<(), CliError> {
    let Source::Image { name, .. } = &definition.source else {
        let text = format!("container {}: it has no image", definition.name);
        return Err(CliError::Usage(text));
    };
    let users = |id: &str| super::image::users(host, id);
    open(host)?.remove(name, false, &users, &HashSet::new())?;
    Ok(())
}

fn tell(error: image::Error, code: u8) -> Result<(), CliError> {
    CliError::from(error).report();
    Err(CliError::Told(code))
}

fn users_of(host: &Host, image: &str) -> Vec<Definition> {
    volumes::image_users(&host.layout, image)
}

/// `rmi --force` also removes the containers of an image.
fn remove_users(host: &Host, images: &Images, name: &str) -> Result<(), CliError> {
    let Ok(image) = images.resolve(name) else {
        return Ok(());
    };
    super::image::unmount(host, images, &image.id)?;
    let users = users_of(host, &image.id);
    if users.is_empty() {
        return Ok(());
    }
    let systemd = host.systemd()?;
    for definition in users {
        match remove::remove(
            host.site(&systemd),
            &definition.id,
            true,
            Patience::Own,
            false,
        ) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
