//! What the files of /etc are made from.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;

use super::Ground;
use super::error::PrepareError;
use super::user;
use crate::definition::{Network, check_tz};
use crate::plan::bundle::{EtcFacts, is_stub};
use crate::plan::conf::Conf;
use crate::sys::paths::Root;

const ZONES: &str = "usr/share/zoneinfo";

pub(super) fn facts(ground: &Ground) -> Result<EtcFacts, PrepareError> {
    let layout = ground.run.layout;
    let options = &ground.definition.options;
    let conf = &ground.conf.containers;
    let mut facts = EtcFacts {
        directory: layout.run_container(&ground.definition.id),
        ..EtcFacts::default()
    };
    if options.network != Network::None && !options.etc.no_dns {
        facts.resolv_conf = resolv_conf(layout.root());
    }
    if options.etc.no_hosts.or(conf.no_hosts) != Some(true) {
        facts.base_hosts = base_hosts(ground)?;
        facts.host_address = host_address(ground.conf)?;
    }
    let wish = options.etc.tz.as_ref().or(conf.tz.as_ref());
    if let Some(name) = wish.filter(|name| !name.is_empty()) {
        facts.zone = zone(layout.root(), name)?;
    }
    Ok(facts)
}

fn resolv_conf(root: &Path) -> String {
    let read = |path: &str| fs::read_to_string(root.join(path));
    let own = read("etc/resolv.conf").unwrap_or_default();
    match is_stub(&own) {
        true => read("run/systemd/resolve/resolv.conf").unwrap_or(own),
        false => own,
    }
}

fn base_hosts(ground: &Ground) -> Result<String, PrepareError> {
    let conf = ground.conf.containers.base_hosts_file.as_ref();
    let wish = ground.definition.options.etc.hosts_file.as_ref().or(conf);
    match wish.map_or("", String::as_str) {
        "" => {
            let host = ground.run.layout.root().join("etc/hosts");
            Ok(fs::read_to_string(host).unwrap_or_default())
        }
        "none" => Ok(String::new()),
        "image" => {
            let root = Root::open(ground.rootfs);
            let root = root.map_err(|source| PrepareError::hosts(ground.rootfs, source))?;
            Ok(user::read(&root, "/etc/hosts")?.unwrap_or_default())
        }
        path => {
            fs::read_to_string(path).map_err(|source| PrepareError::hosts(Path::new(path), source))
        }
    }
}

/// The address under which containers may find the host: what containers.conf(5) says, or the first that is neither of
/// this machine nor of one link only.
fn host_address(conf: &Conf) -> Result<Option<IpAddr>, PrepareError> {
    match conf.containers.host_containers_internal_ip.as_deref() {
        Some("none") => return Ok(None),
        Some(text) if !text.is_empty() => {
            let key = "host_containers_internal_ip";
            let error = |_| conf.refuse(key, text, "not an IP address");
            return Ok(Some(text.parse().map_err(error)?));
        }
        _ => {}
    }
    let Ok(all) = getifaddrs() else {
        return Ok(None);
    };
    let (mut four, mut six) = (None, None);
    for address in all.filter_map(|interface| interface.address) {
        if let Some(address) = address.as_sockaddr_in() {
            let ip = address.ip();
            let usable = !ip.is_loopback() && !ip.is_link_local() && !ip.is_multicast();
            four = four.or(usable.then_some(IpAddr::V4(ip)));
        } else if let Some(address) = address.as_sockaddr_in6() {
            let ip = address.ip();
            let usable = !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_multicast();
            six = six.or(usable.then_some(IpAddr::V6(ip)));
        }
    }
    Ok(four.or(six))
}

/// The file of a time zone of the host; `local` may be none, which is UTC.
pub(super) fn zone(root: &Path, name: &str) -> Result<Option<PathBuf>, PrepareError> {
    let error = |source| PrepareError::Zone {
        name: name.to_owned(),
        source,
    };
    let path = match name {
        "local" => root.join("etc/localtime"),
        name => {
            check_tz(name).map_err(|reason| error(io::Error::other(reason)))?;
            root.join(ZONES).join(name)
        }
    };
    match fs::metadata(&path) {
        Ok(data) if data.is_file() => Ok(Some(path)),
        Ok(_) => Err(error(io::ErrorKind::IsADirectory.into())),
        Err(source) if source.kind() == io::ErrorKind::NotFound && name == "local" => Ok(None),
        Err(source) => Err(error(source)),
    }
}
