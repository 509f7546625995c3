//! Makes a container: a definition on disk, and a unit file if it is to be kept.

use std::fs;
use std::path::Path;

use super::{
    ContainerError, Site, defaults, dependencies, environment, events, names, prepare, unit,
    volumes,
};
use crate::api::Layout;
use crate::api::event::EventKind;
use crate::definition::mount::{IdmapOption, MountKind};
use crate::definition::{Definition, DefinitionError, Options, Source, VERSION};
use crate::host::cgroup::check_unified;
use crate::host::runtime::Runtime;
use crate::image::{Hold, Image, Images};
use crate::plan::conf::Conf;
use crate::plan::health;
use crate::store::{self, ContainerLock, StoreError};
use crate::sys::{id::random_bytes, paths::Lock, time::realtime};
use crate::types::{ContainerId, ContainerName, fits_journal};

/// Tries for a name that is free; the first two have no number in it.
const ATTEMPTS: u32 = 16;

/// What a user wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Everything set by options, on top of [`defaults::before`].
    pub options: Options,
    /// The configuration that these came from.
    pub conf: Conf,
    /// An image's name, or with `rootfs` the path of a directory.
    pub from: String,
    /// `--rootfs`.
    pub rootfs: bool,
    /// Command and arguments.
    pub command: Vec<String>,
    /// The caller's environment.
    pub environment: Vec<(String, String)>,
}

/// What must not go before the container that uses it is on record.
#[derive(Debug)]
pub(super) struct Held {
    _image: Option<Hold>,
    _volumes: Option<store::volumes::Hold>,
}

/// Makes a container and returns it with its lock.
///
/// # Errors
/// The wish cannot be fulfilled, or the records cannot be written; nothing is left then.
pub fn create(
    site: Site<'_>,
    mut wish: Wish,
) -> Result<(Definition, ContainerLock), ContainerError> {
    let (source, _held) = settle(site.layout, &mut wish, true)?;
    let (definition, lock) = record(site, wish, source)?;
    if let Err(error) = complete(site, &definition) {
        // The first error is the one to tell.
        let _ = store::remove(site.layout, &lock, &definition.id);
        return Err(error);
    }
    events::tell(&definition, EventKind::Create, None);
    Ok((definition, lock))
}

/// Checks a wish, finds what it needs on this host, and makes its options final. With `sweep`, what crashes left in the
/// store goes.
///
/// # Errors
/// The wish cannot be fulfilled.
pub(super) fn settle(
    layout: &Layout,
    wish: &mut Wish,
    sweep: bool,
) -> Result<(Source, Held), ContainerError> {
    check_unified()?;
    defaults::after(&wish.conf, &mut wish.options)?;
    wish.options.check()?;
    prepare::check(layout, &wish.options, &wish.conf)?;
    environment::resolve(&mut wish.options, &wish.conf, &wish.environment)?;
    Runtime::find(wish.options.runtime.as_deref())?;
    let images = (!wish.rootfs)
        .then(|| Images::open(&layout.state()))
        .transpose()?;
    let image_held = images.as_ref().map(Images::hold).transpose()?;
    dependencies::resolve(layout, &mut wish.options)?;
    let image = images.as_ref().map(|images| images.resolve(&wish.from));
    let image = image.transpose()?;
    let source = match &image {
        Some(image) => image_source(image, wish)?,
        None => rootfs_source(wish)?,
    };
    let said = image.as_ref().map(prepare::defaults).unwrap_or_default();
    health::of(&wish.options, &said.health)?;
    volumes::settle(layout, &mut wish.options, image.as_ref())?;
    if sweep {
        store::sweep(layout)?;
    }
    let mounts = wish.options.files.effective().iter();
    let has_volumes = { mounts }.any(|mount| mount.kind == MountKind::Volume);
    let volumes_held = has_volumes
        .then(|| store::volumes::hold(layout, Lock::Shared))
        .transpose()?;
    let held = Held {
        _image: image_held,
        _volumes: volumes_held,
    };
    Ok((source, held))
}

