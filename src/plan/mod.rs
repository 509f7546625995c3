//! Pure planning: from a definition and facts about the host to unit, config.json, mounts and files. No I/O.

pub mod bundle;
pub mod conf;
pub mod exec;
pub mod health;
pub mod selinux;
pub mod unit;
mod weight;

#[cfg(test)]
mod golden;
