//! The workers: prepare (which becomes `runc run --detach`) and cleanup.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::launch::{self, Launch, Probes};
use super::mirror::{Mirror, Pids};
use super::pid_files;
use super::proxy::Proxy;
use super::setup::{Context, FileUnit};
use super::streams::{ContainerEnds, INFO, Streams};
use crate::api::event;
use crate::api::{Ended, ExitCode, ExitRecord, LastStart, Layout};
use crate::container::cleanup;
use crate::container::deploy;
use crate::container::prepare::{self, Prepared, RunFacts};
use crate::container::probe;
use crate::definition::{LogDriver, Source};
use crate::host::failpoint::{self, Who};
use crate::host::filter::Filter;
use crate::host::restarts::{has_drop_ins, restarts_of};
use crate::host::runtime::{Command, Own, Runtime};
use crate::host::world::{Host, World};
use crate::lifecycle::{Health, Policy, Probe, ProbeEnd, StopTimeout};
use crate::plan::unit;
use crate::sys::exec::Exec;
use crate::sys::move_data::write;
use crate::sys::process::{Child, Pidfd};
use crate::sys::socket::{self, Kind};
use crate::sys::time::realtime;
use crate::sys::worker::fork_worker;
use crate::types::{ContainerId, ContainerName, RESTART_VARIABLE, Restart, chain};

/// The client of the first instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachment<'a> {
    pub(super) is_there: bool,
    /// Rows and columns of its terminal.
    pub(super) size: Option<(u16, u16)>,
    /// What it has for the payload, with the numbers.
    pub(super) kept: &'a [(i32, OwnedFd)],
}

/// Forks the prepare worker; the descriptor gives its [`Launch`] record and ends when it has become the runtime.
pub(super) fn fork_prepare(
    context: &Context,
    ends: &ContainerEnds,
    client: Attachment<'_>,
    limits: &Mirror,
) -> io::Result<(Child, OwnedFd)> {
    let (report, to_report) = socket::socketpair(Kind::Stream)?;
    let child = fork_worker(|| {
        trace_to_journal();
        let (restarts, unit) = restarts(context);
        let text = launch::render_restarts(restarts, unit);
        let _ = write(&to_report, text.as_bytes());
        match prepare_and_become(context, ends, client, limits, &to_report) {
            Ok(never) => match never {},
            Err((code, error)) => {
                let text = launch::render_failure(code, &chain(&*error));
                let _ = write(&to_report, text.as_bytes());
                1
            }
        }
    })?;
    Ok((child, report))
}

pub(super) type Failure = (u8, Box<dyn Error>);

