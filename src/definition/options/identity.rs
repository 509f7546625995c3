//! Names, labels and annotations.

use std::collections::BTreeMap;

use super::OptionSpec;
use super::parse::{Done, key_value, shown, shown_one, switch};
use crate::definition::Options;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "annotation",
        "KEY=VALUE",
        "Add an OCI annotation",
        annotation,
        |options| pairs(&options.annotations),
    )
    .key("Annotation"),
    OptionSpec::one(
        "hostname",
        "NAME",
        "Host name inside the container",
        hostname,
        |options| shown_one(options.hostname.as_ref()),
    )
    .short('h')
    .key("HostName"),
    OptionSpec::many("label", "KEY[=VALUE]", "Add a label", label, |options| {
        pairs(&options.labels)
    })
    .short('l')
    .key("Label"),
    OptionSpec::many(
        "label-file",
        "FILE",
        "Add the labels of a file of lines",
        |options, value| super::env::path(&mut options.process.label_files, value),
        |options| options.process.label_files.clone(),
    ),
    OptionSpec::one(
        "name",
        "NAME",
        "Name of the container and, behind unitbox-, of its unit",
        name,
        |options| shown_one(options.name.as_ref()),
    )
    .key("ContainerName"),
    OptionSpec::switch(
        "rm",
        "Remove the container when its run ends",
        |options, value| switch(&mut options.remove, value),
        |options| shown(options.remove),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("annotation", "a=b=c"),
    ("hostname", "box.example"),
    ("label", "k"),
    ("label", "a=b\nc"),
    ("label-file", "a b"),
    ("name", "web"),
    ("rm", "true"),
];

fn pairs(map: &BTreeMap<String, String>) -> Vec<String> {
    map.iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

fn name(options: &mut Options, value: &str) -> Done {
    options.name = Some(
        value
            .parse()
            .map_err(|error: crate::types::NameError| error.to_string())?,
    );
    Ok(())
}

fn hostname(options: &mut Options, value: &str) -> Done {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if value.is_empty() || value.len() > 64 || !value.bytes().all(good) {
        return Err("1 to 64 letters, digits, dots, dashes or underscores are needed".to_owned());
    }
    options.hostname = Some(value.to_owned());
    Ok(())
}

fn label(options: &mut Options, value: &str) -> Done {
    let (key, value) = key_value(value)?;
    options.labels.insert(key, value);
    Ok(())
}

fn annotation(options: &mut Options, value: &str) -> Done {
    if !value.contains('=') {
        return Err("not KEY=VALUE".to_owned());
    }
    let (key, value) = key_value(value)?;
    // The runtimes act on these: they would change the unit or the isolation behind our back.
    if key.starts_with("org.systemd.property.") || key.starts_with("run.oci.") {
        return Err("annotations that steer the runtime are not allowed".to_owned());
    }
    options.annotations.insert(key, value);
    Ok(())
}
