//! The labels of SELinux that a container has (selinux(8)).

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::prepare::{PrepareError, load};
use crate::api::Layout;
use crate::definition::{Definition, Namespace, Options};
use crate::host::world::{Durability, World};
use crate::plan::bundle::{is_nested, is_privileged};
use crate::plan::conf::Conf;
use crate::plan::selinux::{Contexts, LabelWish, Labels};
use crate::sys::id::random_bytes;
use crate::sys::paths::{Lock, lock_file};
use crate::types::ContainerId;

/// There if the kernel runs SELinux and has a policy.
const ENFORCE: &str = "/sys/fs/selinux/enforce";
/// Takes a context and refuses one that the policy has not (security_check_context(3)).
const CHECK: &str = "/sys/fs/selinux/context";
/// More containers than this do not join one another.
const MAX_CHAIN: usize = 32;

fn is_enabled() -> bool {
    Path::new(ENFORCE).exists()
}

/// Refuses labels that no start could set; where there is no SELinux they are left alone, as in Podman.
///
/// # Errors
/// An option is none, or the policy has no such context.
pub(super) fn check(layout: &Layout, options: &Options) -> Result<(), PrepareError> {
    if !is_enabled() || options.isolation.label.is_empty() {
        return Ok(());
    }
    let wish = wish(&options.isolation.label)?;
    check_contexts(&Labels::of(&contexts(layout.root())?, &wish, "s0"))
}

/// The labels of a container for a run; none where there is no SELinux. Its level is drawn with the first start and on
/// record from then on, in the container's directory, with which it goes.
///
/// # Errors
/// An option is none, the policy has no such context, or the level cannot be put on record.
pub(super) fn prepare(
    definition: &Definition,
    layout: &Layout,
    conf: &Conf,
    world: &mut dyn World,
) -> Result<Option<Labels>, PrepareError> {
    if !is_enabled() {
        return match is_nested(&definition.options) {
            true => Err(PrepareError::NoSelinux),
            false => Ok(None),
        };
    }
    let wish = wanted(definition, layout, conf, 0)?;
    let level = match wish.is_disabled() {
        true => String::new(),
        false => level(layout, &definition.id, wish.level(), world)?,
    };
    let labels = Labels::of(&contexts(layout.root())?, &wish, &level);
    check_contexts(&labels)?;
    Ok(Some(labels))
}

/// The labels that a container has had since its first start; none before, or where there is no SELinux.
pub fn known(definition: &Definition, layout: &Layout, conf: &Conf) -> Option<Labels> {
    if !is_enabled() {
        return None;
    }
    let wish = wanted(definition, layout, conf, 0).ok()?;
    let level = fs::read_to_string(layout.level(&definition.id));
    let level = match wish.is_disabled() {
        true => String::new(),
        false => level.ok()?,
    };
    Some(Labels::of(&contexts(layout.root()).ok()?, &wish, &level))
}

fn wish<T: AsRef<str>>(options: &[T]) -> Result<LabelWish, PrepareError> {
    LabelWish::parse(options).map_err(|reason| PrepareError::Label { reason })
}

/// The user's options, and on top what follows from namespaces that are shared.
fn wanted(
    definition: &Definition,
    layout: &Layout,
    conf: &Conf,
    depth: usize,
) -> Result<LabelWish, PrepareError> {
    let isolation = &definition.options.isolation;
    let mut options = isolation.label.clone();
    if is_privileged(definition, conf) || conf.containers.label == Some(false) {
        options.push("disable".to_owned());
    }
    let default = |conf: &Option<String>| conf.as_deref().and_then(|mode| mode.parse().ok());
    let modes = [
        (&isolation.pid, &conf.containers.pidns),
        (&isolation.ipc, &conf.containers.ipcns),
    ];
    for (mode, conf_mode) in modes {
        match mode.clone().or_else(|| default(conf_mode)) {
            Some(Namespace::Host) => options.push("disable".to_owned()),
            Some(Namespace::Container(owner)) if depth < MAX_CHAIN => {
                options.extend(of_owner(&owner, layout, conf, depth)?);
            }
            _ => {}
        }
    }
    wish(&options)
}

