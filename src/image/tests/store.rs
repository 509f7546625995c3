//! Loading, naming, listing, removing.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::super::error::Error;
use super::super::overlay::{self, Writable};
use super::super::{Digest, Image, Images, Limits, Loaded, Result, Source};
use super::build::{Blob, Oci, PLAIN, Tar, gzip};
use super::unpacking::root_cause;
use super::{TempDir, picture};
use crate::sys::mount::{Attr, tmpfs, unmount_fd};
use crate::sys::paths::Root;

pub(super) struct Lab {
    pub(super) dir: TempDir,
    pub(super) images: Images,
}

impl Lab {
    pub(super) fn new() -> Lab {
        let dir = TempDir::new();
        let images = Images::open(&dir.join("state")).unwrap();
        Lab { dir, images }
    }

    pub(super) fn load(&self, oci: Oci) -> Result<Vec<Loaded>> {
        self.stream(&oci.archive())
    }

    pub(super) fn stream(&self, bytes: &[u8]) -> Result<Vec<Loaded>> {
        self.images
            .load(Source::Stream(&mut &bytes[..], "stdin"), &mut |_| {})
    }

    pub(super) fn one(&self, name: &str, layers: &[Blob]) -> Loaded {
        self.load(Oci::new().image(name, layers)).unwrap().remove(0)
    }

    pub(super) fn remove(&self, name: &str, force: bool) -> Result<super::super::Removed> {
        self.images
            .remove(name, force, &|_| Vec::new(), &HashSet::new())
    }

    pub(super) fn resolve(&self, name: &str) -> Image {
        self.images.resolve(name).unwrap()
    }

    /// Files of the store but for locks and documents that every store has.
    pub(super) fn content(&self) -> Vec<String> {
        let all = picture(&self.dir.join("state"));
        let part = |line: &&String| {
            line.contains("sha256-") || line.contains("sha256/") || line.contains(".part-")
        };
        all.iter()
            .filter(part)
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    }
}

pub(super) fn layer(name: &str) -> Blob {
    Blob::plain(Tar::new().file(name, name.as_bytes()))
}

#[test]
fn archives_directories_and_compressed_archives_load_alike() {
    let oci = || Oci::new().image("busybox:latest", &[layer("a"), layer("b")]);
    let lab = Lab::new();
    let first = lab.load(oci()).unwrap();
    assert_eq!(first[0].names, ["localhost/busybox:latest"]);
    let before = picture(&lab.dir.join("state/layers"));
    oci().write_dir(&lab.dir.join("layout"));
    let archive = lab.dir.join("archive.tar");
    fs::write(&archive, oci().archive()).unwrap();
    for path in [lab.dir.join("layout"), archive] {
        let again = lab.images.load(Source::Path(&path), &mut |_| {}).unwrap();
        assert_eq!(again, first, "{}", path.display());
    }
    assert_eq!(lab.stream(&gzip(&oci().archive())).unwrap(), first);
    assert_eq!(picture(&lab.dir.join("state/layers")), before, "idempotent");
    assert_eq!(lab.images.list().unwrap().len(), 1);
    let image = lab.resolve("busybox");
    assert_eq!(
        (image.config.cmd.as_slice(), image.size),
        (&["sh".to_owned()][..], 4096)
    );
    let dirs = image.lower_dirs();
    assert_eq!(
        fs::read(dirs[0].join("b")).unwrap(),
        b"b",
        "the topmost first"
    );
    assert_eq!(fs::read(dirs[1].join("a")).unwrap(), b"a");
}

#[test]
fn images_are_found_by_every_form_of_their_name() {
    let lab = Lab::new();
    let id = lab.one("docker.io/library/redis:7", &[layer("r")]).id;
    let digest = lab.resolve("redis:7").digest;
    let by_digest = format!("docker.io/redis@{digest}");
    let full_id = format!("sha256:{id}");
    for name in [
        "redis:7",
        "docker.io/redis:7",
        "docker.io/library/redis:7",
        &id,
        &id[..3],
        &full_id,
        &digest.to_string(),
        &by_digest,
    ] {
        assert_eq!(lab.resolve(name).id, id, "{name}");
        assert!(lab.images.exists(name).unwrap());
    }
    for name in [
        "redis",
        "quay.io/redis:7",
        &id[..2],
        "quay.io/redis@sha256:0",
        "../x",
    ] {
        assert!(lab.images.resolve(name).is_err(), "{name}");
    }
    assert!(!lab.images.exists("nothing").unwrap());
    lab.one("redis:7", &[layer("local")]);
    assert_ne!(lab.resolve("redis:7").id, id, "localhost comes first");
}

