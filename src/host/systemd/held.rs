//! Waits for somebody who starts a unit that is activating already.

use futures_lite::StreamExt;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{MatchRule, MessageStream};

use super::SystemdError;
use super::client::{Session, Systemd};
use super::names::{JOB, MANAGER, PATH, PROPERTIES, UNIT, unit_path};

impl Systemd {
    /// Returns when a unit has a start job; with `cancel`, one other than it has now, which is cancelled.
    ///
    /// # Errors
    /// The connection broke.
    pub fn wait_for_start(&self, unit: &str, cancel: bool) -> Result<(), SystemdError> {
        let session = self.session()?;
        let waited = session.link.run(wait(&session, unit, cancel));
        waited.map_err(|error| SystemdError::of("wait for a start of", unit, error))
    }
}

async fn wait(session: &Session, unit: &str, cancel: bool) -> zbus::Result<()> {
    let connection = session.link.connection();
    let destination = session.destination();
    let mut rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .path(PATH)?
        .interface(MANAGER)?
        .member("JobNew")?;
    if let Some(name) = destination {
        rule = rule.sender(name)?;
    }
    let mut jobs = MessageStream::for_match_rule(rule.build(), connection, None).await?;
    // A peer gets all signals without it, and is told so.
    let subscribed = connection.call_method(destination, PATH, Some(MANAGER), "Subscribe", &());
    let _ = subscribed.await;
    let get = |path: String, interface: &'static str, name: &'static str| async move {
        let body = (interface, name);
        let call = connection.call_method(destination, path, Some(PROPERTIES), "Get", &body);
        call.await?.body().deserialize::<OwnedValue>()
    };
    let job = get(unit_path(unit), UNIT, "Job").await?;
    let (id, path) = <(u32, OwnedObjectPath)>::try_from(job)?;
    if id != 0 && cancel {
        let call = connection.call_method(destination, PATH, Some(MANAGER), "CancelJob", &id);
        call.await?;
    } else if id != 0 && is_start(get(path.to_string(), JOB, "JobType").await) {
        return Ok(());
    }
    while let Some(message) = jobs.next().await {
        let message = message?;
        let body = message.body();
        let (_, path, name): (u32, OwnedObjectPath, &str) = body.deserialize()?;
        if name == unit && is_start(get(path.to_string(), JOB, "JobType").await) {
            return Ok(());
        }
    }
    Err(zbus::Error::InputOutput(std::sync::Arc::new(
        std::io::ErrorKind::ConnectionAborted.into(),
    )))
}

/// A job that is gone is no start: this unit's would last.
fn is_start(kind: zbus::Result<OwnedValue>) -> bool {
    let kind = kind.and_then(|kind| Ok(String::try_from(kind)?));
    kind.is_ok_and(|kind| kind == "start")
}
