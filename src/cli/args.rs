//! The command line's grammar; the options of `create` and `run` are made from [`options()`].

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::error::CliError;
use super::{
    attach, containers, events, examples, exec, files, generate, healthcheck, image, images, info,
    init, inspect, install, kill, logs, objects, pause, ps, pull, push, restart, rm, start, stats,
    stop, streams, top, trace, verify, wait,
};
use crate::api::Layout;
use crate::container::create::Wish;
use crate::container::{ContainerError, conf, defaults, environment};
use crate::definition::{Arity, ConfFiles, OptionSpec, Options, options, refusal};

/// The whole grammar, for help, completion and man pages.
pub fn command() -> Command {
    examples::add(grammar(Build::All))
}

/// What these words say. Hardly any verb needs the options of the others, which are most of a short command's time.
pub(super) fn parse(words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    match grammar(Build::OfVerb).try_get_matches_from(words) {
        Ok(matches) => Ok(matches),
        // Help, and words about what is wrong, are the whole grammar's.
        Err(_) => command().try_get_matches_from(words),
    }
}

/// How much of the grammar is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Build {
    /// Everything.
    All,
    /// What a verb takes is made when that verb is found.
    OfVerb,
}

impl Build {
    fn verb(self, verb: Command, rest: fn(Command) -> Command) -> Command {
        match self {
            Self::All => rest(verb),
            Self::OfVerb => verb.defer(rest),
        }
    }
}

fn grammar(build: Build) -> Command {
    Command::new("unitbox")
        .about("Containers as real systemd units, with no daemon")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .arg(
            Arg::new("root")
                .long("root")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .hide(true)
                .help("Directory that all records lie below"),
        )
        .arg(
            Arg::new("log-level")
                .long("log-level")
                .value_name("LEVEL")
                .value_parser(trace::LEVELS.map(|(word, _)| word))
                .help("Log to standard error from this level on (UNITBOX_LOG, warn)"),
        )
        .arg(
            Arg::new("hooks-dir")
                .long("hooks-dir")
                .value_name("DIR")
                .action(ArgAction::Append)
                .global(true)
                .value_parser(value_parser!(PathBuf))
                .help("Directory of OCI hooks instead of the host's; may be given more than once"),
        )
        .subcommands(container_verbs(build))
        .subcommand(container(build))
        .subcommands(image_verbs())
        .subcommands(image::verbs())
        .subcommands(objects::verbs())
        .subcommand(healthcheck::command())
        .subcommands(other_verbs())
}

