//! One event, and how it is shown.

use std::collections::BTreeMap;

use crate::api::event::{self, EventKind};
use crate::api::journal as fields;
use crate::cli::error::CliError;
use crate::cli::template::{Template, Value};
use crate::cli::{Host, output, targets};
use crate::definition::Source;
use crate::host::journal::Entry;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Microseconds since the epoch.
    pub(super) time: u64,
    pub(super) status: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) health: String,
    pub(super) exit_code: Option<i64>,
    pub(super) labels: BTreeMap<String, String>,
    /// systemd's own entry, which has no labels, and before systemd 254 no more than the unit's name.
    pub(super) is_of_systemd: bool,
}

impl Seen {
    /// None: an entry of something else.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let text = |name| entry.text(name).unwrap_or_default().to_owned();
        let is_of_systemd = entry.text("MESSAGE_ID") == Some(event::RESTART_SCHEDULED);
        let (status, name) = match is_of_systemd {
            true => {
                let unit = entry.text("UNIT")?.strip_suffix(".service")?;
                let own = entry.text(fields::CONTAINER_NAME);
                let name = own.or_else(|| unit.strip_prefix("unitbox-"))?;
                (EventKind::Restart.word().to_owned(), name.to_owned())
            }
            false => {
                entry.text(fields::CONTAINER_ID_FULL)?;
                (
                    entry.text(event::EVENT)?.to_owned(),
                    text(fields::CONTAINER_NAME),
                )
            }
        };
        let image = text(fields::IMAGE_NAME);
        let labels = entry.text(event::LABELS);
        Some(Self {
            time: entry.realtime(),
            status,
            id: text(fields::CONTAINER_ID_FULL),
            name,
            // A directory is no image.
            image: if image.starts_with('/') {
                String::new()
            } else {
                image
            },
            health: text(event::HEALTH),
            exit_code: entry
                .text(event::EXIT_CODE)
                .and_then(|code| code.parse().ok()),
            labels: labels
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            is_of_systemd,
        })
    }

    /// The container of this name that there is.
    pub(super) fn on_record(host: &Host, name: &str) -> Option<Self> {
        let definition = targets::find(&host.layout, name).ok()?;
        let image = match definition.source {
            Source::Image { name, .. } => name,
            Source::Rootfs { .. } => String::new(),
        };
        Some(Self {
            time: 0,
            status: String::new(),
            id: definition.id.to_string(),
            name: definition.name.to_string(),
            image,
            health: String::new(),
            exit_code: None,
            labels: definition.options.labels,
            is_of_systemd: false,
        })
    }

    /// Takes what it lacks from what is known of the container of its name, if it is the same one.
    pub(super) fn belongs_to(&mut self, known: Self) {
        if self.id.is_empty() || self.id == known.id {
            (self.id, self.image, self.labels) = (known.id, known.image, known.labels);
        }
    }

    /// As Podman says it.
    pub(super) fn line(&self, whole_ids: bool) -> String {
        let id = match self.id.get(..12) {
            Some(short) if !whole_ids => short,
            _ => &self.id,
        };
        let time = Value::Time(self.time).show();
        let mut line = format!(
            "{time} container {} {id} (image={}, name={}",
            self.status, self.image, self.name
        );
        if !self.health.is_empty() {
            line.push_str(&format!(", health_status={}", self.health));
        }
        for (key, value) in &self.labels {
            line.push_str(&format!(", {key}={value}"));
        }
        // What users wrote must not steer the terminal.
        let line = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        line.chain([')']).collect()
    }

    pub(super) fn value(&self) -> Value {
        let text = |text: &String| Value::Str(text.clone());
        let seconds = Value::Int(i64::try_from(self.time / 1_000_000).unwrap_or(i64::MAX));
        let nanos = Value::Int(i64::try_from(self.time).unwrap_or(0).saturating_mul(1000));
        let labels = match self.labels.is_empty() {
            true => Value::Null,
            false => Value::map(&self.labels),
        };
        let code = self.exit_code.map_or(Value::Null, Value::Int);
        let mut json = Vec::new();
        if self.exit_code.is_some() {
            json.push(("ContainerExitCode", code.clone()));
        }
        json.push(("ID", text(&self.id)));
        if !self.image.is_empty() {
            json.push(("Image", text(&self.image)));
        }
        json.push(("Name", text(&self.name)));
        json.push(("Status", text(&self.status)));
        json.push(("time", seconds.clone()));
        json.push(("timeNano", nanos.clone()));
        json.push(("Type", "container".into()));
        if !self.health.is_empty() {
            json.push(("health_status", text(&self.health)));
        }
        json.push(("Attributes", labels));
        let shown = Value::map(&self.labels);
        let details = vec![("PodID", "".into()), ("Attributes", shown.clone())];
        let of = vec![
            ("ContainerExitCode", code),
            ("ID", text(&self.id)),
            ("Image", text(&self.image)),
            ("Name", text(&self.name)),
            ("Network", "".into()),
            ("Status", text(&self.status)),
            ("Time", seconds),
            ("TimeNano", nanos),
            ("Type", "container".into()),
            ("HealthStatus", text(&self.health)),
            ("PodID", "".into()),
            ("Attributes", shown),
            ("Details", Value::fields("events.Details", details)),
        ];
        let json = Value::fields("events.Event", json);
        Value::fields("system.Event", of).with_json(json)
    }
}

/// How events are shown.
pub(super) enum Format {
    Line { whole_ids: bool },
    Json,
    Template(Template),
}

impl Format {
    /// False: nobody reads any more.
    pub(super) fn print(&self, seen: &Seen) -> Result<bool, CliError> {
        let text = match self {
            Self::Line { whole_ids } => seen.line(*whole_ids) + "\n",
            Self::Json => seen.value().to_json() + "\n",
            Self::Template(template) => template.render(&seen.value())?,
        };
        output::write(&text)
    }
}
