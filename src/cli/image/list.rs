//! `images`, `image ls`.

use std::collections::HashMap;

use clap::{Arg, ArgMatches, Command};

use super::filter::{ImageFilters, created, is_intermediate, seconds_of};
use crate::cli::args::switch;
use crate::cli::error::CliError;
use crate::cli::listing::{self, Listing};
use crate::cli::template::Value;
use crate::cli::{Host, output, ps, table};
use crate::container::volumes;
use crate::image::reference::split_tag;
use crate::image::{Image, Images};
use crate::sys::time::realtime;

/// What `--sort` takes.
const SORT: [&str; 5] = ["created", "id", "repository", "size", "tag"];

/// The grammar under a name.
pub(in crate::cli) fn command(name: &'static str) -> Command {
    Command::new(name)
        .about("List images")
        .arg(switch(
            "all",
            Some('a'),
            "Also images without a name that others are made of",
        ))
        .arg(switch("digests", None, "Show digests of manifests"))
        .arg(ps::filter().help("Only images for which this holds"))
        .arg(ps::template())
        .arg(switch("history", None, "Refused: former names are not kept").hide(true))
        .arg(switch("no-trunc", None, "Do not shorten ids"))
        .arg(switch("noheading", Some('n'), "No heading above the table"))
        .arg(switch("quiet", Some('q'), "Ids only"))
        .arg(
            Arg::new("sort")
                .long("sort")
                .value_name("KEY")
                .default_value("created")
                .help("created, id, repository, size or tag"),
        )
        .arg(
            Arg::new("image")
                .value_name("IMAGE")
                .help("Only images with a name that this pattern fits"),
        )
}

/// One name of an image, or its only line.
struct Line<'a> {
    image: &'a Image,
    name: Option<&'a str>,
}

impl Line<'_> {
    fn split(&self) -> (&str, &str) {
        let (repository, tag) = self.name.map_or(("<none>", None), split_tag);
        (repository, tag.unwrap_or("<none>"))
    }
}

pub(in crate::cli) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    if args.get_flag("history") {
        let text = "--history is refused: former names of images are not kept; use images alone";
        return Err(CliError::Usage(text.to_owned()));
    }
    let sort = args.get_one::<String>("sort").expect("it has a default");
    if !SORT.contains(&sort.as_str()) {
        return Err(CliError::Usage(format!(
            "{sort:?} is not a valid field for sorting. Choose from: {}",
            SORT.join(", ")
        )));
    }
    let store = Images::open(&host.layout.state())?;
    let now = u64::try_from(realtime().as_micros()).unwrap_or(u64::MAX);
    let texts = args.get_many::<String>("filter").into_iter().flatten();
    let reference = args.get_one::<String>("image");
    let reference = reference.map(|name| format!("reference={name}"));
    let texts = texts.chain(&reference).map(String::as_str);
    let filters = ImageFilters::parse(texts, &store, now)?;
    let used = volumes::images_in_use(&host.layout);
    let is_used = |id: &str| used.contains_key(id);
    let all = store.list_with_history()?;
    let mut images = all.clone();
    let hidden = !args.get_flag("all") && !filters.has("intermediate");
    images.retain(|image| !(hidden && is_intermediate(image, &all)));
    images.retain(|image| filters.fit(image, &all, &is_used));
    images.sort_by_key(|image| std::cmp::Reverse(created(image)));
    let whole = args.get_flag("no-trunc");
    let mut lines: Vec<Line<'_>> = images.iter().flat_map(of_image).collect();
    order(&mut lines, sort);
    if args.get_flag("quiet") && !args.contains_id("format") {
        return quiet(&lines, whole);
    }
    let rows = lines.iter().map(|line| row(line, &all, whole, &used, now));
    let mut listing = IMAGES;
    if args.get_flag("digests") {
        listing.table =
            "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.Created}}\t{{.Size}}";
    }
    listing::print(args, &listing, rows.collect())?;
    Ok(0)
}

fn of_image(image: &Image) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = image
        .names
        .iter()
        .map(|name| Line {
            image,
            name: Some(name),
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line { image, name: None });
    }
    lines
}

