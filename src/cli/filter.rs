//! `--filter`: which containers are meant (podman-ps(1)).

use std::collections::BTreeMap;

use clap::ArgMatches;
use regex_lite::Regex;

use super::error::CliError;
use super::moment::date;
use crate::api::Layout;
use crate::container::observe::{Observation, State};
use crate::definition::{Definition, Source};
use crate::store;
use crate::types::{Restart, parse_duration};

/// One kind with all its values: one of them must fit, or of labels all.
enum Condition {
    /// A pattern that the name has.
    Name(Vec<Regex>),
    Id(Vec<Regex>),
    /// All of these: key, and value if one is given.
    Label(Vec<(String, Option<String>)>),
    /// None of these.
    NotLabel(Vec<(String, Option<String>)>),
    Status(Vec<String>),
    Exited(Vec<i32>),
    Ancestor(Vec<String>),
    /// Made before this time, microseconds since the epoch.
    Before(u64),
    /// Made after this time.
    Since(u64),
    Volume(Vec<String>),
    /// One of these words; `none` without a check.
    Health(Vec<String>),
    /// What no container has: networks, pods.
    Never,
    /// One of these restart policies.
    RestartPolicy(Vec<String>),
}

/// Conditions that must all hold.
#[derive(Default)]
pub(super) struct Filters {
    conditions: Vec<Condition>,
    /// A state is asked for, so that all states are looked at.
    pub(super) has_status: bool,
}

/// Words of `status=`.
const STATES: [&str; 10] = [
    "configured",
    "created",
    "exited",
    "initialized",
    "paused",
    "removing",
    "running",
    "stopped",
    "stopping",
    "unknown",
];

fn refused(text: String) -> CliError {
    CliError::Usage(text)
}

impl Filters {
    /// Reads `--filter`; `now` in microseconds since the epoch.
    pub(super) fn of(args: &ArgMatches, layout: &Layout, now: u64) -> Result<Self, CliError> {
        let texts = args.get_many::<String>("filter").into_iter().flatten();
        Self::parse(texts.map(String::as_str), layout, now)
    }

    /// Reads words of the form KEY=VALUE.
    pub(super) fn parse<'a>(
        texts: impl Iterator<Item = &'a str>,
        layout: &Layout,
        now: u64,
    ) -> Result<Self, CliError> {
        let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for text in texts {
            let pair = text.split_once('=');
            let (key, value) = pair.ok_or_else(|| refused(format!("invalid filter {text:?}")))?;
            by_key.entry(key).or_default().push(value);
        }
        let conditions = by_key
            .iter()
            .map(|(key, values)| condition(key, values, layout, now));
        Ok(Self {
            conditions: conditions.collect::<Result<_, _>>()?,
            has_status: by_key.contains_key("status"),
        })
    }

    /// Whether a container fits.
    pub(super) fn fit(&self, definition: &Definition, seen: &Observation) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.fits(definition, seen))
    }
}

fn condition(key: &str, values: &[&str], layout: &Layout, now: u64) -> Result<Condition, CliError> {
    let owned = || values.iter().map(|value| (*value).to_owned()).collect();
    let last = values.last().copied().unwrap_or_default();
    Ok(match key {
        "name" => Condition::Name(patterns(values, "")?),
        "id" => Condition::Id(patterns(values, "^")?),
        "label" => Condition::Label(labels(values)),
        "label!" => Condition::NotLabel(labels(values)),
        "status" => {
            if let Some(bad) = values.iter().find(|value| !STATES.contains(value)) {
                let text = format!("unknown container state: {bad}: invalid argument");
                return Err(refused(text));
            }
            Condition::Status(owned())
        }
        "exited" => Condition::Exited(
            values
                .iter()
                .map(|value| code(value))
                .collect::<Result<_, _>>()?,
        ),
        "ancestor" => Condition::Ancestor(owned()),
        "before" => Condition::Before(made(layout, last)?),
        "since" | "after" => Condition::Since(made(layout, last)?),
        "until" => Condition::Before(until(last, now)?),
        "volume" => Condition::Volume(owned()),
        "health" => Condition::Health(owned()),
        "network" | "pod" => Condition::Never,
        "restart-policy" => {
            const POLICIES: [&str; 3] = ["none", "on-failure", "unless-stopped"];
            let known = |value: &&str| POLICIES.contains(value) || value.parse::<Restart>().is_ok();
            match values.iter().find(|value| !known(value)) {
                Some(bad) => return Err(refused(format!("{bad} invalid restart policy"))),
                None => Condition::RestartPolicy(owned()),
            }
        }
        _ => return Err(refused(format!("{key} is an invalid filter"))),
    })
}

fn patterns(values: &[&str], before: &str) -> Result<Vec<Regex>, CliError> {
    let compile = |value: &&str| {
        let text = match value.starts_with('^') {
            true => (*value).to_owned(),
            false => format!("{before}{value}"),
        };
        Regex::new(&text).map_err(|error| refused(format!("filter {value:?}: {error}")))
    };
    values.iter().map(compile).collect()
}

fn labels(values: &[&str]) -> Vec<(String, Option<String>)> {
    let label = |value: &&str| match value.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => ((*value).to_owned(), None),
    };
    values.iter().map(label).collect()
}

fn code(text: &str) -> Result<i32, CliError> {
    text.parse().map_err(|_| {
        refused(format!(
            "exited code out of range: parsing {text:?}: invalid syntax"
        ))
    })
}

/// When the container that a filter names was made.
fn made(layout: &Layout, text: &str) -> Result<u64, CliError> {
    Ok(store::load(layout, &store::lookup(layout, text)?)?.created)
}

