//! Namespaces that a container does not make itself: those of other containers that it joins, and its own of an earlier
//! run, which somebody who joined them has pinned.

use std::fs;
use std::path::PathBuf;

use super::error::{PrepareError, effect};
use super::{Ground, load};
use crate::api::Layout;
use crate::container::observe::payload_of;
use crate::definition::{Definition, Namespace, Network, UserNamespace};
use crate::host::pins::Pin;
use crate::host::world::World;
use crate::plan::bundle::{JoinedFacts, NamespaceKind, NamespaceSource};
use crate::store;
use crate::sys::process::start_ticks;
use crate::types::ContainerId;

/// Containers that join one another's namespaces in a row; more is no intention.
const MAX_CHAIN: usize = 32;

/// Finds the namespaces, and pins those of others that can be. A container that joins none and that nobody joined costs
/// one look at a directory.
///
/// # Errors
/// A container that is joined does not run, or its namespace cannot be pinned.
pub(super) fn join(ground: &Ground, world: &mut dyn World) -> Result<JoinedFacts, PrepareError> {
    let (definition, run) = (ground.definition, ground.run);
    let mut facts = own(definition, run.layout);
    for (kind, mode) in modes(definition) {
        if let Mode::Of(owner) = mode {
            join_one(&mut facts, kind, owner, run.layout, world)?;
        }
    }
    let user = match &definition.options.isolation.user.mode {
        Some(UserNamespace::Path(path)) => Some(PathBuf::from(path)),
        Some(UserNamespace::Container(owner)) => Some(user_namespace(owner, run.layout)?),
        _ => None,
    };
    // Without a mapping it is the host's.
    if let Some(path) = user.filter(|_| ground.mapping.is_some()) {
        let source = NamespaceSource::Path(path);
        facts.sources.push((NamespaceKind::User, source));
    }
    Ok(facts)
}

/// The file of the user namespace of a container that runs (namespaces(7)).
///
/// # Errors
/// It is not there, or does not run.
pub(super) fn user_namespace(owner: &str, layout: &Layout) -> Result<PathBuf, PrepareError> {
    let owner = find(layout, owner)?;
    let pid = running(layout, &owner.id).ok_or_else(|| PrepareError::NotRunning {
        namespace: NamespaceKind::User.name(),
        name: owner.name.clone(),
    })?;
    let kind = NamespaceKind::User.file();
    Ok(PathBuf::from(format!("/proc/{pid}/ns/{kind}")))
}

