//! What of a file is for its unit as it is: links of `[Install]`, lines that pass through.

use sha2::{Digest, Sha256};

use super::service::compiled;
use super::{Entry, FileError, Section, UnitFile, is_template, words};
use crate::definition::unit_file::service::truth;
use crate::types::ContainerId;

/// The id of the container of a unit: the same as long as host and unit have their names.
pub fn id_of(machine: &str, unit: &str) -> ContainerId {
    let mut digest = Sha256::new();
    for part in ["unitbox unit", machine, unit] {
        digest.update(part);
        digest.update([0]);
    }
    ContainerId::from_random(digest.finalize().into())
}

/// Whether the network is to be up before a unit (`[Quadlet] DefaultDependencies=`).
pub fn wants_network(file: &UnitFile) -> bool {
    let section = file.section("Quadlet");
    let entry = section.and_then(|section| section.last("DefaultDependencies"));
    entry.is_none_or(|entry| truth(&entry.value).unwrap_or(true))
}

/// Whether an assignment is for the unit as it stands.
pub fn passes(section: &Section, entry: &Entry) -> bool {
    section.name != "Service" || !compiled(&entry.key)
}

/// Links that `[Install]` asks for: path below the directory of units, and where it leads. A template has them by its
/// `DefaultInstance=` only.
///
/// # Errors
/// A name that cannot be one of a unit.
pub fn links(file: &UnitFile, service: &str) -> Result<Vec<(String, String)>, Vec<FileError>> {
    let Some(section) = file.section("Install") else {
        return Ok(Vec::new());
    };
    let (mut links, mut errors) = (Vec::new(), Vec::new());
    let instance = section
        .last("DefaultInstance")
        .map(|entry| entry.value.as_str());
    let own = match (is_template(service), instance) {
        (false, _) => Some(service.to_owned()),
        (true, Some(instance)) => Some(service.replace("@.", &format!("@{instance}."))),
        (true, None) => None,
    };
    for (key, suffix) in [
        ("WantedBy", "wants"),
        ("RequiredBy", "requires"),
        ("UpheldBy", "upholds"),
        ("Alias", ""),
    ] {
        for entry in section.all(key) {
            let names = words::split(&entry.value).unwrap_or_else(|reason| {
                errors.push(entry.error(format!("{key}=: {reason}")));
                Vec::new()
            });
            for name in names {
                if !is_unit(&name) {
                    errors.push(entry.error(format!("{key}=: {name:?} is not the name of a unit")));
                } else if key == "Alias" {
                    links.push((name, service.to_owned()));
                } else if let Some(own) = &own {
                    links.push((format!("{name}.{suffix}/{own}"), format!("../{service}")));
                }
            }
        }
    }
    match errors.is_empty() {
        true => Ok(links),
        false => Err(errors),
    }
}

/// A name without directories that has a suffix.
fn is_unit(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let suffix = name
        .rsplit_once('.')
        .is_some_and(|(stem, suffix)| !stem.is_empty() && !suffix.is_empty());
    suffix && name.len() < 256 && name.bytes().all(good) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn links_of(name: &str, text: &str) -> Result<Vec<(String, String)>, Vec<FileError>> {
        let file = super::super::parse(Path::new("/x/web.container"), text).unwrap();
        links(&file, name)
    }

    #[test]
    fn links_are_systemctls() {
        let pair = |path: &str, target: &str| (path.to_owned(), target.to_owned());
        let text = "[Install]\nWantedBy=a.target b.target\nRequiredBy=c.service\nAlias=w.service\n";
        let expected = [
            pair("a.target.wants/web.service", "../web.service"),
            pair("b.target.wants/web.service", "../web.service"),
            pair("c.service.requires/web.service", "../web.service"),
            pair("w.service", "web.service"),
        ];
        assert_eq!(links_of("web.service", text).unwrap(), expected);
        let text = "[Install]\nWantedBy=a.target\nDefaultInstance=x\n";
        let expected = [pair("a.target.wants/web@x.service", "../web@.service")];
        assert_eq!(links_of("web@.service", text).unwrap(), expected);
        assert_eq!(
            links_of("web@.service", "[Install]\nWantedBy=a.target\n").unwrap(),
            []
        );
    }

    #[test]
    fn no_link_leaves_the_directory() {
        for bad in [
            "../x.service",
            "/etc/x.service",
            "x",
            "..",
            ".x.service",
            "a/b.target",
        ] {
            let text = format!("[Install]\nAlias={bad}\nWantedBy={bad}\n");
            assert_eq!(
                links_of("web.service", &text).unwrap_err().len(),
                2,
                "{bad}"
            );
        }
    }
}
