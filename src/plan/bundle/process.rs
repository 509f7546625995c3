//! What runs: command line, environment, user.

use std::collections::HashSet;
use std::path::PathBuf;

use oci_spec::runtime::{Process, User};

use super::{BundleFacts, hostname, security};
use crate::definition::{Definition, DefinitionError};

/// A user as the container's own files know it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserFacts {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups, the primary one first, each once.
    pub groups: Vec<u32>,
    /// Home directory; none if there is no entry.
    pub home: Option<String>,
}

/// What the plan must know to run the process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProcessFacts {
    /// The user to run as, looked up.
    pub user: UserFacts,
    /// `oom_score_adj` of the payload.
    pub oom_score_adj: i32,
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
) -> Result<Process, DefinitionError> {
    let mut user = User::default();
    user.set_uid(facts.process.user.uid)
        .set_gid(facts.process.user.gid)
        .set_additional_gids(Some(facts.process.user.groups.clone()));
    let mut process = Process::default();
    process
        .set_terminal(Some(false))
        .set_user(user)
        .set_args(Some(args(definition, facts)?))
        .set_env(Some(env(definition, facts)))
        .set_cwd(PathBuf::from(workdir(definition, facts)))
        .set_rlimits(None)
        .set_oom_score_adj(Some(facts.process.oom_score_adj));
    security::plan(definition, facts, &mut process);
    Ok(process)
}

/// A user's entry point drops the image's command, as Podman and Docker do.
fn args(definition: &Definition, facts: &BundleFacts) -> Result<Vec<String>, DefinitionError> {
    let own_entrypoint = definition.options.entrypoint.as_ref();
    let entrypoint = own_entrypoint.unwrap_or(&facts.image.entrypoint);
    let command = match definition.command.is_empty() {
        true if own_entrypoint.is_none() => &facts.image.command,
        _ => &definition.command,
    };
    let args: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    if args.is_empty() {
        Err(DefinitionError::NoCommand)
    } else {
        Ok(args)
    }
}

/// Later assignments win, each name stands once, in the order of its first appearance.
fn env(definition: &Definition, facts: &BundleFacts) -> Vec<String> {
    let home = facts
        .process
        .user
        .home
        .clone()
        .unwrap_or_else(|| "/".to_owned());
    let base = [
        ("PATH", PATH.to_owned()),
        ("container", "oci".to_owned()),
        ("HOME", home),
        ("HOSTNAME", hostname(definition, facts)),
    ];
    let base = base
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter();
    let image = facts.image.env.iter().filter_map(|assignment| {
        assignment
            .split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    });
    let all: Vec<(String, String)> = base
        .chain(image)
        .chain(definition.options.env.iter().cloned())
        .collect();
    let mut seen = HashSet::new();
    let names = all.iter().filter(|(name, _)| seen.insert(name.clone()));
    names
        .map(|(name, _)| {
            let last = all.iter().rev().find(|(other, _)| other == name);
            let (_, value) = last.expect("the name itself is in the list");
            format!("{name}={value}")
        })
        .collect()
}

fn workdir(definition: &Definition, facts: &BundleFacts) -> String {
    let image = Some(facts.image.workdir.clone()).filter(|dir| dir.starts_with('/'));
    definition
        .options
        .workdir
        .clone()
        .or(image)
        .unwrap_or_else(|| "/".to_owned())
}
