//! The loop of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use zbus::fdo::{ObjectManager, RequestNameFlags, RequestNameReply};
use zbus::object_server::SignalEmitter;

use super::BusError;
use super::objects::{ContainerObject, ManagerObject, Shown, path_of};
use super::snapshot::Snapshot;
use super::watch::{News, Watch};
use crate::api::{ExitRecord, Layout, dbus};
use crate::container::observe::{Exit, Observation, observe, observe_files};
use crate::host::dbus::{Kind, Link, Step, system_bus};
use crate::host::systemd::{Manager, Systemd};
use crate::store::{self, Listed};
use crate::types::ContainerId;

/// After so long without a running container, news or a call the service ends; the bus starts it again.
const IDLE: Duration = Duration::from_secs(30);
/// Where the files do not suffice (a payload has ended and its exit is about to be written, a start is being prepared),
/// the next file mostly comes within this time. After it systemd is asked, and then after twice as long ...
const RECHECK_FIRST: Duration = Duration::from_millis(100);
const RECHECK_LAST: Duration = Duration::from_secs(2);

struct Service {
    layout: Layout,
    link: Link,
    watch: Watch,
    shown: Shown,
    /// When to look again, and after which pause.
    rechecks: BTreeMap<ContainerId, (Instant, Duration)>,
}

/// Serves until told to end, or until nobody needs it.
pub(super) fn run(layout: Layout) -> Result<(), BusError> {
    for directory in [layout.state(), layout.containers(), layout.run()] {
        store::ensure_private(&directory)?;
    }
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().map_err(std::io::Error::from)?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&signals, flags).map_err(std::io::Error::from)?;
    let link = Link::connect(&system_bus(layout.root()), Kind::Bus)?;
    let watch = Watch::new(&layout)?;
    let mut service = Service {
        layout,
        link,
        watch,
        shown: Shown::default(),
        rechecks: BTreeMap::new(),
    };
    service.publish()?;
    service.serve(signals.as_fd())
}

