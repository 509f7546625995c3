//! The client of the running systemd.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::Serialize;
use zbus::Message;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue};

use super::names::{MANAGER, PATH, PROPERTIES, SERVICE, SERVICE_UNIT, UNIT, unit_path};
use super::{
    ActiveState, FreezerState, JobResult, LoadState, Manager, SystemdError, UnitStatus,
    UnitSummary, properties,
};
use crate::host::dbus::{Kind, Link, system_bus};
use crate::plan::unit::{BusValue, Unit};
use crate::types::UnitName;

/// systemd's manager, over its private socket or the system bus.
#[derive(Debug)]
pub struct Systemd {
    root: PathBuf,
    session: RefCell<Option<Rc<Session>>>,
    version: OnceCell<u32>,
    pub(super) interrupt: &'static AtomicBool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    kind: Kind,
}

impl Session {
    /// On a bus systemd has a name, on its own socket it is the only one.
    pub(super) fn destination(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Peer => None,
            Kind::Bus => Some(SERVICE),
        }
    }
}

/// How long a bus may be full of others before systemd's own socket has to do.
const ROOM_WITHIN: Duration = Duration::from_secs(90);
const ROOM_RETRY: Duration = Duration::from_millis(100);

static NEVER: AtomicBool = AtomicBool::new(false);

impl Systemd {
    /// Connects to the systemd of this root: by its private socket as systemctl(1) does (root only; works without
    /// dbus-daemon and spares its time), else by the system bus.
    ///
    /// # Errors
    /// [`SystemdError::Connect`]: neither answers.
    pub fn connect(root: &Path) -> Result<Self, SystemdError> {
        let systemd = Self {
            root: root.to_owned(),
            session: RefCell::new(None),
            version: OnceCell::new(),
            interrupt: &NEVER,
        };
        systemd.session()?;
        Ok(systemd)
    }

    /// Makes waiting for a job end with [`SystemdError::Interrupted`] once this flag is set (by a signal handler). The
    /// flag is cleared then, so that the caller can stop the unit next.
    #[must_use]
    pub fn with_interrupt(self, flag: &'static AtomicBool) -> Self {
        Self {
            interrupt: flag,
            ..self
        }
    }

    pub(super) fn session(&self) -> Result<Rc<Session>, SystemdError> {
        let mut slot = self.session.borrow_mut();
        if let Some(session) = &*slot {
            return Ok(Rc::clone(session));
        }
        let private = self.root.join("run/systemd/private");
        let (link, kind) = match Link::connect(&private, Kind::Peer) {
            Ok(link) => (link, Kind::Peer),
            Err(private_error) => {
                let bus = system_bus(&self.root);
                let link =
                    Link::connect(&bus, Kind::Bus).map_err(|bus_error| SystemdError::Connect {
                        private,
                        private_error: Box::new(private_error),
                        bus,
                        bus_error: Box::new(bus_error),
                    })?;
                (link, Kind::Bus)
            }
        };
        let session = Rc::new(Session { link, kind });
        *slot = Some(Rc::clone(&session));
        Ok(session)
    }

    /// A connection of its own to start a job with: the bus lets through the end of that job only, while systemd sends
    /// every signal of every unit to each that is connected to its own socket. Where there is no bus, that has to do.
    ///
    /// The bus has 256 connections for a user (dbus-daemon(1), max_connections_per_user): who comes later waits for one.
    pub(super) fn job_session(&self) -> Result<Rc<Session>, SystemdError> {
        self.disconnect();
        let until = Instant::now() + ROOM_WITHIN;
        loop {
            match Link::connect(&system_bus(&self.root), Kind::Bus) {
                Ok(link) => {
                    let kind = Kind::Bus;
                    return Ok(Rc::new(Session { link, kind }));
                }
                Err(error)
                    if is_full(&error)
                        && Instant::now() < until
                        && !self.interrupt.load(Ordering::Acquire) =>
                {
                    std::thread::sleep(ROOM_RETRY);
                }
                Err(_) => return self.session(),
            }
        }
    }

    /// One call of the manager's interface. It is repeated once if the connection has died meanwhile.
    pub(super) fn call<B>(
        &self,
        action: &'static str,
        object: &str,
        method: &'static str,
        body: &B,
    ) -> Result<Message, SystemdError>
    where
        B: Serialize + DynamicType,
    {
        self.with_session(action, object, |session| {
            let connection = session.link.connection();
            let destination = session.destination();
            let call = connection.call_method(destination, PATH, Some(MANAGER), method, body);
            session.link.run(call)
        })
    }

    fn with_session<T>(
        &self,
        action: &'static str,
        object: &str,
        call: impl Fn(&Session) -> zbus::Result<T>,
    ) -> Result<T, SystemdError> {
        let failed = |error| SystemdError::of(action, object, error);
        match call(&*self.session()?).map_err(failed) {
            Err(error) if error.is_disconnected() => {
                self.disconnect();
                call(&*self.session()?).map_err(failed)
            }
            result => result,
        }
    }