fn prepare_and_become(
    context: &Context,
    ends: &ContainerEnds,
    client: Attachment<'_>,
    limits: &Mirror,
    report: &OwnedFd,
) -> Result<std::convert::Infallible, Failure> {
    let ours = |error: Box<dyn Error>| (ExitCode::Error.number(), error);
    let files = limits.files().iter();
    let files = files.map(|file| (file.name.to_owned(), file.content.clone()));
    let run = RunFacts {
        limits: &files.collect::<Vec<_>>(),
        layout: &context.layout,
        cgroup: &context.cgroup,
        nonce: &context.nonce,
        boot_id: &context.boot_id,
        now: u64::try_from(realtime().as_micros()).unwrap_or(u64::MAX),
        console: client.size,
        watchdog: context.watchdog.map(|time| time.as_micros() as u64),
    };
    let mut world = failpoint::host(Who::Prepare);
    if let Some(own) = &context.deployed {
        let of = OfFile {
            layout: &context.layout,
            id: &context.id,
            name: &context.name,
            own,
        };
        settle(&of, false, &mut world)?;
    }
    let prepared = prepare::prepare(&context.id, &run, &mut world)
        .map_err(|error| (error.exit_code(), error.into()))?;
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let streams = Streams::of(
        &prepared.definition,
        context.cgroup.name(),
        ends,
        client.is_there,
    )
    .map_err(ours)?;
    let tty = prepared.definition.options.tty;
    let console = tty.then(|| context.layout.console_socket(&context.id));
    let listen = |path| socket::listen(path, Kind::Stream, 1);
    let listener = console.as_ref().map(listen).transpose();
    let listener = listener.map_err(|error| ours(Box::new(error)))?;
    let proxy = Proxy::make(&context.layout, &prepared.definition);
    let proxy = proxy.map_err(|error| ours(Box::new(error)))?;
    let fds: Vec<BorrowedFd> = listener.iter().chain(&proxy).map(AsFd::as_fd).collect();
    let mut launch = launch_of(context, &prepared, limits);
    launch.pid_file = pid_files::write(&prepared.definition.options, &mut world)?;
    let record = launch.render();
    socket::send_with_fds(report, record.as_bytes(), &fds)
        .map_err(|error| ours(Box::new(error)))?;
    failpoint::hit(Who::Prepare);
    let runtime = &prepared.runtime;
    let own = Own {
        console: console.as_deref(),
        preserve: client.kept.iter().map(|(number, _)| number - 2).max(),
    };
    let command = match launch.held {
        true => runtime.create(&context.layout, &context.id, own),
        false => runtime.run(&context.layout, &context.id, own),
    };
    let program = program(&command)
        .stdin(streams.stdin.as_fd())
        .stdout(streams.stdout.as_fd())
        .stderr(streams.stderr.as_fd());
    let kept = client.kept.iter();
    let program = kept.fold(program, |program, (number, fd)| {
        program.fd(*number, fd.as_fd())
    });
    // The runtime counts them, and must not find a file of its own between them.
    let null = fs::File::open("/dev/null").map_err(|error| ours(Box::new(error)))?;
    Err(ours(Box::new(program.fill(null.as_fd()).exec_now())))
}

/// The container of a unit file.
pub(super) struct OfFile<'a> {
    pub(super) layout: &'a Layout,
    pub(super) id: &'a ContainerId,
    pub(super) name: &'a ContainerName,
    pub(super) own: &'a FileUnit,
}

/// Longest time that it may take to read a unit file and to write its container down.
const SETTLE_TIME: Duration = Duration::from_secs(60);

/// The same if its image is fetched: the client gives up when nothing is received, and systemd when nothing goes on.
const PULL_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets the client write the container of a unit file down; of one that `runs`, what may change then. It has all that reads options, images and configuration;
/// with that, this program would be half as large again.
pub(super) fn settle(of: &OfFile, runs: bool, world: &mut dyn World) -> Result<(), Failure> {
    let ours = |error: io::Error| (ExitCode::Error.number(), Box::new(error).into());
    let mut args = client_args(of.layout, "settle", format!("--unit={}", of.own.unit));
    args.push(format!("--id={}", of.id));
    args.extend(runs.then(|| "--runs".to_owned()));
    let files = of.own.files.iter();
    args.extend(files.map(|file| format!("--file={}", file.display())));
    args.extend(["--".to_owned(), of.name.to_string()]);
    let client = Filter {
        program: client().map_err(ours)?,
        args,
        // A unit file may name variables of its unit.
        env: std::env::vars().collect(),
        time: if runs { SETTLE_TIME } else { PULL_TIME },
    };
    let said = world.run_filter(&client, "").map_err(|error| {
        let text = format!("{}: {error}", client.program.display());
        ours(io::Error::other(text))
    })?;
    for line in said.lines() {
        match line
            .strip_prefix(deploy::ERROR)
            .and_then(|rest| rest.split_once(' '))
        {
            Some((code, text)) => {
                let code = code.parse().unwrap_or(ExitCode::Error.number());
                return Err((code, text.into()));
            }
            None => tracing::warn!("{}", line.trim_start().trim_start_matches("WARN ")),
        }
    }
    Ok(())
}

