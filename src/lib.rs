//! unitbox

pub mod sys;
