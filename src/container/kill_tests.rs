//! Prepare and cleanup are killed after and within each of their effects: what follows leaves what it leaves anyway.

use std::collections::BTreeSet;
use std::fs;

use super::cleanup;
use super::prepare::{self, PrepareError, RunFacts};
use super::volumes;
use crate::api::Layout;
use crate::definition::mount::{Mount, MountFlag, MountKind};
use crate::definition::{Definition, FileOptions, Options, Secret, SecretUse, Source, VERSION};
use crate::host::cgroup::UnitCgroup;
use crate::host::fake_world::{Depth, FakeWorld};
use crate::image::{Digest, Images};
use crate::store;
use crate::types::ContainerId;

/// More effects than either has.
const MANY: usize = 100;

/// One container on one fake host.
struct Case {
    world: FakeWorld,
    layout: Layout,
    id: ContainerId,
    cgroup: UnitCgroup,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Flavour {
    image: bool,
    remove: bool,
    /// Volumes, an image, a secret.
    mounts: bool,
}

const FLAVOURS: [Flavour; 6] = [
    Flavour::new(false, false, false),
    Flavour::new(false, true, false),
    Flavour::new(true, false, false),
    Flavour::new(true, true, false),
    Flavour::new(true, false, true),
    Flavour::new(true, true, true),
];

impl Flavour {
    const fn new(image: bool, remove: bool, mounts: bool) -> Self {
        Self {
            image,
            remove,
            mounts,
        }
    }
}

impl Case {
    fn new(flavour: Flavour) -> Self {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let id = ContainerId::from_random([7; 32]);
        let source = match flavour.image {
            true => Source::Image {
                name: "empty".to_owned(),
                id: load_image(&layout),
            },
            false => {
                let rootfs = world.root().join("rootfs");
                fs::create_dir(&rootfs).unwrap();
                Source::Rootfs {
                    path: rootfs.display().to_string(),
                }
            }
        };
        let mut options = Options {
            remove: flavour.remove,
            runtime: Some("/bin/true".to_owned()),
            ..Options::default()
        };
        if flavour.mounts {
            options.files = files(&layout, &source);
        }
        let definition = Definition {
            version: VERSION,
            id: id.clone(),
            name: "web".parse().unwrap(),
            created: 1,
            source,
            command: vec!["true".to_owned()],
            options,
            deployed: None,
        };
        drop(store::create(&layout, &definition).unwrap());
        volumes::make(&layout, &definition).unwrap();
        fs::create_dir_all(layout.run_container(&id)).unwrap();
        let cgroup = UnitCgroup::new("/no-such.slice/unitbox-web.service");
        Self {
            world,
            layout,
            id,
            cgroup,
        }
    }

    fn prepare(&mut self) -> Result<(), PrepareError> {
        let run = RunFacts {
            layout: &self.layout,
            cgroup: &self.cgroup,
            nonce: "nonce",
            boot_id: "boot",
            now: 2,
            limits: &[],
            console: None,
            watchdog: None,
        };
        prepare::prepare(&self.id, &run, &mut self.world).map(drop)
    }

    /// A whole run up to the end of the payload.
    fn run(&mut self) {
        self.prepare().unwrap();
        let state = self.layout.runtime_state(&self.id).join(self.id.as_str());
        let (world, cgroup) = (&mut self.world, self.cgroup.payload_path());
        world.runtime_creates(&state, &cgroup);
        let run = self.layout.run_container(&self.id);
        for file in ["pid", "payload", "runtime.log", "stop-timeout"] {
            fs::write(run.join(file), "").unwrap();
        }
        self.end();
    }

    /// The monitor writes the exit file.
    fn end(&mut self) {
        fs::write(self.layout.exit_file(&self.id), "exit record").unwrap();
    }

    fn clean_up(&mut self) -> Vec<String> {
        let errors = cleanup::run(&self.layout, &self.id, &self.cgroup, &mut self.world);
        errors.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn assert_left(&mut self, expected: &BTreeSet<String>, what: &str) {
        let left = self.world.everything();
        let more: Vec<_> = left.difference(expected).collect();
        let less: Vec<_> = expected.difference(&left).collect();
        assert!(
            more.is_empty() && less.is_empty(),
            "{what}: left over {more:?}, missing {less:?}"
        );
        assert_eq!(self.world.violations, Vec::<String>::new(), "{what}");
    }
}

/// An anonymous volume, a part of it, an image and a secret.
fn files(layout: &Layout, image: &Source) -> FileOptions {
    let Source::Image { id, .. } = image else {
        panic!("only images are mounted");
    };
    let name = "sec".parse().unwrap();
    store::secrets::create(layout, &name, b"x", Default::default(), false).unwrap();
    let volume = "a".repeat(64);
    let mount = |kind, source: &str, target: &str, part: Option<&str>| Mount {
        flag: MountFlag::Inherited,
        kind,
        source: source.to_owned(),
        target: target.to_owned(),
        options: Vec::new(),
        subpath: part.map(str::to_owned),
        anonymous: kind == MountKind::Volume,
    };
    let how = SecretUse::Mount {
        target: None,
        uid: 0,
        gid: 0,
        mode: 0o444,
    };
    FileOptions {
        settled: Some(vec![
            mount(MountKind::Volume, &volume, "/data", None),
            mount(MountKind::Volume, &volume, "/part", Some("x")),
            mount(MountKind::Image, id, "/image", None),
        ]),
        secrets: vec![Secret { name, how }],
        ..FileOptions::default()
    }
}

/// What a run that nobody disturbs leaves.
fn undisturbed(flavour: Flavour) -> BTreeSet<String> {
    let mut case = Case::new(flavour);
    case.run();
    assert_eq!(case.clean_up(), Vec::<String>::new());
    case.world.everything()
}

/// An image without layers in the store; its id.
fn load_image(layout: &Layout) -> String {
    let oci = layout.root().join("oci");
    let blobs = oci.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |text: String, kind: &str| {
        let digest = Digest::of(text.as_bytes());
        fs::write(blobs.join(digest.hex()), &text).unwrap();
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}+json","digest":"{digest}","size":{}}}"#,
            text.len()
        )
    };
    let config = put(
        r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#.to_owned(),
        "config.v1",
    );
    let manifest = put(
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[]}}"#
        ),
        "manifest.v1",
    );
    fs::write(oci.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(
        oci.join("index.json"),
        format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#),
    )
    .unwrap();
    fs::create_dir_all(layout.state()).unwrap();
    let images = Images::open(&layout.state()).unwrap();
    let loaded = images
        .load(crate::image::Source::Path(&oci), &mut |_| {})
        .unwrap();
    loaded[0].id.clone()
}

