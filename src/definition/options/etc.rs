//! The files of /etc that are made for each run.

use super::OptionSpec;
use super::parse::{Done, absolute, clean, maybe, shown, shown_maybe, shown_one, switch, words};
use crate::definition::{Options, check_tz};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "add-host",
        "NAME[;NAME...]:ADDRESS",
        "Add a line to /etc/hosts; host-gateway is the host's address",
        add_host,
        |options| options.etc.hosts.iter().map(ToString::to_string).collect(),
    )
    .key("AddHost"),
    OptionSpec::many(
        "dns",
        "ADDRESS",
        "Name server; none leaves the image's /etc/resolv.conf alone",
        dns,
        |options| match options.etc.no_dns {
            true => vec!["none".to_owned()],
            false => options.etc.dns.iter().map(ToString::to_string).collect(),
        },
    )
    .key("DNS"),
    OptionSpec::many(
        "dns-option",
        "OPTION",
        "Option of the resolver (resolv.conf(5))",
        |options, value| list(&mut options.etc.dns_options, value),
        |options| options.etc.dns_options.clone(),
    )
    .key("DNSOption"),
    OptionSpec::many(
        "dns-search",
        "DOMAIN",
        "Search domain; a single dot is none",
        |options, value| list(&mut options.etc.dns_search, value),
        |options| options.etc.dns_search.clone(),
    )
    .key("DNSSearch"),
    OptionSpec::one(
        "hosts-file",
        "FILE",
        "What /etc/hosts begins with: a file of the host, image or none",
        hosts_file,
        |options| shown_one(options.etc.hosts_file.as_ref()),
    ),
    OptionSpec::switch(
        "no-hostname",
        "Leave the image's /etc/hostname alone",
        |options, value| switch(&mut options.etc.no_hostname, value),
        |options| shown(options.etc.no_hostname),
    ),
    OptionSpec::switch(
        "no-hosts",
        "Leave the image's /etc/hosts alone",
        |options, value| maybe(&mut options.etc.no_hosts, value),
        |options| shown_maybe(options.etc.no_hosts),
    ),
    OptionSpec::one(
        "tz",
        "ZONE",
        "Time zone, as in Europe/Paris; local is the host's",
        tz,
        |options| shown_one(options.etc.tz.as_ref()),
    )
    .key("Timezone"),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("add-host", "a;b:::1"),
    ("add-host", "h:host-gateway"),
    ("dns", "192.0.2.1,::1"),
    ("dns", "none"),
    ("dns-option", "ndots:2"),
    ("dns-search", "a.example,b.example"),
    ("dns-search", "."),
    ("hosts-file", "image"),
    ("hosts-file", "/etc/h"),
    ("no-hostname", "true"),
    ("no-hosts", "true"),
    ("tz", "local"),
];

fn add_host(options: &mut Options, value: &str) -> Done {
    for entry in words(value)? {
        options.etc.hosts.push(entry.parse()?);
    }
    Ok(())
}

fn dns(options: &mut Options, value: &str) -> Done {
    for server in words(value)? {
        match server.as_str() {
            "none" => options.etc.no_dns = true,
            address => {
                let address = address
                    .parse()
                    .map_err(|_| "not an IP address".to_owned())?;
                options.etc.dns.push(address);
            }
        }
    }
    Ok(())
}

/// Words of a line of resolv.conf(5).
fn list(list: &mut Vec<String>, value: &str) -> Done {
    for word in words(value)? {
        if word.contains(char::is_whitespace) {
            return Err("white space is not allowed".to_owned());
        }
        list.push(clean(&word)?);
    }
    Ok(())
}

fn hosts_file(options: &mut Options, value: &str) -> Done {
    options.etc.hosts_file = Some(match value {
        "none" | "image" => value.to_owned(),
        path => absolute(path)?,
    });
    Ok(())
}

fn tz(options: &mut Options, value: &str) -> Done {
    if !value.is_empty() {
        check_tz(value)?;
    }
    options.etc.tz = (!value.is_empty()).then(|| value.to_owned());
    Ok(())
}
