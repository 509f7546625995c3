//! Events of containers: entries of the journal with fields of their own (`unitbox events`).

use std::collections::BTreeMap;
use std::fmt::Write;

/// Field with the word of the event, such as `died`.
pub const EVENT: &str = "UNITBOX_EVENT";
/// Field with the payload's exit code, or that of a command.
pub const EXIT_CODE: &str = "UNITBOX_EXIT_CODE";
/// Field with the container's labels, a JSON object; missing if there are none.
pub const LABELS: &str = "UNITBOX_LABELS";
/// Field with the container's health.
pub const HEALTH: &str = "UNITBOX_HEALTH";

/// What happened, in Podman's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A client sees its output.
    Attach,
    /// What a run left was cleaned up.
    Cleanup,
    /// It was made.
    Create,
    /// Its payload has ended.
    Died,
    /// A command was started in it.
    Exec,
    /// Such a command has ended.
    ExecDied,
    /// Its health was looked at.
    HealthStatus,
    /// Its payload was made.
    Init,
    /// It was sent a signal.
    Kill,
    /// Its files were mounted, or exported.
    Mount,
    /// It was frozen.
    Pause,
    /// It is gone.
    Remove,
    /// It has another name.
    Rename,
    /// It is to be started again.
    Restart,
    /// Its payload runs.
    Start,
    /// Its files were unmounted.
    Unmount,
    /// It was thawed.
    Unpause,
    /// Its limits were changed.
    Update,
}

/// Kind, word, MESSAGE_ID=.
const KINDS: [(EventKind, &str, &str); 18] = [
    (
        EventKind::Attach,
        "attach",
        "b6c9c93b04e44087b90ade60be8e53e6",
    ),
    (
        EventKind::Cleanup,
        "cleanup",
        "0b06c35ddee041a1bde891704b20b6fa",
    ),
    (
        EventKind::Create,
        "create",
        "06cb0627f05e4fe2ab21bb07697c2dc8",
    ),
    (EventKind::Died, "died", "9a2e7f9bd04a4a24acc894f7775293b1"),
    (EventKind::Exec, "exec", "bf23d196db074b0680237be85b5e7269"),
    (
        EventKind::ExecDied,
        "exec_died",
        "c40f31fd1e8a4c56932a000aaf5297db",
    ),
    (
        EventKind::HealthStatus,
        "health_status",
        "850019b2f2f24292ac5bf80795cb97f6",
    ),
    (EventKind::Init, "init", "4b4af01ba2cc48d5854ab124853d7755"),
    (EventKind::Kill, "kill", "a72f08ec7f5348b6a47d4bf460bb4d08"),
    (
        EventKind::Mount,
        "mount",
        "4e0828dddcc0040a8b952a61d203c2a9",
    ),
    (
        EventKind::Pause,
        "pause",
        "7e32c943d43946fd84eeb1f62a06703c",
    ),
    (
        EventKind::Remove,
        "remove",
        "435e5d20f66f49a798be5e7dd42bca59",
    ),
    (
        EventKind::Rename,
        "rename",
        "c025d5a93e064c97a23a9a533c009349",
    ),
    (
        EventKind::Restart,
        "restart",
        "c5ff7a3b94524895846194f8eeb72d72",
    ),
    (
        EventKind::Start,
        "start",
        "32e3d5bd2f6a4d97bf24a8e121873aa0",
    ),
    (
        EventKind::Unmount,
        "unmount",
        "3d25ffdb6854e328b888713893b44302",
    ),
    (
        EventKind::Unpause,
        "unpause",
        "1f8d273620e74dd6918c624c6f95f194",
    ),
    (
        EventKind::Update,
        "update",
        "48dc6a8b8b264dc2b4f045b130bbea57",
    ),
];

/// MESSAGE_ID= of systemd's own entry for a unit that it is about to start again (sd-messages.h).
pub const RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";

/// The MESSAGE_ID= of every kind of event.
pub fn message_ids() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(_, _, id)| *id)
}

