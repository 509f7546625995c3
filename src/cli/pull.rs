//! `pull`, and the images that `create` and `run` need.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::{is_on, toggle};
use super::error::CliError;
use super::{Host, output, targets};
use crate::container::create::Wish;
use crate::image::Images;
use crate::image::pull::{Access, Fetched, Note, Platform, RETRIES, Request};
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
        .arg(policy("policy", "always"))
        .arg(toggle("quiet", "Print nothing but ids").short('q'))
        .arg(
            Arg::new("images")
                .value_name("IMAGE")
                .num_args(1..)
                .required(true),
        )
}

/// The options of `create` and `run`.
pub(super) fn of_create() -> Vec<Arg> {
    let mut args = platform();
    args.extend(access());
    args.extend([
        content_trust(),
        policy("pull", "missing"),
        toggle("quiet", "Say nothing about an image that is fetched").short('q'),
    ]);
    args
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
        )
        .value_parser(value_parser!(PathBuf)),
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
        .value_parser(value_parser!(PathBuf))
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

fn policy(name: &'static str, default: &'static str) -> Arg {
    text(
        name,
        "POLICY",
        "When to fetch: always, missing, never or newer",
    )
    .default_value(default)
    .value_parser(|text: &str| text.parse::<PullPolicy>())
    .action(ArgAction::Set)
}

/// Reads how registries are reached.
pub(super) fn access_of(args: &ArgMatches) -> Result<Access, CliError> {
    let path = |name: &str| -> Result<Option<PathBuf>, CliError> {
        let Ok(Some(path)) = args.try_get_one::<PathBuf>(name) else {
            return Ok(None);
        };
        let shown = format!("--{name} {}", path.display());
        // skopeo has another working directory.
        let full = std::path::absolute(path).map_err(CliError::io("find", &shown))?;
        full.metadata().map_err(CliError::io("read", &shown))?;
        Ok(Some(full))
    };
    let environment = || {
        let path = std::env::var_os("REGISTRY_AUTH_FILE").filter(|path| !path.is_empty())?;
        std::path::absolute(path).ok()
    };
    let credentials = args.try_get_one::<String>("creds").ok().flatten();
    Ok(Access {
        authfile: path("authfile")?.or_else(environment),
        credentials: credentials.cloned(),
        cert_dir: path("cert-dir")?,
        tls_verify: args.get_one("tls-verify").copied(),
        retries: args.get_one("retry").copied().unwrap_or(RETRIES),
        retry_delay: args.get_one("retry-delay").copied(),
    })
}

fn request(args: &ArgMatches) -> Result<Request, CliError> {
    let get = |name: &str| args.get_one::<String>(name).cloned();
    let (os, arch, variant) = (get("os"), get("arch"), get("variant"));
    let platform = match get("platform") {
        None => Platform { os, arch, variant },
        Some(_) if os.is_some() || arch.is_some() => {
            let text = "--platform option can not be specified with --arch or --os";
            return Err(CliError::Usage(text.to_owned()));
        }
        Some(text) => {
            let mut words = text.splitn(3, '/').map(str::to_owned);
            let (os, arch) = (words.next(), words.next());
            let given = Platform {
                os,
                arch,
                variant: words.next().or(variant),
            };
            let wrong = [&given.os, &given.arch, &given.variant]
                .into_iter()
                .flatten()
                .any(|word| word.is_empty());
            if wrong {
                let text =
                    format!("invalid platform {text:?} for --platform: it is OS/ARCH/VARIANT");
                return Err(CliError::Usage(text));
            }
            given
        }
    };
    let quiet = is_on(args, "quiet");
    Ok(Request {
        access: access_of(args)?,
        platform,
        quiet,
        terminal: !quiet && io::stderr().is_terminal(),
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
pub(super) fn ensure(args: &ArgMatches, host: &Host, wish: &mut Wish) -> Result<(), CliError> {
    let request = request(args)?;
    if wish.rootfs {
        return Ok(());
    }
    let policy: PullPolicy = *args.get_one("pull").expect("it has a default");
    let images = Images::open(&host.layout.state())?;
    let found = images.obtain(&wish.from, policy, &request, &mut tell)?;
    wish.from = match found {
        Fetched {
            name: Some(name), ..
        } => name,
        // What is here is called what the user calls it.
        Fetched { id, .. } => match images.exists(&wish.from)? {
            true => return Ok(()),
            false => id,
        },
    };
    Ok(())
}

/// Passes on what happens.
fn tell(note: Note) {
    match note {
        Note::Line(line) => eprintln!("{line}"),
        note => tracing::debug!(?note, "pulling"),
    }
}