/// Calls `each` for every effect and every depth until the cut is not reached any more.
fn for_every_cut(each: impl Fn(usize, Depth) -> bool) -> usize {
    let mut effects = 0;
    for depth in Depth::ALL {
        effects = (1..MANY)
            .find(|effect| !each(*effect, depth))
            .expect("it ends")
            - 1;
        assert!(effects > 3, "only {effects} effects were numbered");
    }
    effects
}

#[test]
fn prepare_killed_anywhere_then_forked_again() {
    for flavour in FLAVOURS {
        let expected = undisturbed(flavour);
        for_every_cut(|effect, depth| {
            let mut case = Case::new(flavour);
            case.world.cut_at(effect, depth);
            let _ = case.prepare();
            let reached = case.world.heal();
            case.run();
            let what = format!("{flavour:?}, effect {effect}, {depth:?}");
            assert_eq!(case.clean_up(), Vec::<String>::new(), "{what}");
            case.assert_left(&expected, &what);
            reached
        });
    }
}

#[test]
fn prepare_killed_anywhere_and_given_up() {
    for flavour in FLAVOURS {
        let expected = undisturbed(flavour);
        for_every_cut(|effect, depth| {
            let mut case = Case::new(flavour);
            case.world.cut_at(effect, depth);
            let _ = case.prepare();
            let reached = case.world.heal();
            case.end();
            let what = format!("{flavour:?}, effect {effect}, {depth:?}");
            assert_eq!(case.clean_up(), Vec::<String>::new(), "{what}");
            let mut left: BTreeSet<String> = case.world.everything();
            // What a volume's first contents need to be finished stays for the next start.
            left.retain(|path| !path.contains("/.copy") && !path.ends_with("/fresh"));
            // Only what was not made yet may be missing.
            left.extend(expected.iter().cloned());
            assert_eq!(left, expected, "{what}");
            assert_eq!(case.world.violations, Vec::<String>::new(), "{what}");
            reached
        });
    }
}

#[test]
fn cleanup_killed_anywhere_then_forked_again() {
    for flavour in FLAVOURS {
        let expected = undisturbed(flavour);
        for_every_cut(|effect, depth| {
            let mut case = Case::new(flavour);
            case.run();
            case.world.cut_at(effect, depth);
            case.clean_up();
            let reached = case.world.heal();
            let what = format!("{flavour:?}, effect {effect}, {depth:?}");
            assert_eq!(case.clean_up(), Vec::<String>::new(), "{what}");
            case.assert_left(&expected, &what);
            reached
        });
    }
}

/// The main process died with its worker: the next start finds what the cleanup left.
#[test]
fn cleanup_killed_anywhere_then_started_again() {
    for flavour in FLAVOURS.into_iter().filter(|flavour| !flavour.remove) {
        let expected = undisturbed(flavour);
        for_every_cut(|effect, depth| {
            let mut case = Case::new(flavour);
            case.run();
            case.world.cut_at(effect, depth);
            case.clean_up();
            let reached = case.world.heal();
            case.run();
            let what = format!("{flavour:?}, effect {effect}, {depth:?}");
            assert_eq!(case.clean_up(), Vec::<String>::new(), "{what}");
            case.assert_left(&expected, &what);
            reached
        });
    }
}

/// A container that removes itself is not started again. The removal is either not begun, so that the cleanup unit
/// finds the container by its name, or the store's sweep ends it.
#[test]
fn a_removal_that_is_cut_off_is_ended_by_name_or_by_the_sweep() {
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.remove) {
        let expected = undisturbed(flavour);
        for_every_cut(|effect, depth| {
            let mut case = Case::new(flavour);
            case.run();
            case.world.cut_at(effect, depth);
            case.clean_up();
            let reached = case.world.heal();
            let what = format!("{flavour:?}, effect {effect}, {depth:?}");
            store::sweep(&case.layout).unwrap();
            if let Ok(id) = store::lookup(&case.layout, "web") {
                assert_eq!(id, case.id);
                assert_eq!(case.clean_up(), Vec::<String>::new(), "{what}");
            }
            case.assert_left(&expected, &what);
            reached
        });
    }
}

/// To remove it while it is mounted would remove the container's files.
#[test]
fn a_mounted_root_file_system_is_never_removed() {
    let mut case = Case::new(Flavour::new(true, true, true));
    case.run();
    for effect in 1..MANY {
        case.world.cut_at(effect, Depth::Done);
        case.clean_up();
        case.world.heal();
    }
    assert_eq!(case.world.violations, Vec::<String>::new());
}
