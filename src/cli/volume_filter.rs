//! `--filter` of volumes (podman-volume-ls(1)).

use std::collections::BTreeMap;

use clap::ArgMatches;
use regex_lite::Regex;

use super::error::CliError;
use super::filter::until;
use crate::api::Layout;
use crate::container::volumes as users;
use crate::store::volumes::{self, Volume};
use crate::sys::time::realtime;
use crate::types::{ObjectNameError, VolumeName};

/// A key, and a value if one is given.
type Pair = (String, Option<String>);

/// One kind with all its values: one of them must fit, or of labels all.
enum Condition {
    /// A pattern that the name has.
    Name(Vec<Regex>),
    /// All of these; or, with false, not all of these.
    Label(Vec<Pair>, bool),
    Driver(Vec<String>),
    Scope(Vec<String>),
    /// Whether no container has it.
    Dangling(Vec<bool>),
    Option(Vec<Pair>),
    /// Made before this time, microseconds since the epoch.
    Before(u64),
    /// Made after this time.
    After(u64),
}

/// Conditions that must all hold.
pub(super) struct Filters(Vec<Condition>);

fn refused<T>(text: String) -> Result<T, CliError> {
    Err(CliError::Usage(text))
}

impl Filters {
    /// Reads `--filter`.
    pub(super) fn of(args: &ArgMatches, layout: &Layout) -> Result<Self, CliError> {
        let texts = args.get_many::<String>("filter").into_iter().flatten();
        Self::parse(
            texts.map(String::as_str),
            layout,
            realtime().as_micros() as u64,
        )
    }

    fn parse<'a>(
        texts: impl Iterator<Item = &'a str>,
        layout: &Layout,
        now: u64,
    ) -> Result<Self, CliError> {
        let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                return refused(format!(
                    "filter input must be in the form of filter=value: {text} is invalid"
                ));
            };
            by_key.entry(key).or_default().push(value);
        }
        let all = by_key.iter();
        let all = all.map(|(key, values)| condition(key, values, layout, now));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// The volumes for which all holds.
    pub(super) fn choose(&self, layout: &Layout) -> Result<Vec<Volume>, CliError> {
        let mut all = volumes::list(layout)?;
        all.retain(|volume| {
            let used = || !users::users(layout, &volume.name).is_empty();
            self.0.iter().all(|condition| condition.fits(volume, &used))
        });
        Ok(all)
    }
}

fn condition(key: &str, values: &[&str], layout: &Layout, now: u64) -> Result<Condition, CliError> {
    let owned = || values.iter().map(|value| (*value).to_owned()).collect();
    let last = values.last().copied().unwrap_or_default();
    Ok(match key {
        "name" => Condition::Name(
            values
                .iter()
                .map(|text| pattern(text))
                .collect::<Result<_, _>>()?,
        ),
        "label" => Condition::Label(pairs(values), true),
        "label!" => Condition::Label(pairs(values), false),
        "driver" => Condition::Driver(owned()),
        "scope" => Condition::Scope(owned()),
        "dangling" => Condition::Dangling(
            values
                .iter()
                .map(|text| switch(text))
                .collect::<Result<_, _>>()?,
        ),
        "opt" => Condition::Option(pairs(values)),
        "until" => Condition::Before(until(last, now)?),
        "after" | "since" => {
            let name: Result<VolumeName, ObjectNameError> = last.parse();
            let name = name.or_else(|error| refused(error.to_string()))?;
            Condition::After(volumes::load(layout, &name)?.created)
        }
        _ => return refused(format!("{key:?} is an invalid volume filter")),
    })
}

fn pattern(text: &str) -> Result<Regex, CliError> {
    Regex::new(text).or_else(|error| refused(format!("filter name={text}: {error}")))
}

/// Podman's words for yes and no.
fn switch(text: &str) -> Result<bool, CliError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => refused(format!(
            "{text:?} is not a valid value for the \"dangling\" filter - must be true or false"
        )),
    }
}

fn pairs(values: &[&str]) -> Vec<Pair> {
    let pair = |value: &&str| match value.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => ((*value).to_owned(), None),
    };
    values.iter().map(pair).collect()
}

fn has(all: &BTreeMap<String, String>, (key, value): &Pair) -> bool {
    let own = all.get(key);
    own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
}

impl Condition {
    fn fits(&self, volume: &Volume, used: &dyn Fn() -> bool) -> bool {
        match self {
            Self::Name(patterns) => (patterns.iter()).any(|one| one.is_match(volume.name.as_str())),
            Self::Label(pairs, wanted) => {
                pairs.iter().all(|pair| has(&volume.labels, pair)) == *wanted
            }
            Self::Driver(names) | Self::Scope(names) => names.iter().any(|name| name == "local"),
            Self::Dangling(wanted) => {
                let unused = !used();
                wanted.contains(&unused)
            }
            Self::Option(pairs) => pairs.iter().any(|pair| has(&volume.options, pair)),
            Self::Before(time) => volume.created < *time,
            Self::After(time) => volume.created > *time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Volume {
            name: "data".parse().unwrap(),
            anonymous: false,
            created: 4_000_000,
            labels: [pair("a", "1")].into(),
            options: [pair("o", "uid=5")].into(),
        }
    }

    fn parse(texts: &[&str]) -> Result<Filters, CliError> {
        let layout = Layout::new("/nowhere");
        Filters::parse(texts.iter().copied(), &layout, 5_000_000)
    }

    #[test]
    fn every_kind_takes_and_leaves() {
        let fits = |texts: &[&str]| {
            let filters = parse(texts).unwrap();
            filters.0.iter().all(|one| one.fits(&volume(), &|| true))
        };
        for good in [
            "name=at",
            "name=^d",
            "label=a",
            "label=a=1",
            "label!=b",
            "label!=a=2",
            "driver=local",
            "scope=local",
            "dangling=false",
            "dangling=0",
            "opt=o",
            "opt=o=uid=5",
            "until=2030-01-01",
        ] {
            assert!(fits(&[good]), "{good}");
        }
        for bad in [
            "name=^a",
            "label=b",
            "label=a=2",
            "label!=a",
            "driver=x",
            "scope=global",
            "dangling=true",
            "opt=type",
            "opt=o=uid=6",
            "until=1h",
        ] {
            assert!(!fits(&[bad]), "{bad}");
        }
        assert!(fits(&["name=no", "name=data"]) && !fits(&["label=a", "label=b"]));
        assert!(fits(&["label!=a", "label!=b"]));
        assert!(!fits(&["name=data", "dangling=true"]));
    }

    #[test]
    fn wrong_filters_are_refused_in_podmans_words() {
        for (text, want) in [
            (
                "name",
                "filter input must be in the form of filter=value: name is invalid",
            ),
            (
                "anonymous=true",
                "\"anonymous\" is an invalid volume filter",
            ),
            (
                "dangling=maybe",
                "\"maybe\" is not a valid value for the \"dangling\" filter - must be true or false",
            ),
            (
                "until=1x",
                "failed to parse value as time or duration: \"1x\"",
            ),
            (
                "since=nope",
                "no volume with name \"nope\" found: no such volume",
            ),
        ] {
            let error = parse(&[text]).err().unwrap().to_string();
            assert_eq!(error, want);
        }
    }
}
