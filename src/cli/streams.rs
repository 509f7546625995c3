//! What a client and a payload share: `--attach`, `--preserve-fd` and `--preserve-fds`.

use std::os::fd::OwnedFd;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::error::CliError;
use crate::api::ExitCode;
use crate::api::client::MAX_KEPT;
use crate::sys::exec::inherited;

/// `--attach`, which Podman's `create` has too.
pub(super) fn attach(help: &'static str) -> Arg {
    Arg::new("attach")
        .long("attach")
        .short('a')
        .value_name("STREAM")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .help(help)
}

/// `--preserve-fd` and `--preserve-fds`.
pub(super) fn preserve() -> [Arg; 2] {
    [
        Arg::new("preserve-fd")
            .long("preserve-fd")
            .value_name("NUMBER")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(value_parser!(i32).range(0..1024))
            .help("File descriptors that it gets too, by number"),
        Arg::new("preserve-fds")
            .long("preserve-fds")
            .value_name("COUNT")
            .value_parser(value_parser!(i32).range(0..1000))
            .help("So many file descriptors from 3 on that it gets too"),
    ]
}

/// The numbers of what is to be preserved, each once.
pub(super) fn preserved(args: &ArgMatches) -> Result<Vec<i32>, CliError> {
    let named = args.get_many::<i32>("preserve-fd").into_iter().flatten();
    let count = args.get_one::<i32>("preserve-fds").copied().unwrap_or(0);
    let mut all: Vec<i32> = named.copied().chain(3..3 + count).collect();
    all.sort_unstable();
    all.dedup();
    match all.first() {
        Some(number @ ..3) => Err(refused(format!(
            "cannot preserve FD {number}, consider using the passthrough log-driver to pass STDIO streams into the \
             container: invalid argument"
        ))),
        _ => Ok(all),
    }
}

/// The same with the descriptors, as long as nothing else has been opened.
pub(super) fn inherited_ones(args: &ArgMatches) -> Result<Vec<(i32, OwnedFd)>, CliError> {
    let all = preserved(args)?;
    let named: Vec<i32> = args
        .get_many("preserve-fd")
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let missing = |number: i32| {
        let flag = match named.contains(&number) {
            true => "preserve-fd",
            false => "preserve-fds",
        };
        CliError::Usage(format!(
            "file descriptor {number} is not available - the {flag} option requires that file descriptors must be passed"
        ))
    };
    let found = all.into_iter().map(|number| {
        let fd = inherited(number).and_then(|fd| fd.try_clone_to_owned());
        Ok((number, fd.map_err(|_| missing(number))?))
    });
    let found: Vec<_> = found.collect::<Result<_, CliError>>()?;
    match found.len() {
        ..=MAX_KEPT => Ok(found),
        _ => Err(CliError::Usage(format!(
            "at most {MAX_KEPT} file descriptors can be preserved"
        ))),
    }
}

/// What a client is to see: standard output, standard error. The input is a matter of `--interactive`.
pub(super) fn attached(args: &ArgMatches) -> Result<[bool; 2], CliError> {
    let Some(words) = args.get_many::<String>("attach") else {
        return Ok([true; 2]);
    };
    let (mut outputs, mut input) = ([false; 2], false);
    for word in words.filter(|word| !word.is_empty()) {
        match word.to_lowercase().as_str() {
            "stdin" => input = true,
            "stdout" => outputs[0] = true,
            "stderr" => outputs[1] = true,
            _ => {
                let text = format!(
                    "invalid stream {word:?} for --attach - must be one of stdin, stdout, or stderr: invalid argument"
                );
                return Err(CliError::Usage(text));
            }
        }
    }
    let interactive = args.get_one::<String>("interactive");
    let interactive = interactive.is_some_and(|on| on == "true");
    match outputs == [false; 2] && !input && !interactive {
        true => Err(refused(
            "must provide at least one stream to attach to: invalid argument".to_owned(),
        )),
        false => Ok(outputs),
    }
}

/// What Podman finds only when it starts the container.
fn refused(text: String) -> CliError {
    CliError::Refused {
        text,
        code: ExitCode::NotExecutable.number(),
    }
}