/// In the order of `--sort`; by `created` they come.
fn order(lines: &mut [Line<'_>], sort: &str) {
    match sort {
        "id" => lines.sort_by(|a, b| a.image.id.cmp(&b.image.id)),
        "repository" => lines.sort_by(|a, b| a.split().0.cmp(b.split().0)),
        "size" => lines.sort_by_key(|line| line.image.size),
        "tag" => lines.sort_by(|a, b| a.split().1.cmp(b.split().1)),
        _ => {}
    }
}

/// Each id once.
fn quiet(lines: &[Line<'_>], whole: bool) -> Result<u8, CliError> {
    let mut said: Vec<&str> = Vec::new();
    for line in lines {
        if !said.contains(&line.image.id.as_str()) {
            said.push(&line.image.id);
            output::say(&shown(&line.image.id, whole))?;
        }
    }
    Ok(0)
}

fn shown(id: &str, whole: bool) -> String {
    match whole {
        true => format!("sha256:{id}"),
        false => id.chars().take(12).collect(),
    }
}

const IMAGES: Listing = Listing {
    name: "images",
    headings: &[
        ("Arch", "ARCH"),
        ("Containers", "CONTAINERS"),
        ("Created", "CREATED"),
        // Podman has no headings for these.
        ("CreatedAt", "<no value>"),
        ("CreatedSince", "<no value>"),
        ("CreatedTime", "<no value>"),
        ("IsReadOnly", "<no value>"),
        ("Dangling", "DANGLING"),
        ("Digest", "DIGEST"),
        ("History", "HISTORY"),
        ("ID", "IMAGE ID"),
        ("IsManifestList", "IS MANIFEST LIST"),
        ("Labels", "LABELS"),
        ("Names", "NAMES"),
        ("Os", "OS"),
        ("ParentId", "PARENT ID"),
        ("ReadOnly", "R/O"),
        ("RepoDigests", "REPO DIGESTS"),
        ("RepoTags", "REPO TAGS"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("VirtualSize", "VIRTUAL SIZE"),
    ],
    table: "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Created}}\t{{.Size}}",
    indent: "    ",
};

/// The names with the digest of the manifest in place of the tag.
fn with_digest(image: &Image) -> Value {
    let mut all: Vec<String> = image
        .names
        .iter()
        .map(|name| format!("{}@{}", split_tag(name).0, image.digest))
        .collect();
    all.dedup();
    Value::list(all)
}

fn row(
    line: &Line<'_>,
    all: &[Image],
    whole: bool,
    used: &HashMap<String, usize>,
    now: u64,
) -> Value {
    let image = line.image;
    let (repository, tag) = line.split();
    let made = created(image);
    let ago = table::ago(made, now);
    let containers = used.get(&image.id).copied().unwrap_or(0) as u64;
    let size: Value = image.size.into();
    let or_null = |value: Value, empty: bool| if empty { Value::Null } else { value };
    let labels = Value::map(&image.config.labels);
    let names = Value::list(&image.names);
    let dangling = image.names.is_empty() && !is_intermediate(image, all);
    let parent = all.iter().find(|other| other.is_parent_of(image));
    let parent = parent.map_or("", |parent| parent.id.as_str());
    let mut json = vec![
        ("Id", image.id.as_str().into()),
        ("ParentId", parent.into()),
        ("RepoTags", Value::Null),
        ("RepoDigests", with_digest(image)),
        ("Size", size.clone()),
        ("SharedSize", 0.into()),
        ("VirtualSize", size.clone()),
        (
            "Labels",
            or_null(labels.clone(), image.config.labels.is_empty()),
        ),
        ("Containers", containers.into()),
    ];
    if dangling {
        json.push(("Dangling", true.into()));
    }
    json.push(("Digest", image.digest.to_string().into()));
    if !image.names.is_empty() {
        json.push(("History", names.clone()));
        json.push(("Names", names.clone()));
    }
    json.push(("Created", (made / 1_000_000).into()));
    json.push(("CreatedAt", seconds_of(made).into()));
    let fields = vec![
        ("Repository", repository.into()),
        ("Tag", tag.into()),
        ("ID", shown(&image.id, whole).into()),
        ("Digest", image.digest.to_string().into()),
        ("Created", ago.as_str().into()),
        ("CreatedAt", Value::Time(made)),
        ("CreatedSince", ago.into()),
        ("CreatedTime", Value::Time(made)),
        ("Size", table::size(image.size, " ").into()),
        ("VirtualSize", size),
        ("SharedSize", 0.into()),
        ("Containers", containers.into()),
        ("Dangling", dangling.into()),
        ("ReadOnly", false.into()),
        ("IsReadOnly", false.into()),
        ("IsManifestList", false.into()),
        ("History", image.names.join(", ").into()),
        ("Labels", labels),
        ("Names", names.clone()),
        ("RepoTags", names),
        ("RepoDigests", with_digest(image)),
        ("ParentId", parent.into()),
        ("Os", "".into()),
        ("Arch", "".into()),
    ];
    Value::fields("images.imageReporter", fields).with_json(Value::fields("", json))
}
