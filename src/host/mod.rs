//! Effects on the host, each behind a trait that tests can fake.

pub mod cgroup;
pub mod dbus;
pub mod failpoint;
#[cfg(test)]
pub(crate) mod fake_world;
pub mod runtime;
pub mod systemd;
pub mod world;
