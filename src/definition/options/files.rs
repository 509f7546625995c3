//! Mounts, volumes, devices, secrets and the files of /etc.

use super::OptionSpec;

pub(super) const SPECS: &[OptionSpec] = &[];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[];
