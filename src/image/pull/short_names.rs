//! What a name without a registry means: aliases and unqualified-search-registries of containers-registries.conf(5).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::image::error::{At, Error, Result};
use crate::image::reference::Reference;

const MAIN: &str = "/etc/containers/registries.conf";
const DROP_INS: &str = "/etc/containers/registries.conf.d";
/// Where Podman keeps what its users have chosen.
const CHOSEN: &str = "/var/cache/containers/short-name-aliases.conf";

/// What of the files concerns short names; the rest is skopeo's to read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<String>,
    aliases: BTreeMap<String, String>,
}

/// Whether a name may be looked for in several registries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// In all of them, in order: nobody is there to be asked.
    #[default]
    All,
    /// The user would have to choose.
    Enforcing,
}

/// All files together.
#[derive(Debug, Default)]
pub(super) struct ShortNames {
    registries: Vec<String>,
    /// The file that lists them.
    listed_in: String,
    mode: Mode,
    /// Name, what it means, and the file that says so.
    aliases: BTreeMap<String, (String, String)>,
}

/// Where to look for an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// References with a registry, in order.
    pub(super) candidates: Vec<Reference>,
    /// How they were found; for the user.
    pub(super) how: Option<String>,
}

impl ShortNames {
    /// Reads the host's files.
    ///
    /// # Errors
    /// One of them cannot be read or is malformed.
    pub(super) fn load() -> Result<ShortNames> {
        let variable = ["CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH"]
            .iter()
            .find_map(std::env::var_os);
        let main = variable.map_or(PathBuf::from(MAIN), PathBuf::from);
        let mut names = ShortNames {
            listed_in: main.display().to_string(),
            ..ShortNames::default()
        };
        let mut files = vec![main];
        files.extend(drop_ins(Path::new(DROP_INS))?);
        files.push(CHOSEN.into());
        for path in files {
            match fs::read_to_string(&path) {
                Ok(text) => names.add(&text, &path.display().to_string())?,
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err).at("read", path),
            }
        }
        Ok(names)
    }

    /// One more file, which overrides those before.
    fn add(&mut self, text: &str, path: &str) -> Result<()> {
        let wrong = |why: String| Error::Refused {
            what: path.to_owned(),
            why,
        };
        let file: File = basic_toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if let Some(registries) = file.unqualified_search_registries {
            (self.registries, self.listed_in) = (registries, path.to_owned());
        }
        self.mode = match file.short_name_mode.as_deref() {
            None | Some("") => self.mode,
            Some("permissive" | "disabled") => Mode::All,
            Some("enforcing") => Mode::Enforcing,
            Some(other) => {
                return Err(wrong(format!(
                    "invalid value {other:?} for short-name-mode"
                )));
            }
        };
        for (name, meaning) in file.aliases {
            match meaning.is_empty() {
                true => self.aliases.remove(&name),
                false => self.aliases.insert(name, (meaning, path.to_owned())),
            };
        }
        Ok(())
    }

    /// Where a name without a registry may lead; an alias alone, if there is one.
    ///
    /// # Errors
    /// Nowhere, or nobody can be asked which.
    pub(super) fn resolve(&self, name: &Reference) -> Result<Found> {
        if name.domain.is_some() {
            return Ok(Found {
                candidates: vec![name.clone()],
                how: None,
            });
        }
        if let Some((meaning, file)) = self.aliases.get(&name.path) {
            return Ok(Found {
                candidates: vec![full(meaning, name)?],
                how: Some(format!("Resolved \"{}\" as an alias ({file})", name.path)),
            });
        }
        if self.registries.is_empty() {
            return Err(Error::Pull(format!(
                "short-name \"{name}\" did not resolve to an alias and no unqualified-search registries are defined in \
                 \"{}\"",
                self.listed_in
            )));
        }
        if self.mode == Mode::Enforcing && self.registries.len() > 1 {
            return Err(Error::Pull(format!(
                "short-name resolution enforced but cannot prompt without a TTY: \"{name}\" may be in {}",
                self.registries.join(", ")
            )));
        }
        let repository = |registry: &String| full(&format!("{registry}/{}", name.path), name);
        let candidates = self.registries.iter().map(repository);
        Ok(Found {
            candidates: candidates.collect::<Result<_>>()?,
            how: Some(format!(
                "Resolving \"{}\" using unqualified-search registries ({})",
                name.path, self.listed_in
            )),
        })
    }

    /// The full names that a name without a registry may have here, in order.
    pub(super) fn local(&self, name: &Reference) -> Vec<String> {
        let alias = self
            .aliases
            .get(&name.path)
            .map(|(meaning, _)| meaning.clone());
        let searched = self.registries.iter();
        let searched = searched.map(|registry| format!("{registry}/{}", name.path));
        let meant = alias.into_iter().chain(searched);
        let full = meant.filter_map(|repository| full(&repository, name).ok());
        full.map(|name| super::origin::pulled_name(&name)).collect()
    }
}

