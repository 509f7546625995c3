//! What systemd is told (sd_notify(3)). Nobody else speaks to it: NotifyAccess=main.

use std::time::Duration;

use std::io;
use std::os::fd::BorrowedFd;

use sd_notify::NotifyState;

/// A message that cannot be sent changes nothing: without a manager there is nobody to tell.
fn send(state: &[NotifyState]) {
    let _ = sd_notify::notify(state);
}

pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn announce() {
    send(&[NotifyState::Ready]);
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

/// All goes well.
pub(super) fn ping() {
    send(&[NotifyState::Watchdog]);
}

/// What the payload has to say, with what came with it.
pub(super) fn pass(lines: &[&str], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let states: Vec<NotifyState> = lines.iter().map(|line| NotifyState::Custom(line)).collect();
    sd_notify::notify_with_fds(&states, fds)
}

/// This run has failed its watchdog.
pub(super) fn trigger_watchdog() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::WatchdogTrigger])
}