/// A duration back from now, seconds since the epoch, or a date.
pub(super) fn until(text: &str, now: u64) -> Result<u64, CliError> {
    let bad = || {
        refused(format!(
            "failed to parse value as time or duration: {text:?}"
        ))
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds.saturating_mul(1_000_000));
    }
    if let Ok(span) = parse_duration(text) {
        return Ok(now.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)));
    }
    date(text).ok_or_else(bad)
}

impl Condition {
    fn fits(&self, definition: &Definition, seen: &Observation) -> bool {
        let matches = |patterns: &[Regex], text| patterns.iter().any(|one| one.is_match(text));
        let has = |(key, value): &(String, Option<String>)| {
            let own = definition.options.labels.get(key);
            own.is_some_and(|own| value.as_ref().is_none_or(|value| fits_glob(value, own)))
        };
        match self {
            Self::Name(patterns) => matches(patterns, definition.name.as_str()),
            Self::Id(patterns) => matches(patterns, definition.id.as_str()),
            Self::Label(labels) => labels.iter().all(has),
            Self::NotLabel(labels) => !labels.iter().any(has),
            Self::Status(words) => words.iter().any(|word| is_state(word, seen.state)),
            Self::Exited(codes) => {
                let code = seen.exit.as_ref().and_then(|exit| exit.code());
                let code = code.map(i32::from);
                seen.state == State::Exited && codes.iter().any(|one| Some(*one) == code)
            }
            Self::Ancestor(names) => names.iter().any(|name| is_of(definition, name)),
            Self::Before(time) => definition.created < *time,
            Self::Since(time) => definition.created > *time,
            Self::Volume(texts) => {
                let mounts = definition.options.files.effective();
                let fits = |text: &String| {
                    let of = mounts.iter();
                    let mut of = of.filter(|mount| !mount.source.is_empty());
                    of.any(|mount| mount.source == *text || mount.target == *text)
                };
                texts.iter().any(fits)
            }
            Self::RestartPolicy(names) => {
                // `none` is what nobody has chosen.
                let own = match (
                    definition.options.restart,
                    definition.restarts(seen.restart),
                ) {
                    (None, restarts) if !restarts.are_possible() => "none",
                    (_, restarts) => restarts.name(),
                };
                names.iter().any(|name| name == own)
            }
            Self::Health(words) => {
                let own = seen.health.as_ref();
                let own = own.map_or("none", |health| health.status.as_str());
                words.iter().any(|word| word == own)
            }
            Self::Never => false,
        }
    }
}

fn is_state(word: &str, state: State) -> bool {
    match word {
        "stopped" => state == State::Exited,
        "configured" => state == State::Created,
        word => word == state.as_str(),
    }
}

/// `*` at the end stands for anything.
fn fits_glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

/// Whether a container was made of the image that is called so, by name, with or without its tag, or by its id.
fn is_of(definition: &Definition, wanted: &str) -> bool {
    let Source::Image { name, id } = &definition.source else {
        return false;
    };
    let plain = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    if plain.is_empty() {
        return false;
    }
    let untagged = match name.rsplit_once(':') {
        Some((untagged, tag)) if !tag.contains('/') => untagged,
        _ => name,
    };
    let names = |name: &str| name == wanted || name.ends_with(&format!("/{wanted}"));
    id.starts_with(plain) || names(name) || names(untagged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_span_or_a_date() {
        let now = 10_000_000_000;
        assert_eq!(until("1h", now).unwrap(), now - 3_600_000_000);
        assert_eq!(until("5", now).unwrap(), 5_000_000);
        let error = until("x", now).unwrap_err().to_string();
        assert_eq!(error, "failed to parse value as time or duration: \"x\"");
    }

    #[test]
    fn wrong_filters_are_refused_in_podmans_words() {
        let layout = Layout::new("/nowhere");
        for (text, want) in [
            ("name", "invalid filter \"name\""),
            ("foo=bar", "foo is an invalid filter"),
            (
                "status=foo",
                "unknown container state: foo: invalid argument",
            ),
            ("restart-policy=foo", "foo invalid restart policy"),
            ("restart-policy=", " invalid restart policy"),
            (
                "before=nope",
                "no container with name or ID \"nope\" found: no such container",
            ),
        ] {
            let error = Filters::parse([text].into_iter(), &layout, 0)
                .err()
                .unwrap();
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn every_kind_takes_and_leaves() {
        let layout = Layout::new("/nowhere");
        let mut definition = *crate::cli::tests::definition("web");
        let labels = &mut definition.options.labels;
        labels.insert("a".to_owned(), "1".to_owned());
        let seen = crate::cli::tests::seen(State::Running, None);
        let fits = |texts: &[&str]| {
            let filters = Filters::parse(texts.iter().copied(), &layout, 5_000_000).unwrap();
            filters.fit(&definition, &seen)
        };
        for good in [
            "name=we",
            "name=^w",
            "id=abab",
            "label=a",
            "label=a=1",
            "label!=b",
            "status=running",
            "ancestor=busybox",
            "ancestor=busybox:latest",
            "ancestor=localhost/busybox",
            "ancestor=ff",
            "until=1s",
            "until=4",
            "until=2030-01-01",
            "health=none",
        ] {
            assert!(fits(&[good]), "{good}");
        }
        for bad in [
            "name=^eb",
            "id=bbab",
            "label=b",
            "label=a=2",
            "label!=a",
            "status=exited",
            "ancestor=box",
            "until=1h",
            "until=1",
            "exited=0",
            "volume=v",
            "health=healthy",
            "network=none",
            "pod=p",
            "restart-policy=no",
        ] {
            assert!(!fits(&[bad]), "{bad}");
        }
        assert!(fits(&["restart-policy=none"]));
        assert!(fits(&["name=no", "name=web"]) && !fits(&["name=web", "status=paused"]));
        assert!(!fits(&["label=a", "label=b"]));
    }
}
