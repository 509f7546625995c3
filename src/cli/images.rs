//! `load`, `images`, `image exists`, `rmi`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use clap::ArgMatches;

use super::error::CliError;
use super::listing::{self, Listing};
use super::template::Value;
use super::{Host, inspect, output, table, targets};
use crate::api::ExitCode;
use crate::container::stop::Patience;
use crate::container::{remove, volumes};
use crate::definition::{Definition, Source};
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
    if args.get_flag("quiet") && !args.contains_id("format") {
        let ids: String = list.iter().map(|image| id(image) + "\n").collect();
        output::print(&ids)?;
        return Ok(0);
    }
    let mut rows = Vec::new();
    for image in &list {
        let unnamed = ["<none>:<none>".to_owned()];
        let names = match image.names.is_empty() {
            true => &unnamed[..],
            false => &image.names,
        };
        rows.extend(names.iter().map(|name| row(image, name, id(image))));
    }
    listing::print(args, &IMAGES, rows)?;
    Ok(0)
}

const IMAGES: Listing = Listing {
    name: "images",
    headings: &[
        ("Containers", "CONTAINERS"),
        ("Created", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("Labels", "LABELS"),
        ("Repository", "REPOSITORY"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
    ],
    table: "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Created}}\t{{.Size}}",
    indent: "    ",
};

fn row(image: &Image, name: &str, id: String) -> Value {
    let (repository, tag) = split(name);
    let created = image.created.as_deref().unwrap_or_default();
    let labels = Value::map(&image.config.labels);
    let json = vec![
        ("Id", image.id.as_str().into()),
        ("Digest", image.digest.to_string().into()),
        ("Names", Value::list(&image.names)),
        ("CreatedAt", created.into()),
        ("Size", image.size.into()),
        ("Labels", labels.clone()),
    ];
    let fields = vec![
        ("ID", id.into()),
        ("Repository", repository.into()),
        ("Tag", tag.into()),
        ("Digest", image.digest.to_string().into()),
        ("Created", created.into()),
        ("CreatedAt", created.into()),
        ("CreatedSince", created.into()),
        ("Size", table::size(image.size, " ").into()),
        ("Labels", labels),
    ];
    Value::fields("images.imageReporter", fields).with_json(Value::fields("", json))
}

/// Repository and tag of a full name; a port of a registry is no tag.
fn split(name: &str) -> (String, String) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), "<none>".to_owned()),
    }
}

pub(super) fn image(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (verb, args) = args.subcommand().expect("clap demands a verb");
    if verb == "diff" {
        return super::diff::images(args, host);
    }
    if verb == "import" {
        return super::import::run(args, host);
    }
    if verb == "inspect" {
        return inspect::images(args, host);
    }
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

/// Removes the image of a container that others do not use.
pub(super) fn remove_of(host: &Host, definition: &Definition) -> Result<(), CliError> {
    let Source::Image { name, .. } = &definition.source else {
        let text = format!("container {}: it has no image", definition.name);
        return Err(CliError::Usage(text));
    };
    let users = |id: &str| -> Vec<String> {
        let of = users_of(host, id).into_iter();
        of.map(|definition| definition.name.to_string()).collect()
    };
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
