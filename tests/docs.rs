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
        // What may stand behind `container` or `image` is described where it stands alone, but where it is another verb.
        let own = |second: &&str| {
            name == "image" && ["inspect", "mount", "prune", "rm", "unmount"].contains(second)
        };
        let alone = |second: &&str| {
            let may = ["container", "image"].contains(&name);
            !may || own(second) || all().all(|verb| verb.get_name() != *second)
        };
        let below = verb.get_subcommands().filter(|verb| !verb.is_hide_set());
        let below = below.map(Command::get_name);
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
        .filter(|line| !line.starts_with("container Ar ") && !line.starts_with("image Ar "));
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

/// Long names of a verb's options that help shows, without those that every verb has.
fn own_flags(verb: &Command) -> BTreeSet<String> {
    let all = verb.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut flags: BTreeSet<String> = all
        .filter_map(|arg| Some(arg.get_long()?.to_owned()))
        .collect();
    flags.retain(|flag| flag != "help" && flag != "hooks-dir");
    flags
}

/// The command of a verb such as `volume rm`.
fn command_of(verb: &str) -> Command {
    let mut command = unitbox::cli::command();
    command.build();
    for word in verb.split(' ') {
        let below = command.find_subcommand(word).cloned();
        command = below.unwrap_or_else(|| panic!("no verb {verb}"));
    }
    command
}

/// The long name in `.It Fl e , -env Ns = ...` or `.It Fl -env`.
fn long_name(item: &str) -> Option<&str> {
    item.split(' ').find_map(|word| word.strip_prefix('-'))
}

/// The options that unitbox(1) gives a verb: those of the lists that name it, and those that stand with the verb.
fn flags_of_the_page(page: &str, verb: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (_, others) = page
        .split_once(".Ss Of the other verbs\n")
        .expect("it has that section");
    let (others, _) = others.split_once("\n.Sh ").expect("more sections follow");
    let mut flag = "";
    for line in others.lines() {
        if let Some(item) = line.strip_prefix(".It Fl ") {
            flag = long_name(item).expect("every option has a long name");
        }
        let verbs = line
            .strip_prefix(".Cm ")
            .and_then(|line| line.strip_suffix(" :"));
        if verbs.is_some_and(|verbs| verbs.split(" , ").any(|one| one == verb)) {
            found.insert(flag.to_owned());
        }
    }
    let (_, own) = page
        .split_once(&format!("\n.It Cm {verb} "))
        .unwrap_or_default();
    // A list of its own may be in it.
    let ends = ["\n.It Cm ", "\n.Ss ", "\n.Sh "].map(|end| own.find(end).unwrap_or(own.len()));
    let end = ends.into_iter().min().unwrap_or(own.len());
    let command = command_of(verb);
    let long_of = |short: &str| {
        let mut args = command.get_arguments();
        let is_it = |arg: &&clap::Arg| arg.get_short().is_some_and(|own| short == own.to_string());
        Some(args.find(is_it)?.get_long()?.to_owned())
    };
    for line in own[..end].lines() {
        let flags = line
            .strip_prefix(".Fl ")
            .or_else(|| line.strip_prefix(".It Fl "));
        let words = flags.into_iter().flat_map(|flags| flags.split(' '));
        found.extend(words.filter_map(|word| match word.strip_prefix('-') {
            Some(long) => known.contains(long).then(|| long.to_owned()),
            None => long_of(word),
        }));
    }
    found
}

