//! Errors of the command line: one line each, and an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::container::ContainerError;
use crate::definition::OptionError;
use crate::host::machined::MachinedError;
use crate::host::systemd::SystemdError;
use crate::image;
use crate::store::StoreError;
use crate::types::chain;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The caller is not root.
    #[error("{0}: this verb needs root")]
    NotRoot(String),
    /// An option's value.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// systemd-machined.
    #[error(transparent)]
    Machined(#[from] MachinedError),
    /// systemd.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// An image.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template of `--format`.
    #[error(transparent)]
    Template(#[from] super::template::TemplateError),
    /// Wrong usage that only we can see.
    #[error("{0}")]
    Usage(String),
    /// A start that cannot be.
    #[error("{text}")]
    Refused {
        /// Why.
        text: String,
        /// What to end with.
        code: u8,
    },
    /// The user gave up.
    #[error("{0}: cancelled")]
    Cancelled(String),
    /// The run ended without a word of its monitor.
    #[error("container {name}: {reason}")]
    Ended {
        /// Which.
        name: String,
        /// What happened.
        reason: String,
        /// What to end with.
        code: u8,
    },
    /// There is no process.
    #[error("container {name}: exec")]
    Exec {
        /// Where.
        name: String,
        /// What to end with.
        code: u8,
        /// Why not.
        source: crate::container::exec::ExecError,
    },
    /// A process in a container that does not run, in Podman's words.
    #[error("can only create exec sessions on running containers: container state improper")]
    NoExec(u8),
    /// Several targets, some of which failed; each was told already.
    #[error("some targets failed")]
    Told(u8),
    /// Reading or writing failed.
    #[error("{action} {object}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl CliError {
    pub(super) fn io(
        action: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let object = object.into();
        move |source| Self::Io {
            action,
            object,
            source,
        }
    }

    /// What `unitbox` ends with.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Container(error) => error.exit_code(),
            Self::Ended { code, .. }
            | Self::Exec { code, .. }
            | Self::NoExec(code)
            | Self::Refused { code, .. }
            | Self::Told(code) => *code,
            Self::Cancelled(_) | Self::Image(image::Error::Cancelled) => 130,
            _ => crate::api::ExitCode::Error.number(),
        }
    }

    /// Whether the object asked for is simply not there.
    pub(super) fn is_not_found(&self) -> bool {
        match self {
            Self::Store(error) => error.is_not_found(),
            Self::Container(error) => error.is_not_found(),
            _ => false,
        }
    }

    /// Says what went wrong: one line on standard error.
    pub(super) fn report(&self) {
        if !matches!(self, Self::Told(_)) {
            eprintln!("Error: {}", chain(self));
        }
    }
}

/// Wrong usage, or a question for help.
pub(super) fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        // Nobody to tell if that fails.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let words = words.iter().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match super::refused::reason(error, &words) {
        Some(reason) => eprintln!("Error: {reason}"),
        None => eprintln!("{}", usage_line(error)),
    }
    ExitCode::from(crate::api::ExitCode::Error.number())
}

/// The first paragraph of clap's message as one line; the rest is usage that `--help` shows better.
pub(super) fn usage_line(error: &clap::Error) -> String {
    use clap::error::ErrorKind;
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "Error: no verb given, see unitbox --help".to_owned();
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let joined = words.join(" ");
    format!(
        "Error: {}",
        joined.strip_prefix("error: ").unwrap_or(&joined)
    )
}