/// `--output`, where an archive goes.
pub(super) fn output_file(help: &'static str) -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

pub(super) fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .short(short)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// A switch of Podman's that takes `=false` too.
pub(super) fn toggle(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("true|false")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(value_parser!(bool))
        .help(help)
}

/// Whether a [`toggle`] is on.
pub(super) fn is_on(args: &ArgMatches, name: &str) -> bool {
    args.get_one::<bool>(name).copied().unwrap_or(false)
}

pub(super) fn seconds() -> Arg {
    Arg::new("time")
        .long("time")
        .short('t')
        .value_name("SECONDS")
        .value_parser(value_parser!(i64))
        .allow_negative_numbers(true)
        .help("Seconds between the stop signal and SIGKILL; 0: at once, -1: never")
}

fn container_verbs(build: Build) -> Vec<Command> {
    let mut verbs = vec![
        build.verb(
            Command::new("create").about("Make a container and do not start it"),
            create,
        ),
        build.verb(
            Command::new("run").about("Make a container and start it"),
            run,
        ),
        attach::command(),
        super::commit::command(),
        exec::command(),
        init::command(),
        start::command(),
        stop::command(),
        restart::command(),
        kill::command(),
        wait::command(),
        ps::command("ps"),
        inspect::command(true),
        stats::command(),
        top::command(),
        logs::command(),
        rm::command(),
        super::update::command(option),
    ];
    verbs.extend(containers::verbs());
    verbs.extend(pause::commands());
    verbs.extend(files::commands());
    verbs
}

fn create(verb: Command) -> Command {
    with_options(verb).arg(streams::attach(
        "For run; here it changes nothing, as start says itself what it attaches",
    ))
}

fn run(verb: Command) -> Command {
    with_options(verb)
        .arg(toggle("detach", "Return once the payload runs").short('d'))
        .arg(
            toggle(
                "sig-proxy",
                "Send the signals that the client gets to the payload",
            )
            .default_value("true"),
        )
        .arg(attach::keys_arg())
        .arg(streams::attach(
            "Connect only these: stdin, stdout, stderr (stdin: only with --interactive)",
        ))
        .args(streams::preserve())
        .arg(toggle(
            "rmi",
            "Remove the image after the run, unless others use it; implies --rm",
        ))
}

/// `container VERB`: every verb on containers, and those that there are only here.
fn container(build: Build) -> Command {
    let group = Command::new("container").about("Verbs on containers");
    match build {
        Build::All => behind_container(group, build),
        Build::OfVerb => group.defer(|group| behind_container(group, Build::OfVerb)),
    }
}

fn behind_container(group: Command, build: Build) -> Command {
    let named_twice = |verb: &Command| matches!(verb.get_name(), "inspect");
    group
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(
            container_verbs(build)
                .into_iter()
                .filter(|verb| !named_twice(verb)),
        )
        .subcommand(inspect::command(false))
        .subcommands(containers::own_verbs())
}

fn image_verbs() -> Vec<Command> {
    vec![
        super::import::command(),
        images::load_command(),
        pull::command(),
        push::command(),
        image::list("images"),
        images::remove_command("rmi"),
        Command::new("image")
            .about("Verbs on images")
            .subcommand_required(true)
            .subcommand(
                Command::new("exists")
                    .about("End with 0 if the image is there, else with 1")
                    .arg(Arg::new("image").value_name("IMAGE").required(true)),
            )
            .subcommand(super::diff::of_image())
            .subcommand(super::import::command())
            .subcommand(pull::command())
            .subcommand(push::command())
            .subcommand(inspect::command(false))
            .subcommand(images::load_command())
            .subcommand(image::list("ls").visible_alias("list"))
            .subcommand(images::remove_command("rm"))
            .subcommands(image::own_verbs())
            .subcommands(image::verbs()),
    ]
}

fn other_verbs() -> Vec<Command> {
    vec![
        events::command(),
        generate::command(),
        info::command(),
        install::command(),
        verify::command(),
        Command::new("version")
            .about("Show the version")
            .arg(inspect::format()),
        Command::new("completion")
            .about("Print completions for a shell")
            .arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .value_parser(["bash", "zsh", "fish"])
                    .required(true),
            ),
        Command::new("system")
            .about("Verbs on all that there is")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand(super::check::command())
            .subcommand(super::prune::command())
            .subcommand(
                Command::new("restore")
                    .hide(true)
                    .about("Make what a boot has taken")
                    .arg(switch(
                        "early",
                        None,
                        "Make unit files only, and have systemd start what is to be started",
                    )),
            )
            .subcommand(super::system::settle_command())
            .subcommand(super::system::register_command())
            .subcommand(super::system::wait_command()),
    ]
}

/// `create` and `run`: every option of the table, then image and command. `-h` is the host name there, as in Podman.
fn with_options(command: Command) -> Command {
    command
        .disable_help_flag(true)
        .arg(
            Arg::new("help")
                .long("help")
                .action(ArgAction::Help)
                .help("Print help"),
        )
        .args(sorted().into_iter().map(option))
        .arg(toggle(
            "rootfs",
            "Take a directory of the host instead of an image",
        ))
        .arg(toggle("replace", "Remove a container of this name first"))
        .arg(
            Arg::new("cidfile")
                .long("cidfile")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the container's id to this new file"),
        )
        .arg(
            Arg::new("words")
                .value_name("IMAGE [COMMAND [ARG...]]")
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        )
}

/// What is wrong with the first word that is not UTF-8, by the name of its option: units, JSON and D-Bus hold text only.
pub(super) fn not_text(words: &[OsString]) -> Option<String> {
    let at = words.iter().position(|word| word.to_str().is_none())?;
    let flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    let before = at
        .checked_sub(1)
        .map(|at| &words[at])
        .filter(|word| flag(word));
    let option = match before {
        Some(option) if !flag(&words[at]) => format!(" for {}", option.display()),
        _ => String::new(),
    };
    Some(format!("invalid value {:?}{option}: not UTF-8", words[at]))
}

/// The table in the order of its flags, as help has it.
fn sorted() -> Vec<&'static OptionSpec> {
    let mut all: Vec<_> = options().collect();
    all.sort_unstable_by_key(|spec| spec.flag);
    all
}

