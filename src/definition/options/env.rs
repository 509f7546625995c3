//! The environment: where it comes from, and what stays out.

use super::OptionSpec;
use super::parse::{Done, clean, maybe, no_nul, shown, shown_maybe, switch};
use crate::definition::Options;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "env",
        "NAME[=VALUE]",
        "Set an environment variable; without a value, take it from the caller, or all that begin as in NAME*",
        env,
        |options| pairs(&options.env),
    )
    .short('e')
    .key("Environment"),
    OptionSpec::many(
        "env-file",
        "FILE",
        "Set the environment variables of a file of lines",
        |options, value| path(&mut options.process.env_files, value),
        |options| options.process.env_files.clone(),
    )
    .key("EnvironmentFile"),
    OptionSpec::switch(
        "env-host",
        "Set all environment variables of the caller",
        |options, value| maybe(&mut options.process.env_host, value),
        |options| shown_maybe(options.process.env_host),
    )
    .key("EnvironmentHost"),
    OptionSpec::many(
        "env-merge",
        "NAME=VALUE",
        "Set an environment variable to a value that names variables of the image, as in $PATH",
        env_merge,
        |options| pairs(&options.process.env_merge),
    ),
    OptionSpec::switch(
        "http-proxy",
        "Set the proxy variables of the caller (on by default)",
        |options, value| maybe(&mut options.process.http_proxy, value),
        |options| shown_maybe(options.process.http_proxy),
    )
    .key("HttpProxy"),
    OptionSpec::many(
        "unsetenv",
        "NAME",
        "Leave out a variable of the image, or one that every container has",
        unsetenv,
        |options| options.process.unset_env.clone(),
    )
    .key("UnsetEnv"),
    OptionSpec::switch(
        "unsetenv-all",
        "Leave out all variables of the image, and those that every container has",
        |options, value| switch(&mut options.process.unset_env_all, value),
        |options| shown(options.process.unset_env_all),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("env", "A=b=\nc"),
    ("env-file", "a b"),
    ("env-host", "true"),
    ("env-host", "false"),
    ("env-merge", "PATH=$PATH:/x"),
    ("http-proxy", "false"),
    ("unsetenv", "A"),
    ("unsetenv-all", "true"),
];

fn pairs(list: &[(String, String)]) -> Vec<String> {
    list.iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Puts a file into a list of them.
pub(super) fn path(list: &mut Vec<String>, value: &str) -> Done {
    if value.is_empty() {
        return Err("the name is empty".to_owned());
    }
    list.push(clean(value)?);
    Ok(())
}

fn assignment(value: &str) -> Result<(String, String), String> {
    let (name, value) = value.split_once('=').ok_or("not NAME=VALUE")?;
    // Podman trims so that files may be indented.
    let name = name.trim_start_matches([' ', '\t']);
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Ok((no_nul(name)?, no_nul(value)?))
}

fn env(options: &mut Options, value: &str) -> Done {
    options.env.push(assignment(value)?);
    Ok(())
}

fn env_merge(options: &mut Options, value: &str) -> Done {
    options.process.env_merge.push(assignment(value)?);
    Ok(())
}

fn unsetenv(options: &mut Options, value: &str) -> Done {
    options.process.unset_env.push(no_nul(value)?);
    Ok(())
}
