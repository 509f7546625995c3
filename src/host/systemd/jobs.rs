//! Jobs of systemd: start one and wait for its end.

use std::fs;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::Stream;
use serde::Serialize;
use zbus::zvariant::{DynamicType, OwnedObjectPath};
use zbus::{MatchRule, Message, MessageStream};

use super::client::{Session, Systemd};
use super::names::{MANAGER, PATH, UNIT, unit_path};
use super::{ActiveState, JobResult, LoadState, Manager, SystemdError, properties};
use crate::plan::unit::Unit;
use crate::types::UnitName;

/// How long an ended transient unit may block its name.
const NAME_FREE_WITHIN: Duration = Duration::from_secs(2);
/// How long systemd may be away while it re-executes itself.
const BACK_WITHIN: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(20);

/// Where containers that are kept have their unit files.
const FILES: &str = "/run/systemd/system";
/// Where transient units have their files (systemd.unit(5), "Unit File Load Path").
const TRANSIENT: &str = "/run/systemd/transient/";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// What a job is for; decides what a unit's state says of a job whose end was not seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Up,
    Down,
}

/// What is known when a job's connection ends.
enum Seen {
    /// The job's end.
    End(JobResult),
    /// The job was accepted, then the connection broke.
    Accepted,
}

impl Systemd {
    pub(super) fn run_start(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        let body = (unit.as_str(), "replace");
        self.job("start", Goal::Up, unit, "StartUnit", &body)
    }

    pub(super) fn run_stop(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        let body = (unit.as_str(), "replace");
        match self.job("stop", Goal::Down, unit, "StopUnit", &body) {
            Err(error) if error.is_no_such_unit() => Ok(JobResult::Done),
            result => result,
        }
    }

    pub(super) fn run_reload(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        let body = (unit.as_str(), "replace");
        self.job("reload", Goal::Up, unit, "ReloadUnit", &body)
    }

    pub(super) fn run_transient(&self, unit: &Unit) -> Result<JobResult, SystemdError> {
        type Auxiliary<'a> = (&'a str, Vec<(&'a str, zbus::zvariant::Value<'a>)>);
        let auxiliary: [Auxiliary; 0] = [];
        let properties = properties::of(unit);
        let body = (unit.name.as_str(), "fail", properties, &auxiliary[..]);
        let until = Instant::now() + NAME_FREE_WITHIN;
        loop {
            match self.job("start", Goal::Up, &unit.name, "StartTransientUnit", &body) {
                Err(error) if error.is_named(UNIT_EXISTS) => {
                    self.free_name(&unit.name, until)?;
                }
                result => return result,
            }
        }
    }

    /// Clears away a transient unit that has ended, or waits a moment for its end.
    fn free_name(&self, unit: &UnitName, until: Instant) -> Result<(), SystemdError> {
        let status = self.status(unit)?;
        let path = &status.fragment_path;
        let has_own_file = !path.is_empty() && !path.starts_with(TRANSIENT);
        let ends = match status.active_state {
            ActiveState::Inactive | ActiveState::Failed | ActiveState::Deactivating => true,
            ActiveState::Active
            | ActiveState::Reloading
            | ActiveState::Refreshing
            | ActiveState::Activating
            | ActiveState::Maintenance
            | ActiveState::Other(_) => false,
        };
        if has_own_file || !ends || Instant::now() >= until {
            return Err(SystemdError::AlreadyLoaded(unit.clone()));
        }
        self.reset_failed(unit)?;
        std::thread::sleep(RETRY);
        Ok(())
    }

    fn job<B>(
        &self,
        action: &'static str,
        goal: Goal,
        unit: &UnitName,
        method: &'static str,
        body: &B,
    ) -> Result<JobResult, SystemdError>
    where
        B: Serialize + DynamicType,
    {
        let session = self.job_session()?;
        let watched = watch(&session, unit, method, body);
        let Some(seen) = session.link.run_until(watched, self.interrupt) else {
            self.interrupt.store(false, Ordering::Release);
            return Err(interrupted(action, unit));
        };
        match seen.map_err(|error| SystemdError::of(action, unit.as_str(), error)) {
            Ok(Seen::End(result)) => Ok(result),
            Ok(Seen::Accepted) => self.find_out(action, goal, unit, None),
            Err(error) if error.is_disconnected() => self.find_out(action, goal, unit, Some(error)),
            Err(error) => Err(error),
        }
    }

    /// The end of a job whose connection broke: waits for systemd to be back and the unit to have no job, then reads
    /// the unit's state. `unanswered`: the error of a request to which there was no answer.
    fn find_out(
        &self,
        action: &'static str,
        goal: Goal,
        unit: &UnitName,
        mut unanswered: Option<SystemdError>,
    ) -> Result<JobResult, SystemdError> {
        let mut until = Instant::now() + BACK_WITHIN;
        loop {
            if self.interrupt.swap(false, Ordering::AcqRel) {
                return Err(interrupted(action, unit));
            }
            match self.job_end(goal, unit) {
                Ok(Some(result)) => match unanswered {
                    // Nothing tells that the request ever arrived.
                    Some(error) if result != JobResult::Done => return Err(error),
                    _ => return Ok(result),
                },
                Ok(None) => {
                    unanswered = None;
                    until = Instant::now() + BACK_WITHIN;
                }
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => (),
            }
            std::thread::sleep(RETRY * 5);
        }
    }

    /// `None`: the unit has a job still.
    fn job_end(&self, goal: Goal, unit: &UnitName) -> Result<Option<JobResult>, SystemdError> {
        let name = unit.as_str();
        let [job] = self.properties(name, &unit_path(name), [(UNIT, "Job")])?;
        let job = <(u32, OwnedObjectPath)>::try_from(job)
            .map_err(|error| SystemdError::of("read state of", name, error.into()))?;
        if job.0 != 0 {
            return Ok(None);
        }
        let status = self.status(unit)?;
        let up = status.active_state.is_up();
        let ended_well = status.load_state == LoadState::Loaded
            && status.active_state == ActiveState::Inactive
            && status.exec_main_exit != 0
            && status.result == "success";
        let good = match goal {
            Goal::Up => up || ended_well,
            Goal::Down => status.active_state.is_over(),
        };
        Ok(Some(if good {
            JobResult::Done
        } else {
            JobResult::Failed
        }))
    }
}

