//! Which ids of the host a container gets, and what belongs to them then.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::libc::{O_NONBLOCK, O_RDONLY};

use super::error::{PrepareError, effect};
use super::joined;
use crate::api::Layout;
use crate::definition::{Definition, IdRange, UserNamespace};
use crate::host::world::{Durability, World};
use crate::plan::bundle::{Mapping, UserFacts};
use crate::plan::conf::Conf;
use crate::sys::paths::{Lock, Root, lock_file};
use crate::sys::userns::maps_of;

/// The name in /etc/subuid and /etc/subgid whose ids are for containers (containers-storage.conf(5)).
const POOL: &str = "containers";
/// The fewest ids that an automatic mapping has.
const FEWEST: u32 = 1024;
/// Larger account files of an image are not read, bytes.
const LARGEST: u64 = 1 << 20;
/// Nobody: no reason to map all that is below.
const NOBODY: u32 = 65534;
/// Where a container's automatic ids are on record, below its run directory.
pub(super) const RECORD: &str = "userns";

/// The mapping; none for a container in the host's user namespace. `layers` are the image's, the topmost first.
pub(super) fn mapping(
    definition: &Definition,
    layout: &Layout,
    conf: &Conf,
    layers: &[PathBuf],
    world: &mut dyn World,
) -> Result<Option<Mapping>, PrepareError> {
    let user = &definition.options.isolation.user;
    if user.has_mapping() {
        return fixed(definition, layout).map(Some);
    }
    let text = conf.containers.userns.as_deref();
    let default = text.filter(|text| !text.is_empty()).map(|text| {
        let parsed = text.parse::<UserNamespace>().map_err(io::Error::other);
        effect("use userns of", Path::new("containers.conf"), parsed)
    });
    let mode = match &user.mode {
        Some(mode) => Some(mode.clone()),
        None => default.transpose()?,
    };
    match mode {
        None | Some(UserNamespace::Host) => Ok(None),
        Some(UserNamespace::Path(path)) => joined_mapping(Path::new(&path)),
        Some(UserNamespace::Container(owner)) => {
            joined_mapping(&joined::user_namespace(&owner, layout)?)
        }
        Some(UserNamespace::KeepId | UserNamespace::KeepIdAs { .. }) => {
            let all = vec![IdRange {
                container: 0,
                host: 0,
                size: u32::MAX,
            }];
            Ok(Some(Mapping {
                uids: all.clone(),
                gids: all,
            }))
        }
        Some(UserNamespace::Auto { size, uids, gids }) => {
            let size = size.unwrap_or_else(|| needed(definition, layers));
            let wish = Wish { size, uids, gids };
            automatic(definition, layout, &wish, world).map(Some)
        }
    }
}

/// The mapping of a namespace that is there; none for our own.
fn joined_mapping(path: &Path) -> Result<Option<Mapping>, PrepareError> {
    let own = |path: &Path| fs::metadata(path).map(|about| (about.dev(), about.ino()));
    let file = effect("open user namespace", path, fs::File::open(path))?;
    if own(path).ok() == own(Path::new("/proc/self/ns/user")).ok() {
        return Ok(None);
    }
    let (uids, gids) = effect("read mapping of", path, maps_of(&file))?;
    Ok(Some(Mapping {
        uids: Mapping::ranges(&uids),
        gids: Mapping::ranges(&gids),
    }))
}

fn fixed(definition: &Definition, layout: &Layout) -> Result<Mapping, PrepareError> {
    let user = &definition.options.isolation.user;
    let named = |own: &Option<String>, other: &Option<String>, file: &str| {
        let name = own.as_ref().or(other.as_ref());
        let none = Ok::<_, PrepareError>(Vec::new());
        name.map_or(none, |name| {
            let mut next = 0;
            let parts = pool(layout, file, name)?.into_iter().map(|(host, size)| {
                let range = IdRange {
                    container: next,
                    host,
                    size,
                };
                next += size;
                range
            });
            Ok(parts.collect())
        })
    };
    let mut uids = named(&user.subuid_name, &user.subgid_name, "etc/subuid")?;
    let mut gids = named(&user.subgid_name, &user.subuid_name, "etc/subgid")?;
    uids.extend(&user.uids);
    gids.extend(&user.gids);
    if uids.is_empty() {
        uids.clone_from(&gids);
    }
    if gids.is_empty() {
        gids.clone_from(&uids);
    }
    Ok(Mapping { uids, gids })
}

