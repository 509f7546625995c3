//! Texts that users may write, made up for property tests.

use proptest::prelude::*;
use unitbox::definition::{Definition, Options, Source, VERSION, options};
use unitbox::types::{ContainerId, fits_journal};

/// Characters that mean something to systemd, to shells, to terminals or to JSON, and all others.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::sample::select("%$\"'\\ \t\n\r=;#:,{}[]!-+@|&<>*?~`^/.nx0u\u{1}\u{1b}\u{7f}\u{85}\u{a0}\u{2028}\u{feff}\u{fffd}\u{10ffff}äß日本🦀".chars().collect::<Vec<_>>()),
        2 => any::<char>().prop_map(|c| if c == '\0' { '\u{1}' } else { c }),
        2 => prop::char::range('a', 'z'),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(character(), 0..24).prop_map(|chars| chars.into_iter().collect())
}

/// The name of a variable, a label or an annotation; blanks before a variable's are not part of it, as with Podman.
/// Changed until it is one: with a filter, 10^5 cases would give up more often than a run may.
fn key() -> impl Strategy<Value = String> {
    text().prop_map(|text| {
        let key = text.replace('=', "");
        let key = key.trim_start_matches([' ', '\t']);
        let taken = key.is_empty() || key.starts_with("run.oci.") || key.starts_with("org.systemd");
        if taken {
            format!("k{key}")
        } else {
            key.to_owned()
        }
    })
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((key(), text()), 0..4)
}

/// What a user may write.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) annotations: Vec<(String, String)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) tag: String,
    pub(crate) source: String,
}

pub(crate) fn words() -> impl Strategy<Value = Words> {
    let args = prop::collection::vec(text(), 1..4);
    let entrypoint = prop::collection::vec(text(), 0..3);
    // What is no line of a table or no field of the journal is refused in these two.
    let line = || {
        text().prop_map(|text| {
            text.chars()
                .filter(|c| fits_journal(*c))
                .collect::<String>()
        })
    };
    (pairs(), pairs(), pairs(), args, entrypoint, line(), line()).prop_map(
        |(labels, annotations, env, args, entrypoint, tag, source)| Words {
            labels,
            annotations,
            env,
            args,
            entrypoint,
            tag,
            source,
        },
    )
}

#[track_caller]
fn set(wished: &mut Options, flag: &str, value: &str) {
    let spec = options().find(|spec| spec.flag == flag).expect("a flag");
    if let Err(error) = spec.apply(wished, value) {
        panic!("{error}");
    }
}

pub(crate) fn definition(words: &Words) -> Definition {
    let mut wished = Options::default();
    for (flag, pairs) in [
        ("label", &words.labels),
        ("annotation", &words.annotations),
        ("env", &words.env),
    ] {
        for (key, value) in pairs {
            set(&mut wished, flag, &format!("{key}={value}"));
        }
    }
    set(
        &mut wished,
        "entrypoint",
        &serde_json::to_string(&words.entrypoint).expect("words"),
    );
    set(&mut wished, "log-opt", &format!("tag={}", words.tag));
    Definition {
        version: VERSION,
        id: ContainerId::from_random([7; 32]),
        name: "any".parse().expect("a name"),
        created: 0,
        source: Source::Rootfs {
            path: format!("/{}", words.source),
        },
        command: words.args.clone(),
        options: wished,
        deployed: None,
    }
}
