//! Image references as Podman reads them: `[domain/]path[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;
use super::error::{Error, Result};

/// A parsed reference; nothing is added that the user did not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host with optional port, if one was written.
    pub domain: Option<String>,
    /// Path components joined by `/`.
    pub path: String,
    /// The tag, if one was written.
    pub tag: Option<String>,
    /// The manifest digest, if one was written.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Domain and path.
    pub fn repository(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{domain}/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// The full name under which a local image is stored: `localhost/` before a name without a
    /// domain, `:latest` after one without a tag. A digest is dropped: the store knows its own.
    pub fn local_name(&self) -> String {
        format!("{}:{}", self.local_repository(), self.tag_or_latest())
    }

    fn local_repository(&self) -> String {
        match &self.domain {
            Some(domain) => docker_library(domain, &self.path),
            None => format!("localhost/{}", self.path),
        }
    }

    fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The repositories that this name may mean locally, in order.
    fn local_repositories(&self) -> Vec<String> {
        match self.domain {
            Some(_) => vec![self.local_repository()],
            None => vec![
                self.local_repository(),
                docker_library("docker.io", &self.path),
            ],
        }
    }

    /// The full local names to look for, in order.
    pub fn candidates(&self) -> Vec<String> {
        let tagged = |repository| format!("{repository}:{}", self.tag_or_latest());
        self.local_repositories().into_iter().map(tagged).collect()
    }

    /// Whether a full name (`repository:tag` or `repository@digest`) is in a repository that this reference may mean.
    pub fn has_repository_of(&self, full_name: &str) -> bool {
        let repository = full_name
            .split_once('@')
            .or_else(|| full_name.rsplit_once(':'))
            .map_or(full_name, |(left, _)| left);
        self.local_repositories()
            .iter()
            .any(|have| have == repository)
    }
}

/// Repository and tag of a full name; a port of a registry is no tag, nor is a digest.
pub fn split_tag(name: &str) -> (&str, Option<&str>) {
    if let Some((repository, _)) = name.split_once('@') {
        return (repository, None);
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// `docker.io/busybox` means `docker.io/library/busybox`.
fn docker_library(domain: &str, path: &str) -> String {
    if domain == "docker.io" && !path.contains('/') {
        format!("docker.io/library/{path}")
    } else {
        format!("{domain}/{path}")
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        parse(text).map_err(|why| Error::Reference {
            name: text.chars().take(300).collect(),
            why,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> std::result::Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (
            rest,
            Some(digest.parse().map_err(|_| "bad digest after @")?),
        ),
        None => (text, None),
    };
    let last_slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[last_slash..].rfind(':') {
        Some(colon) => (
            &rest[..last_slash + colon],
            Some(&rest[last_slash + colon + 1..]),
        ),
        None => (rest, None),
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, path)) if is_domain(first) => (Some(first), path),
        _ => (None, name),
    };
    if name.is_empty() {
        return Err("empty name");
    }
    if name.len() > 255 {
        return Err("longer than 255 bytes");
    }
    if let Some(domain) = domain {
        check_domain(domain)?;
    }
    if !path.split('/').all(is_path_component) {
        return Err("path must be lower-case letters, digits and single separators");
    }
    if !tag.is_none_or(is_tag) {
        return Err("bad tag after the colon");
    }
    Ok(Reference {
        domain: domain.map(str::to_owned),
        path: path.to_owned(),
        tag: tag.map(str::to_owned),
        digest,
    })
}

/// The rule that tells a host from the first part of a path (distribution reference grammar).
fn is_domain(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_domain(domain: &str) -> std::result::Result<(), &'static str> {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("bad port of the registry");
    }
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let ipv6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    if ipv6 || host.split('.').all(label) {
        Ok(())
    } else {
        Err("bad host of the registry")
    }
}

/// Alphanumerics with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(part: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    alnum(first)
        && alnum(last)
        && bytes
            .split(|&b| alnum(b))
            .all(|sep| matches!(sep, b"" | b"." | b"_" | b"__") || sep.iter().all(|&b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|&b| word(b))
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> String {
        text.parse::<Reference>().unwrap().local_name()
    }

    #[test]
    fn names_as_podman_stores_them() {
        for (given, stored) in [
            ("busybox", "localhost/busybox:latest"),
            ("busybox:latest", "localhost/busybox:latest"),
            ("v1.0", "localhost/v1.0:latest"),
            ("team/app:2", "localhost/team/app:2"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("docker.io/a/b:1", "docker.io/a/b:1"),
            ("host:5000/app", "host:5000/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("quay.io/a__b/c-d.e:x", "quay.io/a__b/c-d.e:x"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ] {
            assert_eq!(local(given), stored, "{given}");
        }
    }

    #[test]
    fn a_short_name_means_localhost_first_then_docker_io() {
        let candidates = "redis:7".parse::<Reference>().unwrap().candidates();
        assert_eq!(
            candidates,
            ["localhost/redis:7", "docker.io/library/redis:7"]
        );
    }

    #[test]
    fn digests_stay_and_print() {
        let text = format!("quay.io/a/b:1@sha256:{}", "0a".repeat(32));
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.to_string(), text);
        assert!(reference.has_repository_of("quay.io/a/b:other"));
        assert!(!reference.has_repository_of("quay.io/a/c:1"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            ":",
            "a:",
            "a//b",
            "/a",
            "a/",
            "A",
            "a:b:c/d",
            "a..b",
            "a___b",
            "-a",
            "a@sha256:1",
            "a@md5:00",
            "host:99999/a",
            "h_st.x/a",
            "../a",
            "a b",
            "a\nb",
            "a:-x",
            "\u{e9}",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(256).parse::<Reference>().is_err());
        assert!(
            format!("a:{}", "t".repeat(129))
                .parse::<Reference>()
                .is_err()
        );
    }
}
