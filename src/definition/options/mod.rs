//! The one table of options: flag, key of unit files, arity, help, setter and renderer, by area.
//!
//! The command line, unit files and documents are made from it, so that they cannot disagree.

mod account;
mod devices;
mod env;
mod etc;
mod files;
mod health;
mod identity;
mod isolation;
mod lifecycle;
mod limits;
mod logs;
mod mount_text;
mod network;
mod parse;
mod process;
mod pull;
mod refused;
mod secret_text;
#[cfg(test)]
mod tests;
mod userns;

use super::{OptionError, Options};

pub use refused::refusal;

/// How many values an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// None: it is on or off (`--flag=false` turns it off).
    Switch,
    /// One; a later one replaces it.
    One,
    /// Any number, each adds to the others.
    Many,
}

/// Puts a value into the options; a switch gets `true` or `false`. The reason of a refusal is text.
type Set = fn(&mut Options, &str) -> Result<(), String>;
/// The values that would set the options to what they are, in order; none if the default says the same.
type Show = fn(&Options) -> Vec<String>;

/// One option of `create` and `run`.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The long flag without dashes.
    pub flag: &'static str,
    /// The short flag.
    pub short: Option<char>,
    /// The key in the `[Container]` section of a unit file.
    pub key: Option<&'static str>,
    /// How many values it takes.
    pub arity: Arity,
    /// What the value is called in help texts; empty for switches.
    pub value: &'static str,
    /// One line of help.
    pub help: &'static str,
    set: Set,
    show: Show,
}

impl OptionSpec {
    const fn new(
        flag: &'static str,
        arity: Arity,
        value: &'static str,
        help: &'static str,
        (set, show): (Set, Show),
    ) -> Self {
        Self {
            flag,
            short: None,
            key: None,
            arity,
            value,
            help,
            set,
            show,
        }
    }

    /// An option that is on or off.
    const fn switch(flag: &'static str, help: &'static str, set: Set, show: Show) -> Self {
        Self::new(flag, Arity::Switch, "", help, (set, show))
    }

    /// An option with one value.
    const fn one(
        flag: &'static str,
        value: &'static str,
        help: &'static str,
        set: Set,
        show: Show,
    ) -> Self {
        Self::new(flag, Arity::One, value, help, (set, show))
    }

    /// An option with any number of values.
    const fn many(
        flag: &'static str,
        value: &'static str,
        help: &'static str,
        set: Set,
        show: Show,
    ) -> Self {
        Self::new(flag, Arity::Many, value, help, (set, show))
    }

    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn key(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }

    /// Puts a value into the options.
    ///
    /// # Errors
    /// The value is refused: names flag, value and reason.
    pub fn apply(&self, options: &mut Options, value: &str) -> Result<(), OptionError> {
        (self.set)(options, value).map_err(|reason| OptionError {
            option: format!("--{}", self.flag),
            value: value.chars().take(120).collect(),
            reason,
        })
    }

    /// The values of this option, one per time that it must be given, to get the same options again.
    pub fn values(&self, options: &Options) -> Vec<String> {
        (self.show)(options)
    }
}

/// The areas of the table; within each, options stand in the order of their flags.
const AREAS: &[&[OptionSpec]] = &[
    account::SPECS,
    env::SPECS,
    etc::SPECS,
    devices::SPECS,
    files::SPECS,
    health::SPECS,
    identity::SPECS,
    isolation::SPECS,
    lifecycle::SPECS,
    limits::SPECS,
    logs::SPECS,
    network::SPECS,
    process::SPECS,
    pull::SPECS,
    userns::SPECS,
];

/// Every option that a definition can hold.
pub fn options() -> impl Iterator<Item = &'static OptionSpec> {
    AREAS.iter().copied().flatten()
}
