//! What runs: command line, user, limits of the process.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxMemory, LinuxPersonality, LinuxPersonalityDomain, Mount, PosixRlimit, Process, User,
};

use super::files::mount;
use super::{BundleFacts, ImageDefaults, env, security};
use crate::definition::{
    Definition, DefinitionError, Personality, Resource, Ulimit, Umask, parse_ulimit,
};

/// A user as the container's own files know it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserFacts {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, each once; with the primary one, unless nobody named a user (CVE-2022-2989).
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
    /// Path of the init on the host, if one is to be run.
    pub init: Option<PathBuf>,
    /// To what open files and processes can be raised; none: without bounds.
    pub most: Option<(u64, u64)>,
    /// Rows and columns of the terminal that the payload's is shown on.
    pub console: Option<(u16, u16)>,
    /// The runtime is crun.
    pub crun: bool,
    /// What the payload is to keep from running out if it talks to systemd itself, microseconds (sd_watchdog_enabled(3)).
    pub watchdog: Option<u64>,
}

/// Where the init is in a container.
const INIT: &str = "/run/podman-init";

/// Open files and processes of a container where nobody says how many.
const MANY: u64 = 1 << 20;

pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
    systemd: bool,
    linux: &mut Linux,
    warnings: &mut Vec<String>,
) -> Result<Process, DefinitionError> {
    let options = &definition.options.process;
    let mut user = User::default();
    user.set_uid(facts.process.user.uid)
        .set_gid(facts.process.user.gid)
        .set_umask(Some(umask(definition, facts)?.0));
    let groups = &facts.process.user.groups;
    if !groups.is_empty() {
        user.set_additional_gids(Some(groups.clone()));
    }
    if options.keep_groups && !facts.process.crun {
        warnings.push("--group-add=keep-groups: only crun can do that".to_owned());
    }
    let mut words = args(definition, &facts.image)?;
    if facts.process.init.is_some() && !systemd {
        words.splice(0..0, [INIT, "--"].map(str::to_owned));
    }
    let mut process = Process::default();
    process
        .set_terminal(Some(definition.options.tty))
        .set_user(user)
        .set_args(Some(words))
        .set_env(Some(env::plan(definition, facts, systemd)))
        .set_cwd(PathBuf::from(workdir(definition, &facts.image)))
        .set_rlimits(Some(rlimits(definition, facts)?))
        .set_oom_score_adj(Some(facts.process.oom_score_adj));
    if let (true, Some((rows, columns))) = (definition.options.tty, facts.process.console) {
        let size = serde_json::json!({"height": rows, "width": columns});
        // The type of the size has no setter of its own.
        let size = serde_json::from_value(size).expect("two numbers are a size");
        process.set_console_size(Some(size));
    }
    security::plan(definition, facts, systemd, &mut process);
    if options.oom_kill_disable {
        let mut resources = linux.resources().clone().unwrap_or_default();
        let mut memory: LinuxMemory = resources.memory().unwrap_or_default();
        memory.set_disable_oom_killer(Some(true));
        resources.set_memory(Some(memory));
        linux.set_resources(Some(resources));
        let text = "--oom-kill-disable: cgroup version 2 cannot do that; the runtime decides";
        warnings.push(text.to_owned());
    }
    if let Some(wish) = options.personality {
        let mut personality = LinuxPersonality::default();
        personality.set_domain(match wish {
            Personality::Linux => LinuxPersonalityDomain::PerLinux,
            Personality::Linux32 => LinuxPersonalityDomain::PerLinux32,
        });
        linux.set_personality(Some(personality));
        if !facts.process.crun {
            warnings.push("--personality: runc before 1.2 leaves it out".to_owned());
        }
    }
    Ok(process)
}

/// The init, where one is to be run.
pub(super) fn init_mount(facts: &BundleFacts, systemd: bool) -> Option<Mount> {
    let init = facts.process.init.as_ref().filter(|_| !systemd)?;
    let options = ["bind", "ro", "private"];
    Some(mount(INIT, "bind", &init.to_string_lossy(), &options))
}

fn umask(definition: &Definition, facts: &BundleFacts) -> Result<Umask, DefinitionError> {
    if let Some(umask) = definition.options.process.umask {
        return Ok(umask);
    }
    let conf = facts.conf.containers.umask.as_deref().unwrap_or("0022");
    conf.parse()
        .map_err(|reason: String| facts.conf.refuse("umask", conf, reason))
}

/// The user's, or those of containers.conf(5); open files and processes as many as can be.
fn rlimits(
    definition: &Definition,
    facts: &BundleFacts,
) -> Result<Vec<PosixRlimit>, DefinitionError> {
    let options = &definition.options.process;
    let mut all = options.ulimits.clone();
    if options.ulimit_host {
        all.clear();
    } else if all.is_empty() {
        for text in facts.conf.containers.default_ulimits.values() {
            let limit = parse_ulimit(text);
            let (name, limit) =
                limit.map_err(|reason| facts.conf.refuse("default_ulimits", text, reason))?;
            all.insert(name, limit);
        }
    }
    let (files, processes) = facts.process.most.unwrap_or((MANY, MANY));
    for (name, most) in [(Resource::NOFILE, files), (Resource::NPROC, processes)] {
        let name = Resource::try_from(name.to_owned()).expect("it is in the list");
        let most = most.min(MANY);
        all.entry(name).or_insert(Ulimit {
            soft: most,
            hard: most,
        });
    }
    Ok(all.iter().map(rlimit).collect())
}

fn rlimit((name, limit): (&Resource, &Ulimit)) -> PosixRlimit {
    // The type of the limit has no setter of its own.
    let value = serde_json::json!({
        "type": format!("RLIMIT_{}", name.name().to_ascii_uppercase()),
        "soft": limit.soft,
        "hard": limit.hard,
    });
    serde_json::from_value(value).expect("resources are those of the specification")
}

/// A user's entry point drops the image's command, as Podman and Docker do.
pub(super) fn args(
    definition: &Definition,
    image: &ImageDefaults,
) -> Result<Vec<String>, DefinitionError> {
    let own_entrypoint = definition.options.entrypoint.as_ref();
    let entrypoint = own_entrypoint.unwrap_or(&image.entrypoint);
    let command = match definition.command.is_empty() {
        true if own_entrypoint.is_none() => &image.command,
        _ => &definition.command,
    };
    let args: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    if args.is_empty() {
        Err(DefinitionError::NoCommand)
    } else {
        Ok(args)
    }
}

/// Where the payload begins: the user's wish, the image's, or the root.
pub fn workdir(definition: &Definition, image: &ImageDefaults) -> String {
    let own = definition.options.workdir.as_deref();
    let image = Some(image.workdir.as_str()).filter(|dir| Path::new(dir).is_absolute());
    own.or(image).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_in_the_specification() {
        for name in [
            "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
        ]
        .into_iter()
        .chain([
            "nofile",
            "nproc",
            "rss",
            "rtprio",
            "rttime",
            "sigpending",
            "stack",
        ]) {
            let (name, limit) = parse_ulimit(&format!("{name}=1:2")).unwrap();
            let rlimit = rlimit((&name, &limit));
            assert_eq!((rlimit.soft(), rlimit.hard()), (1, 2));
        }
    }
}