/// The client of this installation: `PREFIX/bin/unitbox` for `PREFIX/libexec/unitbox/unitbox-monitor`.
fn client() -> io::Result<PathBuf> {
    let monitor = std::env::current_exe()?;
    let prefix = monitor.ancestors().nth(3).unwrap_or(Path::new("/usr"));
    Ok(prefix.join("bin/unitbox"))
}

/// A verb of the client's that is for us.
fn client_args(layout: &Layout, verb: &str, unit: String) -> Vec<String> {
    let root = format!("--root={}", layout.root().display());
    vec![
        "unitbox".to_owned(),
        root,
        "system".to_owned(),
        verb.to_owned(),
        unit,
    ]
}

/// How often the container was restarted, and what its unit says when it is, if somebody may have changed that. systemd
/// counts, and need not be asked for the number before the first start of a boot.
fn restarts(context: &Context) -> (u32, Option<Restart>) {
    let text = || fs::read_to_string(context.layout.last_start(&context.id)).ok();
    let last = || LastStart::parse(&text()?).ok();
    let unit = context.cgroup.name();
    let again = last().is_some_and(|start| start.boot_id == context.boot_id);
    // Health checks may restart it whatever its policy is.
    let told = context.restart.are_possible() || std::env::var_os(RESTART_VARIABLE).is_some();
    let asks = (again && told) || has_drop_ins(Path::new("/"), unit);
    if !asks {
        return (0, None);
    }
    restarts_of(unit).unwrap_or_else(|error| {
        tracing::warn!("ask systemd for the number of restarts: {error}; counting from 0");
        (0, None)
    })
}

fn launch_of(context: &Context, prepared: &Prepared, limits: &Mirror) -> Launch {
    let options = &prepared.definition.options;
    let files = limits.files().iter();
    let overridden =
        files.filter(|file| unit::is_overridden(&prepared.definition, file.name, &file.content));
    let own_file = || context.layout.container(&context.id).join("ctr.log");
    let timeout = u64::from(options.stop_timeout_or_default());
    Launch {
        policy: Policy {
            stop_signal: prepared.stop_signal,
            stop_timeout: StopTimeout::After(Duration::from_secs(timeout)),
            health: prepared.health,
            notify: options.notify.unwrap_or_default(),
        },
        held: context.held,
        interactive: options.interactive,
        tty: options.tty,
        driver: options.log_driver,
        stderr_priority: options.log.stderr_priority.unwrap_or(INFO),
        log_file: (options.log_driver == LogDriver::K8sFile).then(|| {
            options
                .log
                .path
                .as_ref()
                .map_or_else(own_file, PathBuf::from)
        }),
        log_max: options.log.max_size,
        pid_file: None,
        overridden: overridden.map(|file| file.name.to_owned()).collect(),
        pids: options.limits.pids().map(|payload| Pids {
            unit: payload.saturating_add(unit::OWN_PIDS),
            payload,
        }),
        labels: event::labels(&options.labels),
        probes: prepared
            .health
            .map(|_| Probes::of(options, prepared.runtime.program.clone())),
        restart: None,
    }
}

/// Forks what looks at the health: it ends with 0 for good health and 1 for bad.
pub(super) fn fork_probe(
    context: &Context,
    (probes, payload): (&Probes, &Pidfd),
    health: &Health,
    probe: Probe,
) -> io::Result<Child> {
    fork_worker(|| {
        trace_to_journal();
        let end = probe::run(&probe::Wish {
            layout: &context.layout,
            id: &context.id,
            cgroup: &context.cgroup,
            payload,
            runtime: &probes.runtime,
            probe,
            health,
            count: probes.count,
            size: probes.size,
            journal: probes.journal,
            directory: probes.directory.as_deref(),
        });
        match end {
            ProbeEnd::Passed => 0,
            ProbeEnd::Failed => 1,
            ProbeEnd::Unknown => 2,
        }
    })
}

