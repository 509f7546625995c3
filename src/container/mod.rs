//! What the tops share, as functions over the records, systemd and the cgroups: no object, no state of its own.

pub mod observe;
