//! What a look at the store finds, and what is mended.

use std::fs;

use super::store::{Lab, layer};
use crate::image::check::Damage;

#[test]
fn what_has_become_useful_meanwhile_is_not_removed() {
    let lab = Lab::new();
    lab.one("a", &[layer("one")]);
    let listing = lab.dir.join("state/images/index.json");
    let with_it = fs::read(&listing).unwrap();
    lab.images.untag("a", &[]).unwrap();
    // An index without the image, as between two steps of somebody else.
    fs::write(&listing, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let found = lab.images.check(false).unwrap();
    assert!(found.len() >= 4, "{found:?}");
    let unlisted = |damage: &Damage| matches!(damage, Damage::Unlisted(_));
    assert!(found.iter().all(unlisted), "{found:?}");
    fs::write(&listing, with_it).unwrap();
    for damage in &found {
        assert!(lab.images.mend(damage).unwrap(), "{damage}");
    }
    assert_eq!(lab.images.check(false).unwrap(), []);
    assert_eq!(lab.resolve("a").names.len(), 1);
    // What is still of no use goes.
    lab.images.untag("a", &[]).unwrap();
    fs::write(&listing, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    for damage in lab.images.check(true).unwrap() {
        assert!(lab.images.mend(&damage).unwrap(), "{damage}");
    }
    assert_eq!(lab.content(), [""; 0]);
}
