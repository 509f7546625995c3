use clap::ArgMatches;

use super::{args, command, error, inspect, ps, table};
use crate::api::{Ended, ExitRecord, StopKind};
use crate::container::observe::{Exit, Lost, Observation, State};
use crate::container::stop::Patience;
use crate::definition::{Definition, LogDriver, Options, Source, VERSION};
use crate::types::{ContainerId, ExitStatus};

/// A host without containers.conf.
fn nowhere() -> crate::api::Layout {
    crate::api::Layout::new("/no/such/root")
}

fn parse(line: &str) -> Result<ArgMatches, clap::Error> {
    command().try_get_matches_from(std::iter::once("unitbox").chain(line.split_whitespace()))
}

fn wish(line: &str) -> Result<crate::container::create::Wish, String> {
    let matches = parse(line).map_err(|error| error::usage_line(&error))?;
    let (_, args) = matches.subcommand().unwrap();
    args::wish(args, &nowhere()).map_err(|error| format!("Error: {}", crate::types::chain(&error)))
}

#[test]
fn the_grammar_is_consistent() {
    command().debug_assert();
}

#[test]
fn options_end_where_the_image_begins() {
    let wish =
        wish("run --rm -i --name web -e A=b --env=C=d -h box img --rm -d --bogus -- -x").unwrap();
    assert_eq!(wish.from, "img");
    assert_eq!(wish.command, ["--rm", "-d", "--bogus", "--", "-x"]);
    assert!(wish.options.remove && wish.options.interactive && !wish.rootfs);
    assert_eq!(wish.options.hostname.as_deref(), Some("box"));
    assert_eq!(wish.options.env.len(), 2);
}

#[test]
fn switches_can_be_turned_off() {
    assert!(!wish("run --rm=false img").unwrap().options.remove);
    assert!(wish("run --rm=true img").unwrap().options.remove);
    let text = wish("run --rm=maybe img").unwrap_err();
    assert_eq!(
        text,
        "Error: invalid value \"maybe\" for --rm: not true or false"
    );
}

#[test]
fn variables_without_a_value_are_the_callers() {
    let wish = wish("create -e PATH -e NO_SUCH_VARIABLE_HERE -e X= img").unwrap();
    let names: Vec<&str> = wish
        .options
        .env
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["PATH", "X"]);
}

#[test]
fn bytes_that_are_no_text_are_refused_by_name() {
    use std::os::unix::ffi::OsStringExt;
    let words = |words: &[&[u8]]| -> Vec<std::ffi::OsString> {
        let words = words.iter().map(|word| word.to_vec());
        words.map(std::ffi::OsString::from_vec).collect()
    };
    let text = |bytes: &[&[u8]]| args::not_text(&words(bytes));
    assert_eq!(text(&[b"run", b"--label", "ä".as_bytes()]), None);
    assert_eq!(
        text(&[b"run", b"--label", b"a=\xff"]).unwrap(),
        "invalid value \"a=\\xFF\" for --label: not UTF-8"
    );
    assert_eq!(
        text(&[b"run", b"-d", b"--env=A=\xc3"]).unwrap(),
        "invalid value \"--env=A=\\xC3\": not UTF-8"
    );
}

/// tests/flags.rs proves that every flag of Podman's is there or refused; here is what a user sees of a refusal.
#[test]
fn a_refused_flag_names_itself_wherever_it_stands() {
    let all = include_str!("../../tests/flags.txt").lines();
    let names = all.filter_map(|line| line.split(' ').next());
    let refused = |name: &&str| crate::definition::refusal(&format!("--{name}")).is_some();
    let mut seen = 0;
    for name in names.filter(refused) {
        for line in [
            format!("create --{name} 1 img"),
            format!("run --{name}=1 img sh"),
            format!("run --rm -e A=b --{name} img sh"),
        ] {
            let matches = parse(&line).unwrap();
            let (_, args) = matches.subcommand().unwrap();
            let error = args::wish(args, &nowhere()).expect_err(&line);
            let text = error.to_string();
            assert_eq!(error.exit_code(), 125, "{line}");
            assert!(
                text.starts_with(&format!("--{name}")) && text.contains(" is refused: "),
                "{text}"
            );
            assert!(!text.contains('\n'), "{text}");
        }
        seen += 1;
    }
    assert!(seen > 4, "{seen}");
}

