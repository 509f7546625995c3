//! `image mount` and `image unmount`.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};

use crate::cli::args::switch;
use crate::cli::error::CliError;
use crate::cli::template::Value;
use crate::cli::{Host, output, table, targets};
use crate::image::host_mount::place_of;
use crate::image::{Image, Images};

fn images() -> Arg {
    Arg::new("images").value_name("IMAGE").num_args(1..)
}

/// The grammar of both.
pub(in crate::cli) fn commands() -> [Command; 2] {
    [
        Command::new("mount")
            .about("Mount images read-only, and tell where; without one, list what is mounted")
            .arg(switch("all", Some('a'), "All images"))
            .arg(
                Arg::new("format")
                    .long("format")
                    .value_name("FORMAT")
                    .help("json"),
            )
            .arg(images()),
        Command::new("unmount")
            .visible_alias("umount")
            .about("Take away what image mount has mounted")
            .arg(switch("all", Some('a'), "All that are mounted"))
            .arg(switch(
                "force",
                Some('f'),
                "Also while somebody uses it there",
            ))
            .arg(images()),
    ]
}

/// Where images are mounted.
pub(super) fn places(host: &Host) -> PathBuf {
    host.layout.run().join("mounted-images")
}

fn refused<T>(text: &str) -> Result<T, CliError> {
    Err(CliError::Usage(text.to_owned()))
}

/// The words, which there may not be with `--all`.
fn words(args: &ArgMatches) -> Result<Vec<String>, CliError> {
    let names: Vec<String> = targets::texts(args, "images").map(str::to_owned).collect();
    match args.get_flag("all") && !names.is_empty() {
        true => refused("when using the --all switch, you may not pass any image names or IDs"),
        false => Ok(names),
    }
}

/// Those that are mounted.
fn mounted(store: &Images, places: &Path) -> Result<Vec<(Image, PathBuf)>, CliError> {
    let mut found = Vec::new();
    for image in store.list()? {
        if let Some(place) = place_of(&image.id, places)? {
            found.push((image, place));
        }
    }
    Ok(found)
}

pub(in crate::cli) fn mount(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let json = match args.get_one::<String>("format").map(String::as_str) {
        None | Some("") => false,
        Some("json") => true,
        Some(other) => return refused(&format!("unknown --format argument: {other:?}")),
    };
    let store = Images::open(&host.layout.state())?;
    let (places, names, all) = (places(host), words(args)?, args.get_flag("all"));
    let mut found = Vec::new();
    let mut code = Ok(0);
    if names.is_empty() && !all {
        found = mounted(&store, &places)?;
    } else {
        let ids = || -> Result<Vec<String>, CliError> {
            Ok(store.list()?.into_iter().map(|image| image.id).collect())
        };
        let names = if all { ids()? } else { names };
        code = targets::each(names.iter().map(String::as_str), |name| {
            found.push(store.mount(name, &places)?);
            Ok(())
        });
        if let ([(_, place)], 1, false, false) = (&found[..], names.len(), all, json) {
            output::say(&place.display().to_string())?;
            return code;
        }
    }
    if json {
        let rows = found.iter().map(row);
        output::say(&Value::List(rows.collect()).to_pretty_json(" "))?;
    } else {
        output::print(&table::columns(
            &found.iter().flat_map(lines).collect::<Vec<_>>(),
        ))?;
    }
    code
}

fn row((image, place): &(Image, PathBuf)) -> Value {
    let json = serde_json::json!({
        "id": image.id,
        "Names": [image.digest.to_string()],
        "Repositories": image.names,
        "mountpoint": place.display().to_string(),
    });
    Value::from(json)
}

/// One for each name.
fn lines((image, place): &(Image, PathBuf)) -> Vec<Vec<String>> {
    let place = place.display().to_string();
    let line = |name: &String| vec![name.clone(), place.clone()];
    match image.names.is_empty() {
        true => vec![vec!["<none>:<none>".to_owned(), place]],
        false => image.names.iter().map(line).collect(),
    }
}

pub(in crate::cli) fn unmount(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let store = Images::open(&host.layout.state())?;
    let (places, mut names) = (places(host), words(args)?);
    if args.get_flag("all") {
        let all = mounted(&store, &places)?.into_iter();
        names.extend(all.map(|(image, _)| image.id));
    } else if names.is_empty() {
        return refused("image name or ID must be specified");
    }
    let force = args.get_flag("force");
    targets::each(names.iter().map(String::as_str), |name| {
        let id = store.resolve(name)?.id;
        match store.unmount(&id, &places, force)? {
            true => output::say(&id),
            false => Ok(()),
        }
    })
}