    /// Reads properties of one object, all requests sent at once.
    pub(super) fn properties<const N: usize>(
        &self,
        object: &str,
        path: &str,
        wanted: [(&'static str, &'static str); N],
    ) -> Result<[OwnedValue; N], SystemdError> {
        let replies = self.with_session("read state of", object, |session| {
            let connection = session.link.connection();
            let destination = session.destination();
            let get = |(interface, name)| -> Pin<Box<dyn Future<Output = zbus::Result<Message>>>> {
                let (connection, path) = (connection.clone(), path.to_owned());
                Box::pin(async move {
                    let body = (interface, name);
                    let call =
                        connection.call_method(destination, path, Some(PROPERTIES), "Get", &body);
                    call.await
                })
            };
            session
                .link
                .run(all(wanted.iter().copied().map(get).collect()))
        })?;
        let mut values = Vec::with_capacity(N);
        for reply in replies {
            let value = reply.body().deserialize::<OwnedValue>();
            values.push(value.map_err(|e| SystemdError::of("read state of", object, e))?);
        }
        Ok(values
            .try_into()
            .expect("there are as many replies as requests"))
    }

    /// As [`Self::properties`], by one request for all properties there are: systemd reads the file of a unit that is
    /// not loaded anew for every request.
    fn all_properties<const N: usize>(
        &self,
        object: &str,
        path: &str,
        wanted: [(&'static str, &'static str); N],
    ) -> Result<[OwnedValue; N], SystemdError> {
        let failed = |error| SystemdError::of("read state of", object, error);
        let reply = self.with_session("read state of", object, |session| {
            let connection = session.link.connection();
            let destination = session.destination();
            let call = connection.call_method(destination, path, Some(PROPERTIES), "GetAll", &"");
            session.link.run(call)
        })?;
        let body = reply.body();
        let mut all: HashMap<String, OwnedValue> = body.deserialize().map_err(failed)?;
        let mut values = Vec::with_capacity(N);
        for (_, name) in wanted {
            let missing = || failed(zbus::Error::MissingParameter(name));
            values.push(all.remove(name).ok_or_else(missing)?);
        }
        Ok(values
            .try_into()
            .expect("there are as many values as names"))
    }
}

/// Whether the bus has too many connections already.
fn is_full(error: &zbus::Error) -> bool {
    const FULL: &str = "org.freedesktop.DBus.Error.LimitsExceeded";
    match error {
        zbus::Error::MethodError(name, ..) => name.as_str() == FULL,
        zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::LimitsExceeded(_)),
        _ => false,
    }
}

/// Awaits all; the first error ends it.
async fn all<T>(
    mut futures: Vec<Pin<Box<dyn Future<Output = zbus::Result<T>>>>>,
) -> zbus::Result<Vec<T>> {
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_some() {
                continue;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => *output = Some(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => pending = true,
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    })
    .await?;
    Ok(outputs.into_iter().flatten().collect())
}

