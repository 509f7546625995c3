//! /etc/resolv.conf of the container (resolv.conf(5)).

use std::net::IpAddr;

use super::BundleFacts;
use crate::definition::{Definition, DefinitionError, Network};

/// Whether a host's file has nothing but systemd-resolved's stub, which containers cannot always reach
/// (systemd-resolved.service(8)): then its real file counts.
pub fn is_stub(text: &str) -> bool {
    let mut servers = values(text, "nameserver");
    servers.next() == Some("127.0.0.53") && servers.next().is_none()
}

fn values<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| {
        let (word, rest) = line.trim().split_once(char::is_whitespace)?;
        (word == key).then(|| rest.trim())
    })
}

/// The words of the last line of this kind.
fn last<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let line = values(text, key).last().unwrap_or("");
    line.split_whitespace().collect()
}

/// The contents; none: the image's own stays.
pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
) -> Result<Option<String>, DefinitionError> {
    let options = &definition.options.etc;
    let conf = &facts.conf.containers;
    let by_conf = options.dns.is_empty() && conf.dns_servers.values().iter().any(|s| s == "none");
    if definition.options.network == Network::None || options.no_dns || by_conf {
        return Ok(None);
    }
    if let Network::Container(_) = definition.options.network {
        // It shares its owner's, whatever that is.
        return Ok(facts.joined.resolv_conf.clone());
    }
    let host = facts.etc.resolv_conf.as_str();
    let servers = servers(definition, facts)?;
    let wished = |own: &[String], conf: &[String], key| -> Vec<String> {
        let list = if own.is_empty() { conf } else { own };
        match list.is_empty() {
            true => last(host, key).into_iter().map(str::to_owned).collect(),
            false => list.to_vec(),
        }
    };
    let search = wished(&options.dns_search, conf.dns_searches.values(), "search");
    let flags = wished(&options.dns_options, conf.dns_options.values(), "options");
    let mut out = String::new();
    if !search.is_empty() && search != ["."] {
        out.push_str(&format!("search {}\n", search.join(" ")));
    }
    for server in servers {
        out.push_str(&format!("nameserver {server}\n"));
    }
    if !flags.is_empty() {
        out.push_str(&format!("options {}\n", flags.join(" ")));
    }
    Ok(Some(out))
}

fn servers(definition: &Definition, facts: &BundleFacts) -> Result<Vec<String>, DefinitionError> {
    let own = &definition.options.etc.dns;
    if !own.is_empty() {
        return Ok(own.iter().map(ToString::to_string).collect());
    }
    let conf = facts.conf.containers.dns_servers.values();
    if !conf.is_empty() {
        let check = |server: &String| match server.parse::<IpAddr>() {
            Ok(_) => Ok(server.clone()),
            Err(_) => Err(facts
                .conf
                .refuse("dns_servers", server, "not an IP address")),
        };
        return conf.iter().map(check).collect();
    }
    // A server on the host's loopback device is out of reach from another network namespace.
    let reachable = |server: &&str| {
        let address = server.parse::<IpAddr>();
        definition.options.network == Network::Host || !address.is_ok_and(|ip| ip.is_loopback())
    };
    let servers = values(&facts.etc.resolv_conf, "nameserver").filter(reachable);
    Ok(servers.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stub_alone_is_one() {
        assert!(is_stub("# x\nnameserver 127.0.0.53\noptions edns0\n"));
        assert!(!is_stub("nameserver 127.0.0.53\nnameserver 192.0.2.1\n"));
        assert!(!is_stub("nameserver 192.0.2.1\n"));
        assert!(!is_stub(""));
    }
}
