//! Podman's store, if there is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Origin, Transport};
use crate::image::error::{Error, Result};
use crate::image::reference::Reference;

/// containers-storage.conf(5); the first that is there counts.
const FILES: [&str; 2] = [
    "etc/containers/storage.conf",
    "usr/share/containers/storage.conf",
];
const USUAL: &str = "var/lib/containers/storage";

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    storage: Storage,
}

#[derive(Default, Deserialize)]
struct Storage {
    graphroot: Option<PathBuf>,
    #[serde(flatten)]
    _others: BTreeMap<String, serde::de::IgnoredAny>,
}

/// Refuses a store that is not there: skopeo would make one.
pub(super) fn check(root: &Path) -> Result<()> {
    let text = FILES
        .iter()
        .find_map(|file| fs::read_to_string(root.join(file)).ok());
    let file: File = text
        .and_then(|text| basic_toml::from_str(&text).ok())
        .unwrap_or_default();
    let dir = file.storage.graphroot.unwrap_or_else(|| root.join(USUAL));
    if dir.is_dir() {
        return Ok(());
    }
    Err(Error::Pull(format!(
        "containers-storage: there is no {}, Podman has no images here",
        dir.display()
    )))
}

/// What a name may mean there: Podman looks for short ones below localhost first; digits may be an id.
pub(super) fn candidates(name: &str) -> Vec<Origin> {
    let origin = |path: String| Origin::Local {
        transport: Transport::Storage,
        path,
        image: None,
    };
    let mut all = Vec::new();
    if let Ok(reference) = name.parse::<Reference>() {
        match (&reference.digest, &reference.domain) {
            (None, _) => all.extend(reference.candidates().into_iter().map(origin)),
            (Some(_), Some(_)) => all.push(origin(super::origin::pulled_name(&reference))),
            (Some(_), None) => all.push(origin(name.to_owned())),
        }
    }
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && (3..=64).contains(&digits.len()) {
        all.push(origin(format!("@{digits}")));
    }
    if all.is_empty() {
        all.push(origin(name.to_owned()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_ids_are_tried() {
        let tried = |name: &str| -> Vec<String> {
            candidates(name).iter().map(Origin::for_skopeo).collect()
        };
        assert_eq!(
            tried("app:1"),
            [
                "containers-storage:localhost/app:1",
                "containers-storage:docker.io/library/app:1"
            ]
        );
        assert_eq!(tried("r.x/app"), ["containers-storage:r.x/app:latest"]);
        assert_eq!(
            tried("abc123").last().unwrap(),
            "containers-storage:@abc123"
        );
    }

    #[test]
    fn no_store_is_made_by_asking() {
        let root = std::env::temp_dir().join(format!("unitbox-storage-{}", std::process::id()));
        fs::create_dir_all(root.join("etc/containers")).unwrap();
        assert!(
            check(&root)
                .unwrap_err()
                .to_string()
                .contains("containers/storage")
        );
        let own = root.join("own");
        let text = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\n",
            own.display()
        );
        fs::write(root.join(FILES[0]), text).unwrap();
        assert!(check(&root).unwrap_err().to_string().contains("own"));
        fs::create_dir(&own).unwrap();
        check(&root).unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
