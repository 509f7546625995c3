//! How the image is fetched.

use super::OptionSpec;
use super::parse::{Done, maybe, shown, shown_maybe, shown_one, switch};
use crate::definition::Options;
use crate::types::parse_duration;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "arch",
        "ARCH",
        "Fetch the image for this architecture",
        |options, value| word(&mut options.pull.arch, value),
        |options| shown_one(options.pull.arch.as_ref()),
    ),
    OptionSpec::one(
        "authfile",
        "FILE",
        "File of passwords of registries (containers-auth.json(5))",
        |options, value| word(&mut options.pull.authfile, value),
        |options| shown_one(options.pull.authfile.as_ref()),
    ),
    OptionSpec::switch(
        "disable-content-trust",
        "Does nothing, as with Podman: for scripts made for Docker",
        |_, value| switch(&mut false, value),
        |_| Vec::new(),
    ),
    OptionSpec::one(
        "os",
        "OS",
        "Fetch the image for this operating system",
        |options, value| word(&mut options.pull.os, value),
        |options| shown_one(options.pull.os.as_ref()),
    ),
    OptionSpec::one(
        "platform",
        "OS/ARCH[/VARIANT]",
        "Fetch the image for this platform",
        platform,
        |options| shown_one(options.pull.platform.as_ref()),
    ),
    OptionSpec::one(
        "pull",
        "POLICY",
        "When to fetch the image: always, missing, never or newer",
        |options, value| {
            options.pull.policy = Some(value.parse()?);
            Ok(())
        },
        |options| shown_one(options.pull.policy.as_ref()),
    ),
    OptionSpec::switch(
        "quiet",
        "Say nothing about an image that is fetched",
        |options, value| switch(&mut options.pull.quiet, value),
        |options| shown(options.pull.quiet),
    )
    .short('q'),
    OptionSpec::one(
        "retry",
        "COUNT",
        "How often to try again to fetch it (3)",
        |options, value| {
            let count = value.parse().map_err(|_| "not a number".to_owned())?;
            options.pull.retries = Some(count);
            Ok(())
        },
        |options| shown_one(options.pull.retries.as_ref()),
    ),
    OptionSpec::one(
        "retry-delay",
        "TIME",
        "How long to wait before that; otherwise longer each time",
        |options, value| {
            let delay = parse_duration(value).map_err(|error| error.to_string())?;
            options.pull.retry_delay = Some(delay);
            Ok(())
        },
        |options| {
            let delay = options.pull.retry_delay;
            shown_one(delay.map(|time| format!("{}ms", time.as_millis())).as_ref())
        },
    ),
    OptionSpec::switch(
        "tls-verify",
        "Demand certificates of the registry; otherwise containers-registries.conf(5) says it",
        |options, value| maybe(&mut options.pull.tls_verify, value),
        |options| shown_maybe(options.pull.tls_verify),
    ),
    OptionSpec::one(
        "variant",
        "VARIANT",
        "Fetch the image for this variant of the architecture",
        |options, value| word(&mut options.pull.variant, value),
        |options| shown_one(options.pull.variant.as_ref()),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("arch", "arm64"),
    ("authfile", "/etc/auth.json"),
    ("disable-content-trust", "true"),
    ("os", "linux"),
    ("platform", "linux/arm/v7"),
    ("pull", "newer"),
    ("quiet", "true"),
    ("retry", "0"),
    ("retry-delay", "1.5s"),
    ("tls-verify", "false"),
    ("variant", "v7"),
];

fn word(place: &mut Option<String>, value: &str) -> Done {
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err("it must be a word".to_owned());
    }
    *place = Some(value.to_owned());
    Ok(())
}

fn platform(options: &mut Options, value: &str) -> Done {
    let words: Vec<&str> = value.split('/').collect();
    if words.len() > 3 || words.iter().any(|word| word.is_empty()) {
        return Err("it is OS/ARCH or OS/ARCH/VARIANT".to_owned());
    }
    word(&mut options.pull.platform, value)
}
