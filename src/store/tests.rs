use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;
use crate::api::{LOG_FIELDS, Layout};
use crate::definition::{Definition, Options, Source, VERSION};

/// A root directory of its own that goes with the test.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let random = crate::sys::id::random_bytes::<32>().unwrap();
        let name = ContainerId::from_random(random);
        let path = std::env::temp_dir().join(format!("unitbox-store-{}", name.short()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn layout(&self) -> Layout {
        Layout::new(&self.0)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn definition(byte: u8, name: &str) -> Definition {
    Definition {
        version: VERSION,
        id: ContainerId::from_random([byte; 32]),
        name: name.parse().unwrap(),
        created: u64::from(byte),
        source: Source::Rootfs {
            path: "/r".to_owned(),
        },
        command: Vec::new(),
        options: Options::default(),
        deployed: None,
    }
}

fn names_of(layout: &Layout) -> Vec<String> {
    let name = |entry: Listed| match entry {
        Listed::Good(definition) => definition.name.to_string(),
        Listed::Broken { id, .. } => format!("broken {}", id.short()),
    };
    list(layout).unwrap().into_iter().map(name).collect()
}

/// Everything below the containers' and names' directories, hidden entries included.
fn entries(layout: &Layout) -> usize {
    let count = |path| fs::read_dir(path).map_or(0, Iterator::count);
    count(layout.containers()) + count(layout.names()) + count(layout.run().join("locks"))
}

#[test]
fn a_container_is_made_found_and_removed_without_a_trace() {
    let home = Home::new();
    let layout = home.layout();
    let web = definition(0xab, "web");
    assert!(names_of(&layout).is_empty());
    drop(create(&layout, &web).unwrap());
    assert_eq!(load(&layout, &web.id).unwrap(), web);
    for text in ["web", web.id.as_str(), "ab", "abab"] {
        assert_eq!(lookup(&layout, text).unwrap(), web.id, "{text}");
    }
    for text in ["ac", "we", "", "../containers", "x"] {
        assert!(lookup(&layout, text).unwrap_err().is_not_found(), "{text}");
    }
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(layout.container(&web.id)), 0o700);
    assert_eq!(mode(layout.definition(&web.id)), 0o600);
    fs::create_dir_all(layout.rootfs(&web.id).join("upper/etc")).unwrap();
    for _ in 0..2 {
        let lock = lock(&layout, &web.id).unwrap();
        remove(&layout, &lock, &web.id).unwrap();
    }
    assert_eq!(entries(&layout), 0);
}

#[test]
fn a_name_is_taken_once() {
    let home = Home::new();
    let layout = home.layout();
    let (first, second) = (definition(1, "web"), definition(2, "web"));
    drop(create(&layout, &first).unwrap());
    let before = entries(&layout);
    let text = create(&layout, &second).unwrap_err().to_string();
    let start = format!(
        "the container name \"web\" is already in use by {}",
        first.id
    );
    assert!(text.starts_with(&start), "{text}");
    assert_eq!(entries(&layout), before);
    assert_eq!(names_of(&layout), ["web"]);
}

#[test]
fn of_many_creators_one_gets_the_name() {
    let home = Home::new();
    let layout = home.layout();
    ensure_private(&layout.names()).unwrap();
    // All of them find the link of a crash and want to replace it.
    symlink("../containers/gone", layout.name(&"web".parse().unwrap())).unwrap();
    let wins: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=16)
            .map(|byte| {
                let layout = layout.clone();
                scope.spawn(move || usize::from(create(&layout, &definition(byte, "web")).is_ok()))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(wins, 1);
    assert_eq!(names_of(&layout), ["web"]);
    assert_eq!(entries(&layout), 3);
}

#[test]
fn a_name_in_the_making_is_taken_and_a_dead_one_is_free() {
    let home = Home::new();
    let layout = home.layout();
    let (dead, other) = (definition(1, "web"), definition(2, "web"));
    ensure_private(&layout.names()).unwrap();
    symlink(
        format!("../containers/{}", dead.id),
        layout.name(&dead.name),
    )
    .unwrap();
    let maker = lock(&layout, &dead.id).unwrap();
    assert!(matches!(
        create(&layout, &other),
        Err(StoreError::NameTaken { .. })
    ));
    drop(maker);
    drop(create(&layout, &other).unwrap());
    assert_eq!(lookup(&layout, "web").unwrap(), other.id);
}

#[test]
fn damage_is_shown_removable_and_does_not_hide_others() {
    let home = Home::new();
    let layout = home.layout();
    for (byte, name) in [(1, "a"), (2, "b"), (3, "c")] {
        drop(create(&layout, &definition(byte, name)).unwrap());
    }
    let bad = definition(2, "b");
    let good = fs::read(layout.definition(&bad.id)).unwrap();
    let other = definition(3, "c").to_json();
    for text in [&b""[..], &good[..good.len() / 2], b"{}", b"\xff", &other] {
        fs::write(layout.definition(&bad.id), text).unwrap();
        assert_eq!(names_of(&layout), ["a", "c", "broken 020202020202"]);
    }
    fs::remove_file(layout.definition(&bad.id)).unwrap();
    nix::unistd::mkfifo(
        &layout.definition(&bad.id),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    assert_eq!(names_of(&layout), ["a", "c", "broken 020202020202"]);
    assert_eq!(lookup(&layout, "b").unwrap(), bad.id);
    assert_eq!(name_of(&layout, &bad.id), Some(bad.name));
    let guard = lock(&layout, &bad.id).unwrap();
    remove(&layout, &guard, &bad.id).unwrap();
    assert_eq!(names_of(&layout), ["a", "c"]);
    assert!(lookup(&layout, "b").is_err());
}

#[test]
fn prefixes_must_be_unique() {
    let home = Home::new();
    let layout = home.layout();
    drop(create(&layout, &definition(0x11, "a")).unwrap());
    drop(create(&layout, &definition(0x12, "b")).unwrap());
    assert!(matches!(
        lookup(&layout, "1"),
        Err(StoreError::Ambiguous(_))
    ));
    assert!(lookup(&layout, "11").is_ok());
    // A name wins over the beginning of another container's id.
    drop(create(&layout, &definition(0x33, "11")).unwrap());
    assert_eq!(lookup(&layout, "11").unwrap(), definition(0x33, "11").id);
}

#[test]
fn a_sweep_takes_what_crashes_left_and_nothing_else() {
    let home = Home::new();
    let layout = home.layout();
    let (kept, half, busy) = (definition(1, "a"), definition(2, "b"), definition(3, "c"));
    drop(create(&layout, &kept).unwrap());
    let before = entries(&layout);
    for crashed in [format!(".new-{}", half.id), format!(".old-{}", half.id)] {
        fs::create_dir(layout.containers().join(crashed)).unwrap();
    }
    symlink(
        format!("../containers/{}", half.id),
        layout.name(&half.name),
    )
    .unwrap();
    fs::create_dir(layout.containers().join(format!(".new-{}", busy.id))).unwrap();
    let guard = lock(&layout, &busy.id).unwrap();
    sweep(&layout).unwrap();
    // What is left of the busy one: its directory and its lock.
    assert_eq!(entries(&layout), before + 2);
    drop(guard);
    sweep(&layout).unwrap();
    assert_eq!(entries(&layout), before);
    assert_eq!(names_of(&layout), ["a"]);
}

#[test]
fn what_systemd_leaves_of_units_goes_with_the_containers() {
    let home = Home::new();
    let layout = home.layout();
    drop(create(&layout, &definition(1, "kept")).unwrap());
    let units = layout.unit_state();
    fs::create_dir_all(&units).unwrap();
    let fields = |unit: &str| units.join(format!("{LOG_FIELDS}{unit}"));
    let all = [
        "unitbox-kept.service",
        "unitbox-up.service",
        "unitbox-gone.service",
        "sshd.service",
        "unitbox-.service",
    ];
    for unit in all {
        fs::write(fields(unit), "").unwrap();
    }
    // As systemd does: it leads nowhere.
    symlink("0123", units.join("invocation:unitbox-up.service")).unwrap();
    sweep(&layout).unwrap();
    let left: Vec<&str> = all
        .into_iter()
        .filter(|unit| fields(unit).exists())
        .collect();
    assert_eq!(
        left,
        [
            "unitbox-kept.service",
            "unitbox-up.service",
            "sshd.service",
            "unitbox-.service"
        ]
    );
}

#[test]
fn open_directories_are_closed() {
    let home = Home::new();
    let path = home.0.join("d");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    ensure_private(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    symlink(&path, home.0.join("l")).unwrap();
    assert!(ensure_private(&home.0.join("l")).is_err());
    ensure_private(&home.0.join("x/y/z")).unwrap();
}

#[test]
fn a_lock_is_held_by_one() {
    let home = Home::new();
    let layout = home.layout();
    let id = definition(1, "a").id;
    let held = lock(&layout, &id).unwrap();
    assert!(try_lock(&layout, &id).unwrap().is_none());
    let waiter = {
        let (layout, id) = (layout.clone(), id.clone());
        std::thread::spawn(move || lock(&layout, &id).map(drop))
    };
    held.retire();
    drop(held);
    waiter.join().unwrap().unwrap();
    assert!(try_lock(&layout, &id).unwrap().is_some());
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let home = Home::new();
    let path = home.0.join("f");
    write_atomic(&path, b"one", 0o600).unwrap();
    write_atomic(&path, b"two", 0o600).unwrap();
    assert_eq!(read_bounded(&path, 3).unwrap(), b"two");
    assert!(read_bounded(&path, 2).is_err());
    assert!(write_atomic(&home.0.join("no/f"), b"", 0o600).is_err());
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 1);
}
