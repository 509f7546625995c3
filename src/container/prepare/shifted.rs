//! The root of a mapped container where the kernel or the file system maps no ids: copies of its layers that belong to the
//! host's ids, made once for a mapping. They lie in the container's directory and go with it.
//!
//! `rootfs/mapped/{mapping, 0, 1, ..., upper, work}` appears whole. With another mapping (`--userns=auto` may get other ids
//! at each start) it is made anew, and the container's own changes are carried over.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{PrepareError, effect};
use crate::host::world::{Durability, Overlay, World};
use crate::plan::bundle::{Mapping, map_file};
use crate::store::copy_tree::Shift;

const PLACE: &str = "mapped";
const RECORD: &str = "mapping";

/// Whether a container has such copies, which have its changes then.
pub(super) fn are_there(own: &Path) -> bool {
    let names = [PLACE.to_owned(), format!("{PLACE}.old")];
    names.iter().any(|name| own.join(name).exists())
}

/// The changes of a container that has such copies, and the way back to the owners that it sees.
pub(super) fn changes_of(own: &Path) -> Option<(PathBuf, Shift)> {
    let names = [PLACE.to_owned(), format!("{PLACE}.old")];
    let mut places = names.iter().map(|name| own.join(name));
    let place = places.find(|place| place.exists())?;
    let text = fs::read_to_string(place.join(RECORD)).ok()?;
    Some((place.join("upper"), shift_of(&text).back()))
}

/// Makes the copies, unless they are there; the overlay to mount instead. `own` is the directory of the container's
/// layers.
pub(super) fn make(
    own: &Path,
    overlay: Overlay,
    mapping: &Mapping,
    world: &mut dyn World,
) -> Result<Overlay, PrepareError> {
    let place = own.join(PLACE);
    let (part, old) = (own.join("mapped.part"), own.join("mapped.old"));
    if old.exists() && !place.exists() {
        effect("rename", &old, world.rename(&old, &place))?;
    }
    // What an earlier start that was cut off left.
    for left in [&part, &old].into_iter().filter(|path| path.exists()) {
        effect("remove", left, world.remove_tree(left))?;
    }
    let text = text_of(mapping);
    let record = place.join(RECORD);
    if fs::read_to_string(&record).ok().as_deref() != Some(&text) {
        copy(own, &overlay, (&part, mapping), world)?;
        let path = part.join(RECORD);
        let written = world.write_file(&path, &text, 0o600, Durability::Synced);
        effect("write", &path, written)?;
        if place.exists() {
            effect("rename", &place, world.rename(&place, &old))?;
        }
        effect("rename", &part, world.rename(&part, &place))?;
        if old.exists() {
            effect("remove", &old, world.remove_tree(&old))?;
        }
    }
    let layers = 0..overlay.lower.len();
    Ok(Overlay {
        lower: layers
            .map(|number| place.join(number.to_string()))
            .collect(),
        upper: place.join("upper"),
        work: place.join("work"),
        idmap: None,
        ..overlay
    })
}

fn copy(
    own: &Path,
    overlay: &Overlay,
    (part, mapping): (&Path, &Mapping),
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let shift = Shift {
        uids: mapping.uids.clone(),
        gids: mapping.gids.clone(),
    };
    effect("make directory", part, world.make_dir(part, 0o700))?;
    for (number, layer) in overlay.lower.iter().enumerate() {
        let copied = world.copy_shifted(layer, &part.join(number.to_string()), &shift);
        effect("copy layer", layer, copied)?;
    }
    let upper = part.join("upper");
    let earlier = own.join(PLACE);
    match fs::read_to_string(earlier.join(RECORD)).ok() {
        None => {
            let copied = world.copy_shifted(&overlay.upper, &upper, &shift);
            effect("copy layer", &overlay.upper, copied)?;
        }
        Some(text) => {
            let (from, plain) = (earlier.join("upper"), part.join("plain"));
            let back = shift_of(&text).back();
            let copied = world.copy_shifted(&from, &plain, &back);
            effect("copy layer", &from, copied)?;
            let copied = world.copy_shifted(&plain, &upper, &shift);
            effect("copy layer", &plain, copied)?;
            effect("remove", &plain, world.remove_tree(&plain))?;
        }
    }
    let work = part.join("work");
    effect("make directory", &work, world.make_dir(&work, 0o755))
}

