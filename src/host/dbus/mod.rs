//! A D-Bus connection that lives on its owner's thread: no thread and no reactor of its own.
//!
//! zbus is asynchronous; its own blocking interface starts two threads and an epoll loop, which cost a short-lived
//! command more than the call it makes. Here the owner polls the socket with poll(2), whenever it has nothing to do.

mod inbox;
mod link;
mod wire;

pub use link::{Kind, Link, Step, system_bus};