fn interrupted(action: &'static str, unit: &UnitName) -> SystemdError {
    SystemdError::Interrupted {
        action,
        unit: unit.clone(),
    }
}

/// Calls a method that starts a job and waits for the job's end.
///
/// No Subscribe: systemd sends JobRemoved to whoever started the job anyway, and Subscribe would make it send the
/// changes of every unit to the bus.
async fn watch<B>(
    session: &Session,
    unit: &UnitName,
    method: &'static str,
    body: &B,
) -> zbus::Result<Seen>
where
    B: Serialize + DynamicType,
{
    let connection = session.link.connection();
    let mut rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .path(PATH)?
        .interface(MANAGER)?
        .member("JobRemoved")?;
    if let Some(name) = session.destination() {
        rule = rule.sender(name)?.arg(2, own_name(unit))?;
    }
    let mut ends = Ends {
        stream: MessageStream::for_match_rule(rule.build(), connection, None).await?,
        seen: Vec::new(),
    };
    let destination = session.destination();
    let call = connection.call_method(destination, PATH, Some(MANAGER), method, body);
    let mut call = pin!(call);
    // The end of the job may come before the answer, and the ends of other jobs must not fill the queue.
    let reply = poll_fn(|context| {
        ends.drain(context);
        call.as_mut().poll(context)
    })
    .await?;
    let job: OwnedObjectPath = reply.body().deserialize()?;
    poll_fn(|context| {
        let open = ends.drain(context);
        match ends.take(&job) {
            Some(result) => Poll::Ready(Ok(Seen::End(result))),
            None if open => Poll::Pending,
            None => Poll::Ready(Ok(Seen::Accepted)),
        }
    })
    .await
}

/// What systemd calls a unit, whose name may be an alias: that of a container that was renamed while it ran.
fn own_name(unit: &UnitName) -> String {
    let target = fs::read_link(Path::new(FILES).join(unit.as_str())).ok();
    let name = target.as_deref().and_then(Path::file_name);
    let name = name.and_then(|name| name.to_str());
    name.unwrap_or(unit.as_str()).to_owned()
}

/// The ends of jobs.
struct Ends {
    stream: MessageStream,
    seen: Vec<(OwnedObjectPath, String)>,
}

impl Ends {
    /// Takes in what has come; whether more can come.
    fn drain(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => self.seen.extend(job_removed(&message)),
                Poll::Ready(Some(Err(_)) | None) => return false,
                Poll::Pending => return true,
            }
        }
    }

    /// The result of this job; forgets the others.
    fn take(&mut self, job: &OwnedObjectPath) -> Option<JobResult> {
        let mut seen = self.seen.drain(..);
        seen.find(|(path, _)| path == job)
            .map(|(_, word)| JobResult::from_word(&word))
    }
}

fn job_removed(message: &Message) -> Option<(OwnedObjectPath, String)> {
    let body = message.body();
    let (_, path, _, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize().ok()?;
    Some((path, result.to_owned()))
}