/// Users, an empty line, groups.
fn text_of(mapping: &Mapping) -> String {
    format!("{}\n{}", map_file(&mapping.uids), map_file(&mapping.gids))
}

fn shift_of(text: &str) -> Shift {
    let (uids, gids) = text.split_once("\n\n").unwrap_or((text, ""));
    Shift {
        uids: Mapping::ranges(uids),
        gids: Mapping::ranges(gids),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::definition::IdRange;
    use crate::host::fake_world::{Depth, FakeWorld};

    fn mapping(host: u32) -> Mapping {
        let range = IdRange {
            container: 0,
            host,
            size: 1000,
        };
        Mapping {
            uids: vec![range],
            gids: vec![range],
        }
    }

    /// A container with one layer and a file of its own.
    fn prepare(world: &FakeWorld) -> (PathBuf, Overlay) {
        let own = world.root().join("rootfs");
        for dir in ["upper", "work", "layer"] {
            fs::create_dir_all(own.join(dir)).unwrap();
        }
        fs::write(own.join("layer/file"), "image").unwrap();
        fs::write(own.join("upper/own"), "mine").unwrap();
        std::os::unix::fs::chown(own.join("upper/own"), Some(7), Some(7)).unwrap();
        let overlay = Overlay {
            lower: vec![own.join("layer")],
            upper: own.join("upper"),
            work: own.join("work"),
            target: own.join("target"),
            empty: own.join("layer"),
            idmap: None,
            volatile: false,
            context: None,
        };
        (own, overlay)
    }

    #[track_caller]
    fn check(own: &Path, overlay: &Overlay, host: u32) {
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!(owner(&overlay.lower[0].join("file")), host);
        assert_eq!(owner(&overlay.upper), host);
        assert_eq!(owner(&overlay.upper.join("own")), host + 7);
        let names = fs::read_dir(own).unwrap();
        let names: BTreeSet<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        let expected = ["layer", "mapped", "upper", "work"];
        assert_eq!(names, expected.iter().map(|name| (*name).into()).collect());
    }

    #[test]
    fn copies_are_made_once_and_again_for_another_mapping() {
        let mut world = FakeWorld::new();
        let (own, overlay) = prepare(&world);
        let first = make(&own, overlay.clone(), &mapping(5000), &mut world).unwrap();
        check(&own, &first, 5000);
        fs::write(first.upper.join("later"), "").unwrap();
        // Nothing is done any more.
        world.cut_at(1, Depth::Done);
        assert_eq!(
            make(&own, overlay.clone(), &mapping(5000), &mut world).unwrap(),
            first
        );
        assert!(!world.heal());
        let second = make(&own, overlay, &mapping(9000), &mut world).unwrap();
        check(&own, &second, 9000);
        assert!(second.upper.join("later").exists());
    }

    #[test]
    fn a_start_that_was_cut_off_anywhere_is_made_up_for() {
        for depth in Depth::ALL {
            for effect in 1.. {
                let mut world = FakeWorld::new();
                let (own, overlay) = prepare(&world);
                make(&own, overlay.clone(), &mapping(5000), &mut world).unwrap();
                world.cut_at(effect, depth);
                let _ = make(&own, overlay.clone(), &mapping(9000), &mut world);
                let cut = world.heal();
                assert!(are_there(&own), "{effect} {depth:?}");
                let made = make(&own, overlay, &mapping(9000), &mut world).unwrap();
                check(&own, &made, 9000);
                if !cut {
                    assert!(effect > 8);
                    break;
                }
            }
        }
    }
}
