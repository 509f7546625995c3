//! Names that come, go and move.

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
