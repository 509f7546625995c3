//! Every flag of Podman's `create` and `run` is there with the same arity and short form, or is refused by name.

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, Command};
use unitbox::definition::refusal;

/// What systemd or cgroup version 2 cannot do, or nobody has asked for.
const REFUSED: [&str; 5] = [
    "cpu-rt-period",
    "cpu-rt-runtime",
    "decryption-key",
    "gpus",
    "rdt-class",
];

/// What is still missing.
const MISSING: &[&str] = &[];

struct Flag<'a> {
    name: &'a str,
    short: Option<char>,
    verbs: &'a str,
    arity: &'a str,
}

fn flags() -> Vec<Flag<'static>> {
    let lines = include_str!("flags.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, short, verbs, arity] = words[..] else {
                panic!("not four words: {line}");
            };
            let short = short.chars().next().filter(|short| *short != '-');
            Flag {
                name,
                short,
                verbs,
                arity,
            }
        })
        .collect()
}

fn verb<'a>(cli: &'a Command, name: &str) -> &'a Command {
    cli.find_subcommand(name).expect("a verb")
}

fn find<'a>(verb: &'a Command, flag: &str) -> Option<&'a Arg> {
    verb.get_arguments()
        .find(|arg| arg.get_long() == Some(flag))
}

/// How often a flag counts and whether it needs a value, in the words of flags.txt.
fn arity(arg: &Arg) -> &'static str {
    let least = arg.get_num_args().map_or(1, |range| range.min_values());
    match arg.get_action() {
        ArgAction::Append => "many",
        ArgAction::Set if least == 0 && arg.is_require_equals_set() => "switch",
        ArgAction::Set => "one",
        _ => "a flag that takes no =false",
    }
}

#[test]
fn every_flag_is_there_or_refused_by_name() {
    let cli = unitbox::cli::command();
    let mut wrong = Vec::new();
    let mut implemented = 0;
    for flag in flags() {
        let refused = refusal(&format!("--{}", flag.name));
        for (letter, name) in [('c', "create"), ('r', "run")] {
            if !flag.verbs.contains(letter) {
                continue;
            }
            let Some(arg) = find(verb(&cli, name), flag.name) else {
                if refused.is_none() && !MISSING.contains(&flag.name) {
                    wrong.push(format!("{name} has no --{}", flag.name));
                }
                continue;
            };
            implemented += 1;
            if refused.is_some() {
                wrong.push(format!("{name} has --{}, and it is refused", flag.name));
            }
            if arg.get_short() != flag.short {
                wrong.push(format!(
                    "{name} --{}: short {:?}",
                    flag.name,
                    arg.get_short()
                ));
            }
            let wanted = if flag.arity == "list" {
                "many"
            } else {
                flag.arity
            };
            // Without bridge networks there is nothing to add a second one to.
            let put_off = flag.name == "network";
            if arity(arg) != wanted && !put_off {
                wrong.push(format!(
                    "{name} --{}: {}, not {wanted}",
                    flag.name,
                    arity(arg)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(implemented > 20, "{implemented}");
}

#[test]
fn the_list_is_whole() {
    let flags = flags();
    assert_eq!(flags.len(), 149);
    let names: BTreeSet<&str> = flags.iter().map(|flag| flag.name).collect();
    assert_eq!(names.len(), 149);
    for name in REFUSED {
        assert!(names.contains(name), "{name}");
        let reason = refusal(&format!("--{name}=1")).expect(name);
        assert!(!reason.contains("yet"), "--{name}: {reason}");
    }
    // What else is refused is for later, and says so.
    for name in names {
        if let Some(reason) = refusal(&format!("--{name}")) {
            assert!(
                REFUSED.contains(&name) || reason == "this version does not do that yet",
                "--{name}: {reason}"
            );
        }
    }
}

/// Flags of later versions: bridge networks, pods. Nothing else may join them.
#[test]
fn only_what_is_for_later_is_put_off() {
    const LATER: &str =
        "expose init-ctr ip ip6 mac-address network-alias pod pod-id-file publish publish-all";
    let later: BTreeSet<&str> = LATER.split_whitespace().collect();
    for flag in flags() {
        let refused = refusal(&format!("--{}", flag.name)).is_some();
        let allowed = later.contains(flag.name) || REFUSED.contains(&flag.name);
        assert!(!refused || allowed, "--{} is refused", flag.name);
    }
}

/// Verbs of Podman's that are others' work or for later, and the only flags that other verbs may lack.
const LATER_VERBS: &[&str] = &["checkpoint", "clone", "restore", "runlabel"];
const LATER_FLAGS: &[(&str, &[&str])] = &[("update", &["cpu-rt-period", "cpu-rt-runtime"])];

#[test]
fn every_verb_on_containers_has_podmans_flags() {
    let cli = unitbox::cli::command();
    let container = verb(&cli, "container");
    let lines = include_str!("verb-flags.txt").lines();
    let mut wrong = Vec::new();
    let mut found = 0;
    for line in lines.filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, short, flag] = words[..] else {
            panic!("not three words: {line}");
        };
        let Some(here) = container.find_subcommand(name) else {
            if !LATER_VERBS.contains(&name) {
                wrong.push(format!("no verb {name}"));
            }
            continue;
        };
        let short = short.chars().next().filter(|short| *short != '-');
        let later = LATER_FLAGS.iter().find(|(verb, _)| *verb == name);
        match find(here, flag) {
            Some(arg) if arg.get_short() == short => found += 1,
            Some(_) => wrong.push(format!("{name} --{flag} has another short form")),
            None if later.is_some_and(|(_, flags)| flags.contains(&flag)) => {}
            None => wrong.push(format!("{name} has no --{flag}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 80, "{found}");
}
