//! `pull`, and the images that `create` and `run` need.

use std::io::{self, IsTerminal, Write};

use clap::{Arg, ArgMatches, Command, value_parser};

use super::args::{is_on, toggle};
use super::error::CliError;
use super::{Host, output, targets};
use crate::container::create::Wish;
use crate::container::pull;
use crate::definition::PullOptions;
use crate::image::Images;
use crate::image::pull::{Access, Note, Request};
use crate::types::{PullPolicy, parse_duration};

pub(super) fn command() -> Command {
    Command::new("pull")
        .about("Fetch images from registries and other places")
        .arg(toggle("all-tags", "Every tag of the repository").short('a'))
        .args(platform())
        .args(access())
        .arg(cert_dir())
        .arg(credentials())
        .arg(content_trust())
        .arg(policy())
        .arg(toggle("quiet", "Print nothing but ids").short('q'))
        .arg(
            Arg::new("images")
                .value_name("IMAGE")
                .num_args(1..)
                .required(true),
        )
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn platform() -> Vec<Arg> {
    vec![
        text("arch", "ARCH", "Architecture instead of this machine's"),
        text("os", "OS", "Operating system instead of this machine's"),
        text(
            "platform",
            "OS/ARCH[/VARIANT]",
            "Platform instead of this machine's",
        ),
        text("variant", "VARIANT", "Variant of the architecture"),
    ]
}

/// How registries are reached: the options that verbs of both directions have.
pub(super) fn access() -> Vec<Arg> {
    vec![
        text(
            "authfile",
            "FILE",
            "File of passwords (containers-auth.json(5))",
        ),
        text("retry", "COUNT", "How often to try again (3)").value_parser(value_parser!(u32)),
        text(
            "retry-delay",
            "DURATION",
            "How long to wait before that; without it, longer each time",
        )
        .value_parser(parse_duration),
        toggle(
            "tls-verify",
            "Demand certificates; without it, what containers-registries.conf(5) says",
        ),
    ]
}

pub(super) fn cert_dir() -> Arg {
    text("cert-dir", "DIR", "Directory of certificates and keys")
}

pub(super) fn credentials() -> Arg {
    text(
        "creds",
        "USER:PASSWORD",
        "For the registry of the image, instead of a file's",
    )
}

pub(super) fn content_trust() -> Arg {
    toggle(
        "disable-content-trust",
        "Does nothing, as with Podman: for scripts made for Docker",
    )
}

fn policy() -> Arg {
    text(
        "policy",
        "POLICY",
        "When to fetch: always, missing, never or newer",
    )
    .default_value("always")
    .value_parser(|text: &str| text.parse::<PullPolicy>())
}

/// Reads how registries are reached.
pub(super) fn access_of(args: &ArgMatches) -> Result<Access, CliError> {
    Ok(Access {
        cert_dir: match args.get_one::<String>("cert-dir") {
            Some(path) => Some(pull::readable("--cert-dir", path)?),
            None => None,
        },
        credentials: args.get_one::<String>("creds").cloned(),
        ..pull::request(&options(args), false)?.access
    })
}

/// What stands on the command line, as for `run`.
fn options(args: &ArgMatches) -> PullOptions {
    let word = |name: &str| {
        let word = args.try_get_one::<String>(name).ok().flatten();
        word.cloned()
    };
    PullOptions {
        policy: None,
        quiet: is_on(args, "quiet"),
        os: word("os"),
        arch: word("arch"),
        variant: word("variant"),
        platform: word("platform"),
        authfile: word("authfile"),
        tls_verify: args.get_one("tls-verify").copied(),
        retries: args.get_one("retry").copied(),
        retry_delay: args.get_one("retry-delay").copied(),
    }
}

fn request(args: &ArgMatches) -> Result<Request, CliError> {
    Ok(Request {
        access: access_of(args)?,
        ..pull::request(&options(args), io::stderr().is_terminal())?
    })
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let request = request(args)?;
    let policy = *args.get_one("policy").expect("it has a default");
    let images = Images::open(&host.layout.state())?;
    let all = is_on(args, "all-tags");
    targets::each(targets::texts(args, "images"), |name| {
        let fetched = match all {
            true => images.obtain_all(name, &request, &mut tell)?,
            false => vec![images.obtain(name, policy, &request, &mut tell)?],
        };
        fetched.iter().try_for_each(|image| output::say(&image.id))
    })
}

/// Sees to it that the image of a container is here, and puts its full name into the wish.
pub(super) fn ensure(host: &Host, wish: &mut Wish) -> Result<(), CliError> {
    let terminal = io::stderr().is_terminal();
    Ok(pull::ensure(&host.layout, wish, terminal, &mut tell)?)
}

/// Passes on what happens.
pub(super) fn tell(note: Note) {
    match note {
        Note::Line(line) | Note::Warning(line) => {
            // A reader that is gone must not end what goes on.
            let _ = writeln!(io::stderr(), "{line}");
        }
        note => tracing::debug!(?note, "pulling"),
    }
}