/// A repository, with tag and digest of the short name.
fn full(repository: &str, name: &Reference) -> Result<Reference> {
    let reference: Reference = repository.parse()?;
    if reference.domain.is_none() || reference.tag.is_some() || reference.digest.is_some() {
        return Err(Error::Reference {
            name: repository.to_owned(),
            why: "a short name must mean a registry and a path, without tag and digest",
        });
    }
    Ok(Reference {
        tag: name.tag.clone(),
        digest: name.digest.clone(),
        ..reference
    })
}

/// The files that come on top, in order.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err).at("list", dir),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.at("list", dir)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(files: &[&str], name: &str) -> std::result::Result<Vec<String>, String> {
        let mut names = ShortNames {
            listed_in: "/main".to_owned(),
            ..ShortNames::default()
        };
        for file in files {
            names
                .add(file, "/main")
                .map_err(|error| error.to_string())?;
        }
        let found = names
            .resolve(&name.parse().unwrap())
            .map_err(|error| error.to_string())?;
        Ok(found.candidates.iter().map(ToString::to_string).collect())
    }

    const TWO: &str = "unqualified-search-registries = ['a.example', 'b.example:5000']\n\
        [[registry]]\nprefix = 'x.example'\nlocation = 'y.example'\n[[registry.mirror]]\nlocation = 'm'\n\
        [aliases]\n'app' = 'r.example/team/app'\n";

    #[test]
    fn an_alias_wins_then_every_registry_is_tried() {
        let two = [TWO];
        assert_eq!(meant(&two, "app:2").unwrap(), ["r.example/team/app:2"]);
        assert_eq!(
            meant(&two, "x/web").unwrap(),
            ["a.example/x/web", "b.example:5000/x/web"]
        );
        assert_eq!(meant(&two, "q.example/app").unwrap(), ["q.example/app"]);
    }

    #[test]
    fn later_files_override() {
        let later = "unqualified-search-registries = ['c.example']\nshort-name-mode = 'enforcing'\n[aliases]\napp = ''\n";
        assert_eq!(meant(&[TWO, later], "app").unwrap(), ["c.example/app"]);
        let error = meant(&[TWO, "short-name-mode = 'enforcing'"], "web").unwrap_err();
        assert!(error.contains("cannot prompt"), "{error}");
        let error = meant(&[TWO, "short-name-mode = 'odd'"], "web").unwrap_err();
        assert!(error.contains("/main") && error.contains("odd"), "{error}");
        let error = meant(&["[aliases]\napp = 'nowhere'"], "app").unwrap_err();
        assert!(error.contains("nowhere"), "{error}");
    }

    #[test]
    fn nowhere_to_look_is_told_in_podmans_words() {
        assert_eq!(
            meant(&[], "nope:1").unwrap_err(),
            "short-name \"nope:1\" did not resolve to an alias and no unqualified-search registries are defined in \"/main\""
        );
    }
}