/// The ids that a name has: first and count (subuid(5)).
fn pool(layout: &Layout, file: &str, name: &str) -> Result<Vec<(u32, u32)>, PrepareError> {
    let path = layout.root().join(file);
    let text = effect("read", &path, fs::read_to_string(&path))?;
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let own = fields.next()? == name;
        let start: u32 = fields.next()?.trim().parse().ok()?;
        let size: u32 = fields.next()?.trim().parse().ok()?;
        (own && size > 0 && start.checked_add(size).is_some()).then_some((start, size))
    });
    let ranges: Vec<(u32, u32)> = ranges.collect();
    if ranges.is_empty() {
        let error = io::Error::other(format!("it has no ids for {name:?}"));
        return effect("map ids of", &path, Err(error));
    }
    Ok(ranges)
}

/// An automatic mapping wished for.
struct Wish {
    size: u32,
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

/// As many as the image has accounts for.
fn needed(definition: &Definition, layers: &[PathBuf]) -> u32 {
    let files = ["etc/passwd", "etc/group"];
    let accounts = files
        .iter()
        .filter_map(|file| layers.iter().find_map(|dir| read(dir, file)));
    let ids = accounts.flat_map(|text| {
        let id = |line: &str| line.split(':').nth(2)?.parse::<u32>().ok();
        text.lines().filter_map(id).collect::<Vec<_>>()
    });
    let user = definition.options.user.as_deref().unwrap_or_default();
    let own = user.split(':').filter_map(|id| id.parse::<u32>().ok());
    let largest = ids.filter(|id| *id < NOBODY).chain(own).max();
    largest.map_or(FEWEST, |largest| largest.saturating_add(1).max(FEWEST))
}

/// A file of an unpacked layer, which is the image's: never followed out of it.
fn read(layer: &Path, file: &str) -> Option<String> {
    use std::io::Read;
    let fd = Root::open(layer)
        .ok()?
        .open_in(file, O_RDONLY | O_NONBLOCK, 0)
        .ok()?;
    let file = fs::File::from(fd);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Takes the first ids that no other container has, and puts that on record. The record goes with the run directory.
fn automatic(
    definition: &Definition,
    layout: &Layout,
    wish: &Wish,
    world: &mut dyn World,
) -> Result<Mapping, PrepareError> {
    let run = layout.run();
    // Whoever looks for free ids waits until ours are on record.
    let guard = effect("open", &run, fs::File::open(&run))?;
    effect("lock", &run, lock_file(&guard, Lock::Exclusive, true))?;
    let taken = taken(&run);
    let kinds = [
        ("etc/subuid", &wish.uids, 'u'),
        ("etc/subgid", &wish.gids, 'g'),
    ];
    let mut record = String::new();
    let mut both = Vec::new();
    for (file, given, kind) in kinds {
        let covered: u32 = given.iter().map(|range| range.size).sum();
        let size = wish.size.saturating_sub(covered);
        let pool = pool(layout, file, POOL)?;
        let used: Vec<(u32, u32)> = (taken.iter())
            .filter(|(of, ..)| *of == kind)
            .map(|(_, start, size)| (*start, *size))
            .collect();
        let mut ranges = given.clone();
        if size > 0 {
            let free = free(&pool, &used, size);
            let path = layout.root().join(file);
            let text = || io::Error::other(format!("{size} free ids of {POOL:?} wanted"));
            let start = effect("map ids of", &path, free.ok_or_else(text))?;
            ranges.extend(around(given, start, size));
            record.push_str(&format!("{kind} {start} {size}\n"));
        }
        both.push(ranges);
    }
    let path = layout.run_container(&definition.id).join(RECORD);
    let written = world.write_file(&path, &record, 0o600, Durability::Cached);
    effect("write", &path, written)?;
    let gids = both.pop().unwrap_or_default();
    let uids = both.pop().unwrap_or_default();
    Ok(Mapping { uids, gids })
}

/// What containers of this boot have: kind, first id, count.
fn taken(run: &Path) -> Vec<(char, u32, u32)> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    let records = entries.filter_map(|entry| fs::read_to_string(entry.path().join(RECORD)).ok());
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let kind = words.next()?.chars().next()?;
        let (start, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((kind, start, size))
    };
    let lines = records.flat_map(|text| text.lines().filter_map(parse).collect::<Vec<_>>());
    lines.collect()
}

/// The first id of so many free ones in a row.
fn free(pool: &[(u32, u32)], used: &[(u32, u32)], size: u32) -> Option<u32> {
    pool.iter().find_map(|(start, count)| {
        let end = start + count;
        let mut at = *start;
        while at.checked_add(size)? <= end {
            let in_the_way =
                |(other, length): &&(u32, u32)| at < other + length && *other < at + size;
            match used.iter().find(in_the_way) {
                None => return Some(at),
                Some((other, length)) => at = other + length,
            }
        }
        None
    })
}

/// Ranges for the ids of the container that are not given, from this id of the host on.
fn around(given: &[IdRange], mut host: u32, mut size: u32) -> Vec<IdRange> {
    let mut sorted = given.to_vec();
    sorted.sort_by_key(|range| range.container);
    let (mut next, mut ranges) = (0, Vec::new());
    let gaps = sorted
        .iter()
        .map(|range| (range.container, range.container + range.size));
    for (end, after) in gaps.chain([(u32::MAX, u32::MAX)]) {
        let length = size.min(end.saturating_sub(next));
        if length > 0 {
            ranges.push(IdRange {
                container: next,
                host,
                size: length,
            });
            host += length;
            size -= length;
        }
        next = after;
    }
    ranges
}

/// The user as files of the host know it.
pub(super) fn on_host(user: &UserFacts, mapping: Option<&Mapping>) -> UserFacts {
    let mut owner = user.clone();
    if let Some((uid, gid)) = mapping.and_then(|mapping| mapping.owner(user.uid, user.gid)) {
        (owner.uid, owner.gid) = (uid, gid);
    }
    owner
}

/// Lets the container's root, and nobody else, come down to the bundle.
pub(super) fn open_path(
    definition: &Definition,
    layout: &Layout,
    mapping: Option<&Mapping>,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let Some((_, gid)) = mapping.and_then(|mapping| mapping.owner(0, 0)) else {
        return Ok(());
    };
    let id = &definition.id;
    let steps = [
        (layout.run(), 0, 0o711),
        (layout.run_container(id), gid, 0o710),
        (layout.bundle(id), gid, 0o710),
    ];
    for (path, group, mode) in steps {
        effect("open", &path, world.hand_over(&path, (0, group), mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_to_one_container_only() {
        let pool = [(100, 50), (1000, 100)];
        assert_eq!(free(&pool, &[], 50), Some(100));
        assert_eq!(free(&pool, &[], 51), Some(1000));
        assert_eq!(free(&pool, &[(100, 10)], 40), Some(110));
        assert_eq!(free(&pool, &[(110, 10)], 20), Some(120));
        assert_eq!(free(&pool, &[(110, 10)], 31), Some(1000));
        assert_eq!(free(&pool, &[(100, 50), (1040, 20)], 41), None);
        assert_eq!(free(&[(u32::MAX - 10, 10)], &[], 11), None);
    }

    #[test]
    fn given_ids_are_left_out_of_the_rest() {
        let range = |container, host, size| IdRange {
            container,
            host,
            size,
        };
        assert_eq!(around(&[], 7, 10), [range(0, 7, 10)]);
        assert_eq!(around(&[range(0, 500, 10)], 7, 20), [range(10, 7, 20)]);
        assert_eq!(
            around(&[range(5, 500, 2)], 100, 10),
            [range(0, 100, 5), range(7, 105, 5)]
        );
    }
}
