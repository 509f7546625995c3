//! The files of /etc and /run that are made for each run and bound over the root's own.

use std::path::PathBuf;

use oci_spec::runtime::Mount;

use super::files::{bind, user_mounts_on};
use super::{BundleFacts, hostname};
use crate::definition::{Definition, Network};

/// What the plan must know to make these files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EtcFacts {
    /// Directory that they are made in.
    pub directory: PathBuf,
    /// Contents of the host's resolv.conf.
    pub resolv_conf: String,
}

/// The files, and how they get to their places.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Etc {
    /// Files of the host with their contents.
    pub(super) files: Vec<(PathBuf, String)>,
    /// Mounts, in order.
    pub(super) mounts: Vec<Mount>,
}

pub(super) fn plan(definition: &Definition, facts: &BundleFacts) -> Etc {
    let host = hostname(definition, facts);
    let (facts, joined) = (&facts.etc, &facts.joined);
    let resolv = match &definition.options.network {
        Network::Host => facts.resolv_conf.clone(),
        Network::None | Network::Path(_) => String::new(),
        Network::Container(_) => joined.resolv_conf.clone().unwrap_or_default(),
    };
    let environment = format!(
        "engine=\"unitbox\"\nname=\"{}\"\nid=\"{}\"\nimage=\"{}\"\n",
        definition.name,
        definition.id,
        quoted(definition.source_name())
    );
    let all = [
        (
            "hosts",
            joined_hosts(joined.hosts.as_deref(), &host),
            "/etc/hosts",
        ),
        ("hostname", format!("{host}\n"), "/etc/hostname"),
        ("resolv.conf", resolv, "/etc/resolv.conf"),
        (".containerenv", environment, "/run/.containerenv"),
    ];
    let mut etc = Etc {
        files: Vec::new(),
        mounts: Vec::new(),
    };
    for (name, contents, target) in all {
        if user_mounts_on(definition, target) {
            continue;
        }
        let file = facts.directory.join(name);
        etc.mounts.push(bind(
            &file,
            target,
            &["bind", "nosuid", "nodev", "rprivate"],
        ));
        etc.files.push((file, contents));
    }
    etc
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

/// Who joins a network sees the hosts of its owner, and its own name.
fn joined_hosts(joined: Option<&str>, host: &str) -> String {
    let Some(text) = joined else {
        return hosts(host);
    };
    let known = text.split_whitespace().any(|word| word == host);
    let own = if known {
        String::new()
    } else {
        format!("127.0.1.1\t{host}\n")
    };
    format!("{text}{own}")
}

fn hosts(host: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n127.0.1.1\t{host}\n"
    )
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
