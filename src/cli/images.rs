//! `load`, `images`, `image exists`, `rmi`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use clap::ArgMatches;
use serde_json::{Value, json};

use super::error::CliError;
use super::{Host, output, table, targets};
use crate::api::ExitCode;
use crate::container::stop::Patience;
use crate::container::{remove, volumes};
use crate::definition::Definition;
use crate::image::{self, Image, Images, Progress};

/// podman-rmi(1), "Exit Status": a container uses it.
const IN_USE: u8 = 2;

fn open(host: &Host) -> Result<Images, CliError> {
    Ok(Images::open(&host.layout.state())?)
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

pub(super) fn list(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let list = open(host)?.list()?;
    let whole = args.get_flag("no-trunc");
    let id = |image: &Image| match whole {
        true => format!("sha256:{}", image.id),
        false => image.id.chars().take(12).collect(),
    };
    let json = args
        .get_one::<String>("format")
        .is_some_and(|format| format == "json");
    let text = if json {
        let list: Vec<Value> = list.iter().map(as_json).collect();
        format!("{:#}\n", Value::Array(list))
    } else if args.get_flag("quiet") {
        list.iter()
            .map(|image| format!("{}\n", id(image)))
            .collect()
    } else {
        let mut rows = Vec::new();
        for image in &list {
            let unnamed = ["<none>:<none>".to_owned()];
            let names = if image.names.is_empty() {
                &unnamed[..]
            } else {
                &image.names
            };
            for name in names {
                let (repository, tag) = split(name);
                let created = image.created.as_deref().unwrap_or_default().to_owned();
                rows.push([repository, tag, id(image), created, size(image.size)]);
            }
        }
        table::render(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &rows)
    };
    output::print(&text)?;
    Ok(0)
}

/// Repository and tag of a full name; a port of a registry is no tag.
fn split(name: &str) -> (String, String) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), "<none>".to_owned()),
    }
}

/// Bytes as Podman's tables show them: three digits, units by 1000.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            let digits = if unit == "B" || value >= 100.0 {
                0
            } else {
                1 + usize::from(value < 10.0)
            };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.3} TB")
}

fn as_json(image: &Image) -> Value {
    json!({
        "Id": image.id,
        "Digest": image.digest.to_string(),
        "Names": image.names,
        "CreatedAt": image.created,
        "Size": image.size,
        "Labels": image.config.labels,
    })
}

pub(super) fn image(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (_, args) = args.subcommand().expect("clap demands a verb");
    let name = args.get_one::<String>("image").expect("clap demands one");
    let code = match open(host)?.exists(name)? {
        true => ExitCode::Success,
        false => ExitCode::Failure,
    };
    Ok(code.number())
}

pub(super) fn remove(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let images = open(host)?;
    let force = args.get_flag("force");
    targets::each(targets::texts(args, "images"), |name| {
        if force {
            remove_users(host, &images, name)?;
        }
        let users = |id: &str| -> Vec<String> {
            let of = users_of(host, id).into_iter();
            of.map(|definition| definition.name.to_string()).collect()
        };
        match images.remove(name, force, &users, &HashSet::new()) {
            Ok(removed) => {
                for name in removed.untagged {
                    output::say(&format!("Untagged: {name}"))?;
                }
                match removed.deleted {
                    Some(id) => output::say(&format!("Deleted: {id}")),
                    None => Ok(()),
                }
            }
            Err(image::Error::NotFound(_)) if force => Ok(()),
            Err(error @ image::Error::NotFound(_)) => tell(error, ExitCode::Failure.number()),
            Err(error @ image::Error::InUse { .. }) => tell(error, IN_USE),
            Err(error) => Err(error.into()),
        }
    })
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