#[test]
fn the_man_page_gives_every_verb_its_options_and_no_other() {
    let page = read("man/unitbox.1");
    let mut wrong = Vec::new();
    for verb in verbs(&unitbox::cli::command()) {
        // The first two have a section of their own, `update` has all limits, and the rest are others under another name.
        let special = [
            "create",
            "run",
            "update",
            "container list",
            "image ls",
            "image rm",
        ];
        if special.contains(&verb.as_str()) {
            continue;
        }
        let known = own_flags(&command_of(&verb));
        let found = flags_of_the_page(&page, &verb, &known);
        if found != known {
            let (more, fewer) = (&found - &known, &known - &found);
            wrong.push(format!(
                "{verb}: the page has {more:?} too, and has not {fewer:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (_, section) = page
        .split_once(".Ss Of create and run\n")
        .expect("it has that section");
    let (section, _) = section.split_once("\n.Ss ").expect("more sections follow");
    let items = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Fl "));
    let mut run: BTreeSet<String> = items
        .filter_map(|item| Some(long_name(item)?.to_owned()))
        .collect();
    run.extend(flags_of_the_page(&page, "run", &BTreeSet::new()));
    assert_eq!(run, own_flags(&command_of("run")));
    for verb in ["create", "update"] {
        let more = &own_flags(&command_of(verb)) - &run;
        assert!(more.is_empty(), "{verb}: {more:?}");
    }
}

#[test]
fn completions_offer_every_option_of_every_verb() {
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let unitbox = std::process::Command::new(env!("CARGO_BIN_EXE_unitbox"));
        let run = { unitbox }
            .args(["completion", shell])
            .output()
            .expect("unitbox can be run");
        String::from_utf8(run.stdout).expect("a script is text")
    });
    let [bash, zsh, fish] = &scripts;
    let zsh: Vec<&str> = zsh.lines().map(str::trim).collect();
    let zsh = zsh.join("\n");
    for verb in verbs(&unitbox::cli::command()) {
        let known = own_flags(&command_of(&verb));
        let label = format!(
            "        unitbox__subcmd__{})\n",
            verb.replace(' ', "__subcmd__")
        );
        let (_, after) = bash
            .split_once(&label)
            .unwrap_or_else(|| panic!("bash: {verb}"));
        let (_, opts) = after.split_once("opts=\"").expect("it has options");
        let (opts, _) = opts.split_once('"').expect("a quoted text ends");
        let mut found: BTreeSet<String> = opts
            .split(' ')
            .filter_map(|word| Some(word.strip_prefix("--")?.to_owned()))
            .collect();
        found.retain(|flag| flag != "help" && flag != "hooks-dir");
        assert_eq!(found, known, "bash: {verb}");
        let seen = match verb.split_once(' ') {
            Some((group, below)) => {
                format!("{group}; and __fish_seen_subcommand_from {below}\" ")
            }
            None => format!("__fish_unitbox_using_subcommand {verb}\" "),
        };
        for flag in &known {
            let has = fish
                .lines()
                .any(|line| line.contains(&seen) && (line.contains(&format!(" -l {flag} "))));
            assert!(has, "fish: {verb} --{flag}");
        }
        let last = verb.rsplit(' ').next().expect("a verb is a word");
        let sections = zsh
            .split("\n(")
            .filter(|part| part.starts_with(&format!("{last})\n")));
        let sections: Vec<&str> = sections.collect();
        assert!(!sections.is_empty(), "zsh: {verb}");
        for flag in &known {
            let is_there = |part: &&str| {
                [format!("--{flag}["), format!("--{flag}=")]
                    .iter()
                    .any(|text| part.contains(text))
            };
            assert!(sections.iter().any(is_there), "zsh: {verb} --{flag}");
        }
    }
}

/// The words of an example, as a shell would split it: there are single quotes at most.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("it has one").push(c),
        }
    }
    words
}

#[test]
fn every_verb_has_a_description_and_examples_that_are_right_in_help_and_man_page() {
    let page = read("man/unitbox.1");
    for verb in verbs(&unitbox::cli::command()) {
        let mut command = command_of(&verb);
        let help = command.render_help().to_string();
        assert!(command.get_about().is_some(), "{verb}: no description");
        let (_, examples) = help
            .split_once("Examples:\n")
            .unwrap_or_else(|| panic!("{verb}: no examples in src/cli/examples.rs"));
        let (_, shown) = page
            .split_once(".Ss One for each verb\n")
            .and_then(|(_, list)| list.split_once(&format!(".It Cm {verb}\n")))
            .unwrap_or_else(|| panic!("{verb}: no examples in unitbox(1)"));
        let (shown, _) = shown.split_once(".Ed").expect("a block ends");
        let lines: Vec<&str> = examples.lines().map(str::trim).collect();
        assert!(!lines.is_empty(), "{verb}");
        let shown: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .collect();
        assert_eq!(shown, lines, "{verb}");
        for line in lines {
            // The part that is ours, without what the shell does with it.
            let part = line.split(" || ").flat_map(|part| part.split(" && "));
            for part in part.filter(|part| part.starts_with("unitbox ")) {
                let part = part.split(" >").next().expect("a split has a first part");
                let parsed = unitbox::cli::command().try_get_matches_from(words(part));
                assert!(parsed.is_ok(), "{part}: {:?}", parsed.err());
            }
            assert!(line.contains(&format!("unitbox {verb}")), "{verb}: {line}");
        }
    }
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
