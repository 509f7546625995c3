//! `--filter` of images (podman-images(1)).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::error::CliError;
use crate::cli::filter::until;
use crate::cli::moment::date;
use crate::image::{Image, Images, reference};
use crate::sys::glob;
use crate::sys::time::Stamp;

/// One condition.
enum Condition {
    Dangling(bool),
    Intermediate(bool),
    Label(String, Option<String>),
    /// Images by id, as a name fits them, and a pattern.
    Reference(Option<String>, String),
    /// The beginning of the id.
    Id(String),
    /// The beginning of the digest.
    Digest(String),
    /// Made before this time, microseconds since the epoch.
    Before(u64),
    Since(u64),
    Containers(bool),
    /// What holds of every image or of none: nothing here is read-only or a list.
    Always(bool),
}

/// Conditions by key: of each key one must hold, or for keys that end in `!` none.
#[derive(Default)]
pub(in crate::cli) struct ImageFilters {
    by_key: BTreeMap<String, Vec<Condition>>,
}

fn refused<T>(text: String) -> Result<T, CliError> {
    Err(CliError::Usage(text))
}

impl ImageFilters {
    /// Reads words of the form KEY=VALUE or KEY!=VALUE; `now` in microseconds since the epoch.
    pub(in crate::cli) fn parse<'a>(
        texts: impl Iterator<Item = &'a str>,
        store: &Images,
        now: u64,
    ) -> Result<Self, CliError> {
        let mut filters = Self::default();
        let mut truths: BTreeMap<String, &str> = BTreeMap::new();
        for text in texts {
            let pair = text.split_once('=').map(|(key, value)| (key, value.trim()));
            let Some((key, value)) = pair else {
                return unknown(text);
            };
            let bare = key.strip_suffix('!').unwrap_or(key);
            let condition = condition(bare, value, store, now)?;
            if matches!(
                condition,
                Condition::Dangling(_) | Condition::Intermediate(_) | Condition::Always(_)
            ) && truths
                .insert(key.to_owned(), value)
                .is_some_and(|old| old != value)
            {
                return refused(format!(
                    "specifying {key:?} filter more than once with different values is not supported"
                ));
            }
            filters
                .by_key
                .entry(key.to_owned())
                .or_default()
                .push(condition);
        }
        Ok(filters)
    }

    /// Whether there is a condition of this key.
    pub(in crate::cli) fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// Whether an image, of all that there are, fits; `used` says whether containers have it.
    pub(in crate::cli) fn fit(
        &self,
        image: &Image,
        all: &[Image],
        used: &dyn Fn(&str) -> bool,
    ) -> bool {
        self.by_key.iter().all(|(key, conditions)| {
            let mut fits = conditions.iter().map(|one| one.fits(image, all, used));
            match (key.as_str(), key.ends_with('!')) {
                (_, true) => fits.all(|fits| !fits),
                ("label", _) => fits.all(|fits| fits),
                _ => fits.any(|fits| fits),
            }
        })
    }
}

fn unknown<T>(key: &str) -> Result<T, CliError> {
    refused(format!(
        "invalid image filter {key:?}: must be in the format \"filter=value or filter!=value\""
    ))
}

fn condition(key: &str, value: &str, store: &Images, now: u64) -> Result<Condition, CliError> {
    let made = |value: &str| match store.resolve(value) {
        Ok(image) => Ok(created(&image)),
        Err(error) => refused(format!(
            "could not find local image for filter {key:?}={value:?}: {error}"
        )),
    };
    Ok(match key {
        "dangling" => Condition::Dangling(truth(key, value)?),
        "intermediate" => Condition::Intermediate(truth(key, value)?),
        "readonly" | "manifest" => Condition::Always(!truth(key, value)?),
        "label" => match value.split_once('=') {
            Some((key, value)) => Condition::Label(key.to_owned(), Some(value.to_owned())),
            None => Condition::Label(value.to_owned(), None),
        },
        "reference" => {
            let meant = store.resolve(value).ok().map(|image| image.id);
            Condition::Reference(meant, value.to_owned())
        }
        "id" => {
            let id = value.strip_prefix("sha256:").unwrap_or(value);
            Condition::Id(id.to_owned())
        }
        "digest" => match value.strip_prefix("sha256:") {
            Some(hex) => Condition::Digest(hex.to_owned()),
            None => return refused(format!("invalid value {value:?} for digest filter")),
        },
        "before" => Condition::Before(made(value)?),
        "since" | "after" => Condition::Since(made(value)?),
        "until" => Condition::Before(until(value, now)?),
        "containers" => match value {
            // There are no containers of others in the store.
            "external" => Condition::Always(false),
            value => match boolean(value) {
                Some(wanted) => Condition::Containers(wanted),
                None => {
                    return refused(format!("unsupported value {value:?} for containers filter"));
                }
            },
        },
        _ => return unknown(key),
    })
}

