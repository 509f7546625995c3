//! Namespaces, capabilities, labels and everything else that keeps a payload apart.

use super::OptionSpec;

pub(super) const SPECS: &[OptionSpec] = &[];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[];
