//! Names that come, go and move.

use serde_json::json;

use super::super::Image;
use super::build::{Blob, Oci};
use super::store::{Lab, layer};

#[test]
fn names_come_go_and_move() {
    let lab = Lab::new();
    let one = lab.one("app:1", &[layer("one")]);
    let two = lab.one("other", &[layer("two")]);
    let words = |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).into()).collect() };
    let tag = |image: &str, names: &[&str]| lab.images.tag(image, &words(names));
    let untag = |image: &str, names: &[&str]| lab.images.untag(image, &words(names));
    tag("app:1", &["b", "host:5000/c:2"]).unwrap();
    let names = ["host:5000/c:2", "localhost/app:1", "localhost/b:latest"];
    assert_eq!(lab.resolve(&one.id).names, names);
    // Twice is once.
    tag("b", &["b"]).unwrap();
    assert_eq!(lab.resolve("b").names, names);
    tag(&one.id[..12], &["other"]).unwrap();
    assert_eq!(lab.resolve("other").id, one.id);
    assert!(lab.resolve(&two.id).names.is_empty());
    let before = lab.resolve(&one.id).names;
    for (image, name, want) in [
        ("nope", "x", "nope: image not known"),
        ("app:1", "BAD", "invalid image name \"BAD\""),
    ] {
        let error = tag(image, &["good", name]).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
    let digest = format!("x@sha256:{}", "0".repeat(64));
    let error = tag("app:1", &[&digest]).unwrap_err().to_string();
    assert!(error.ends_with("tag by digest not supported"), "{error}");
    let error = untag("app:1", &["b", "nope"]).unwrap_err().to_string();
    assert_eq!(error, "localhost/nope:latest: tag not known");
    assert_eq!(lab.resolve(&one.id).names, before, "all or nothing");
    untag("app:1", &["b"]).unwrap();
    assert!(!lab.resolve(&one.id).names.contains(&names[2].to_owned()));
    untag(&one.id, &[]).unwrap();
    assert!(lab.resolve(&one.id).names.is_empty());
    untag(&one.id, &[]).unwrap();
    assert_eq!(lab.images.list().unwrap().len(), 2, "images stay");
}

/// Podman hides an image without a name that another is made of, and removes it with that.
#[test]
fn an_image_is_the_parent_of_what_has_one_step_more() {
    let lab = Lab::new();
    let steps = |count: usize| -> serde_json::Value {
        (0..count)
            .map(
                |at| json!({"created": "2026-01-02T03:04:05Z", "created_by": format!("step {at}")}),
            )
            .collect()
    };
    let load = |name: &str, layers: &[Blob], history: serde_json::Value| -> Image {
        let mut oci = Oci::new();
        let manifest = oci.manifest_with(layers, json!({"Cmd": [name]}), history);
        oci.list(manifest, name);
        let id = lab.load(oci).unwrap().remove(0).id;
        let all = lab.images.list_with_history().unwrap();
        all.into_iter().find(|image| image.id == id).unwrap()
    };
    let (low, high) = (layer("low"), layer("high"));
    let base = load("base", std::slice::from_ref(&low), steps(1));
    let child = load("child", &[low.clone(), high.clone()], steps(2));
    let note = load("note", std::slice::from_ref(&low), steps(2));
    let far = load("far", &[low, high.clone()], steps(3));
    let other = load("other", &[high], steps(2));
    let odd = load("odd", &[layer("odd")], json!("nonsense"));
    assert!(base.is_parent_of(&child) && base.is_parent_of(&note));
    assert!(child.is_parent_of(&far) && note.is_parent_of(&far));
    for stranger in [&base, &far, &other, &odd] {
        assert!(!base.is_parent_of(stranger), "{:?}", stranger.names);
    }
    let told = lab.images.history(&far).unwrap();
    let told: Vec<(&str, Option<&String>)> = told
        .iter()
        .map(|step| (step.created_by.as_str(), step.id.as_ref()))
        .collect();
    assert_eq!(told[0], ("step 2", Some(&far.id)));
    assert_eq!((told.len(), told[2].0), (3, "step 0"));
    assert!(lab.images.history(&odd).is_err());
}