/// What a container on record needs besides.
fn complete(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    unit::check_free(site, &definition.name, None)?;
    volumes::make(site.layout, definition)?;
    if definition.options.remove {
        return Ok(());
    }
    unit::write(site, &unit::plan(site, definition)?)
}

fn image_source(image: &Image, wish: &Wish) -> Result<Source, ContainerError> {
    let own = &wish.options.entrypoint;
    let none = match own {
        Some(entrypoint) => entrypoint.is_empty() && wish.command.is_empty(),
        None => {
            image.config.entrypoint.is_empty()
                && image.config.cmd.is_empty()
                && wish.command.is_empty()
        }
    };
    if none {
        return Err(DefinitionError::NoCommand.into());
    }
    let meant = |name: &&String| {
        let rest = name.strip_suffix(wish.from.as_str());
        let untagged = name
            .rsplit_once(':')
            .and_then(|(repository, _)| repository.strip_suffix(wish.from.as_str()));
        [rest, untagged]
            .into_iter()
            .flatten()
            .any(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let name = image.names.iter().find(meant).or(image.names.first());
    Ok(Source::Image {
        name: name.unwrap_or(&wish.from).clone(),
        id: image.id.clone(),
    })
}

fn rootfs_source(wish: &mut Wish) -> Result<Source, ContainerError> {
    if let Some((path, option)) = wish.from.rsplit_once(':')
        && !Path::new(&wish.from).exists()
    {
        match option {
            "O" => wish.options.files.rootfs_overlay = true,
            _ if option == "idmap" || option.starts_with("idmap=") => {
                let idmap = option.strip_prefix("idmap=").unwrap_or_default();
                if !idmap.is_empty() {
                    let parsed: Result<IdmapOption, String> = idmap.parse();
                    parsed.map_err(|_| DefinitionError::RootfsOption(option.to_owned()))?;
                }
                wish.options.files.rootfs_idmap = Some(idmap.to_owned());
            }
            _ => return Err(DefinitionError::RootfsOption(option.to_owned()).into()),
        }
        wish.from = path.to_owned();
    }
    let entrypoint = wish.options.entrypoint.as_deref().unwrap_or_default();
    if wish.command.is_empty() && entrypoint.is_empty() {
        return Err(DefinitionError::NoCommand.into());
    }
    let failed = || ContainerError::io("open root filesystem", &wish.from);
    let path = fs::canonicalize(&wish.from).map_err(failed())?;
    if !path.is_dir() {
        return Err(failed()(std::io::ErrorKind::NotADirectory.into()));
    }
    let path = path.into_os_string().into_string();
    let path = path.map_err(|_| failed()(std::io::ErrorKind::InvalidInput.into()))?;
    if !path.chars().all(fits_journal) {
        // It becomes a field of the journal, and a line of files in the container.
        let error = std::io::Error::other(
            "control characters and noncharacters are not allowed in its path",
        );
        return Err(failed()(error));
    }
    Ok(Source::Rootfs { path })
}

fn record(
    site: Site<'_>,
    wish: Wish,
    source: Source,
) -> Result<(Definition, ContainerLock), ContainerError> {
    let random = || random_bytes::<32>().map_err(ContainerError::io("draw", "random bytes"));
    let id = ContainerId::from_random(random()?);
    let wished: Option<ContainerName> = wish.options.name.clone();
    let _held = dependencies::hold(site.layout, &wish.options, &id)?;
    let mut definition = Definition {
        version: VERSION,
        name: wished.clone().unwrap_or_else(|| names::made_up([0; 4], 0)),
        id,
        created: realtime().as_micros() as u64,
        source,
        command: wish.command,
        options: wish.options,
        deployed: None,
    };
    for attempt in 0..ATTEMPTS {
        if wished.is_none() {
            let bytes = random()?;
            definition.name = names::made_up([bytes[0], bytes[1], bytes[2], bytes[3]], attempt);
        }
        match store::create(site.layout, &definition) {
            Ok(lock) => return Ok((definition, lock)),
            Err(StoreError::NameTaken { .. }) if wished.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let error = std::io::ErrorKind::AlreadyExists.into();
    Err(ContainerError::io("make up", "a free name")(error))
}
