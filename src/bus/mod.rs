//! `unitbox-bus`: the D-Bus service `org.unitbox1`. It has no state of its own: files tell it when to look, and
//! [`crate::container::observe`] what there is. One thread, no subscription to systemd's signals (which would make
//! systemd send the changes of every unit).

mod objects;
mod serve;
mod snapshot;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::api::{ExitCode as Code, Layout};

/// Why the service ends early.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// An argument it does not know.
    #[error("unknown argument {0:?} (known: --root=DIR)")]
    Usage(OsString),
    /// Another process is the service.
    #[error(
        "another process owns the name {} on the system bus",
        crate::api::dbus::NAME
    )]
    Taken,
    /// The bus does not answer or broke off.
    #[error("system bus")]
    Bus(#[from] zbus::Error),
    /// The bus has ended; systemd starts the service again, which then connects to the next one.
    #[error("the system bus has closed the connection; ending, to be started again")]
    Closed,
    /// A directory cannot be made.
    #[error("prepare directories")]
    Store(#[from] crate::store::StoreError),
    /// A system call failed.
    #[error("watch containers and signals")]
    System(#[from] std::io::Error),
}

/// Runs the service; `arguments` begins with the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match layout(arguments).and_then(serve::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            eprintln!("unitbox-bus: {text}");
            ExitCode::from(Code::Failure.number())
        }
    }
}

fn layout(arguments: impl IntoIterator<Item = OsString>) -> Result<Layout, BusError> {
    let mut root = OsString::from("/");
    for argument in arguments.into_iter().skip(1) {
        match argument
            .to_str()
            .and_then(|text| text.strip_prefix("--root="))
        {
            Some(path) if path.starts_with('/') => root = path.into(),
            _ => return Err(BusError::Usage(argument)),
        }
    }
    Ok(Layout::new(root))
}
