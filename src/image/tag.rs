//! Names that images get and lose.

use std::collections::HashSet;

use super::error::{Error, Result};
use super::local::{Images, Listed};
use super::reference::Reference;

impl Images {
    /// Gives an image more names (podman-tag(1)). A name that another image has moves; that image
    /// stays, without a name if it was the last. All or nothing.
    ///
    /// # Errors
    /// There is no such image, or a name is none: nothing is changed.
    pub fn tag(&self, image: &str, names: &[String]) -> Result<()> {
        let names = names
            .iter()
            .map(|name| full_name(name, "tag by digest not supported"))
            .collect::<Result<Vec<_>>>()?;
        let _staging = self.lock_staging()?;
        let _index = self.lock_index()?;
        let mut listed = self.read_index()?;
        let image = self.resolve(image)?;
        let of_image = listed.iter().find(|line| digest_is(line, &image.digest));
        let manifest = of_image
            .map(|line| line.manifest.clone())
            .ok_or_else(|| Error::NotFound(image.id.clone()))?;
        for name in names {
            for line in &mut listed {
                if line.name.as_ref() == Some(&name) {
                    line.name = None;
                }
            }
            listed.push(Listed {
                name: Some(name),
                manifest: manifest.clone(),
            });
        }
        self.write_index(tidy(listed)?)
    }

    /// Takes names from an image, or all that it has (podman-untag(1)); the image stays. All or
    /// nothing.
    ///
    /// # Errors
    /// There is no such image, or it has no such name: nothing is changed.
    pub fn untag(&self, image: &str, names: &[String]) -> Result<()> {
        let names = names
            .iter()
            .map(|name| full_name(name, "untag by digest not supported"))
            .collect::<Result<Vec<_>>>()?;
        let _staging = self.lock_staging()?;
        let _index = self.lock_index()?;
        let mut listed = self.read_index()?;
        let image = self.resolve(image)?;
        if let Some(name) = names.iter().find(|name| !image.names.contains(name)) {
            return Err(Error::NoSuchName(name.clone()));
        }
        for line in &mut listed {
            let is_meant = |name: &String| names.is_empty() || names.contains(name);
            if digest_is(line, &image.digest) && line.name.as_ref().is_some_and(is_meant) {
                line.name = None;
            }
        }
        self.write_index(tidy(listed)?)
    }
}

fn digest_is(line: &Listed, digest: &super::Digest) -> bool {
    line.digest().is_ok_and(|own| own == *digest)
}

/// The full name that a text stands for; one with a digest is refused with these words.
pub(super) fn full_name(text: &str, no_digest: &'static str) -> Result<String> {
    let reference = text.parse::<Reference>()?;
    match reference.digest {
        None => Ok(reference.local_name()),
        Some(_) => Err(Error::Reference {
            name: text.to_owned(),
            why: no_digest,
        }),
    }
}

/// One line for each name of an image, or one without a name.
pub(super) fn tidy(all: Vec<Listed>) -> Result<Vec<Listed>> {
    let mut seen = HashSet::new();
    let mut named = HashSet::new();
    for line in all.iter().filter(|line| line.name.is_some()) {
        named.insert(line.digest()?);
    }
    let mut merged = Vec::new();
    for line in all {
        let digest = line.digest()?;
        let superfluous = line.name.is_none() && named.contains(&digest);
        if !superfluous && seen.insert((digest, line.name.clone())) {
            merged.push(line);
        }
    }
    Ok(merged)
}