impl Service {
    /// Makes all objects, then takes the name: who sees the name sees them.
    fn publish(&mut self) -> Result<(), BusError> {
        let manager = ManagerObject {
            layout: self.layout.clone(),
            shown: self.shown.clone(),
        };
        let connection = self.link.connection().clone();
        self.link.run(async {
            let server = connection.object_server();
            server.at(dbus::MANAGER_PATH, ObjectManager).await?;
            server.at(dbus::MANAGER_PATH, manager).await
        })?;
        self.relist()?;
        let flags = RequestNameFlags::DoNotQueue.into();
        let asked = connection.request_name_with_flags(dbus::NAME, flags);
        match self.link.run(asked) {
            Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner) => Ok(()),
            Ok(RequestNameReply::Exists | RequestNameReply::InQueue)
            | Err(zbus::Error::NameTaken) => Err(BusError::Taken),
            Err(error) => Err(error.into()),
        }
    }

    fn serve(&mut self, signals: BorrowedFd<'_>) -> Result<(), BusError> {
        let mut active = Instant::now();
        loop {
            let woken = self.sleep(signals, active);
            if woken.signal {
                return Ok(());
            }
            if self.link.connection().is_closed() {
                return Err(BusError::Closed);
            }
            if woken.called || woken.news {
                active = Instant::now();
            }
            let mut news = if woken.news {
                self.watch.news()?
            } else {
                News::default()
            };
            let now = Instant::now();
            let due = self.rechecks.iter().filter(|(_, (at, _))| *at <= now);
            news.containers.extend(due.map(|(id, _)| id.clone()));
            self.look(&news.containers)?;
            if news.list {
                self.relist()?;
            }
            if !self.is_needed() && active.elapsed() >= IDLE {
                return Ok(());
            }
        }
    }

    /// Whether a payload lives, or may.
    fn is_needed(&self) -> bool {
        !self.rechecks.is_empty() || self.shown.lock().values().any(Snapshot::is_alive)
    }

    /// Lets the bus be served until something else happens.
    fn sleep(&self, signals: BorrowedFd<'_>, active: Instant) -> Woken {
        let mut woken = Woken::default();
        let idle = (!self.is_needed()).then(|| active + IDLE);
        let next = self.rechecks.values().map(|(at, _)| *at).chain(idle).min();
        let news = self.watch.fd();
        self.link
            .run_with(self.link.connection().closed(), &mut |bus, events| {
                let left = next.map(|at| at.saturating_duration_since(Instant::now()));
                let timeout = left.map_or(PollTimeout::NONE, |left| {
                    // Rounded up: poll(2) must not spin through the last millisecond.
                    PollTimeout::try_from(left + Duration::from_millis(1))
                        .unwrap_or(PollTimeout::MAX)
                });
                let mut fds = [
                    PollFd::new(bus, events),
                    PollFd::new(news, PollFlags::POLLIN),
                    PollFd::new(signals, PollFlags::POLLIN),
                ];
                // Without memory or interrupted: all is asked again in the next turn.
                let count = poll(&mut fds, timeout).unwrap_or(0);
                let [bus, news, signal] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
                if count == 0 {
                    let due = next.is_some_and(|at| at <= Instant::now());
                    return (
                        PollFlags::empty(),
                        if due { Step::Stop } else { Step::Continue },
                    );
                }
                woken.called |= !bus.is_empty();
                woken.news |= !news.is_empty();
                woken.signal |= !signal.is_empty();
                let broken = bus.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
                let step = if woken.news || woken.signal || broken {
                    Step::Stop
                } else {
                    Step::Continue
                };
                (bus, step)
            });
        woken
    }

    /// Looks at containers again and tells what changed.
    fn look(&mut self, ids: &BTreeSet<ContainerId>) -> Result<(), BusError> {
        let now = Instant::now();
        let mut systemd = None;
        for id in ids {
            let waiting = self.rechecks.remove(id);
            let Ok(definition) = store::load(&self.layout, id) else {
                continue;
            };
            self.watch.follow(&self.layout, id);
            if let Some(seen) = observe_files(&self.layout, &definition) {
                self.show(id, Snapshot::of(&definition, &seen))?;
                continue;
            }
            let (at, pause) = waiting.unwrap_or((now + RECHECK_FIRST, RECHECK_FIRST));
            if at > now && self.shown.lock().contains_key(id) {
                self.rechecks.insert(id.clone(), (at, pause));
                continue;
            }
            if systemd.is_none() {
                systemd = Systemd::connect(self.layout.root()).ok();
            }
            let asked = systemd.as_ref().map(|manager: &Systemd| {
                observe(&self.layout, manager as &dyn Manager, &definition)
            });
            let seen = asked.and_then(Result::ok);
            if !seen.as_ref().is_some_and(Observation::is_settled) {
                let next = (pause * 2).min(RECHECK_LAST);
                self.rechecks.insert(id.clone(), (now + pause, next));
            }
            if let Some(seen) = seen {
                self.show(id, Snapshot::of(&definition, &seen))?;
            }
        }
        Ok(())
    }

    fn show(&mut self, id: &ContainerId, snapshot: Snapshot) -> Result<(), BusError> {
        let before = self.shown.lock().insert(id.clone(), snapshot.clone());
        let path = path_of(id);
        let connection = self.link.connection();
        let Some(before) = before else {
            let object = ContainerObject {
                id: id.clone(),
                shown: self.shown.clone(),
            };
            self.link.run(connection.object_server().at(path, object))?;
            return Ok(());
        };
        let changes = snapshot.changes(&before);
        if changes.is_empty() {
            return Ok(());
        }
        let invalidated: [&str; 0] = [];
        let body = (dbus::CONTAINER_INTERFACE, changes, &invalidated[..]);
        let none: Option<&str> = None;
        self.link.run(async {
            const INTERFACE: &str = "org.freedesktop.DBus.Properties";
            connection
                .emit_signal(none, &path, INTERFACE, "PropertiesChanged", &body)
                .await?;
            if let Some((code, signal, oom)) = snapshot.end_since(&before) {
                let emitter = SignalEmitter::new(connection, &path)?;
                ContainerObject::exited(&emitter, code, signal, oom).await?;
            }
            Ok::<(), zbus::Error>(())
        })?;
        Ok(())
    }

    /// Compares with the records: shows what is new, hides what is gone.
    fn relist(&mut self) -> Result<(), BusError> {
        let listed = store::list(&self.layout)?;
        let there: BTreeSet<ContainerId> = listed
            .iter()
            .filter_map(|entry| match entry {
                Listed::Good(definition) => Some(definition.id.clone()),
                Listed::Broken { .. } => None,
            })
            .collect();
        let known: BTreeSet<ContainerId> = self.shown.lock().keys().cloned().collect();
        let new: BTreeSet<ContainerId> = there.difference(&known).cloned().collect();
        self.look(&new)?;
        for id in known.difference(&there) {
            self.hide(id)?;
        }
        Ok(())
    }

    /// Takes a removed container away; the end of its last run is told first, if nobody was.
    fn hide(&mut self, id: &ContainerId) -> Result<(), BusError> {
        let last = self.shown.lock().get(id).cloned();
        let kept = store::read_bounded(&self.layout.removed_exit(id), 64 << 10).ok();
        let record = kept.and_then(|text| ExitRecord::parse(&String::from_utf8_lossy(&text)).ok());
        if let (Some(mut snapshot), Some(record)) = (last, record)
            && snapshot.finished != record.finished
        {
            snapshot.state = "exited".to_owned();
            snapshot.pid = 0;
            snapshot.set_exit(Some(&Exit::Recorded(record)));
            self.show(id, snapshot)?;
        }
        self.rechecks.remove(id);
        self.watch.forget_run(id);
        let server = self.link.connection().object_server();
        let path = path_of(id);
        self.link.run(server.remove::<ContainerObject, _>(path))?;
        self.shown.lock().remove(id);
        Ok(())
    }
}

/// Why the loop woke up.
#[derive(Default)]
struct Woken {
    called: bool,
    news: bool,
    signal: bool,
}