/// The value as this type.
fn read<T: TryFrom<OwnedValue, Error = zbus::zvariant::Error>>(
    object: &str,
    value: OwnedValue,
) -> Result<T, SystemdError> {
    T::try_from(value).map_err(|e| SystemdError::of("read state of", object, e.into()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number a version such as `252.39-1~deb12u1` begins with.
fn major(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit());
    version[..end.unwrap_or(version.len())].parse().ok()
}

type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

impl Manager for Systemd {
    fn version(&self) -> Result<u32, SystemdError> {
        if let Some(version) = self.version.get() {
            return Ok(*version);
        }
        let [value] = self.properties("systemd", PATH, [(MANAGER, "Version")])?;
        let text: String = read("systemd", value)?;
        let number = major(&text).ok_or(SystemdError::Version(text))?;
        Ok(*self.version.get_or_init(|| number))
    }

    fn start_transient(&self, unit: &Unit) -> Result<JobResult, SystemdError> {
        self.run_transient(unit)
    }

    fn start(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        self.run_start(unit)
    }

    fn enqueue(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.add_start(unit.as_str())
    }

    fn look_again(&self) -> Result<(), SystemdError> {
        for target in self.starting_targets()? {
            match self.add_start(&target) {
                // One that only others may start: they are in the list.
                Err(error @ SystemdError::Refused { .. }) => {
                    tracing::debug!(%target, %error, "not looked at again");
                }
                result => result?,
            }
        }
        Ok(())
    }

    fn stop(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        self.run_stop(unit)
    }

    fn status(&self, unit: &UnitName) -> Result<UnitStatus, SystemdError> {
        let name = unit.as_str();
        let unit_interface = [
            "LoadState",
            "ActiveState",
            "SubState",
            "NeedDaemonReload",
            "FreezerState",
            "InvocationID",
            "FragmentPath",
        ]
        .map(|property| (UNIT, property));
        let service_interface = [
            "Result",
            "ExecMainCode",
            "ExecMainStatus",
            "ExecMainStartTimestamp",
            "ExecMainExitTimestamp",
            "MainPID",
            "NRestarts",
            "Restart",
            "ControlGroup",
            "StatusText",
        ]
        .map(|property| (SERVICE_UNIT, property));
        let path = unit_path(name);
        let mut wanted = [("", ""); 17];
        wanted[..7].copy_from_slice(&unit_interface);
        wanted[7..].copy_from_slice(&service_interface);
        let [
            load,
            active,
            sub,
            reload,
            freezer,
            invocation,
            fragment,
            result,
            code,
            status,
            start,
            exit,
            pid,
            restarts,
            restart,
            cgroup,
            text,
        ] = match self.call("find", name, "GetUnit", &name) {
            Err(error) if error.is_no_such_unit() => self.all_properties(name, &path, wanted)?,
            _ => self.properties(name, &path, wanted)?,
        };
        let load_state = LoadState::from_word(&read::<String>(name, load)?);
        let restart = read::<String>(name, restart)?.parse().ok();
        Ok(UnitStatus {
            restart: restart.filter(|_| load_state != LoadState::NotFound),
            load_state,
            active_state: ActiveState::from_word(&read::<String>(name, active)?),
            sub_state: read(name, sub)?,
            result: read(name, result)?,
            exec_main_code: read(name, code)?,
            exec_main_status: read(name, status)?,
            exec_main_start: read(name, start)?,
            exec_main_exit: read(name, exit)?,
            main_pid: read(name, pid)?,
            need_daemon_reload: read(name, reload)?,
            freezer_state: FreezerState::from_word(&read::<String>(name, freezer)?),
            invocation_id: hex(&read::<Vec<u8>>(name, invocation)?),
            n_restarts: read(name, restarts)?,
            control_group: read(name, cgroup)?,
            status_text: read(name, text)?,
            fragment_path: read(name, fragment)?,
        })
    }

    fn list(&self, pattern: &str) -> Result<Vec<(String, UnitSummary)>, SystemdError> {
        let none: [&str; 0] = [];
        let body = (&none[..], &[pattern][..]);
        let reply = self.call("list units", pattern, "ListUnitsByPatterns", &body)?;
        let listed: Vec<Listed> = reply
            .body()
            .deserialize()
            .map_err(|e| SystemdError::of("list units", pattern, e))?;
        let summary = |(name, description, load, active, sub, _, _, job, _, _): Listed| {
            let summary = UnitSummary {
                description,
                load_state: LoadState::from_word(&load),
                active_state: ActiveState::from_word(&active),
                sub_state: sub,
                has_job: job != 0,
            };
            (name, summary)
        };
        Ok(listed.into_iter().map(summary).collect())
    }

    fn reset_failed(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let name = unit.as_str();
        match self.call("reset", name, "ResetFailedUnit", &name) {
            Err(error) if !error.is_no_such_unit() => Err(error),
            _ => Ok(()),
        }
    }

    fn set_properties(
        &self,
        unit: &UnitName,
        properties: &[(&'static str, BusValue)],
    ) -> Result<(), SystemdError> {
        let name = unit.as_str();
        let runtime = true;
        let body = (name, runtime, properties::values(properties));
        self.call("change", name, "SetUnitProperties", &body)
            .map(drop)
    }

    fn thaw(&self, unit: &UnitName) -> Result<(), SystemdError> {
        const NOT_ACTIVE: &str = "org.freedesktop.systemd1.UnitInactive";
        let name = unit.as_str();
        match self.call("thaw", name, "ThawUnit", &name) {
            Err(error) if !error.is_no_such_unit() && !error.is_named(NOT_ACTIVE) => Err(error),
            _ => Ok(()),
        }
    }

    fn reload(&self) -> Result<(), SystemdError> {
        self.call("reload", "systemd", "Reload", &()).map(drop)
    }

    fn can_reload(&self, unit: &UnitName) -> Result<bool, SystemdError> {
        let name = unit.as_str();
        let [value] = self.properties(name, &unit_path(name), [(UNIT, "CanReload")])?;
        read(name, value)
    }

    fn reload_unit(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        self.run_reload(unit)
    }

    fn disconnect(&self) {
        self.session.borrow_mut().take();
    }

    fn take_interrupt(&self) -> bool {
        self.interrupt.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_what_the_version_begins_with() {
        assert_eq!(major("257.13-1~deb13u1"), Some(257));
        assert_eq!(major("252"), Some(252));
        assert_eq!(major("v252"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn who_cannot_connect_is_told_both_reasons() {
        let error = Systemd::connect(Path::new("/nowhere")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/run/systemd/private: "), "{text}");
        assert!(
            text.contains("/nowhere/run/dbus/system_bus_socket: "),
            "{text}"
        );
    }
}
