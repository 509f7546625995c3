<<<<<<< HEAD
//! What the tops share, as functions over the records, systemd and the cgroups: no object, no state of its own.

pub mod observe;
=======
//! What the programs share, as functions on a layout and an id.

pub mod cleanup;
pub mod prepare;
mod user;
>>>>>>> main
