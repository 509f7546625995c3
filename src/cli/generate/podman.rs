//! A container of Podman's: by the command line that it was made with, which `podman inspect` has.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use clap::ArgMatches;
use serde::Deserialize;

use crate::cli::error::{CliError, usage_line};
use crate::cli::{Host, args, refused};
use crate::container::create::Wish;
use crate::definition::{Definition, Source, VERSION};
use crate::types::{ContainerId, ContainerName};

/// Most bytes that are read.
const MOST: u64 = 16 << 20;

/// As far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: ContainerId,
    name: ContainerName,
    #[serde(default)]
    image_name: String,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    /// None: it was made by an API.
    #[serde(default)]
    create_command: Option<Vec<String>>,
    #[serde(default)]
    env: Vec<String>,
}

/// What our `create` would make of the same command line; nothing is made.
pub(super) fn definition(path: &Path, host: &Host) -> Result<Definition, CliError> {
    let shown = path.display().to_string();
    let text = read(path).map_err(CliError::io("read", &shown))?;
    if text.len() as u64 > MOST {
        return Err(CliError::Usage(format!("{shown}: larger than 16 MiB")));
    }
    let all: Vec<Inspected> = serde_json::from_slice(&text).map_err(|error| {
        CliError::Usage(format!(
            "{shown}: not what podman inspect prints of containers: {error}"
        ))
    })?;
    let count = all.len();
    let one: Result<[Inspected; 1], _> = all.try_into();
    let [inspected] = one.map_err(|_| {
        CliError::Usage(format!(
            "{shown}: {count} containers, and a file is for one"
        ))
    })?;
    let name = inspected.name.clone();
    of(inspected, host)
        .map_err(|error| CliError::Usage(format!("container {name} of Podman's: {error}")))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut from: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path)?),
    };
    from.by_ref().take(MOST + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn of(inspected: Inspected, host: &Host) -> Result<Definition, CliError> {
    let Some(line) = &inspected.config.create_command else {
        let text = "it was not made by a command line";
        return Err(CliError::Usage(text.to_owned()));
    };
    let matches = parse(line)?;
    let wish = args::wish(create(&matches)?, &host.layout)?;
    let mut options = wish.options.clone();
    for (key, value) in &options.env {
        // One without a value, or a file of them, was read then, and may be another now.
        if !inspected.config.env.contains(&format!("{key}={value}")) {
            let text = format!("its variable {key} has another value than {value:?}");
            return Err(CliError::Usage(text));
        }
    }
    options.name = Some(inspected.name.clone());
    Ok(Definition {
        version: VERSION,
        id: inspected.id,
        name: inspected.name,
        created: 0,
        source: source(&wish, inspected.image_name)?,
        command: wish.command,
        options,
        deployed: None,
    })
}

fn parse(line: &[String]) -> Result<ArgMatches, CliError> {
    let words: Vec<OsString> = line.iter().map(OsString::from).collect();
    args::parse(&words).map_err(|error| {
        let reason = refused::reason(&error, line.get(1..).unwrap_or_default());
        let reason = reason.unwrap_or_else(|| usage_line(&error).replacen("Error: ", "", 1));
        CliError::Usage(reason)
    })
}

/// The arguments of `create` or `run`.
fn create(matches: &ArgMatches) -> Result<&ArgMatches, CliError> {
    let below = match matches.subcommand() {
        Some(("container", below)) => below.subcommand(),
        other => other,
    };
    match below {
        Some(("create" | "run", args)) => Ok(args),
        _ => Err(CliError::Usage(
            "it was not made by create or run".to_owned(),
        )),
    }
}

fn source(wish: &Wish, image: String) -> Result<Source, CliError> {
    let path = wish.from.clone();
    match (wish.rootfs, path.starts_with('/')) {
        (true, true) => Ok(Source::Rootfs { path }),
        (true, false) => Err(CliError::Usage(format!(
            "--rootfs {path}: nothing tells in which directory that was"
        ))),
        (false, _) => Ok(Source::Image {
            name: if image.is_empty() { path } else { image },
            id: String::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::unit_file::render;

    fn made(words: &[&str], env: &[&str]) -> Result<String, String> {
        let json = serde_json::json!([{
            "Id": "a".repeat(64), "Name": "web", "ImageName": "registry.example/web:1", "More": {},
            "Config": {"CreateCommand": words, "Env": env},
        }]);
        let mut all: Vec<Inspected> = serde_json::from_value(json).unwrap();
        let host = Host::new("/nowhere".into());
        let definition = of(all.remove(0), &host).map_err(|error| error.to_string())?;
        render(&definition).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_of_podmans_becomes_a_file() {
        let words = [
            "/usr/bin/podman",
            "run",
            "-d",
            "--name",
            "web",
            "-e",
            "A=b",
            "-v",
            "data:/d",
            "web",
            "serve",
            "x y",
        ];
        let text = made(&words, &["A=b", "PATH=/bin"]).unwrap();
        for line in [
            "ContainerName=web",
            "Image=registry.example/web:1",
            "Environment=A=b",
            "Volume=data:/d",
            "Exec=serve \"x y\"",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        for (words, expected) in [
            (
                &["podman", "run", "-e", "A=c", "web"][..],
                "A has another value than \"c\"",
            ),
            (
                &["podman", "run", "--rootfs", "dir"],
                "--rootfs dir: nothing tells",
            ),
            (
                &["podman", "run", "-v", "./x:/x", "web"],
                "--volume of container web cannot",
            ),
            (&["podman", "pod", "create"], "there are no pods"),
            (&["podman", "start", "web"], "not made by create or run"),
            (&["podman", "run", "--gpus", "all", "web"], "--gpus"),
        ] {
            let error = made(words, &["A=b"]).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}