/// The label of a container whose namespace is joined, as options; none if it has none.
fn of_owner(
    owner: &str,
    layout: &Layout,
    conf: &Conf,
    depth: usize,
) -> Result<Vec<String>, PrepareError> {
    let id: ContainerId = owner.parse().map_err(|_| PrepareError::Gone {
        name: owner.to_owned(),
    })?;
    let definition = load(layout, &id)?;
    let wish = wanted(&definition, layout, conf, depth + 1)?;
    let level = fs::read_to_string(layout.level(&id)).unwrap_or_else(|_| "s0".to_owned());
    let labels = Labels::of(&contexts(layout.root())?, &wish, &level);
    Ok(match labels.process {
        Some(process) => process.as_options().into(),
        None => vec!["disable".to_owned()],
    })
}

/// What the policy in force says of containers.
fn contexts(root: &Path) -> Result<Contexts, PrepareError> {
    let configuration = fs::read_to_string(root.join("etc/selinux/config")).unwrap_or_default();
    let policy = configuration
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUXTYPE="));
    let policy = policy.unwrap_or("targeted").trim();
    let path = root.join("etc/selinux").join(policy);
    let text = fs::read_to_string(path.join("contexts/lxc_contexts")).unwrap_or_default();
    Contexts::parse(&text).map_err(|reason| PrepareError::Label { reason })
}

fn check_contexts(labels: &Labels) -> Result<(), PrepareError> {
    for context in labels.process.iter().chain([&labels.mount]) {
        let context = context.to_string();
        match fs::write(CHECK, &context) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let reason = format!("the policy has no context {context}");
                return Err(PrepareError::Label { reason });
            }
            // Who may not ask finds out from the kernel.
            _ => {}
        }
    }
    Ok(())
}

/// The level on record; if there is none, the one that is wanted, or one that no other container has.
fn level(
    layout: &Layout,
    id: &ContainerId,
    wanted: Option<&str>,
    world: &mut dyn World,
) -> Result<String, PrepareError> {
    let path = layout.level(id);
    if let Ok(level) = fs::read_to_string(&path) {
        return Ok(level);
    }
    let failed = |what, path: PathBuf| move |source| PrepareError::Effect { what, path, source };
    let all = layout.containers();
    // Whoever looks for a free one waits until ours is on record.
    let guard = fs::File::open(&all).map_err(failed("open", all.clone()))?;
    lock_file(&guard, Lock::Exclusive, true).map_err(failed("lock", all.clone()))?;
    let level = match wanted {
        Some(level) => level.to_owned(),
        None => {
            let random = random_bytes::<4>().map_err(failed("draw level of", path.clone()))?;
            let free = crate::plan::selinux::free_level(u32::from_ne_bytes(random), &taken(&all));
            free.ok_or_else(|| PrepareError::Label {
                reason: "every pair of categories has a container".to_owned(),
            })?
        }
    };
    world
        .write_file(&path, &level, 0o600, Durability::Synced)
        .map_err(failed("write", path.clone()))?;
    Ok(level)
}

/// The levels of all containers.
fn taken(containers: &Path) -> HashSet<String> {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten();
    let records = entries.filter_map(|entry| fs::read_to_string(entry.path().join("level")).ok());
    records.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake_world::FakeWorld;

    #[test]
    fn a_level_is_drawn_once_and_goes_with_the_container() {
        let mut world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let id = |byte: u8| ContainerId::from_random([byte; 32]);
        let mut draw = |byte: u8, wanted: Option<&str>| {
            fs::create_dir_all(layout.container(&id(byte))).unwrap();
            level(&layout, &id(byte), wanted, &mut world).unwrap()
        };
        let first = draw(1, None);
        assert_eq!(draw(1, None), first);
        assert_ne!(draw(2, None), first);
        assert_eq!(draw(3, Some("s0:c1,c2")), "s0:c1,c2");
        assert_eq!(taken(&layout.containers()).len(), 3);
        fs::remove_dir_all(layout.container(&id(1))).unwrap();
        assert!(!taken(&layout.containers()).contains(&first));
    }
}