/// How a container gets one of its namespaces.
enum Mode<'a> {
    Own,
    Host,
    Path(&'a str),
    Of(&'a str),
}

fn modes(definition: &Definition) -> [(NamespaceKind, Mode<'_>); 5] {
    let options = &definition.options;
    let network = match &options.network {
        Network::None => Mode::Own,
        Network::Host => Mode::Host,
        Network::Path(path) => Mode::Path(path),
        Network::Container(owner) => Mode::Of(owner),
    };
    let isolation = &options.isolation;
    [
        (NamespaceKind::Network, network),
        (NamespaceKind::Ipc, mode(&isolation.ipc)),
        (NamespaceKind::Uts, mode(&isolation.uts)),
        (NamespaceKind::Pid, mode(&isolation.pid)),
        (NamespaceKind::Cgroup, mode(&isolation.cgroup)),
    ]
}

fn mode(wish: &Option<Namespace>) -> Mode<'_> {
    match wish {
        Some(Namespace::Host) => Mode::Host,
        Some(Namespace::Path(path)) => Mode::Path(path),
        Some(Namespace::Container(owner)) => Mode::Of(owner),
        Some(Namespace::Private | Namespace::Shareable | Namespace::WithoutShm) | None => Mode::Own,
    }
}

fn pin_of(kind: NamespaceKind) -> Option<Pin> {
    match kind {
        NamespaceKind::Network => Some(Pin::Network),
        NamespaceKind::Ipc => Some(Pin::Ipc),
        NamespaceKind::Uts => Some(Pin::Uts),
        // A PID namespace dies with its first process; a cgroup namespace is a view of a group that goes.
        // One of users lives as long as who is in it.
        NamespaceKind::Pid | NamespaceKind::Cgroup | NamespaceKind::User => None,
    }
}

/// The container's own namespaces that others hold on to.
fn own(definition: &Definition, layout: &Layout) -> JoinedFacts {
    let mut facts = JoinedFacts::default();
    let pins = layout.pins(&definition.id);
    if !pins.exists() {
        return facts;
    }
    for (kind, mode) in modes(definition) {
        if let (Mode::Own, Some(pin)) = (mode, pin_of(kind))
            && pin.is_in(&pins)
        {
            let path = pins.join(pin.name());
            facts.sources.push((kind, NamespaceSource::Path(path)));
        }
    }
    facts.shm = Pin::Shm.is_in(&pins).then(|| pins.join(Pin::Shm.name()));
    facts
}

fn join_one(
    facts: &mut JoinedFacts,
    kind: NamespaceKind,
    owner: &str,
    layout: &Layout,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let direct = find(layout, owner)?;
    let stopped = |definition: &Definition| PrepareError::NotRunning {
        namespace: kind.name(),
        name: definition.name.clone(),
    };
    running(layout, &direct.id).ok_or_else(|| stopped(&direct))?;
    if kind == NamespaceKind::Uts {
        let own = direct.options.hostname.clone();
        facts.hostname = Some(own.unwrap_or_else(|| direct.id.short().to_owned()));
    }
    if kind == NamespaceKind::Network {
        let of = |file: &str| fs::read_to_string(layout.run_container(&direct.id).join(file)).ok();
        facts.resolv_conf = of("resolv.conf");
        // Without a network there is nobody to be known to.
        let alone = direct.options.network == Network::None;
        facts.hosts = of("hosts").filter(|_| !alone);
    }
    let (origin, outside) = origin(layout, kind, direct)?;
    if let Some(source) = outside {
        facts.sources.push((kind, source));
        return Ok(());
    }
    let Some(pin) = pin_of(kind) else {
        let pid = running(layout, &origin.id).ok_or_else(|| stopped(&origin))?;
        let path = PathBuf::from(format!("/proc/{pid}/ns/{}", kind.file()));
        facts.sources.push((kind, NamespaceSource::Path(path)));
        return Ok(());
    };
    let path = pinned(&origin, pin, layout, world, &stopped)?;
    facts.sources.push((kind, NamespaceSource::Path(path)));
    if pin == Pin::Ipc {
        facts.shm = Some(pinned(&origin, Pin::Shm, layout, world, &stopped)?);
    }
    Ok(())
}

/// Whose the namespace is in the end, or what it is if it is no container's.
fn origin(
    layout: &Layout,
    kind: NamespaceKind,
    mut definition: Definition,
) -> Result<(Definition, Option<NamespaceSource>), PrepareError> {
    for _ in 0..MAX_CHAIN {
        let mode = modes(&definition)
            .into_iter()
            .find(|(other, _)| *other == kind);
        let next = match mode.map(|(_, mode)| mode) {
            Some(Mode::Of(owner)) => find(layout, owner)?,
            Some(Mode::Host) => return Ok((definition, Some(NamespaceSource::Host))),
            Some(Mode::Path(path)) => {
                let path = NamespaceSource::Path(PathBuf::from(path));
                return Ok((definition, Some(path)));
            }
            Some(Mode::Own) | None => return Ok((definition, None)),
        };
        definition = next;
    }
    Err(PrepareError::Chain {
        namespace: kind.name(),
    })
}

fn find(layout: &Layout, owner: &str) -> Result<Definition, PrepareError> {
    let id: ContainerId = owner.parse().map_err(|_| PrepareError::Gone {
        name: owner.to_owned(),
    })?;
    load(layout, &id)
}

/// The first process of a container that runs.
fn running(layout: &Layout, id: &ContainerId) -> Option<i32> {
    let payload = payload_of(layout, id)?;
    let same = start_ticks(payload.pid).is_ok_and(|ticks| ticks == payload.start_ticks);
    same.then_some(payload.pid)
}

/// The path of what is pinned of a container; pinned now, if nobody has before.
fn pinned(
    origin: &Definition,
    pin: Pin,
    layout: &Layout,
    world: &mut dyn World,
    stopped: &dyn Fn(&Definition) -> PrepareError,
) -> Result<PathBuf, PrepareError> {
    let pins = layout.pins(&origin.id);
    let path = pins.join(pin.name());
    if pin.is_in(&pins) {
        return Ok(path);
    }
    // Its next start must see the pin or not, but not half of it.
    let _lock = store::lock(layout, &origin.id)?;
    if pin.is_in(&pins) {
        return Ok(path);
    }
    let pid = running(layout, &origin.id).ok_or_else(|| stopped(origin))?;
    effect("pin namespace at", &path, world.pin(pid, pin, &pins))?;
    // What was pinned was its own if it still is the same process.
    if running(layout, &origin.id) != Some(pid) {
        effect("unpin", &pins, world.unpin(&pins))?;
        return Err(stopped(origin));
    }
    Ok(path)
}
