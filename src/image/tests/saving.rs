//! What is saved can be loaded, and docker-archives by others.

use serde_json::json;

use super::super::error::Error;
use super::super::save::{directory, docker_archive, oci_archive};
use super::super::{Digest, Images, Source};
use super::build::{Blob, Tar, gzip};
use super::store::{Lab, layer};

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A layer that is compressed.
fn packed(name: &str) -> Blob {
    let mut blob = layer(name);
    blob.bytes = gzip(&blob.bytes);
    blob.media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
    blob
}

fn docker(images: &Images, names: &[&str], several: bool) -> Vec<u8> {
    let saved = images.open_saved(&words(names), several).unwrap();
    let mut archive = Vec::new();
    docker_archive(&saved, &mut archive, &mut |_, _| {}).unwrap();
    archive
}

#[test]
fn every_form_is_loaded_again_with_the_same_id() {
    let lab = Lab::new();
    let same = layer("same");
    let id = lab
        .one("app:1", &[layer("low"), packed("high"), same.clone(), same])
        .id;
    let saved = lab.images.open_saved(&words(&["app:1"]), false).unwrap();
    let mut oci = Vec::new();
    oci_archive(&saved[0], &mut oci, &mut |_, _| {}).unwrap();
    let dir = lab.dir.join("saved");
    directory(&saved[0], false, &dir, &mut |_, _| {}).unwrap();
    for archive in [docker(&lab.images, &["app:1"], false), oci] {
        let other = Lab::new();
        let loaded = other.stream(&archive).unwrap().remove(0);
        assert_eq!(loaded.id, id);
        assert_eq!(loaded.names, ["localhost/app:1"]);
        assert_eq!(other.resolve("app:1").layers, lab.resolve("app:1").layers);
    }
    let other = Lab::new();
    let loaded = other.images.load(Source::Path(&dir), &mut |_| {}).unwrap();
    assert_eq!(loaded[0].id, id);
    let dir = lab.dir.join("docker");
    directory(&saved[0], true, &dir, &mut |_, _| {}).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(
        manifest["layers"][1]["mediaType"],
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    );
    assert!(dir.join(&id).exists());
}

#[test]
fn names_are_those_that_podman_writes() {
    let lab = Lab::new();
    let one = lab.one("app:1", &[layer("one")]);
    lab.images.tag("app:1", &words(&["more"])).unwrap();
    let two = lab.one("app:2", &[layer("two")]);
    let names = |names: &[&str], several| -> Vec<Vec<String>> {
        let saved = lab.images.open_saved(&words(names), several).unwrap();
        saved.into_iter().map(|one| one.names).collect()
    };
    let full = |names: &[&str]| words(names);
    assert_eq!(names(&["app:1"], false), [full(&["localhost/app:1"])]);
    assert_eq!(
        names(&["app:1", "x", "y:3"], false),
        [full(&[
            "localhost/x:latest",
            "localhost/y:3",
            "localhost/app:1"
        ])]
    );
    assert_eq!(names(&[&one.id], false), [full(&[])]);
    assert_eq!(
        names(&["app:1", "app:2", "more"], true),
        [
            full(&["localhost/app:1", "localhost/more:latest"]),
            full(&["localhost/app:2"])
        ]
    );
    let both = docker(&lab.images, &["app:1", "app:2", "more"], true);
    assert_eq!(both, docker(&lab.images, &["app:1", "app:2", "more"], true));
    let other = Lab::new();
    let loaded = other.stream(&both).unwrap();
    let ids: Vec<&String> = loaded.iter().map(|one| &one.id).collect();
    assert_eq!(ids, [&one.id, &two.id]);
    assert_eq!(other.resolve("more").id, one.id);
    let missing = lab.images.open_saved(&words(&["app:1", "nope"]), true);
    assert!(matches!(missing, Err(Error::NotFound(_))));
}

#[test]
fn damage_is_found_and_removal_does_not_disturb() {
    let lab = Lab::new();
    let blob = packed("x");
    lab.one("x", std::slice::from_ref(&blob));
    let saved = lab.images.open_saved(&words(&["x"]), false).unwrap();
    lab.remove("x", false).unwrap();
    docker_archive(&saved, Vec::new(), &mut |_, _| {}).unwrap();
    lab.one("x", std::slice::from_ref(&blob));
    let path = lab.images.blob_path(&Digest::of(&blob.bytes));
    std::fs::write(path, gzip(b"other")).unwrap();
    let saved = lab.images.open_saved(&words(&["x"]), false).unwrap();
    for error in [
        docker_archive(&saved, Vec::new(), &mut |_, _| {}),
        oci_archive(&saved[0], Vec::new(), &mut |_, _| {}),
    ] {
        assert!(error.is_err());
    }
}

/// As `docker save` of old writes it: links between layers, and members that nobody needs.
#[test]
fn archives_of_others_are_read_and_hostile_ones_are_refused() {
    let blob = layer("content");
    let config = json!({
        "created": "2026-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [blob.diff_id.to_string()]}, "config": {},
    });
    let config = config.to_string();
    let archive = |layer: &str, tags: serde_json::Value| -> Vec<u8> {
        let manifest = json!([{"Config": "c.json", "RepoTags": tags, "Layers": [layer]}]);
        Tar::new()
            .file("c.json", config.as_bytes())
            .file("first/layer.tar", &blob.bytes)
            .symlink("second/layer.tar", "../first/layer.tar")
            .symlink("loop", "loop")
            .symlink("out", "../../etc/passwd")
            .symlink("abs", "/etc/passwd")
            .link("hard.tar", "first/layer.tar")
            .file("wrong.tar", b"no layer at all")
            .file("manifest.json", manifest.to_string().as_bytes())
            .end()
    };
    for good in [
        "first/layer.tar",
        "second/layer.tar",
        "hard.tar",
        "./x/../first/layer.tar",
    ] {
        let lab = Lab::new();
        let loaded = lab
            .stream(&archive(good, json!(["app:1", "app:2"])))
            .unwrap();
        assert_eq!(loaded.len(), 1, "{good}");
        assert_eq!(loaded[0].id, Digest::of(config.as_bytes()).hex());
        assert_eq!(lab.resolve("app:2").names.len(), 2);
        let lab = Lab::new();
        let loaded = lab.stream(&archive(good, json!(null))).unwrap();
        assert!(loaded[0].names.is_empty());
    }
    let lab = Lab::new();
    for bad in [
        "loop",
        "out",
        "abs",
        "nope",
        "../first/layer.tar",
        "wrong.tar",
        "",
    ] {
        assert!(
            lab.stream(&archive(bad, json!(["app:1"]))).is_err(),
            "{bad}"
        );
    }
    assert!(lab.stream(&archive("hard.tar", json!(["BAD"]))).is_err());
    for bad in ["", "{}", "[{}]", "[1]", "nonsense"] {
        let archive = Tar::new().file("manifest.json", bad.as_bytes()).end();
        assert!(lab.stream(&archive).is_err(), "{bad}");
    }
    assert!(lab.content().is_empty());
}
