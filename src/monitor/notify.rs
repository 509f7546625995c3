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

/// The current state may last this much longer; longer than 71 minutes at once does not fit the message.
pub(super) fn extend(time: Duration) {
    let usec = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(usec)]);
}
