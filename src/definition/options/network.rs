//! The network.

use super::OptionSpec;
use super::parse::Done;
use crate::definition::{Network, Options};

pub(super) const SPECS: &[OptionSpec] = &[OptionSpec::one(
    "network",
    "MODE",
    "Network mode: none or host",
    network,
    |options| match options.network {
        Network::None => Vec::new(),
        Network::Host => vec!["host".to_owned()],
    },
)
.key("Network")];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[("network", "none"), ("network", "host")];

fn network(options: &mut Options, value: &str) -> Done {
    options.network = match value {
        "none" => Network::None,
        "host" => Network::Host,
        _ => return Err("this version knows the modes none and host only".to_owned()),
    };
    Ok(())
}