impl EventKind {
    /// Podman's word.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// What marks its entries.
    pub fn message_id(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> &'static (EventKind, &'static str, &'static str) {
        let row = KINDS.iter().find(|(kind, ..)| *kind == self);
        row.expect("the table has every kind")
    }
}

/// An event that is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventKind,
    /// The container's name.
    pub name: &'a str,
    /// The container's whole id, and its image unless journald adds it: it does to what the unit's processes say.
    pub of: Option<(&'a str, &'a str)>,
    /// Labels as [`labels`] renders them; empty for none.
    pub labels: &'a str,
    /// Of the payload, or of a command.
    pub exit_code: Option<i32>,
    /// What is known of its health, if that is what is told.
    pub health: Option<&'a str>,
}

impl Event<'_> {
    /// The datagram for journald (JOURNAL_NATIVE_PROTOCOL of systemd). No value has a line break: names and codes
    /// cannot, and JSON escapes it.
    pub fn render(&self) -> String {
        let word = self.kind.word();
        let mut text = format!("MESSAGE=container {word} {}", self.name);
        if let Some(code) = self.exit_code {
            let _ = write!(text, " (exit code {code})\n{EXIT_CODE}={code}");
        }
        if let Some(health) = self.health {
            let _ = write!(text, " ({health})\n{HEALTH}={health}");
        }
        let id = self.kind.message_id();
        let _ = write!(
            text,
            "\nMESSAGE_ID={id}\nPRIORITY=6\nSYSLOG_IDENTIFIER=unitbox\n{EVENT}={word}\n"
        );
        if let Some((full_id, _)) = self.of {
            let short = full_id.get(..12).unwrap_or(full_id);
            let _ = write!(
                text,
                "{}={}\n{}={short}\n{}={full_id}\n",
                super::journal::CONTAINER_NAME,
                self.name,
                super::journal::CONTAINER_ID,
                super::journal::CONTAINER_ID_FULL,
            );
        }
        if let Some((_, image)) = self.of.filter(|(_, image)| !image.is_empty()) {
            let image = image.replace('\n', " ");
            let _ = writeln!(text, "{}={image}", super::journal::IMAGE_NAME);
        }
        if !self.labels.is_empty() {
            let _ = writeln!(text, "{LABELS}={}", self.labels);
        }
        text
    }
}

/// More is left out, bytes: a datagram and the monitor's memory are no place for it.
const MAX_LABELS: usize = 16 << 10;

/// Labels as a JSON object of one line; empty for none, and for more than an entry should hold.
pub fn labels(of: &BTreeMap<String, String>) -> String {
    if of.is_empty() {
        return String::new();
    }
    let text = serde_json::to_string(of).expect("texts are JSON");
    if text.len() > MAX_LABELS {
        return String::new();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_its_own_word_and_id() {
        let words: BTreeSet<_> = KINDS.iter().map(|(kind, ..)| kind.word()).collect();
        let ids: BTreeSet<_> = message_ids().collect();
        assert_eq!((words.len(), ids.len()), (KINDS.len(), KINDS.len()));
        for id in ids {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn a_datagram_is_lines_of_fields() {
        let mut all = BTreeMap::new();
        assert_eq!(labels(&all), "");
        all.insert("a".to_owned(), "x\ny\"".to_owned());
        let event = Event {
            kind: EventKind::Died,
            name: "web",
            of: Some(("0123456789abcdef", "busybox")),
            labels: &labels(&all),
            exit_code: Some(7),
            health: None,
        };
        let text = event.render();
        let fields: Vec<&str> = text.lines().collect();
        for want in [
            "MESSAGE=container died web (exit code 7)",
            "UNITBOX_EVENT=died",
            "UNITBOX_EXIT_CODE=7",
            "CONTAINER_ID=0123456789ab",
            r#"UNITBOX_LABELS={"a":"x\ny\""}"#,
        ] {
            assert!(fields.contains(&want), "{want} in {text}");
        }
        assert!(fields.iter().all(|field| field.contains('=')));
        all.insert("b".to_owned(), "x".repeat(MAX_LABELS));
        assert_eq!(labels(&all), "");
    }
}
