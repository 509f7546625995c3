//! What is said of the files of /etc that are made for each run.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{DefinitionError, Network, Options};

/// Hosts, names and name servers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EtcOptions {
    /// Lines for /etc/hosts.
    pub hosts: Vec<HostEntry>,
    /// Leave the image's /etc/hosts alone.
    pub no_hosts: Option<bool>,
    /// What /etc/hosts begins with: `none`, `image` or an absolute path.
    pub hosts_file: Option<String>,
    /// Leave the image's /etc/hostname alone.
    pub no_hostname: bool,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Leave the image's /etc/resolv.conf alone.
    pub no_dns: bool,
    /// Options of resolv.conf(5).
    pub dns_options: Vec<String>,
    /// Search domains; a single `.` is none.
    pub dns_search: Vec<String>,
    /// Time zone: a name below /usr/share/zoneinfo, or `local`.
    pub tz: Option<String>,
}

/// Names of one address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// Names, at least one.
    pub names: Vec<String>,
    /// Their address; none: the host's (`host-gateway`).
    pub address: Option<IpAddr>,
}

impl std::str::FromStr for HostEntry {
    type Err = String;

    /// `NAME[;NAME...]:ADDRESS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (names, address) = text.split_once(':').ok_or("not NAME:ADDRESS")?;
        let names: Vec<String> = names.split(';').map(str::to_owned).collect();
        // They become words of a line.
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '#';
        if names
            .iter()
            .any(|name| name.is_empty() || name.contains(bad))
        {
            return Err("a name is empty or has characters that names cannot have".to_owned());
        }
        let plain = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(address);
        let address = match plain {
            "host-gateway" => None,
            plain => Some(plain.parse().map_err(|_| "not an IP address".to_owned())?),
        };
        Ok(Self { names, address })
    }
}

impl std::fmt::Display for HostEntry {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        let names = self.names.join(";");
        match self.address {
            Some(address) => write!(out, "{names}:{address}"),
            None => write!(out, "{names}:host-gateway"),
        }
    }
}

/// Checks the name of a time zone: it becomes part of a path.
///
/// # Errors
/// What is wrong with it.
pub fn check_tz(name: &str) -> Result<(), String> {
    let good = |part: &str| {
        !part.starts_with('.')
            && !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_+-.".contains(&b))
    };
    match name.split('/').all(good) {
        true => Ok(()),
        false => Err("not the name of a time zone".to_owned()),
    }
}

impl EtcOptions {
    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Two options that exclude each other.
    pub(super) fn check(&self, options: &Options) -> Result<(), DefinitionError> {
        let conflict = |one, other| Err(DefinitionError::Conflict(one, other));
        if self.no_hosts == Some(true) && !self.hosts.is_empty() {
            return conflict("--no-hosts", "--add-host");
        }
        if self.no_hosts == Some(true) && self.hosts_file.is_some() {
            return conflict("--no-hosts", "--hosts-file");
        }
        if self.no_dns && !self.dns.is_empty() {
            return conflict("--dns=none", "another --dns");
        }
        if self.dns_search.len() > 1 && self.dns_search.iter().any(|domain| domain == ".") {
            return conflict("--dns-search=.", "another --dns-search");
        }
        let any = !self.dns.is_empty()
            || self.no_dns
            || !self.dns_options.is_empty()
            || !self.dns_search.is_empty();
        if any && matches!(options.network, Network::None | Network::Container(_)) {
            return conflict("options of name servers", "this --network");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_names_and_an_address() {
        let entry: HostEntry = "b;c:::1".parse().unwrap();
        assert_eq!(entry.names, ["b", "c"]);
        assert_eq!(entry.to_string(), "b;c:::1");
        assert_eq!("h:host-gateway".parse::<HostEntry>().unwrap().address, None);
        for bad in [
            "a",
            "a:b",
            ":1.1.1.1",
            "a b:1.1.1.1",
            "a\nb:1.1.1.1",
            "a;:1.1.1.1",
        ] {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_time_zone_stays_in_its_directory() {
        assert!(check_tz("America/Argentina/Buenos_Aires").is_ok());
        for bad in ["", "../x", "/etc/shadow", "a/../b", "a//b", "a\nb", ".x"] {
            assert!(check_tz(bad).is_err(), "{bad:?}");
        }
    }
}
