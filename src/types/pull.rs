//! When an image is fetched: `--pull` of podman-run(1), `Pull=` of podman-systemd.unit(5).

use std::fmt;
use std::str::FromStr;

/// When an image is fetched although, or because, it is not here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PullPolicy {
    /// Every time; an error if that fails.
    Always,
    /// Only if it is not here.
    #[default]
    Missing,
    /// Never: it must be here.
    Never,
    /// If the registry has another one under this name, or if there is none here; no error if the registry cannot be
    /// asked and there is one.
    Newer,
}

impl PullPolicy {
    const WORDS: [(&'static str, PullPolicy); 4] = [
        ("always", PullPolicy::Always),
        ("missing", PullPolicy::Missing),
        ("never", PullPolicy::Never),
        ("newer", PullPolicy::Newer),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        let same = |(_, policy): &&(&str, PullPolicy)| *policy == self;
        let found = Self::WORDS.iter().find(same);
        found.map_or("missing", |(word, _)| word)
    }
}

impl FromStr for PullPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What Podman takes besides, for the sake of other tools.
        let word = match text.to_ascii_lowercase() {
            word if word == "true" => "always".to_owned(),
            word if word == "false" || word == "ifnotpresent" || word.is_empty() => {
                "missing".to_owned()
            }
            word if word == "ifnewer" => "newer".to_owned(),
            word => word,
        };
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        found
            .map(|(_, policy)| *policy)
            .ok_or_else(|| "it is always, missing, never or newer".to_owned())
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_podman() {
        for (text, policy) in [
            ("always", "always"),
            ("Always", "always"),
            ("true", "always"),
            ("", "missing"),
            ("false", "missing"),
            ("ifnotpresent", "missing"),
            ("never", "never"),
            ("newer", "newer"),
            ("ifnewer", "newer"),
        ] {
            let parsed: PullPolicy = text.parse().unwrap();
            assert_eq!(parsed.to_string(), policy, "{text}");
        }
        assert!("sometimes".parse::<PullPolicy>().is_err());
    }
}
