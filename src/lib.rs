//! unitbox
