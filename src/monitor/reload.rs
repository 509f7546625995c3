//! `unitbox-monitor --reload`: ExecReload= of a container's unit. This program is the one that is installed now; the monitor
//! of the unit may be an older one, which becomes it, once it is known that it can.

use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kept::{self, Kept};
use super::launch::{Launch, Probes};
use super::setup::{self, RunRequest, SetupError};
use super::worker::{self, OfFile};
use crate::api::client::{GO, MAX_MESSAGE, REFUSED, RELOAD, RELOADED, STATE};
use crate::api::{Layout, Payload};
use crate::container::prepare;
use crate::host::cgroup::UnitCgroup;
use crate::host::restarts::{has_drop_ins, restarts_of};
use crate::host::runtime::Runtime;
use crate::host::world::Host;
use crate::sys::id::random_bytes;
use crate::sys::poll::{Interest, Poller};
use crate::sys::socket::{self, Kind, Received};
use crate::types::{ContainerId, RestartPolicy, Restarts, chain};

/// Longest time for an answer of a monitor that does nothing but wait.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Lets the monitor of this unit go on as this program, with what has changed in the definition.
pub(super) fn reload(request: &RunRequest) -> Result<(), SetupError> {
    try_reload(request).map_err(|error| SetupError::Reload(chain(&*error)))
}

fn try_reload(request: &RunRequest) -> Result<(), Box<dyn Error>> {
    let layout = &request.layout;
    let cgroup = UnitCgroup::of_control()?;
    let id = setup::id_of_file(request).map_or_else(|| running_in(layout, &cgroup), Ok)?;
    let monitor = call(layout, &id)?;
    say(&monitor, RELOAD, &[])?;
    let answer = hear(&monitor)?;
    if answer.text == RELOADED {
        // It is ending: nobody is left who would not know.
        return Ok(());
    }
    let state = answer.expect(STATE)?;
    let state = state.ok_or("the monitor has shown nothing")?;
    let kept = Kept::parse(&kept::from_file(state)?)?;
    let change = kept::to_file(&changed(request, cgroup.name(), &id, kept.launch)?.render())?;
    say(&monitor, GO, &[change.as_fd()])?;
    hear(&monitor)?.expect(RELOADED)?;
    Ok(())
}

/// The container whose payload runs in this unit: its name may have changed since its start.
fn running_in(layout: &Layout, cgroup: &UnitCgroup) -> Result<ContainerId, Box<dyn Error>> {
    let payload = cgroup.payload_path();
    let mut runs = fs::read_dir(layout.run())?.flatten();
    let found = runs.find_map(|run| {
        let id: ContainerId = run.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(layout.payload_file(&id)).ok()?;
        (Payload::parse(&text).ok()?.cgroup == payload).then_some(id)
    });
    found.ok_or_else(|| format!("no container runs in {}", cgroup.name()).into())
}

/// What the monitor kept of the definition, as that is now.
fn changed(
    request: &RunRequest,
    unit: &str,
    id: &ContainerId,
    kept: Launch,
) -> Result<Launch, Box<dyn Error>> {
    let layout = &request.layout;
    if let Some(own) = &request.deployed {
        let of = OfFile {
            layout,
            id,
            name: &request.name,
            own,
        };
        worker::settle(&of, true, &mut Host).map_err(|(_, error)| error)?;
    }
    let definition = prepare::load(layout, id)?;
    let health = prepare::change_health(layout, &definition, &mut Host)?;
    let options = &definition.options;
    let runtime = Runtime::find(options.runtime.as_deref())?.program;
    let mut launch = kept;
    launch.policy.health = health;
    launch.probes = health.map(|_| Probes::of(options, runtime));
    launch.restart = Some(restarts(request, unit, options.restart())?);
    Ok(launch)
}

/// By what the container is started again now: its policy, but where somebody has written something else into its unit.
fn restarts(request: &RunRequest, unit: &str, policy: RestartPolicy) -> io::Result<Restarts> {
    let policy = Restarts::Policy(policy);
    let is_own = request.deployed.is_none();
    if is_own && !has_drop_ins(Path::new("/"), unit) {
        return Ok(policy);
    }
    let (_, restart) = restarts_of(unit)?;
    Ok(match restart {
        None => policy,
        Some(restart) if is_own => policy.with(restart),
        Some(restart) => Restarts::Unit(restart),
    })
}

/// Calls the monitor as any client does ([`crate::api::client`]).
fn call(layout: &Layout, id: &ContainerId) -> io::Result<OwnedFd> {
    let bytes: [u8; 4] = random_bytes()?;
    let tag: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let first = Removed(layout.run_container(id).join(format!("call-{tag}")));
    let listener = socket::listen(&first.0, Kind::SeqPacket, 1)?;
    let path = Removed(layout.attach_socket(id, &tag));
    fs::rename(&first.0, &path.0)?;
    wait(&listener)?;
    socket::accept(&listener)?.ok_or_else(|| io::Error::other("the monitor does not answer"))
}

/// A socket that is removed, if the monitor has not done that.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn wait(fd: &OwnedFd) -> io::Result<()> {
    let mut poller = Poller::new();
    poller.add(0, fd, Interest::Read)?;
    poller.wait(Some(ANSWER_TIME))?;
    match poller.ready().next() {
        Some(_) => Ok(()),
        None => {
            let text = format!(
                "the monitor has not answered for {} s",
                ANSWER_TIME.as_secs()
            );
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

fn say(monitor: &OwnedFd, text: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket::send_with_fds(monitor, text, fds).map(drop)
}

/// A message of the monitor's.
struct Answer {
    text: Vec<u8>,
    file: Option<OwnedFd>,
}

fn hear(monitor: &OwnedFd) -> io::Result<Answer> {
    wait(monitor)?;
    let mut text = vec![0; MAX_MESSAGE];
    let Received { bytes, fds, .. } = socket::recv_with_fds(monitor, &mut text, 1)?;
    text.truncate(bytes);
    Ok(Answer {
        text,
        file: fds.into_iter().next(),
    })
}

impl Answer {
    /// What comes with the message that is due.
    fn expect(self, due: &[u8]) -> Result<Option<OwnedFd>, Box<dyn Error>> {
        if self.text == due {
            return Ok(self.file);
        }
        let refused = self.text.strip_prefix(REFUSED);
        Err(match (refused, self.text.is_empty()) {
            (Some(reason), _) => String::from_utf8_lossy(reason).trim().to_owned().into(),
            (None, true) => "the monitor has hung up".into(),
            (None, false) => "the monitor does not know what a reload is".into(),
        })
    }
}
