//! The files of /etc and /run that are made for each run and bound over the root's own.

use std::net::IpAddr;
use std::path::PathBuf;

use oci_spec::runtime::Mount;

use super::files::{bind, user_mounts_on};
use super::{BundleFacts, hostname, is_privileged, resolv};
use crate::definition::{Definition, DefinitionError, Network, Source};

/// What the plan must know to make these files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EtcFacts {
    /// Directory that they are made in.
    pub directory: PathBuf,
    /// Contents of the host's resolv.conf.
    pub resolv_conf: String,
    /// What /etc/hosts begins with.
    pub base_hosts: String,
    /// The host's address, as containers may use it.
    pub host_address: Option<IpAddr>,
    /// Account files with entries that a read-only root cannot get: path and contents.
    pub accounts: Vec<(&'static str, String)>,
    /// The file of the time zone.
    pub zone: Option<PathBuf>,
}

/// The files, and how they get to their places.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Etc {
    /// Files of the host with their contents.
    pub(super) files: Vec<(PathBuf, String)>,
    /// Files of the host to be copied: from and to.
    pub(super) copies: Vec<(PathBuf, PathBuf)>,
    /// Mounts, in order.
    pub(super) mounts: Vec<Mount>,
}

/// Whether /etc/hosts is ours.
pub(super) fn makes_hosts(definition: &Definition, facts: &BundleFacts) -> bool {
    let wish = definition.options.etc.no_hosts;
    wish.or(facts.conf.containers.no_hosts) != Some(true)
}

pub(super) fn plan(definition: &Definition, facts: &BundleFacts) -> Result<Etc, DefinitionError> {
    let options = &definition.options;
    let host = hostname(definition, facts);
    let mut etc = Etc::default();
    let mut add = |name: &str, target: &str, contents: Option<String>| {
        if user_mounts_on(definition, target) {
            return;
        }
        let file = facts.etc.directory.join(name);
        etc.mounts.push(bind(&file, target, &["bind", "rprivate"]));
        match (contents, &facts.etc.zone) {
            (Some(contents), _) => etc.files.push((file, contents)),
            (None, Some(zone)) => etc.copies.push((zone.clone(), file)),
            (None, None) => {}
        }
    };
    if makes_hosts(definition, facts) {
        add(
            "hosts",
            "/etc/hosts",
            Some(hosts(definition, facts, &host)?),
        );
    }
    if !options.etc.no_hostname {
        add("hostname", "/etc/hostname", Some(format!("{host}\n")));
    }
    if let Some(contents) = resolv::plan(definition, facts)? {
        add("resolv.conf", "/etc/resolv.conf", Some(contents));
    }
    for (target, contents) in &facts.etc.accounts {
        let name = target.rsplit('/').next().unwrap_or(target);
        add(name, target, Some(contents.clone()));
    }
    let environment = match is_privileged(definition, &facts.conf) {
        true => environment(definition),
        // What it would tell is nobody's business in a container.
        false => String::new(),
    };
    add(".containerenv", "/run/.containerenv", Some(environment));
    if facts.etc.zone.is_some() {
        add("localtime", "/etc/localtime", None);
    }
    Ok(etc)
}

/// What programs in a privileged container may know of it.
fn environment(definition: &Definition) -> String {
    let (image, image_id) = match &definition.source {
        Source::Image { name, id } => (name.as_str(), id.as_str()),
        Source::Rootfs { .. } => ("", ""),
    };
    format!(
        "engine=\"unitbox-{}\"\nname=\"{}\"\nid=\"{}\"\nimage=\"{}\"\nimageid=\"{image_id}\"\nrootless=0\n",
        env!("CARGO_PKG_VERSION"),
        definition.name,
        definition.id,
        quoted(image)
    )
}

/// What stands between double quotes of a file that shells read, as os-release(5) has it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The user's lines first, since the first of a name counts; then the base; then what is missing.
fn hosts(
    definition: &Definition,
    facts: &BundleFacts,
    host: &str,
) -> Result<String, DefinitionError> {
    // Who joins a network sees the hosts of its owner, and itself.
    if let Some(text) = &facts.joined.hosts {
        let own = format!("127.0.0.1\t{host} {}\n", definition.name);
        return Ok(text.clone() + &own);
    }
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for entry in &definition.options.etc.hosts {
        let address = entry.address.or(facts.etc.host_address);
        let address = address.ok_or(DefinitionError::NoHostAddress)?;
        lines.push((address.to_string(), entry.names.clone()));
    }
    for line in facts.etc.base_hosts.lines() {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace().map(str::to_owned);
        if let (Some(address), names) = (words.next(), words.collect::<Vec<_>>())
            && !names.is_empty()
        {
            lines.push((address, names));
        }
    }
    let mut own: Vec<(String, Vec<&str>)> = vec![
        ("127.0.0.1".to_owned(), vec!["localhost"]),
        ("::1".to_owned(), vec!["localhost"]),
    ];
    if let Some(address) = facts.etc.host_address {
        let names = vec!["host.containers.internal", "host.docker.internal"];
        own.push((address.to_string(), names));
    }
    if definition.options.network == Network::None {
        let names = vec![host, definition.name.as_str()];
        own.push(("127.0.0.1".to_owned(), names));
    }
    let taken = |name: &str| {
        lines
            .iter()
            .any(|(_, names)| names.iter().any(|n| n == name))
    };
    let mut out = String::new();
    let missing = own.iter().filter_map(|(address, names)| {
        let free: Vec<&str> = names.iter().copied().filter(|name| !taken(name)).collect();
        (!free.is_empty()).then(|| format!("{address}\t{}\n", free.join(" ")))
    });
    let missing: String = missing.collect();
    for (address, names) in &lines {
        out.push_str(&format!("{address}\t{}\n", names.join(" ")));
    }
    Ok(out + &missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_cannot_leave_its_quotes() {
        assert_eq!(
            quoted("/srv/a\"b\\$c`\nid=x d:e"),
            "/srv/a\\\"b\\\\\\$c\\`id=x d:e"
        );
    }
}
