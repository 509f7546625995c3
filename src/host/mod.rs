//! Effects on the host, each behind a trait that tests can fake.

pub mod dbus;
pub mod systemd;