/// Forks the cleanup worker.
pub(super) fn fork_cleanup(context: &Context) -> io::Result<Child> {
    fork_worker(|| {
        trace_to_journal();
        let image = image_to_remove(context);
        let mut world = failpoint::host(Who::Cleanup);
        for error in cleanup::run(&context.layout, &context.id, &context.cgroup, &mut world) {
            tracing::warn!("{error}; the next start tries again");
        }
        if let Some(image) = image
            && !context.layout.container(&context.id).exists()
            && let Err(error) = remove_image(context, image)
        {
            tracing::warn!("remove the image: {error}; it stays");
        }
        0
    })
}

/// The image that goes with the run (`--rmi`): one that was not started leaves it.
fn image_to_remove(context: &Context) -> Option<String> {
    let definition = prepare::load(&context.layout, &context.id).ok()?;
    let Source::Image { name, .. } = definition.source else {
        return None;
    };
    let text = fs::read_to_string(context.layout.exit_file(&context.id)).ok()?;
    let record = ExitRecord::parse(&text).ok()?;
    let ran = matches!(record.ended, Ended::Payload(_));
    (definition.options.remove_image && ran).then_some(name)
}

/// Longest time for the removal of an image.
const REMOVE_TIME: Duration = Duration::from_secs(30);

/// Lets the client do it, which says what it is that others use.
fn remove_image(context: &Context, name: String) -> io::Result<()> {
    let root = format!("--root={}", context.layout.root().display());
    let rmi = Command {
        program: client()?,
        args: [root, "rmi".to_owned(), "--".to_owned(), name]
            .map(Into::into)
            .into(),
    };
    Host.run_runtime(&rmi, REMOVE_TIME)
}

/// Forks what starts a container that waits: the runtime.
pub(super) fn fork_start(context: &Context) -> io::Result<Child> {
    fork_worker(|| {
        trace_to_journal();
        let definition = match prepare::load(&context.layout, &context.id) {
            Ok(definition) => definition,
            Err(error) => return complain(&error),
        };
        let runtime = match Runtime::find(definition.options.runtime.as_deref()) {
            Ok(runtime) => runtime,
            Err(error) => return complain(&error),
        };
        let command = runtime.start(&context.layout, &context.id);
        complain(&program(&command).exec_now())
    })
}

/// Forks what waits for somebody who wants to have the container started; it ends with 0 then. That is the client, as
/// there is no D-Bus in this program.
pub(super) fn fork_wait(context: &Context, is_first: bool) -> io::Result<Child> {
    fork_worker(|| {
        trace_to_journal();
        let unit = format!("--unit={}", context.cgroup.name());
        let mut args = client_args(&context.layout, "wait-for-start", unit);
        if is_first {
            args.push("--first".to_owned());
        }
        match client() {
            Ok(client) => complain(&Exec::new(client).args(args.drain(1..)).exec_now()),
            Err(error) => complain(&error),
        }
    })
}

fn complain(error: &dyn Error) -> i32 {
    tracing::error!("{}", chain(error));
    1
}

fn program(command: &Command) -> Exec<'static> {
    Exec::new(&command.program)
        .args(command.args.iter().cloned())
        .envs(Command::ENV)
}

/// Standard error with the priority of each message before it (sd-daemon(3)).
struct Prioritised;

impl<'a> MakeWriter<'a> for Prioritised {
    type Writer = io::Stderr;

    fn make_writer(&'a self) -> Self::Writer {
        io::stderr()
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Self::Writer {
        let priority = match *about.level() {
            Level::ERROR => "<3>",
            _ => "<4>",
        };
        let mut stderr = io::stderr();
        // Without it the message has the stream's own priority.
        let _ = stderr.write_all(priority.as_bytes());
        stderr
    }
}

/// The unit's standard error is the journal: no time, no colours.
fn trace_to_journal() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Prioritised)
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_level(false)
        .without_time()
        .with_target(false)
        .finish();
    // A worker is forked before anything sets one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
