//! The network.

use super::OptionSpec;
use super::parse::{Done, absolute};
use crate::definition::{Network, Options};

pub(super) const SPECS: &[OptionSpec] = &[OptionSpec::one(
    "network",
    "MODE",
    "Network mode: none, host or ns:PATH",
    network,
    |options| match &options.network {
        Network::None => Vec::new(),
        mode => vec![mode.to_string()],
    },
)
.key("Network")];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("network", "none"),
    ("network", "host"),
    ("network", "ns:/run/netns/x"),
];

fn network(options: &mut Options, value: &str) -> Done {
    options.network = match value {
        "none" => Network::None,
        "host" => Network::Host,
        _ => match value.split_once(':') {
            Some(("ns", path)) => Network::Path(absolute(path)?),
            Some(("container", _)) => {
                return Err("this version does not join namespaces of containers yet".to_owned());
            }
            _ => return Err("this version knows the modes none, host and ns:PATH only".to_owned()),
        },
    };
    Ok(())
}
