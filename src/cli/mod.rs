//! The command line: Podman's verbs, flags and exit codes.

mod args;
mod artifact;
mod attach;
mod check;
mod commit;
mod completion;
mod containers;
mod create;
mod diff;
mod error;
mod events;
mod examples;
mod exec;
mod files;
mod filter;
mod foreground;
mod generate;
mod healthcheck;
mod image;
mod images;
mod import;
mod info;
mod init;
mod inspect;
mod install;
mod kill;
mod listing;
mod logs;
mod moment;
mod objects;
mod output;
mod pause;
mod prune;
mod ps;
mod pull;
mod push;
mod refused;
mod restart;
mod rm;
mod run;
mod secret;
mod select;
mod size;
mod start;
mod stats;
mod stop;
mod streams;
mod system;
mod table;
mod targets;
mod template;
mod top;
mod trace;
mod update;
mod verify;
mod volume;
mod volume_files;
mod volume_filter;
mod wait;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::ArgMatches;

use crate::api::Layout;
use crate::container::Site;
use crate::host::systemd::Systemd;

pub use args::command;
use error::CliError;

/// Set when the user wants out while a job is waited for.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Runs `unitbox`: one call, one exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(text) = args::not_text(&words) {
        eprintln!("Error: {text}");
        return ExitCode::from(crate::api::ExitCode::Error.number());
    }
    let matches = match args::parse(&words) {
        Ok(matches) => matches,
        Err(error) => return error::usage(&error, &words),
    };
    trace::start(&matches);
    match dispatch(&matches) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Result<u8, CliError> {
    let (verb, args) = matches.subcommand().expect("clap demands a verb");
    let span = tracing::info_span!("verb", name = verb);
    let _entered = span.enter();
    let root = matches.get_one::<PathBuf>("root");
    let host = Host::new(root.cloned().unwrap_or_else(|| "/".into()));
    match verb {
        "completion" => completion::run(args),
        "version" => output::version(args),
        "verify" => verify::run(args),
        _ => {
            need_root(verb)?;
            privileged(verb, args, &host)
        }
    }
}

fn privileged(verb: &str, args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    match verb {
        "events" => events::run(args, host),
        "generate" => generate::run(args, host),
        "healthcheck" => healthcheck::run(args, host),
        "info" => info::run(args, host),
        "import" => import::run(args, host),
        "install" => install::run(args, host),
        "load" => images::load(args, host),
        "pull" => pull::run(args, host),
        "push" => push::run(args, host),
        "rmi" => images::remove(args, host),
        "image" => images::image(args, host),
        "history" | "images" | "save" | "tag" | "untag" => {
            image::run(verb, args, host).expect("it is one of them")
        }
        "secret" => secret::run(args, host),
        "volume" => volume::run(args, host),
        "system" => system::run(args, host),
        "container" => {
            let (verb, args) = args.subcommand().expect("clap demands a verb");
            containers::own(verb, args, host).unwrap_or_else(|| on_containers(verb, args, host))
        }
        verb => on_containers(verb, args, host),
    }
}

/// The verbs that may stand behind `container`, or alone.
fn on_containers(verb: &str, args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    match verb {
        "create" => create::run(args, host),
        "run" => run::run(args, host),
        "start" => start::run(args, host),
        "attach" => attach::run(args, host),
        "exec" => exec::run(args, host),
        "stop" => stop::run(args, host),
        "restart" => restart::run(args, host),
        "kill" => kill::run(args, host),
        "pause" => pause::pause(args, host),
        "unpause" => pause::unpause(args, host),
        "wait" => wait::run(args, host),
        "ps" => ps::run(args, host),
        "init" => init::run(args, host),
        "inspect" => inspect::run(args, host),
        "logs" => logs::run(args, host),
        "rm" => rm::run(args, host),
        "update" => update::run(args, host),
        other => containers::run(other, args, host)
            .unwrap_or_else(|| unreachable!("clap knows no verb {other}")),
    }
}

fn need_root(verb: &str) -> Result<(), CliError> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(CliError::NotRoot(verb.to_owned()))
    }
}

/// What every verb works with. systemd is connected to by those that need it.
struct Host {
    layout: Layout,
}

impl Host {
    fn new(root: PathBuf) -> Self {
        Self {
            layout: Layout::new(root),
        }
    }

    /// Connects to systemd. The root of the records is not systemd's: there is one systemd.
    fn systemd(&self) -> Result<Systemd, CliError> {
        Ok(Systemd::connect("/".as_ref())?.with_interrupt(&INTERRUPT))
    }

    fn site<'a>(&'a self, systemd: &'a Systemd) -> Site<'a> {
        Site {
            layout: &self.layout,
            manager: systemd,
        }
    }
}

#[cfg(test)]
mod tests;
