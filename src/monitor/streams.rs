//! The three descriptors that the payload gets as its standard input, output and error.

use std::error::Error;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;

use super::journal;
use crate::api::journal::STDERR;
use crate::definition::{Definition, LogDriver};

/// Standard priority of output in the journal: info (syslog(3)).
pub(super) const INFO: u8 = 6;

/// The container's ends of its three standard streams.
#[derive(Debug)]
pub(super) struct ContainerEnds {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// The three descriptors that the runtime, and through it the payload, gets.
pub(super) struct Streams {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Streams {
    pub(super) fn of(
        definition: &Definition,
        unit: &str,
        ends: &ContainerEnds,
        attached: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let options = &definition.options;
        let null = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .map(OwnedFd::from)
        };
        if options.tty {
            // The payload has its terminal, and the runtime has its log.
            return Ok(Self {
                stdin: null()?,
                stdout: null()?,
                stderr: null()?,
            });
        }
        let stdin = match options.interactive {
            true => ends.stdin.try_clone()?,
            false => null()?,
        };
        let (stdout, stderr) = match options.log_driver {
            LogDriver::Passthrough if attached => {
                return Err(
                    "--log-driver=passthrough hands the journal to the container, which \
                            leaves nothing for a client: use --detach"
                        .into(),
                );
            }
            LogDriver::Passthrough => {
                let name = definition.name.as_str();
                let priority = options.log.stderr_priority.unwrap_or(INFO);
                (
                    journal::connect(unit, name, INFO)?,
                    journal::connect(unit, name, priority | STDERR)?,
                )
            }
            // Also without a client: one may come later.
            LogDriver::None | LogDriver::Journald | LogDriver::K8sFile => {
                (ends.stdout.try_clone()?, ends.stderr.try_clone()?)
            }
        };
        Ok(Self {
            stdin,
            stdout,
            stderr,
        })
    }
}
