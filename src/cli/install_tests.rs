//! Files go all together or not at all.

use super::*;

/// A directory of files, and one to install them in.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("unitbox-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("from")).unwrap();
        Self { dir }
    }

    fn from(&self) -> PathBuf {
        self.dir.join("from")
    }

    fn to(&self) -> PathBuf {
        self.dir.join("to")
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Names of what is written, or what is wrong.
    fn install(&self, from: &Path, replace: bool) -> Result<Vec<String>, Vec<String>> {
        let plan = plan(&[from.to_owned()], &self.to(), replace).unwrap();
        let short = |text: String| text.replace(&format!("{}/", self.dir.display()), "");
        match plan {
            Ok(plan) => {
                write(&plan).unwrap();
                let targets = plan.keys().map(|path| short(path.display().to_string()));
                Ok(targets.collect())
            }
            Err(errors) => Err(errors.iter().map(|error| short(error.long())).collect()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const GOOD: &str = "[Container]\nImage=x\n";

#[test]
fn a_directory_goes_with_its_drop_ins_and_only_once() {
    let place = Place::new("install-good");
    place.put("from/a.container", GOOD);
    place.put("from/deep/b.volume", "[Volume]\n");
    place.put("from/a.container.d/10.conf", "[Container]\nUser=1\n");
    place.put("from/README", "");
    let all = ["to/a.container", "to/a.container.d/10.conf", "to/b.volume"];
    assert_eq!(place.install(&place.from(), false).unwrap(), all);
    let written = fs::read_to_string(place.to().join("a.container.d/10.conf")).unwrap();
    assert_eq!(written, "[Container]\nUser=1\n");
    assert!(!place.to().join("README").exists());
    assert!(place.install(&place.from(), false).unwrap().is_empty());
    place.put("from/b.container", GOOD);
    let one = place.install(&place.from().join("b.container"), false);
    assert_eq!(one.unwrap(), ["to/b.container"]);
}

#[test]
fn one_bad_file_keeps_all_out() {
    let place = Place::new("install-bad");
    place.put("from/a.container", GOOD);
    place.put("from/b.container", "[Container]\nImage=x\nExce=y\n");
    place.put(
        "from/c.container",
        "[Container]\nImage=x\nEnvironmentFile=./c.env\nVolume=../d:/d\nExec=./run\n",
    );
    place.put("from/container.d/all.conf", "[Container]\nUser=1\n");
    let errors = place.install(&place.from(), true).unwrap_err();
    let has = |text: &str| errors.iter().any(|error| error.starts_with(text));
    assert!(
        has("from/b.container:3: unknown key \"Exce\""),
        "{errors:?}"
    );
    assert!(has(
        "from/c.container:3: EnvironmentFile=./c.env: the path is relative"
    ));
    assert!(has(
        "from/c.container:4: Volume=../d:/d: the path is relative"
    ));
    assert!(!has("from/c.container:5"), "{errors:?}");
    assert!(has("from/container.d/all.conf: it is for more files than"));
    assert!(!place.to().exists());
}

#[test]
fn what_is_there_is_replaced_only_when_asked() {
    let place = Place::new("install-replace");
    place.put("from/a.container", GOOD);
    place.put("from/b.container", GOOD);
    place.put("to/a.container", "[Container]\nImage=mine\n");
    let errors = place.install(&place.from(), false).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("from/a.container: ") && errors[0].ends_with("use --replace"));
    assert!(!place.to().join("b.container").exists());
    let all = ["to/a.container", "to/b.container"];
    assert_eq!(place.install(&place.from(), true).unwrap(), all);
    let written = fs::read_to_string(place.to().join("a.container")).unwrap();
    assert_eq!(written, GOOD);
}

#[test]
fn a_write_that_fails_takes_the_others_back() {
    let place = Place::new("install-undo");
    place.put("to/a", "old");
    place.put("to/z", "no directory");
    let secret = PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.to().join("a"), secret).unwrap();
    let new = |name: &str| {
        let (text, mode) = (b"new".to_vec(), 0o644);
        (place.to().join(name), Contents { text, mode })
    };
    let plan = Plan::from(["a", "b", "z/c"].map(new));
    assert!(write(&plan).is_err());
    let old = read(&place.to().join("a")).unwrap();
    assert_eq!((&old.text[..], old.mode), (&b"old"[..], 0o600));
    assert!(!place.to().join("b").exists());
}

#[test]
fn what_only_root_reads_stays_so() {
    let place = Place::new("install-mode");
    for (name, mode) in [("a", 0o600), ("b", 0o4775)] {
        place.put(&format!("from/{name}.container"), GOOD);
        let path = place.from().join(format!("{name}.container"));
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    place.install(&place.from(), false).unwrap();
    let mode = |name: &str| {
        let metadata = fs::metadata(place.to().join(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode("a.container"), mode("b.container")), (0o600, 0o644));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new("install-odd");
    assert!(plan(&[place.from()], &place.to(), false).is_err());
    assert!(plan(&[place.from().join("none.container")], &place.to(), false).is_err());
    place.put("from/a.txt", "");
    assert!(plan(&[place.from().join("a.txt")], &place.to(), false).is_err());
    place.put("from/a.container", GOOD);
    place.put("from/deep/a.container", "[Container]\nImage=y\n");
    let both = ["a.container", "deep/a.container"].map(|name| place.from().join(name));
    let errors = plan(&both, &place.to(), false).unwrap().unwrap_err();
    assert!(
        errors[0]
            .message
            .ends_with("from/a.container has the same name")
    );
}
