//! What can go wrong with systemd.

use std::path::PathBuf;

use crate::types::UnitName;

/// An error of a call to systemd.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// Neither systemd's own socket nor the system bus answers.
    #[error("connect to systemd: {}: {private_error}; {}: {bus_error}", private.display(), bus.display())]
    Connect {
        /// systemd's own socket.
        private: PathBuf,
        /// What is wrong with it.
        private_error: Box<zbus::Error>,
        /// The bus's socket.
        bus: PathBuf,
        /// What is wrong with it.
        bus_error: Box<zbus::Error>,
    },
    /// systemd answered with an error.
    #[error("{action} {object}: {message}")]
    Refused {
        /// What was to be done.
        action: &'static str,
        /// To what.
        object: String,
        /// Name of the D-Bus error (`org.freedesktop.systemd1.NoSuchUnit`).
        name: String,
        /// systemd's own words.
        message: String,
    },
    /// The connection broke, or an answer makes no sense.
    #[error("{action} {object}")]
    Call {
        /// What was to be done.
        action: &'static str,
        /// To what.
        object: String,
        /// Why not.
        #[source]
        source: Box<zbus::Error>,
    },
    /// A unit of that name is active, or has a file.
    #[error("unit {0} is already loaded")]
    AlreadyLoaded(UnitName),
    /// The caller's interrupt flag was set while a job was waited for; the job goes on.
    #[error("{action} {unit}: interrupted")]
    Interrupted {
        /// The job.
        action: &'static str,
        /// The unit.
        unit: UnitName,
    },
    /// The version is no number.
    #[error("systemd's version {0:?} does not begin with a number")]
    Version(String),
}

impl SystemdError {
    pub(super) fn of(action: &'static str, object: &str, source: zbus::Error) -> Self {
        let object = object.to_owned();
        match source {
            zbus::Error::MethodError(name, message, _) => Self::Refused {
                action,
                object,
                message: message.unwrap_or_else(|| name.to_string()),
                name: name.to_string(),
            },
            source => Self::Call {
                action,
                object,
                source: Box::new(source),
            },
        }
    }

    /// Whether systemd knows no unit of that name (not loaded, or without a file).
    pub fn is_no_such_unit(&self) -> bool {
        self.is_named("org.freedesktop.systemd1.NoSuchUnit")
    }

    /// Whether it is an answer with this D-Bus error name.
    pub fn is_named(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == wanted)
    }

    /// Whether the connection is gone (systemd re-executed itself, or the bus died).
    pub(super) fn is_disconnected(&self) -> bool {
        const NO_REPLY: [&str; 3] = [
            "org.freedesktop.DBus.Error.NoReply",
            "org.freedesktop.DBus.Error.Disconnected",
            "org.freedesktop.DBus.Error.ServiceUnknown",
        ];
        match self {
            Self::Call { source, .. } => matches!(**source, zbus::Error::InputOutput(_)),
            Self::Refused { name, .. } => NO_REPLY.contains(&name.as_str()),
            _ => false,
        }
    }
}
