//! The network.

use super::OptionSpec;
use super::parse::{Done, absolute, clean};
use crate::definition::{Network, Options};

pub(super) const SPECS: &[OptionSpec] = &[OptionSpec::one(
    "network",
    "MODE",
    "Network mode: none, host, container:NAME or ns:PATH",
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
    ("network", "container:db"),
];

fn network(options: &mut Options, value: &str) -> Done {
    options.network = match value {
        "none" => Network::None,
        "host" => Network::Host,
        _ => match value.split_once(':') {
            Some(("ns", path)) => Network::Path(absolute(path)?),
            Some(("container", owner)) if !owner.is_empty() => Network::Container(clean(owner)?),
            _ => {
                let modes =
                    "this version knows the modes none, host, container:NAME and ns:PATH only";
                return Err(modes.to_owned());
            }
        },
    };
    Ok(())
}
