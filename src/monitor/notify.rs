//! What systemd is told (sd_notify(3)). Nobody else speaks to it: NotifyAccess=main.

use std::time::Duration;

use sd_notify::NotifyState;

/// A message that cannot be sent changes nothing: without a manager there is nobody to tell.
fn send(state: &[NotifyState]) {
    let _ = sd_notify::notify(state);
}

pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

pub(super) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// The current state may last this much longer. The crate's own message ends at 71 minutes, systemd reads 64 bits.
pub(super) fn extend(time: Duration) {
    let usec = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    send(&[NotifyState::Custom(&format!("EXTEND_TIMEOUT_USEC={usec}"))]);
}

/// This run has failed its watchdog.
pub(super) fn trigger_watchdog() -> std::io::Result<()> {
    sd_notify::notify(&[NotifyState::WatchdogTrigger])
}
