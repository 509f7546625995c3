//! Tells the journal what happens to a container, for `unitbox events`; the monitor tells of runs itself.

use super::observe::Exit;
use crate::api::Ended;
use crate::api::event::{Event, EventKind, labels};
use crate::definition::{Definition, Source};
use crate::host::journal;

/// Tells of an event.
pub fn tell(definition: &Definition, kind: EventKind, exit_code: Option<i32>) {
    let image = match &definition.source {
        Source::Image { name, .. } => name,
        Source::Rootfs { path } => path,
    };
    journal::tell(&Event {
        kind,
        name: definition.name.as_str(),
        of: Some((definition.id.as_str(), image)),
        labels: &labels(&definition.options.labels),
        exit_code,
        health: None,
    });
}

/// The code of a payload that ran; what was never started has none to tell.
pub(super) fn code(exit: &Exit) -> Option<i32> {
    match exit {
        Exit::Recorded(record) if matches!(record.ended, Ended::Unstarted { .. }) => None,
        other => other.code().map(i32::from),
    }
}
