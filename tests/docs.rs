//! Documents do not drift: unitbox(1) has the verbs and flags of the command line, README.md the commands that exist.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Command;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every verb that help shows, those of verbs with verbs of their own as two words.
fn verbs(command: &Command) -> BTreeSet<String> {
    let mut verbs = BTreeSet::new();
    let all = || command.get_subcommands();
    for verb in all().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        // What may stand behind `container` is described where it stands alone.
        let alone =
            |second: &&str| name != "container" || all().all(|verb| verb.get_name() != *second);
        let below = verb.get_subcommands().map(Command::get_name);
        let below: Vec<_> = below.filter(alone).collect();
        if below.is_empty() {
            verbs.insert(name.to_owned());
        }
        verbs.extend(below.into_iter().map(|second| format!("{name} {second}")));
    }
    verbs
}

/// Every flag that help shows: the short form, if any, and the long one.
fn flags(command: &Command) -> BTreeSet<String> {
    let visible = |arg: &&clap::Arg| !arg.is_hide_set() && arg.get_long().is_some();
    let mut flags: BTreeSet<String> = command
        .get_arguments()
        .filter(visible)
        .map(|arg| flag(arg.get_short(), arg.get_long().expect("it was asked for")))
        .collect();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        flags.extend(self::flags(verb));
    }
    flags.retain(|flag| !["help", "version"].iter().any(|own| flag.ends_with(own)));
    flags
}

fn flag(short: Option<char>, long: &str) -> String {
    short.map_or_else(String::new, |short| format!("-{short} ")) + "--" + long
}

/// The flags of the page's lists: `.It Fl e , -env Ns = ...`.
fn documented_flags(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix(".It Fl ")) {
        let mut words = line.split(' ');
        let first = words.next().expect("a split has a first part");
        let (short, long) = match first.strip_prefix('-') {
            Some(long) => (None, long),
            None => {
                let long = words.nth(1).and_then(|word| word.strip_prefix('-'));
                (
                    first.chars().next(),
                    long.unwrap_or_else(|| panic!("no long form: {line}")),
                )
            }
        };
        found.insert(flag(short, long));
    }
    found.retain(|flag| !["help", "version"].iter().any(|own| flag.ends_with(own)));
    found
}

/// The verbs of the page's section VERBS: `.It Cm image exists Ar image`.
fn documented_verbs(page: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let (_, section) = page
        .split_once(".Sh VERBS\n")
        .expect("unitbox(1) has verbs");
    let (section, _) = section.split_once("\n.Sh ").expect("more sections follow");
    let words = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "))
        .filter(|line| !line.starts_with("container Ar "));
    words
        .map(|line| {
            let is_verb =
                |verb: &&String| line == verb.as_str() || line.starts_with(&format!("{verb} "));
            known
                .iter()
                .find(is_verb)
                .map_or_else(|| line.to_owned(), Clone::clone)
        })
        .collect()
}

#[test]
fn the_man_page_has_every_verb_and_no_other() {
    let known = verbs(&unitbox::cli::command());
    assert_eq!(documented_verbs(&read("man/unitbox.1"), &known), known);
}

#[test]
fn the_man_page_has_every_flag_and_no_other() {
    let known = flags(&unitbox::cli::command());
    assert!(known.contains("-e --env"), "{known:?}");
    assert_eq!(documented_flags(&read("man/unitbox.1")), known);
}

/// The keys of the section `[Container]` of unitbox.container(5): `.It Cm Image Ns =`.
#[test]
fn the_man_page_has_every_key_and_no_other() {
    use unitbox::definition::unit_file::{Kind, known_keys};
    let page = read("man/unitbox.container.5");
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Cm "));
    let documented: BTreeSet<&str> = items
        .map(|item| item.strip_suffix(" Ns =").expect("a key stands before ="))
        .collect();
    let known: BTreeSet<&str> = known_keys(Kind::Container).into_iter().collect();
    assert_eq!(documented, known);
}

#[test]
fn commands_of_the_readme_can_be_executed() {
    let readme = read("README.md");
    let mut found = 0;
    for word in readme.split(|c: char| c.is_whitespace() || c == '`') {
        let Some(name) = ["tests/", ".ci/", "packaging/"]
            .iter()
            .find_map(|dir| word.strip_prefix(dir))
        else {
            continue;
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(word);
        let data = fs::metadata(&path).unwrap_or_else(|error| panic!("{word}: {error}"));
        if data.is_file() && !name.contains(".rs") {
            assert!(
                data.permissions().mode() & 0o111 != 0,
                "{word} cannot be executed"
            );
            found += 1;
        }
    }
    assert!(found >= 2, "the README has two commands");
}
