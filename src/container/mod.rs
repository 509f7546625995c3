//! What the programs share, as functions on a layout and an id.

pub mod cleanup;
pub mod prepare;
mod user;
