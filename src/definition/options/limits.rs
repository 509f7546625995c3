//! Limits: properties of the unit, mirrored into the payload's cgroup.

use super::OptionSpec;
use super::parse::{Done, shown_one};
use crate::definition::Options;
use crate::types::parse_size;

pub(super) const SPECS: &[OptionSpec] = &[OptionSpec::one(
    "memory",
    "SIZE",
    "Memory limit of the unit (MemoryMax=): a number with b, k, m, g or t",
    memory,
    |options| shown_one(options.memory.as_ref()),
)
.short('m')
.key("Memory")];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[("memory", "64m"), ("memory", "0")];

fn memory(options: &mut Options, value: &str) -> Done {
    let bytes = parse_size(value).map_err(|error| error.to_string())?;
    options.memory = (bytes != 0).then_some(bytes);
    Ok(())
}
