//! `NetworkSettings`: there are no networks with addresses yet.

use crate::cli::template::Value;
use crate::container::observe::Observation;
use crate::definition::{Definition, Network};

pub(super) fn settings(definition: &Definition, seen: &Observation) -> Value {
    let name = match &definition.options.network {
        Network::None => Some("none"),
        Network::Host => Some("host"),
        Network::Path(_) | Network::Container(_) => None,
    };
    let mut fields = address();
    fields.extend([
        ("Bridge", "".into()),
        ("SandboxID", "".into()),
        ("HairpinMode", false.into()),
        ("LinkLocalIPv6Address", "".into()),
        ("LinkLocalIPv6PrefixLen", 0.into()),
        ("Ports", Value::Map(Default::default())),
    ]);
    let key = seen.pid.map(|pid| format!("/proc/{pid}/ns/net"));
    fields.push(("SandboxKey", key.unwrap_or_default().into()));
    if let Some(name) = name {
        let mut network = address();
        network.extend([
            ("NetworkID", name.into()),
            ("DriverOpts", Value::Null),
            ("IPAMConfig", Value::Null),
            ("Links", Value::Null),
        ]);
        let network = Value::fields("*define.InspectAdditionalNetwork", network);
        fields.push((
            "Networks",
            Value::Map([(name.to_owned(), network)].into_iter().collect()),
        ));
    }
    Value::fields("*define.InspectNetworkSettings", fields)
}

fn address() -> Vec<(&'static str, Value)> {
    vec![
        ("EndpointID", "".into()),
        ("Gateway", "".into()),
        ("IPAddress", "".into()),
        ("IPPrefixLen", 0.into()),
        ("IPv6Gateway", "".into()),
        ("GlobalIPv6Address", "".into()),
        ("GlobalIPv6PrefixLen", 0.into()),
        ("MacAddress", "".into()),
    ]
}