#[test]
fn a_name_moves_to_the_image_loaded_last() {
    let lab = Lab::new();
    let old = lab.one("app:1", &[layer("old")]);
    let new = lab.one("app:1", &[layer("new")]);
    assert_eq!(lab.resolve("app:1").id, new.id);
    assert!(lab.resolve(&old.id).names.is_empty());
    let nameless = lab.one("", &[layer("none")]);
    assert!(nameless.names.is_empty() && lab.images.exists(&nameless.id).unwrap());
    assert_eq!(lab.images.list().unwrap().len(), 3);
}

#[test]
fn an_index_gives_the_image_of_this_machine() {
    let lab = Lab::new();
    let mut oci = Oci::new();
    let host = super::super::document::host_architecture();
    let mut inner = Vec::new();
    for (os, arch, text) in [
        ("unknown", "unknown", "u"),
        ("linux", "s390x", "z"),
        ("linux", host, "h"),
    ] {
        let mut manifest = oci.manifest(&[layer(text)], json!(null));
        manifest["platform"] = json!({"os": os, "architecture": arch});
        inner.push(manifest);
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = |manifests| {
        serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": manifests})).unwrap()
    };
    let foreign = index(vec![inner[1].clone()]);
    let nested = oci.put(index(inner), kind);
    oci.list(nested, "multi");
    lab.load(oci).unwrap();
    let image = lab.resolve("multi");
    assert!(image.lower_dirs()[0].join("h").exists() && image.layers.len() == 1);
    let mut oci = Oci::new();
    oci.manifest(&[layer("z")], json!(null));
    let foreign = oci.put(foreign, kind);
    oci.list(foreign, "foreign");
    let err = lab.load(oci).unwrap_err().to_string();
    assert!(err.contains("no image for linux/"), "{err}");
}

#[test]
fn wrong_content_is_refused_and_leaves_nothing() {
    let lab = Lab::new();
    let empty = lab.content();
    let fails = |oci: Oci, expect: &str| {
        let err = lab.load(oci).unwrap_err();
        let text = format!("{err}: {}", root_cause(&err));
        assert!(text.contains(expect), "{text}");
        assert_eq!(lab.content(), empty);
        assert!(lab.images.list().unwrap().is_empty());
    };
    let mut wrong_id = layer("a");
    wrong_id.diff_id = Digest::of(b"other");
    fails(
        Oci::new().image("x", &[layer("fine"), wrong_id]),
        "unpacked layer: digest is",
    );
    let mut odd = layer("a");
    odd.media_type = format!("{PLAIN}+encrypted");
    fails(
        Oci::new().image("x", &[odd]),
        "+encrypted\" is not supported",
    );
    for at in 1..4 {
        let mut oci = Oci::new().image("x", &[layer("a")]);
        oci.files[at].1.push(b' ');
        fails(oci, "digest is");
    }
    for at in 1..4 {
        let mut oci = Oci::new().image("x", &[layer("a")]);
        oci.files.remove(at);
        fails(oci, "open blob");
    }
    fails(Oci::new(), "holds no image");
    fails(
        Oci::new().image("BAD NAME", &[layer("a")]),
        "invalid image name",
    );
    fails(
        Oci::new().image("x", &[Blob::plain(Tar::new().file("../x", b""))]),
        "..",
    );
}

#[test]
fn ambiguous_documents_are_refused() {
    let lab = Lab::new();
    let with = |document: serde_json::Value, media_type: &str| {
        let mut oci = Oci::new();
        oci.manifest(&[layer("a")], json!(null));
        let both = oci.put(serde_json::to_vec(&document).unwrap(), media_type);
        oci.list(both, "x");
        lab.load(oci).unwrap_err().to_string()
    };
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let both = json!({"schemaVersion": 2, "manifests": [], "layers": [], "config": {}});
    assert!(with(both, manifest).contains("both manifests and layers"));
    let liar = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"});
    assert!(with(liar, manifest).contains("calls itself"));
    assert!(with(json!({}), "text/plain").contains("not supported"));
    let config = json!({"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": 2,
        "digest": Digest::of(b"{}").to_string()});
    let artifact = json!({"schemaVersion": 2, "config": config, "layers": []});
    assert!(with(artifact, manifest).contains("not a container image"));
}

#[test]
fn other_archives_are_refused_in_one_line() {
    let lab = Lab::new();
    let docker = Tar::new().file("manifest.json", b"[]").end();
    let err = lab.stream(&docker).unwrap_err().to_string();
    assert!(err.contains("holds no image"), "{err}");
    assert!(
        lab.stream(b"")
            .unwrap_err()
            .to_string()
            .contains("not an OCI layout")
    );
    assert!(lab.stream(&[b'x'; 2000]).is_err());
    let climbing = Tar::new()
        .file("blobs/sha256/../../../../escaped", b"")
        .end();
    assert!(lab.stream(&climbing).is_err());
    let whole = Oci::new().image("x", &[layer("a")]).archive();
    for cut in (100..whole.len() - 1024).step_by(509) {
        assert!(lab.stream(&whole[..cut]).is_err(), "cut at {cut}");
    }
    assert!(lab.content().is_empty());
    let link = lab.dir.join("layout");
    Oci::new().image("x", &[layer("a")]).write_dir(&link);
    fs::rename(link.join("index.json"), lab.dir.join("index.json")).unwrap();
    std::os::unix::fs::symlink("../index.json", link.join("index.json")).unwrap();
    assert!(
        lab.images.load(Source::Path(&link), &mut |_| {}).is_err(),
        "a symlink out"
    );
}

#[test]
fn a_bomb_gives_the_disk_back() {
    let lab = Lab::new();
    let tar = Tar::new().file("big", &vec![0; 8 << 20]).end();
    let bomb = Blob {
        diff_id: Digest::of(&tar),
        bytes: gzip(&tar),
        media_type: format!("{PLAIN}+gzip"),
    };
    let archive = Oci::new().image("bomb", &[bomb]).archive();
    let limits = Limits {
        free: 1 << 20,
        ratio: 100,
        ..Limits::default()
    };
    let source = Source::Stream(&mut &archive[..], "stdin");
    let err = lab
        .images
        .load_within(source, limits, &mut |_| {})
        .unwrap_err();
    assert!(root_cause(&err).contains("limit"), "{err:?}");
    assert!(lab.content().is_empty());
}

#[test]
fn removal_follows_podman() {
    let lab = Lab::new();
    let shared = layer("shared");
    let first = lab.one("one:1", &[shared.clone(), layer("first")]);
    lab.one("alias", &[shared.clone(), layer("first")]);
    let second = lab.one("two", &[shared.clone(), layer("second")]);
    assert!(matches!(
        lab.remove(&first.id, false),
        Err(Error::SeveralNames { .. })
    ));
    let removed = lab.remove("alias", false).unwrap();
    assert_eq!(
        (removed.untagged, removed.deleted),
        (vec!["localhost/alias:latest".to_owned()], None)
    );
    let used = |_: &str| vec!["c1".to_owned()];
    let err = lab
        .images
        .remove("one:1", false, &used, &HashSet::new())
        .unwrap_err();
    assert!(matches!(err, Error::InUse { .. }));
    // Kept for a container that was made from it.
    let keep: HashSet<Digest> = lab.resolve("one:1").layers.into_iter().collect();
    let removed = lab.images.remove("one:1", true, &used, &keep).unwrap();
    assert_eq!(removed.deleted, Some(first.id));
    let layers = || {
        lab.content()
            .iter()
            .filter(|p| p.contains("sha256-") && !p.contains(".size"))
            .count()
    };
    assert_eq!(layers(), 6, "three layers of one file each");
    lab.images.collect_garbage(&HashSet::new()).unwrap();
    assert_eq!(layers(), 4);
    assert!(
        lab.resolve("two")
            .lower_dirs()
            .iter()
            .all(|dir| dir.exists())
    );
    let removed = lab.remove(&second.id[..12], false).unwrap();
    assert_eq!(removed.deleted, Some(second.id));
    assert_eq!(lab.content(), Vec::<String>::new());
    assert!(matches!(lab.remove("two", false), Err(Error::NotFound(_))));
}

#[test]
fn damage_stays_with_its_image() {
    let lab = Lab::new();
    let good = lab.one("good", &[layer("g")]);
    let bad = lab.one("bad", &[layer("b")]);
    let blob = lab.dir.join("state/images/blobs/sha256").join(&bad.id);
    fs::write(blob, "{").unwrap();
    assert_eq!(lab.images.list().unwrap().len(), 1);
    assert!(!lab.images.exists("bad").unwrap());
    lab.images.collect_garbage(&HashSet::new()).unwrap();
    assert!(lab.resolve("good").lower_dirs()[0].join("g").exists());
    let removed = lab.remove("bad", false).unwrap();
    assert_eq!(removed.untagged, ["localhost/bad:latest"]);
    assert_eq!(lab.resolve("good").id, good.id);
    lab.one("bad", &[layer("b")]);
    assert!(lab.images.exists("bad").unwrap());
}

#[test]
fn what_a_crash_left_is_swept_by_the_next_load() {
    let lab = Lab::new();
    for dir in ["images", "layers"] {
        let staged = lab.dir.join(&format!("state/{dir}/.part-0123"));
        fs::create_dir_all(staged.join("some/tree")).unwrap();
    }
    lab.one("a", &[layer("a")]);
    assert!(lab.content().iter().all(|path| !path.contains(".part-")));
}

#[test]
fn parallel_loads_and_removals_agree() {
    let lab = Lab::new();
    let state = lab.dir.join("state");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let state = &state;
            scope.spawn(move || {
                let images = Images::open(state).unwrap();
                for _ in 0..3 {
                    let layers = [layer("shared"), layer(&format!("own{n}"))];
                    let archive = Oci::new().image(&format!("app{n}"), &layers).archive();
                    let source = Source::Stream(&mut &archive[..], "stdin");
                    images.load(source, &mut |_| {}).unwrap();
                    let hold = images.hold().unwrap();
                    let image = images.resolve(&format!("app{n}")).unwrap();
                    assert!(image.lower_dirs().iter().all(|dir| dir.exists()));
                    drop(hold);
                    let name = format!("app{n}");
                    images
                        .remove(&name, false, &|_| Vec::new(), &HashSet::new())
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(lab.content(), Vec::<String>::new());
}

/// On a tmpfs, because overlayfs takes no upper directory on overlayfs.
fn overlay_of(layers: &[Blob], check: impl FnOnce(&Image, &Images, &Path)) {
    let dir = TempDir::new();
    let mounted = tmpfs(&[], Attr::NONE)
        .unwrap()
        .attach(Root::open(&dir.0).unwrap())
        .unwrap();
    let images = Images::open(&dir.join("state")).unwrap();
    let archive = Oci::new().image("x", layers).archive();
    images
        .load(Source::Stream(&mut &archive[..], "stdin"), &mut |_| {})
        .unwrap();
    for name in ["upper", "work", "merged"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    let image = images.resolve("x").unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        check(&image, &images, &dir.0);
    }));
    unmount_fd(mounted).unwrap();
    result.unwrap();
}

#[test]
fn layers_mount_as_one_tree() {
    let base = Tar::new()
        .dir("etc", 0o755)
        .file("etc/old", b"")
        .file("etc/gone", b"")
        .dir("tmp", 0o1777);
    let top = Tar::new()
        .file("etc/.wh.gone", b"")
        .file("tmp/new", b"")
        .dir("etc2", 0o755);
    let opaque = Tar::new()
        .dir("etc", 0o700)
        .file("etc/.wh..wh..opq", b"")
        .file("etc/only", b"");
    let layers = [Blob::plain(base), Blob::plain(top)];
    overlay_of(&layers, |image, images, dir| {
        let (upper, work, merged) = (dir.join("upper"), dir.join("work"), dir.join("merged"));
        let writable = Writable {
            volatile: false,
            upper: &upper,
            work: &work,
            context: None,
        };
        let target = Root::open(&merged).unwrap();
        let empty = images.empty_dir();
        let root = overlay::mount(
            &image.lower_dirs(),
            Some(writable),
            &empty,
            Attr::NODEV,
            &target,
        )
        .unwrap();
        assert!(merged.join("etc/old").exists() && !merged.join("etc/gone").exists());
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(merged.join("tmp")).unwrap());
        assert_eq!(
            mode & 0o7777,
            0o1777,
            "a directory implied by the upper layer"
        );
        fs::write(merged.join("etc/written"), "").unwrap();
        assert!(upper.join("etc/written").exists());
        unmount_fd(root).unwrap();
        let one = &image.lower_dirs()[1..];
        let target = Root::open(&merged).unwrap();
        let root = overlay::mount(one, None, &empty, Attr::NONE, &target).unwrap();
        assert!(merged.join("etc/gone").exists() && fs::write(merged.join("x"), "").is_err());
        unmount_fd(root).unwrap();
    });
    overlay_of(
        &[layers[0].clone(), Blob::plain(opaque)],
        |image, images, dir| {
            let merged = dir.join("merged");
            let target = Root::open(&merged).unwrap();
            let root = overlay::mount(
                &image.lower_dirs(),
                None,
                &images.empty_dir(),
                Attr::NONE,
                &target,
            )
            .unwrap();
            assert!(merged.join("etc/only").exists() && !merged.join("etc/old").exists());
            unmount_fd(root).unwrap();
        },
    );
}

#[test]
fn a_layer_may_be_there_twice() {
    let same = Blob::plain(Tar::new().dir("d", 0o755).file("d/back", b"again"));
    let between = Tar::new()
        .file("d/.wh.back", b"")
        .file("d/between", b"")
        .file("d/gone", b"");
    let layers = [same.clone(), Blob::plain(between), same];
    overlay_of(&layers, |image, images, dir| {
        assert_eq!((image.layers.len(), image.lower_dirs().len()), (3, 2));
        let merged = dir.join("merged");
        let target = Root::open(&merged).unwrap();
        let empty = images.empty_dir();
        let root = overlay::mount(&image.lower_dirs(), None, &empty, Attr::NONE, &target).unwrap();
        assert_eq!(fs::read(merged.join("d/back")).unwrap(), b"again");
        assert!(merged.join("d/between").exists());
        unmount_fd(root).unwrap();
    });
}

#[test]
fn a_hundred_layers_mount() {
    let layers: Vec<Blob> = (0..100).map(|n| layer(&format!("f{n}"))).collect();
    overlay_of(&layers, |image, images, dir| {
        let merged = dir.join("merged");
        let target = Root::open(&merged).unwrap();
        let root = overlay::mount(
            &image.lower_dirs(),
            None,
            &images.empty_dir(),
            Attr::NONE,
            &target,
        )
        .unwrap();
        assert_eq!(fs::read_dir(&merged).unwrap().count(), 100);
        unmount_fd(root).unwrap();
    });
}

#[test]
fn configurations_of_docker_and_podman_are_read() {
    let lab = Lab::new();
    let mut oci = Oci::new();
    let config = json!({
        "User": "1000:1000", "Env": ["A=b"], "Entrypoint": null, "Cmd": ["x", "y"], "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "WorkingDir": "/w", "StopSignal": "SIGQUIT",
        "Labels": null, "OnBuild": [], "Healthcheck":
            {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000u64, "Retries": 3},
    });
    let manifest = oci.manifest(&[], config);
    oci.list(manifest, "c");
    lab.load(oci).unwrap();
    let config = lab.resolve("c").config;
    assert_eq!(
        (config.user.as_str(), config.working_dir.as_str()),
        ("1000:1000", "/w")
    );
    assert_eq!(config.exposed_ports, ["53/udp", "80/tcp"]);
    assert_eq!(
        (config.volumes.len(), config.stop_signal.as_str()),
        (1, "SIGQUIT")
    );
    assert!(config.entrypoint.is_empty() && config.labels.is_empty());
    let health = config.healthcheck.unwrap();
    assert_eq!(
        (
            health.interval.as_secs(),
            health.retries,
            health.timeout.as_secs()
        ),
        (5, 3, 0)
    );
}
