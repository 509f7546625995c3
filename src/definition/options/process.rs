//! What runs: command, user, environment, working directory.

use super::OptionSpec;
use super::parse::{Done, absolute, clean, no_nul, shown, shown_one, switch};
use crate::definition::Options;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "entrypoint",
        "COMMAND",
        "Entry point instead of the image's; a JSON list or one word; empty clears it",
        entrypoint,
        shown_entrypoint,
    )
    .key("Entrypoint"),
    OptionSpec::many(
        "env",
        "NAME[=VALUE]",
        "Set an environment variable; without a value, take it from the caller",
        env,
        |options| {
            let env = options.env.iter();
            env.map(|(name, value)| format!("{name}={value}")).collect()
        },
    )
    .short('e')
    .key("Environment"),
    OptionSpec::switch(
        "interactive",
        "Keep standard input open even if not attached",
        |options, value| switch(&mut options.interactive, value),
        |options| shown(options.interactive),
    )
    .short('i'),
    OptionSpec::one(
        "user",
        "USER[:GROUP]",
        "User and group of the payload, by name or number",
        user,
        |options| shown_one(options.user.as_ref()),
    )
    .short('u')
    .key("User"),
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
    ("env", "A=b=\nc"),
    ("interactive", "true"),
    ("user", "pg:0"),
    ("workdir", "/srv"),
];

fn env(options: &mut Options, value: &str) -> Done {
    let (name, value) = value.split_once('=').ok_or("not NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    options.env.push((no_nul(name)?, no_nul(value)?));
    Ok(())
}

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

fn user(options: &mut Options, value: &str) -> Done {
    let mut parts = value.split(':');
    let (user, group) = (parts.next().unwrap_or(""), parts.next());
    if parts.next().is_some() {
        return Err("more than one colon".to_owned());
    }
    for part in std::iter::once(user).chain(group) {
        let numeric = part.starts_with('-') || part.bytes().all(|b| b.is_ascii_digit());
        if !part.is_empty() && numeric && !part.parse::<u32>().is_ok_and(|id| id != u32::MAX) {
            return Err("a number must be within 0 to 4294967294".to_owned());
        }
    }
    options.user = Some(clean(value)?);
    Ok(())
}

fn workdir(options: &mut Options, value: &str) -> Done {
    options.workdir = Some(absolute(value)?);
    Ok(())
}
