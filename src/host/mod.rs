//! Effects on the host, each behind a trait that tests can fake.

pub mod cgroup;
pub mod dbus;
pub mod failpoint;
#[cfg(test)]
pub(crate) mod fake_world;
pub mod filter;
mod idmapped;
mod inside;
pub mod journal;
pub mod machined;
pub mod pins;
pub mod reason;
pub mod restarts;
pub mod runtime;
pub mod systemd;
pub mod world;

/// What is to be removed, killed or told and is gone already, is as wanted.
fn gone_is_good(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        // A cgroup that was removed between open and write.
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(()),
        other => other,
    }
}