#[test]
fn wrong_usage_is_one_line_that_names_it() {
    for (line, part) in [
        ("run --bogus img", "--bogus"),
        ("run -Z img", "-Z"),
        ("run", "IMAGE"),
        ("run --network bridge img", "--network"),
        ("run --stop-timeout -1 img", "--stop-timeout"),
        ("stop --bogus web", "--bogus"),
        ("stop -t x web", "--time"),
        ("nonsense", "nonsense"),
        ("rename web", "NAME"),
        ("ps --sort yaml", "--sort"),
    ] {
        let text = match parse(line) {
            Err(error) => error::usage_line(&error),
            Ok(_) => wish(line).unwrap_err(),
        };
        assert!(
            text.starts_with("Error: ") && text.contains(part),
            "{line}: {text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn patience_is_podmans() {
    let time = |line: &str| {
        let matches = parse(line).unwrap();
        super::stop::patience(matches.subcommand().unwrap().1)
    };
    assert_eq!(time("stop web"), Patience::Own);
    assert_eq!(time("stop -t 0 web"), Patience::Seconds(0));
    assert_eq!(time("stop -t -1 web"), Patience::Forever);
    assert_eq!(
        time("stop --time=99999999999 web"),
        Patience::Seconds(u32::MAX)
    );
    assert_eq!(time("rm -f -t 3 web"), Patience::Seconds(3));
}

pub(super) fn definition(name: &str) -> Box<Definition> {
    Box::new(Definition {
        version: VERSION,
        id: ContainerId::from_random([0xab; 32]),
        name: name.parse().unwrap(),
        created: 1_000_000,
        source: Source::Image {
            name: "localhost/busybox:latest".to_owned(),
            id: "ff".repeat(32),
        },
        command: vec![
            "sh".to_owned(),
            "-c".to_owned(),
            "echo hello; \x1b[2J exit 7".to_owned(),
        ],
        options: Options {
            log_driver: LogDriver::None,
            ..Options::default()
        },
        deployed: None,
    })
}

pub(super) fn seen(state: State, exit: Option<Exit>) -> Observation {
    Observation {
        state,
        health: None,
        exit,
        pid: (state == State::Running).then_some(42),
        started: if state == State::Running {
            2_000_000
        } else {
            0
        },
        nonce: String::new(),
        monitor: 0,
        restarts: 0,
        restart: None,
    }
}

fn json(seen: &Observation) -> serde_json::Value {
    serde_json::from_str(&inspect::state(seen).to_json()).unwrap()
}

fn recorded(ended: Ended, oom: bool) -> Option<Exit> {
    Some(Exit::Recorded(ExitRecord {
        id: ContainerId::from_random([0xab; 32]),
        name: "web".parse().unwrap(),
        nonce: "n".to_owned(),
        ended,
        oom,
        stop: StopKind::None,
        restarts: 0,
        started: 2_000_000,
        finished: 3_000_000,
    }))
}

fn entry(definition: Box<Definition>, seen: Observation) -> ps::Entry {
    ps::Entry {
        command: definition.command.clone(),
        definition,
        seen,
        size: None,
        with_namespaces: false,
    }
}

fn two() -> ps::List {
    let exited = recorded(Ended::Payload(ExitStatus::Exited(7)), false);
    ps::List {
        entries: vec![
            entry(definition("web"), seen(State::Running, None)),
            entry(definition("job"), seen(State::Exited, exited)),
        ],
        broken: vec![ContainerId::from_random([0xcd; 32])],
    }
}

#[test]
fn the_table_is_podmans() {
    let text = ps::as_table(&two(), &["ps"], 8_000_000);
    let want = "\
CONTAINER ID  IMAGE                     COMMAND               CREATED        STATUS                    PORTS       NAMES
abababababab  localhost/busybox:latest  sh -c echo hello;...  7 seconds ago  Up 6 seconds                          web
abababababab  localhost/busybox:latest  sh -c echo hello;...  7 seconds ago  Exited (7) 5 seconds ago              job
cdcdcdcdcdcd                                                                 Broken                                
";
    assert_eq!(text, want);
    let text = ps::as_table(&two(), &["ps", "--no-trunc", "--noheading"], 8_000_000);
    assert!(
        text.starts_with(&"ab".repeat(32)) && !text.contains('\x1b'),
        "{text}"
    );
}

#[test]
fn ps_has_the_forms_of_podman() {
    let show = |words: &[&str]| ps::as_table(&two(), words, 8_000_000);
    let text = show(&[
        "ps",
        "--format",
        "table {{.ID}} {{.Names}}\\t{{.RunningFor}}",
    ]);
    let want = "\
CONTAINER ID  NAMES       RUNNING FOR
abababababab  web         7 seconds ago
abababababab  job         7 seconds ago
";
    assert_eq!(text, want);
    let text = show(&[
        "ps",
        "--format",
        "{{.Names}} {{.State}} {{.Status}} {{.ExitCode}} {{.Pid}}",
    ]);
    assert_eq!(
        text,
        "web running Up 6 seconds 0 42\njob exited Exited (7) 5 seconds ago 7 0\n"
    );
    let json: serde_json::Value = serde_json::from_str(&show(&["ps", "--format", "json"])).unwrap();
    assert_eq!(
        (
            &json[0]["State"],
            &json[0]["Created"],
            &json[0]["ExitedAt"],
            &json[1]["ExitCode"]
        ),
        (
            &"running".into(),
            &1.into(),
            &(-62_135_596_800i64).into(),
            &7.into()
        )
    );
    assert_eq!(
        (&json[0]["Names"][0], &json[2]["State"]),
        (&"web".into(), &"broken".into())
    );
    let line = show(&["ps", "--format", "{{json .}}"]);
    let json: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(json["Created"], "1970-01-01T00:00:01Z");
    assert_eq!(show(&["ps", "-q"]).lines().count(), 3);
    assert!(
        show(&["ps", "--ns"]).starts_with("CONTAINER ID  NAMES       PID         CGROUPNS    IPC")
    );
}

#[test]
fn a_code_that_nobody_knows_is_said_so() {
    let lost = Exit::Unknown {
        lost: Lost::PowerCut,
        started: 5,
    };
    let seen = seen(State::Exited, Some(lost));
    assert_eq!(ps::status(&seen, 9), "Exited, code unknown (power cut)");
    let state = json(&seen);
    assert!(state["ExitCode"].is_null());
    assert_eq!(state["Error"], "unknown (power cut)");
}

#[test]
fn inspect_tells_state_code_and_reason() {
    let failed = recorded(
        Ended::Unstarted {
            code: 127,
            reason: "no such file".to_owned(),
        },
        false,
    );
    let state = json(&seen(State::Created, failed));
    assert_eq!(
        (&state["Status"], &state["ExitCode"]),
        (&"created".into(), &127.into())
    );
    assert_eq!(state["Error"], "no such file");
    let oom = recorded(Ended::Payload(ExitStatus::Exited(137)), true);
    let state = json(&seen(State::Exited, oom.clone()));
    assert_eq!(
        (&state["OOMKilled"], &state["ExitCode"]),
        (&true.into(), &137.into())
    );
    assert_eq!(state["FinishedAt"], "1970-01-01T00:00:03Z");
    // The end of an earlier run is not that of the one that lives.
    let state = json(&seen(State::Running, oom));
    assert_eq!(
        (&state["OOMKilled"], &state["ExitCode"]),
        (&false.into(), &0.into())
    );
    assert_eq!(
        (&state["Running"], &state["Pid"]),
        (&true.into(), &42.into())
    );
}

#[test]
fn spans_are_said_as_humans_do() {
    for (seconds, want) in [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (180, "3 minutes"),
        (3600, "About an hour"),
        (86_400, "24 hours"),
        (3 * 86_400, "3 days"),
        (21 * 86_400, "3 weeks"),
        (90 * 86_400, "3 months"),
        (800 * 86_400, "2 years"),
    ] {
        assert_eq!(table::span(seconds * 1_000_000), want);
    }
}

#[test]
fn sizes_have_three_digits() {
    assert_eq!(table::size(12, " "), "12 B");
    assert_eq!(table::size(2_130_000, " "), "2.13 MB");
    assert_eq!(table::size(45_600_000_000, ""), "45.6GB");
    assert_eq!(table::size(1_000_000, ""), "1MB");
}

#[test]
fn what_goes_together_is_podmans() {
    let host = super::Host::new("/nowhere".into());
    let fake = crate::host::systemd::fake::FakeManager::default();
    let site = crate::container::Site {
        layout: &host.layout,
        manager: &fake,
    };
    for (line, want) in [
        ("stop", "you must provide at least one name or id"),
        ("stop -a web", "no arguments are needed with --all"),
        ("kill -a -l", "--all and --latest cannot be used together"),
        (
            "rm -l web",
            "--latest and containers cannot be used together",
        ),
        ("pause --filter name=x web", "--filter takes no arguments"),
        (
            "stop --cidfile f -a",
            "--all, --latest, and --cidfile cannot be used together",
        ),
        (
            "rm --cidfile /no/such",
            "reading CIDFile: open /no/such: no such file or directory",
        ),
        (
            "stop web",
            "no container with name or ID \"web\" found: no such container",
        ),
        (
            "container kill web",
            "no container with name or ID \"web\" found: no such container",
        ),
    ] {
        let matches = parse(line).unwrap();
        let mut args = matches.subcommand().unwrap().1;
        if let Some((_, inner)) = args.subcommand() {
            args = inner;
        }
        let chosen = super::select::choose(args, &host, site, |_| true);
        assert_eq!(chosen.err().unwrap().to_string(), want, "{line}");
    }
    // What is not there may be ignored, and what is wrong is told before anything is done.
    for line in [
        "stop -i web",
        "rm -f web",
        "rm -i --cidfile /no/such",
        "stop -a",
    ] {
        let matches = parse(line).unwrap();
        let chosen = super::select::choose(matches.subcommand().unwrap().1, &host, site, |_| true);
        assert!(chosen.unwrap().is_empty(), "{line}");
    }
}

#[test]
fn every_verb_on_containers_may_stand_behind_container() {
    let grammar = command();
    let behind = grammar.find_subcommand("container").unwrap();
    for verb in [
        "create", "run", "start", "stop", "restart", "kill", "pause", "unpause", "wait", "ps",
        "inspect", "stats", "top", "logs", "rm", "update", "rename", "port", "exists", "prune",
        "cleanup", "list",
    ] {
        assert!(behind.find_subcommand(verb).is_some(), "{verb}");
    }
}

#[test]
fn verbs_on_images_may_stand_behind_image() {
    let grammar = command();
    let behind = grammar.find_subcommand("image").unwrap();
    for verb in [
        "exists", "history", "inspect", "list", "load", "ls", "mount", "prune", "rm", "save",
        "tag", "umount", "unmount", "untag",
    ] {
        assert!(behind.find_subcommand(verb).is_some(), "{verb}");
    }
}
