//! Effects on the host, each behind a trait that tests can fake.

pub mod cgroup;
pub mod runtime;
pub mod world;
pub mod dbus;
pub mod systemd;