/// Go's words for true and false.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn truth(key: &str, value: &str) -> Result<bool, CliError> {
    match boolean(value) {
        Some(truth) => Ok(truth),
        None => refused(format!("non-boolean value {value:?} for {key} filter")),
    }
}

/// Whether it has no name, and others are made of it.
pub(in crate::cli) fn is_intermediate(image: &Image, all: &[Image]) -> bool {
    image.names.is_empty() && all.iter().any(|other| image.is_parent_of(other))
}

/// Whether it has no name, and nothing is made of it.
pub(in crate::cli) fn is_dangling(image: &Image, all: &[Image]) -> bool {
    image.names.is_empty() && !is_intermediate(image, all)
}

/// RFC 3339 without a fraction, as Go writes it, of microseconds since the epoch.
pub(super) fn seconds_of(micros: u64) -> String {
    let stamp = Stamp::local(Duration::from_micros(micros));
    let text = stamp.as_str();
    let zone = text.get(text.len().saturating_sub(6)..).unwrap_or_default();
    let zone = if zone == "+00:00" { "Z" } else { zone };
    text.split('.').next().unwrap_or_default().to_owned() + zone
}

/// When an image was made, microseconds since the epoch.
pub(super) fn created(image: &Image) -> u64 {
    moment_of(image.created.as_deref())
}

/// A time that an image tells, microseconds since the epoch; 0: it tells none.
pub(super) fn moment_of(text: Option<&str>) -> u64 {
    text.and_then(date).unwrap_or(0)
}

impl Condition {
    fn fits(&self, image: &Image, all: &[Image], used: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Dangling(wanted) => is_dangling(image, all) == *wanted,
            Self::Intermediate(wanted) => is_intermediate(image, all) == *wanted,
            Self::Label(key, value) => {
                let own = image.config.labels.get(key);
                own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
            }
            Self::Reference(meant, pattern) => {
                let meant = meant.as_ref() == Some(&image.id);
                meant || image.names.iter().any(|name| has_form(name, pattern))
            }
            Self::Id(start) => image.id.starts_with(start.as_str()),
            Self::Digest(start) => image.digest.hex().starts_with(start.as_str()),
            Self::Before(time) => created(image) < *time,
            Self::Since(time) => created(image) > *time,
            Self::Containers(wanted) => used(&image.id) == *wanted,
            Self::Always(holds) => *holds,
        }
    }
}

/// Whether a pattern fits a full name, with or without its registry, its path and its tag.
fn has_form(name: &str, pattern: &str) -> bool {
    let forms = |name: &str| -> Vec<String> {
        let path = name.split_once('/').map_or(name, |(_, path)| path);
        let last = name.rsplit('/').next().unwrap_or(name);
        [name, path, last].map(str::to_owned).to_vec()
    };
    let (repository, _) = reference::split_tag(name);
    let all = forms(name).into_iter().chain(forms(repository));
    all.into_iter()
        .any(|form| glob::matches_path(pattern, &form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_every_form_of_a_name_and_no_slash() {
        let name = "host:5000/team/app:1";
        for good in [
            "host:5000/team/app:1",
            "host:5000/team/app",
            "team/app:1",
            "team/app",
            "app:1",
            "app",
            "a*",
            "*/app",
            "host*/*/app",
        ] {
            assert!(has_form(name, good), "{good}");
        }
        for bad in ["host*", "*/a", "ap", "1", "host:5000", "*/*/*/*"] {
            assert!(!has_form(name, bad), "{bad}");
        }
    }

    #[test]
    fn wrong_filters_are_refused_in_podmans_words() {
        let dir = std::env::temp_dir().join(format!("unitbox-filter-{}", std::process::id()));
        let store = Images::open(&dir).unwrap();
        for (texts, want) in [
            (
                &["nosuch=1"][..],
                "invalid image filter \"nosuch\": must be in the format \"filter=value or filter!=value\"",
            ),
            (
                &["dangling"],
                "invalid image filter \"dangling\": must be in the format \"filter=value or filter!=value\"",
            ),
            (
                &["dangling=maybe"],
                "non-boolean value \"maybe\" for dangling filter",
            ),
            (&["digest=sha"], "invalid value \"sha\" for digest filter"),
            (
                &["containers=foo"],
                "unsupported value \"foo\" for containers filter",
            ),
            (
                &["until=x"],
                "failed to parse value as time or duration: \"x\"",
            ),
            (
                &["before=nope"],
                "could not find local image for filter \"before\"=\"nope\": nope: image not known",
            ),
            (
                &["dangling=true", "dangling=false"],
                "specifying \"dangling\" filter more than once with different values is not supported",
            ),
        ] {
            let error = ImageFilters::parse(texts.iter().copied(), &store, 0)
                .err()
                .unwrap();
            assert_eq!(error.to_string(), want);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
