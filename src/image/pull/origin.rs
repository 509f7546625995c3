//! Where an image comes from or goes to, as the user writes it (containers-transports(5)).

use std::path::Path;

use crate::image::error::{Error, Result};
use crate::image::reference::Reference;

/// A place of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A registry, or a short name that may be in several.
    Registry(Reference),
    /// Anything else.
    Local {
        /// Its transport.
        transport: Transport,
        /// The absolute path; for [`Transport::Storage`] the name there.
        path: String,
        /// The image in it, if it was named.
        image: Option<String>,
    },
}

/// Places that are no registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A directory in the form of an OCI image layout.
    Oci,
    /// An archive of one.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// A directory in skopeo's own form.
    Dir,
    /// Podman's store.
    Storage,
}

const TRANSPORTS: [(&str, Transport); 5] = [
    ("oci", Transport::Oci),
    ("oci-archive", Transport::OciArchive),
    ("docker-archive", Transport::DockerArchive),
    ("dir", Transport::Dir),
    ("containers-storage", Transport::Storage),
];

/// Transports that skopeo has and we have not.
const OTHERS: [&str; 5] = ["atomic", "docker-daemon", "ostree", "sif", "tarball"];

impl Transport {
    pub(super) fn word(self) -> &'static str {
        let same = |(_, transport): &&(&str, Transport)| *transport == self;
        let found = TRANSPORTS.iter().find(same);
        found.map_or("dir", |(word, _)| word)
    }
}

impl Origin {
    /// Reads `TRANSPORT:DETAILS`, or a name.
    ///
    /// # Errors
    /// It is neither, or a transport that is not there.
    pub fn parse(text: &str) -> Result<Origin> {
        let Some((word, details)) = text.split_once(':') else {
            return text.parse().map(Origin::Registry);
        };
        if word == "docker" {
            let Some(name) = details.strip_prefix("//") else {
                return refuse(text, "docker: must be followed by //");
            };
            return name.parse().map(Origin::Registry);
        }
        if OTHERS.contains(&word) {
            return Err(Error::Pull(format!(
                "{text}: transport {word} is not supported; use skopeo copy to an oci-archive"
            )));
        }
        let known = TRANSPORTS.iter().find(|(known, _)| *known == word);
        let Some((_, transport)) = known else {
            return text.parse().map(Origin::Registry);
        };
        if details.is_empty() {
            return refuse(text, "nothing behind the transport");
        }
        if details.chars().any(char::is_control) {
            return refuse(text, "control characters in it");
        }
        local(*transport, details)
    }

    /// What skopeo calls it; a name with tag and digest is that of the digest.
    pub(super) fn for_skopeo(&self) -> String {
        match self {
            Self::Registry(name) => format!("docker://{}", pulled_name(name)),
            Self::Local {
                transport,
                path,
                image,
            } => {
                let image = image.as_ref().map(|image| format!(":{image}"));
                format!("{}:{path}{}", transport.word(), image.unwrap_or_default())
            }
        }
    }
}

fn local(transport: Transport, details: &str) -> Result<Origin> {
    let (path, image) = match (transport, details.split_once(':')) {
        (Transport::Dir | Transport::Storage, _) | (_, None) => (details, None),
        (_, Some((path, image))) => (path, Some(image).filter(|image| !image.is_empty())),
    };
    let path = match transport {
        Transport::Storage => path.to_owned(),
        // skopeo has another working directory.
        _ => std::path::absolute(Path::new(path))
            .map_err(|source| Error::Io {
                action: "find",
                path: path.into(),
                source,
            })?
            .display()
            .to_string(),
    };
    Ok(Origin::Local {
        transport,
        path,
        image: image.map(str::to_owned),
    })
}

fn refuse<T>(text: &str, why: &'static str) -> Result<T> {
    Err(Error::Reference {
        name: text.chars().take(300).collect(),
        why,
    })
}

/// The full name that is asked for: with a digest the tag says nothing, without both it is `latest`.
pub(super) fn pulled_name(name: &Reference) -> String {
    let tagged = Reference {
        digest: None,
        ..name.clone()
    };
    let tagged = tagged.local_name();
    match &name.digest {
        None => tagged,
        Some(digest) => {
            let repository = tagged.rsplit_once(':').map_or(&*tagged, |(name, _)| name);
            format!("{repository}@{digest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skopeo(text: &str) -> String {
        Origin::parse(text).unwrap().for_skopeo()
    }

    #[test]
    fn places_as_skopeo_names_them() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (given, named) in [
            (
                "docker.io/busybox",
                "docker://docker.io/library/busybox:latest",
            ),
            ("docker://r:5000/a/b:1", "docker://r:5000/a/b:1"),
            ("r:5000/a", "docker://r:5000/a:latest"),
            ("oci:/a/b", "oci:/a/b"),
            ("oci:/a/b:name:1", "oci:/a/b:name:1"),
            ("oci-archive:/a.tar:x", "oci-archive:/a.tar:x"),
            ("docker-archive:/a.tar:x/y:1", "docker-archive:/a.tar:x/y:1"),
            ("dir:/a:b", "dir:/a:b"),
            (
                "containers-storage:localhost/x:1",
                "containers-storage:localhost/x:1",
            ),
        ] {
            assert_eq!(skopeo(given), named);
        }
        let both = format!("r.x/a:1@{digest}");
        assert_eq!(skopeo(&both), format!("docker://r.x/a@{digest}"));
        assert!(skopeo("dir:here").starts_with("dir:/"));
    }

    #[test]
    fn nonsense_and_other_transports_are_refused() {
        for bad in [
            "",
            "oci:",
            "docker:x",
            "docker-daemon:x:1",
            "dir:a\nb",
            "ostree:x",
            "A:B/c",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad:?}");
        }
    }
}