pub(super) fn option(spec: &'static OptionSpec) -> Arg {
    let arg = Arg::new(spec.flag)
        .long(spec.flag)
        .short(spec.short)
        .help(spec.help);
    match spec.arity {
        Arity::Switch => arg
            .value_name("true|false")
            .hide_possible_values(true)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .action(ArgAction::Set),
        // A value may begin with a dash, as in `--stop-timeout -1`, and the table refuses it by name.
        Arity::One => arg
            .value_name(spec.value)
            .allow_hyphen_values(true)
            .action(ArgAction::Set),
        Arity::Many => arg
            .value_name(spec.value)
            .allow_hyphen_values(true)
            .action(ArgAction::Append),
    }
}

/// Puts the values that were given for some options into what holds without them.
pub(super) fn put<'a>(
    args: &ArgMatches,
    specs: impl Iterator<Item = &'a OptionSpec>,
    caller: &[(String, String)],
    wished: &mut Options,
) -> Result<(), CliError> {
    for spec in specs {
        for value in args.get_many::<String>(spec.flag).into_iter().flatten() {
            if spec.flag == "env" {
                for value in environment::expand(value, caller) {
                    spec.apply(wished, &value)?;
                }
            } else {
                spec.apply(wished, value)?;
            }
        }
    }
    Ok(())
}

/// Reads what a user wants from the arguments of `create` and `run`.
pub(super) fn wish(args: &ArgMatches, layout: &Layout) -> Result<Wish, CliError> {
    let files = ConfFiles {
        only: file_of("CONTAINERS_CONF")?,
        on_top: file_of("CONTAINERS_CONF_OVERRIDE")?,
    };
    let conf = conf::load(layout, &files).map_err(ContainerError::from)?;
    let given = |flag: &str| args.contains_id(flag);
    let mut wished = defaults::before(&conf, given).map_err(ContainerError::from)?;
    wished.conf = files;
    let caller = environment::of_caller();
    put(args, options(), &caller, &mut wished)?;
    for file in [&mut wished.pidfile, &mut wished.conmon_pidfile] {
        // The monitor has another working directory.
        *file = file.take().map(absolute).transpose()?;
    }
    remove_image(args, &mut wished)?;
    for dir in args.get_many::<PathBuf>("hooks-dir").into_iter().flatten() {
        let path =
            std::path::absolute(dir).map_err(CliError::io("find", dir.display().to_string()))?;
        wished.hooks_dirs.push(path.display().to_string());
    }
    let mut words = args
        .get_many::<String>("words")
        .into_iter()
        .flatten()
        .cloned();
    let from = words.next().expect("clap demands one word");
    // What is no option of ours lands here: the table has refused it.
    if from.starts_with('-') {
        return Err(CliError::Usage(match refusal(&from) {
            Some(reason) => format!("{from} is refused: {reason}"),
            None => format!("unknown flag: {from}"),
        }));
    }
    Ok(Wish {
        options: wished,
        conf,
        from,
        rootfs: is_on(args, "rootfs"),
        command: words.collect(),
        environment: caller,
    })
}

/// `--rmi`, which implies `--rm`.
fn remove_image(args: &ArgMatches, wished: &mut Options) -> Result<(), CliError> {
    let is_on = matches!(args.try_get_one::<bool>("rmi"), Ok(Some(true)));
    if !is_on {
        return Ok(());
    }
    let wrong = match () {
        () if args.contains_id("rm") && !wished.remove => {
            "the --rmi option does not work without --rm"
        }
        () if self::is_on(args, "rootfs") => {
            "autoremoving image is not possible when a rootfs is in use: invalid argument"
        }
        () => {
            (wished.remove, wished.remove_image) = (true, true);
            return Ok(());
        }
    };
    Err(CliError::Usage(wrong.to_owned()))
}

fn absolute(path: String) -> Result<String, CliError> {
    let full = std::path::absolute(&path).map_err(CliError::io("find", path))?;
    Ok(full.display().to_string())
}

/// A path that the environment names, absolute: the monitor has another working directory.
fn file_of(variable: &'static str) -> Result<Option<String>, CliError> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = std::path::absolute(path).map_err(CliError::io("find file of", variable))?;
    let path = path.into_os_string().into_string();
    let path = path.map_err(|_| CliError::Usage(format!("{variable} is not valid UTF-8")))?;
    Ok(Some(path))
}
