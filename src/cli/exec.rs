//! `exec`: another process in a container that runs.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::{Host, args, attach, foreground, output, ps, streams, targets};
use crate::api::ExitCode;
use crate::api::event::EventKind;
use crate::container::attach::{Client, Terminal, user_size};
use crate::container::exec::{ExecError, Wish, start, start_detached, start_kept};
use crate::container::observe::{State, observe, observe_files, payload_of};
use crate::container::{environment, events, kill};
use crate::definition::{Definition, OptionSpec, Options, options};
use crate::plan::conf::Conf;

/// The options of `run` that are said of a process.
const OWN: [&str; 6] = ["env", "env-file", "interactive", "tty", "user", "workdir"];

fn specs() -> impl Iterator<Item = &'static OptionSpec> {
    options().filter(|spec| OWN.contains(&spec.flag))
}

/// The grammar.
pub(super) fn command() -> Command {
    Command::new("exec")
        .about("Run a command in a container that runs")
        .args(specs().map(args::option))
        .arg(args::toggle("detach", "Do not wait for it").short('d'))
        .arg(attach::keys_arg())
        .arg(ps::latest())
        .args(streams::preserve())
        .arg(args::toggle(
            "privileged",
            "Give it all capabilities of the host",
        ))
        .arg(
            Arg::new("words")
                .value_name("CONTAINER COMMAND [ARG...]")
                .num_args(1..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    // Before anything of ours has their numbers.
    let kept = streams::inherited_ones(args)?.into_iter();
    let preserve = kept.map(|(number, _)| number).collect();
    let mut words = targets::texts(args, "words").map(str::to_owned);
    let definition = match args.get_flag("latest") {
        true => targets::latest(&host.layout)?,
        false => {
            let text = words
                .next()
                .ok_or_else(|| usage("name a container, or use --latest"))?;
            if text.starts_with('-') {
                return Err(CliError::Usage(format!("unknown flag: {text}")));
            }
            targets::find(&host.layout, &text)?
        }
    };
    let command: Vec<String> = words.collect();
    if command.is_empty() {
        return Err(usage("no command given"));
    }
    let caller = environment::of_caller();
    let mut options = Options::default();
    args::put(args, specs(), &caller, &mut options)?;
    environment::resolve(&mut options, &Conf::default(), &caller)?;
    let detached = args::is_on(args, "detach");
    let code_of = |error: &ExecError| match detached {
        true => ExitCode::Error.number(),
        false => error.exit_code(),
    };
    let failed = |error: ExecError| CliError::Exec {
        name: definition.name.to_string(),
        code: code_of(&error),
        source: error,
    };
    let stdin = io::stdin();
    let terminal = match options.tty && !detached {
        true => Some(Terminal {
            keys: attach::keys_of(args, &host.layout, &definition)?,
        }),
        false => None,
    };
    if terminal.is_some() && options.interactive && !stdin.is_terminal() {
        tracing::warn!(
            "standard input is not a terminal: --tty and --interactive may not do what is expected"
        );
    }
    let interactive = options.interactive;
    let wish = Wish {
        command,
        privileged: args::is_on(args, "privileged"),
        detached,
        preserve,
        size: terminal.as_ref().and_then(|_| user_size(stdin.as_fd())),
        options,
    };
    let state = state_of(host, &definition)?;
    let payload = payload_of(&host.layout, &definition.id)
        .filter(|payload| state == State::Running && kill::open(payload).is_ok());
    let payload = payload.ok_or_else(|| CliError::NoExec(code_of(&ExecError::State(state))))?;
    if detached {
        let id = start_detached(&host.layout, &definition, &payload, &wish);
        output::say(&id.map_err(failed)?)?;
        return Ok(0);
    }
    // From here on a signal is the process's.
    let signals = foreground::signals()?;
    let layout = &host.layout;
    let client = Client {
        stdin: stdin.as_fd(),
        signals: Some(signals),
        interactive,
        terminal,
    };
    let served = if client.terminal.is_some() {
        let kept = start_kept(layout, &definition, &payload, &wish).map_err(failed)?;
        kept.serve(&client)
    } else {
        let session = start(layout, &definition, &payload, &wish).map_err(failed)?;
        events::tell(&definition, EventKind::Exec, None);
        session.serve(&client).map(|code| {
            events::tell(&definition, EventKind::ExecDied, Some(code.into()));
            Some(code)
        })
    };
    if matches!(&served, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        crate::sys::process::die_like(nix::libc::SIGPIPE);
    }
    Ok(served.map_err(CliError::io("move", "output"))?.unwrap_or(0))
}

/// Its files tell, mostly; else systemd is asked.
fn state_of(host: &Host, definition: &Definition) -> Result<State, CliError> {
    if let Some(seen) = observe_files(&host.layout, definition) {
        return Ok(seen.state);
    }
    let systemd = host.systemd()?;
    Ok(observe(&host.layout, &systemd, definition)?.state)
}

fn usage(text: &str) -> CliError {
    CliError::Usage(text.to_owned())
}
