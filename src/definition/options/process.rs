//! What runs, and with which attributes of a process.

use super::OptionSpec;
use super::parse::{
    Done, absolute, maybe, no_nul, number, shown, shown_maybe, shown_one, switch, words,
};
use crate::definition::{Options, Personality, SystemdMode, parse_ulimit};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "entrypoint",
        "COMMAND",
        "Entry point instead of the image's; a JSON list or one word; empty clears it",
        entrypoint,
        shown_entrypoint,
    )
    .key("Entrypoint"),
    OptionSpec::switch(
        "init",
        "Run an init as the first process, which passes signals on and reaps",
        |options, value| maybe(&mut options.process.init, value),
        |options| shown_maybe(options.process.init),
    )
    .key("RunInit"),
    OptionSpec::one(
        "init-path",
        "FILE",
        "That init on the host; catatonit by default",
        init_path,
        |options| shown_one(options.process.init_path.as_ref()),
    ),
    OptionSpec::switch(
        "interactive",
        "Keep standard input open even if not attached",
        |options, value| switch(&mut options.interactive, value),
        |options| shown(options.interactive),
    )
    .short('i'),
    OptionSpec::switch(
        "oom-kill-disable",
        "Ask the runtime to switch the OOM killer off; cgroup version 2 cannot",
        |options, value| switch(&mut options.process.oom_kill_disable, value),
        |options| shown(options.process.oom_kill_disable),
    ),
    OptionSpec::one(
        "oom-score-adj",
        "SCORE",
        "Score of the OOM killer, -1000 to 1000",
        oom_score_adj,
        |options| shown_one(options.process.oom_score_adj.as_ref()),
    ),
    OptionSpec::one(
        "personality",
        "DOMAIN",
        "Execution domain: LINUX or LINUX32 (personality(2); runc from 1.2 on)",
        personality,
        |options| shown_one(options.process.personality.map(Personality::name)),
    ),
    OptionSpec::one(
        "systemd",
        "true|false|always",
        "Prepare the container for systemd inside: if its command is an init (true), never or always",
        systemd,
        |options| match options.process.systemd {
            SystemdMode::Auto => Vec::new(),
            SystemdMode::Never => vec!["false".to_owned()],
            SystemdMode::Always => vec!["always".to_owned()],
        },
    ),
    OptionSpec::switch(
        "tty",
        "Give the container a terminal as its standard input, output and error",
        |options, value| switch(&mut options.tty, value),
        |options| shown(options.tty),
    )
    .short('t'),
    OptionSpec::many(
        "ulimit",
        "NAME=SOFT[:HARD]",
        "Limit of the process (getrlimit(2)), -1 for none; host: those of the unit",
        ulimit,
        shown_ulimits,
    )
    .key("Ulimit"),
    OptionSpec::one(
        "umask",
        "MASK",
        "Mask of file modes, octal (0022)",
        umask,
        |options| {
            let mask = options.process.umask;
            mask.map(|mask| format!("{:04o}", mask.0))
                .into_iter()
                .collect()
        },
    ),
    OptionSpec::one(
        "workdir",
        "DIR",
        "Working directory inside the container",
        workdir,
        |options| shown_one(options.workdir.as_ref()),
    )
    .short('w')
    .key("WorkingDir"),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("entrypoint", ""),
    ("entrypoint", "/bin/a b"),
    ("entrypoint", r#"["a","b c"]"#),
    ("init", "true"),
    ("init-path", "/usr/bin/tini"),
    ("interactive", "true"),
    ("oom-kill-disable", "true"),
    ("oom-score-adj", "-5"),
    ("personality", "LINUX32"),
    ("systemd", "false"),
    ("systemd", "always"),
    ("tty", "true"),
    ("ulimit", "host"),
    ("ulimit", "nofile=5:-1,core=0"),
    ("umask", "077"),
    ("workdir", "/srv"),
];

fn entrypoint(options: &mut Options, value: &str) -> Done {
    no_nul(value)?;
    let list = if value.is_empty() {
        Vec::new()
    } else if value.starts_with('[') {
        let words: Vec<String> = serde_json::from_str(value)
            .map_err(|error| format!("not a JSON list of words: {error}"))?;
        // JSON can write it without containing it.
        words.iter().try_for_each(|word| no_nul(word).map(drop))?;
        words
    } else {
        vec![value.to_owned()]
    };
    options.entrypoint = Some(list);
    Ok(())
}

fn shown_entrypoint(options: &Options) -> Vec<String> {
    let words = options.entrypoint.as_ref();
    let json = words.map(|words| serde_json::to_string(words).expect("a list of words"));
    json.into_iter().collect()
}

fn init_path(options: &mut Options, value: &str) -> Done {
    options.process.init_path = Some(absolute(value)?);
    Ok(())
}

fn oom_score_adj(options: &mut Options, value: &str) -> Done {
    let score: i32 = number(value, NO_SCORE)?;
    if !(-1000..=1000).contains(&score) {
        return Err(NO_SCORE.to_owned());
    }
    options.process.oom_score_adj = Some(score);
    Ok(())
}

const NO_SCORE: &str = "not a number within -1000 to 1000";

fn personality(options: &mut Options, value: &str) -> Done {
    options.process.personality = Some(match value {
        "LINUX" => Personality::Linux,
        "LINUX32" => Personality::Linux32,
        _ => return Err("not LINUX or LINUX32".to_owned()),
    });
    Ok(())
}

fn systemd(options: &mut Options, value: &str) -> Done {
    options.process.systemd = match value {
        "true" => SystemdMode::Auto,
        "false" => SystemdMode::Never,
        "always" => SystemdMode::Always,
        _ => return Err("not true, false or always".to_owned()),
    };
    Ok(())
}

fn ulimit(options: &mut Options, value: &str) -> Done {
    for word in words(value)? {
        if word == "host" {
            options.process.ulimit_host = true;
        } else {
            let (name, limit) = parse_ulimit(&word)?;
            options.process.ulimits.insert(name, limit);
        }
    }
    Ok(())
}

fn shown_ulimits(options: &Options) -> Vec<String> {
    let process = &options.process;
    let number = |value: u64| match value {
        u64::MAX => "-1".to_owned(),
        value => value.to_string(),
    };
    let host = process.ulimit_host.then(|| "host".to_owned());
    let own = process.ulimits.iter().map(|(name, limit)| {
        let (soft, hard) = (number(limit.soft), number(limit.hard));
        format!("{}={soft}:{hard}", name.name())
    });
    host.into_iter().chain(own).collect()
}

fn umask(options: &mut Options, value: &str) -> Done {
    options.process.umask = Some(value.parse()?);
    Ok(())
}

fn workdir(options: &mut Options, value: &str) -> Done {
    options.workdir = Some(absolute(value)?);
    Ok(())
}
