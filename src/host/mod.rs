//! Effects on the host, each behind a trait that tests can fake.

<<<<<<< HEAD
pub mod dbus;
pub mod systemd;
=======
pub mod cgroup;
pub mod runtime;
pub mod world;
>>>>>>> main
