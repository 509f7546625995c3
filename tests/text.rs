//! Whatever text a user writes reaches its target unchanged: through the definition, through config.json, and through the
//! unit as a file and as D-Bus properties alike. What cannot is refused by the name of its option.

mod words;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use unitbox::api::Layout;
use unitbox::definition::{Definition, Options, options};
use unitbox::plan::bundle::{self, BundleFacts};
use unitbox::plan::unit::{BusValue, Unit, UnitFacts};
use words::{definition, words};

/// A hundred thousand with UNITBOX_TEST_ALL, a sample of them without.
fn runner() -> TestRunner {
    let all = std::env::var_os("UNITBOX_TEST_ALL").is_some();
    let config = Config {
        cases: if all { 100_000 } else { 4_000 },
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The last value of each name.
fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().rev().find(|(other, _)| other == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn text_arrives_in_config_json() {
    let facts = BundleFacts::default();
    runner()
        .run(&words(), |words| {
            let made = definition(&words);
            let read = Definition::from_json(&made.to_json()).expect("our own JSON");
            prop_assert_eq!(&read, &made);
            for (key, _) in &words.labels {
                prop_assert_eq!(
                    read.options.labels[key].as_str(),
                    last(&words.labels, key).expect("it is set")
                );
            }
            let spec = bundle::plan(&read, &facts)
                .expect("there is a command")
                .spec;
            let spec: serde_json::Value =
                serde_json::from_slice(&serde_json::to_vec(&spec).expect("JSON")).expect("JSON");
            let args: Vec<&str> = words
                .entrypoint
                .iter()
                .chain(&words.args)
                .map(String::as_str)
                .collect();
            prop_assert_eq!(&spec["process"]["args"], &serde_json::json!(args));
            let env = spec["process"]["env"].as_array().expect("a list");
            for (name, _) in &words.env {
                let wanted = format!("{name}={}", last(&words.env, name).expect("it is set"));
                prop_assert!(
                    env.iter().any(|assignment| *assignment == wanted),
                    "{}",
                    wanted
                );
            }
            for (key, _) in &words.annotations {
                prop_assert_eq!(
                    spec["annotations"][key].as_str(),
                    last(&words.annotations, key)
                );
            }
            Ok(())
        })
        .expect("text arrives");
}

#[test]
fn a_unit_file_says_what_the_bus_is_told() {
    let layout = Layout::new("/srv/$x %n \"y\" \\");
    let monitor = std::path::PathBuf::from("/opt/a b/%n $x\"y");
    let facts = UnitFacts {
        systemd: 257,
        monitor: &monitor,
        layout: &layout,
        dependencies: &[],
    };
    runner()
        .run(&words(), |words| {
            let unit = Unit::of(&definition(&words), &facts);
            let file = assignments(&unit.render());
            let bus = unit.bus_properties();
            prop_assert_eq!(file.len(), bus.len());
            for ((key, raw), (name, value)) in file.iter().zip(&bus) {
                prop_assert_eq!(&key.replace("Sec", "USec"), name);
                prop_assert!(same(raw, value), "{}={} is not {:?}", key, raw, value);
            }
            let fields = bus.iter().find(|(name, _)| *name == "LogExtraFields");
            let Some((_, BusValue::ByteArrays(fields))) = fields else {
                panic!("no LogExtraFields");
            };
            for wanted in [
                format!("CONTAINER_TAG={}", words.tag),
                format!("IMAGE_NAME=/{}", words.source),
            ] {
                prop_assert!(fields.contains(&wanted.clone().into_bytes()), "{}", wanted);
            }
            Ok(())
        })
        .expect("both say the same");
}

/// The assignments of a unit file as systemd.syntax(7) takes its lines apart.
fn assignments(text: &str) -> Vec<(String, String)> {
    let lines = text
        .split('\n')
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';', '[']));
    lines
        .map(|line| {
            assert!(!line.ends_with('\\'), "goes on in the next line: {line}");
            let (key, value) = line.split_once('=').expect("an assignment");
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// Whether systemd reads `raw` as this value.
fn same(raw: &str, value: &BusValue) -> bool {
    match value {
        BusValue::Str(text) => specifiers(raw).as_deref() == Some(text),
        BusValue::Bool(on) => raw == if *on { "yes" } else { "no" },
        BusValue::U64(number) => {
            raw.parse() == Ok(*number)
                || raw
                    .strip_suffix('s')
                    .and_then(|s| s.parse::<u64>().ok())
                    .is_some_and(|s| s.saturating_mul(1_000_000) == *number)
        }
        BusValue::I32(number) => raw.parse() == Ok(*number),
        BusValue::Strings(list) => {
            raw.split_whitespace()
                .map(|word| specifiers(word).expect("good"))
                .collect::<Vec<_>>()
                == *list
        }
        BusValue::ByteArrays(list) => unquoted(raw).is_some_and(|words| words == *list),
        BusValue::Exec(list, _) => {
            let words = unquoted(raw).expect("words");
            words
                == list
                    .iter()
                    .map(|word| word.clone().into_bytes())
                    .collect::<Vec<_>>()
        }
        #[allow(unreachable_patterns)]
        _ => true,
    }
}

/// `%%` is `%`; every other specifier would be expanded.
fn specifiers(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '%' && chars.next() != Some('%') {
            return None;
        }
        out.push(c);
    }
    Some(out)
}

/// Words in quotes with escapes as systemd.syntax(7) has them, then specifiers.
fn unquoted(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b' ' {
            continue;
        }
        if byte != b'"' {
            return None;
        }
        let mut word = Vec::new();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => match bytes.next()? {
                    b'x' => {
                        let digits = [bytes.next()?, bytes.next()?];
                        word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                    }
                    other @ (b'"' | b'\\') => word.push(other),
                    _ => return None,
                },
                b'%' => {
                    if bytes.next()? != b'%' {
                        return None;
                    }
                    word.push(b'%');
                }
                other => word.push(other),
            }
        }
        if bytes.peek().is_some_and(|next| *next != b' ') {
            return None;
        }
        words.push(word);
    }
    Some(words)
}

#[test]
fn what_cannot_arrive_is_refused_by_name() {
    for (flag, value) in [
        ("label", "a=b\0c"),
        ("label", "a\0=b"),
        ("annotation", "a=\0"),
        ("env", "A=\0"),
        ("env", "A\0=b"),
        ("entrypoint", "a\0"),
        ("entrypoint", r#"["a\u0000"]"#),
        ("hostname", "a\0"),
        ("name", "a\0"),
        ("log-opt", "tag=a\0"),
        ("user", "a\0"),
        ("workdir", "/a\0"),
    ] {
        let spec = options().find(|spec| spec.flag == flag).expect("a flag");
        let error = spec.apply(&mut Options::default(), value).expect_err(flag);
        assert!(error.to_string().contains(&format!("--{flag}")), "{error}");
    }
}
