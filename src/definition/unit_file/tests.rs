use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::definition::Options;

/// A file of the corpus: what is expected of it stands in its comments, `## KIND TEXT`.
///
/// `## error LINE TEXT` is an error whose line is LINE and whose message has TEXT in it; `## flag --FLAG=VALUE` is an
/// option that comes of it; `## command WORDS`, `## image NAME`, `## name NAME`, `## requires UNIT`.
struct Case {
    path: PathBuf,
    expected: Vec<(String, String)>,
}

fn corpus() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/units");
    let found = find(&[directory]);
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    let cases = found.files.into_values().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("## "));
        let expected = lines
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
            .map(|(kind, text)| (kind.to_owned(), text.to_owned()))
            .collect();
        Case { path, expected }
    });
    cases.collect()
}

/// The files of the corpus that others may refer to.
fn set() -> (Found, FileSet) {
    let found = find(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/units")]);
    let mut set = FileSet::default();
    for (name, path) in &found.files {
        if let Loaded::File(file) = Loaded::read(path, &drop_ins(&found, name)) {
            set.insert(name, file);
        }
    }
    (found, set)
}

fn host() -> Specifiers {
    let fixed = [('h', "/root"), ('t', "/run"), ('H', "box"), ('m', "0123")];
    Specifiers::new(fixed.map(|(c, value)| (c, value.to_owned())))
}

#[test]
fn the_corpus_is_read_as_its_files_say() {
    let (found, set) = set();
    let cases = corpus();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.path.file_name().unwrap().to_str().unwrap();
        let kind = Kind::of(&case.path).unwrap();
        let (file, errors) = match Loaded::read(&case.path, &drop_ins(&found, name)) {
            Loaded::File(file) => {
                let errors = check(kind, &file, &host(), &set);
                (Some(file), errors)
            }
            Loaded::Broken(errors) => (None, errors),
            Loaded::Masked => panic!("{name} is masked"),
        };
        let wanted: Vec<&str> = of(case, "error").collect();
        let fits = errors.iter().zip(&wanted).all(|(error, wanted)| {
            let (line, text) = wanted.split_once(' ').unwrap();
            error.at.line.to_string() == line && error.message.contains(text)
        });
        if !fits || errors.len() != wanted.len() {
            wrong.push(format!("{name}: {errors:?}\n  wanted {wanted:?}"));
        } else if let (Some(file), true, Kind::Container) = (file, errors.is_empty(), kind) {
            let (made, wanted) = (made(&file, &set), wanted_of(case, &file));
            if made != wanted {
                wrong.push(format!("{name}: {made:#?}\n  wanted {wanted:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 240, "only {} files", cases.len());
}

fn of<'a>(case: &'a Case, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let all = case.expected.iter();
    all.filter(move |(own, _)| own == kind)
        .map(|(_, text)| text.as_str())
}

/// What the comments say, sorted; a name that is not given is Quadlet's.
fn wanted_of(case: &Case, file: &UnitFile) -> Vec<String> {
    let all = case.expected.iter();
    let mut wanted: Vec<String> = all.map(|(kind, text)| format!("{kind} {text}")).collect();
    if of(case, "name").next().is_none() {
        let unit = service_of(Kind::Container, file);
        let stem = unit.strip_suffix(".service").unwrap();
        wanted.push(format!("name systemd-{stem}"));
    }
    wanted.sort();
    wanted
}

/// The same of what is made of the file.
fn made(file: &UnitFile, set: &FileSet) -> Vec<String> {
    let unit = service_of(Kind::Container, file);
    let environment = [("FROM_UNIT".to_owned(), "from unit".to_owned())];
    let expander = Expander {
        specifiers: &host().of_unit(&unit, &file.path),
        environment: Some(&environment),
    };
    let container = Container::read(file, &unit, &expander, set).unwrap();
    let mut options = Options::default();
    container.apply(&mut options).unwrap();
    let mut made: Vec<String> = crate::definition::options()
        .flat_map(|spec| {
            let values = spec.values(&options).into_iter();
            values.map(move |value| format!("flag --{}={value}", spec.flag))
        })
        .collect();
    made.push(format!("name {}", container.name));
    made.push(match &container.from {
        From::Image(image) => format!("image {image}"),
        From::Rootfs(path) => format!("image rootfs {path}"),
    });
    if !container.command.is_empty() {
        let words: Vec<String> = container.command.iter().map(|one| word(one)).collect();
        made.push(format!("command {}", words.join(" ")));
    }
    made.extend(
        container
            .requires
            .iter()
            .map(|unit| format!("requires {unit}")),
    );
    made.extend(
        container
            .mounts_for
            .iter()
            .map(|path| format!("mounts-for {path}")),
    );
    let directory = file.path.parent().unwrap().display().to_string();
    for line in &mut made {
        *line = line.replace(&directory, "@DIR@");
    }
    made.sort();
    made
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("unitbox-units-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn what_is_no_file_costs_itself_only() {
    let dir = directory("hostile");
    let good = "[Container]\nImage=x\n";
    fs::write(dir.join("good.container"), good).unwrap();
    nix::unistd::mkfifo(&dir.join("fifo.container"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (target, name) in [
        ("/dev/zero", "zero.container"),
        ("loop.container", "loop.container"),
        ("nowhere", "dangling.container"),
        (".", "itself"),
        ("/dev/null", "null.container"),
    ] {
        std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
    }
    fs::create_dir(dir.join("dir.container")).unwrap();
    fs::write(dir.join("large.container"), vec![b'#'; 20 << 20]).unwrap();
    fs::write(dir.join("binary.container"), b"[Container]\n\xff\xfe").unwrap();
    fs::write(dir.join("nul.container"), b"[Container]\nImage=\0").unwrap();
    let found = find(std::slice::from_ref(&dir));
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    let mut seen = Vec::new();
    for (name, path) in &found.files {
        seen.push(match Loaded::read(path, &[]) {
            Loaded::File(_) => format!("{name} good"),
            Loaded::Masked => format!("{name} masked"),
            Loaded::Broken(errors) => errors[0].to_string(),
        });
    }
    fs::remove_dir_all(&dir).unwrap();
    let expected = [
        "binary.container:2: not UTF-8",
        "dangling.container: read: No such file or directory (os error 2)",
        "dir.container: not a regular file",
        "fifo.container: not a regular file",
        "good.container good",
        "large.container: larger than 1 MiB",
        "loop.container: read: Too many levels of symbolic links (os error 40)",
        "nul.container:2: a NUL: \"Image=\\0\"",
        "null.container masked",
        "zero.container: not a regular file",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn drop_ins_add_and_reset_in_the_order_of_their_names() {
    let dir = directory("drop-ins");
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("a-b.container", "[Container]\nImage=x\nDNS=192.0.2.1\n");
    write("a-b.container.d/20.conf", "[Container]\nDNS=192.0.2.3\n");
    write(
        "a-.container.d/10.conf",
        "[Container]\nDNS=\nDNS=192.0.2.2\n",
    );
    write("container.d/20.conf", "[Container]\nDNS=192.0.2.9\n");
    let found = find(std::slice::from_ref(&dir));
    let all = drop_ins(&found, "a-b.container");
    let Loaded::File(file) = Loaded::read(&found.files["a-b.container"], &all) else {
        panic!("it is good");
    };
    fs::remove_dir_all(&dir).unwrap();
    let section = file.section("Container").unwrap();
    let dns: Vec<&str> = section
        .all("DNS")
        .iter()
        .map(|entry| entry.value.as_str())
        .collect();
    assert_eq!(dns, ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(section.all("DNS")[0].at.short(), "a-.container.d/10.conf");
}

#[test]
fn lines_are_systemds() {
    let text =
        "\u{feff}# c\n[A]\nk = v \\\n# inside\n; too\n  w\\\\\nx=1\\\n\n[B]\ny=\n[A]\nk=2\r\n";
    let file = parse(Path::new("/x/t.container"), text).unwrap();
    let all: Vec<_> = file
        .sections
        .iter()
        .flat_map(|section| {
            let entries = section.entries.iter();
            entries.map(|e| {
                (
                    section.name.as_str(),
                    e.key.as_str(),
                    e.value.as_str(),
                    e.at.line,
                )
            })
        })
        .collect();
    let expected = [
        ("A", "k", "v    w\\\\", 3),
        ("A", "x", "1", 7),
        ("A", "k", "2", 12),
        ("B", "y", "", 10),
    ];
    assert_eq!(all, expected);
    let bad = "x=1\n[A\n[]\nword\n=v\n";
    let errors = parse(Path::new("/x/t.container"), bad).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|error| error.at.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5]);
    assert_eq!(
        errors[1].to_string(),
        "t.container:2: a section is [NAME]: \"[A\""
    );
}
