//! `Config`: what does not depend on the host.

use crate::cli::template::Value;
use crate::container::prepare::defaults;
use crate::container::sketch::Sketch;
use crate::definition::{Definition, HealthCommand, HealthLog, SecretUse, options};
use crate::plan::health;
use crate::types::Signal;

pub(super) fn describe(definition: &Definition, sketch: &Sketch) -> Value {
    let options = &definition.options;
    let image = sketch.image.as_ref().map(|image| &image.config);
    let process = sketch
        .spec
        .as_ref()
        .and_then(|spec| spec.process().as_ref());
    let hostname = sketch
        .spec
        .as_ref()
        .and_then(|spec| spec.hostname().clone());
    let command = match image {
        Some(image) if definition.command.is_empty() && options.entrypoint.is_none() => &image.cmd,
        _ => &definition.command,
    };
    let entrypoint = match (&options.entrypoint, image) {
        (Some(own), _) => own.clone(),
        (None, image) => image
            .map(|image| image.entrypoint.clone())
            .unwrap_or_default(),
    };
    let mut labels = image.map(|image| image.labels.clone()).unwrap_or_default();
    labels.extend(options.labels.clone());
    let user = match (&options.user, image) {
        (Some(user), _) => user.as_str(),
        (None, image) => image.map_or("", |image| image.user.as_str()),
    };
    let signal = options
        .stop_signal
        .or_else(|| image?.stop_signal.parse().ok());
    let signal = signal.unwrap_or(Signal::TERM);
    let cwd = process.map(|process| process.cwd().display().to_string());
    let volumes = image
        .map(|image| &image.volumes)
        .filter(|all| !all.is_empty());
    let volumes = volumes.map(|all| {
        let empty = || Value::fields("struct {}", Vec::new());
        Value::Map(all.iter().map(|path| (path.clone(), empty())).collect())
    });
    let text = |map: &std::collections::BTreeMap<String, String>| match map.is_empty() {
        true => Value::Null,
        false => Value::map(map),
    };
    let (healthcheck, startup) = checks(definition, sketch);
    let umask = process.and_then(|process| process.user().umask());
    let fields = vec![
        ("Hostname", hostname.unwrap_or_default().into()),
        ("Domainname", "".into()),
        ("User", user.into()),
        ("AttachStdin", false.into()),
        ("AttachStdout", false.into()),
        ("AttachStderr", false.into()),
        (
            "Tty",
            process
                .and_then(|process| process.terminal())
                .unwrap_or(false)
                .into(),
        ),
        ("OpenStdin", options.interactive.into()),
        ("StdinOnce", false.into()),
        ("Env", environment(definition, sketch)),
        ("Cmd", list_or_null(command)),
        ("Image", image_name(definition).into()),
        ("Volumes", volumes.unwrap_or_default()),
        ("WorkingDir", cwd.unwrap_or_else(|| "/".to_owned()).into()),
        ("Entrypoint", list_or_null(&entrypoint)),
        ("OnBuild", Value::Null),
        ("Labels", text(&labels)),
        ("Annotations", annotations(definition, sketch)),
        ("StopSignal", signal.to_string().into()),
        ("Healthcheck", healthcheck),
        ("StartupHealthCheck", startup),
        (
            "HealthcheckOnFailureAction",
            options.health.on_failure.as_str().into(),
        ),
        ("HealthLogDestination", log_destination(&options.health.log)),
        (
            "HealthcheckMaxLogCount",
            options.health.max_log_count().into(),
        ),
        (
            "HealthcheckMaxLogSize",
            options.health.max_log_size().into(),
        ),
        ("CreateCommand", create_command(definition)),
        ("Secrets", secrets(definition)),
        ("Umask", format!("{:04o}", umask.unwrap_or(0o022)).into()),
        ("Timeout", options.timeout.unwrap_or(0).into()),
        ("StopTimeout", options.stop_timeout_or_default().into()),
        ("Passwd", options.process.passwd.unwrap_or(true).into()),
        (
            "sdNotifyMode",
            options.notify.unwrap_or_default().as_str().into(),
        ),
    ];
    const OPTIONAL: [&str; 3] = ["Secrets", "Healthcheck", "StartupHealthCheck"];
    let shown = |(key, value): &(&str, Value)| !(OPTIONAL.contains(key) && *value == Value::Null);
    let kind = "*define.InspectContainerConfig";
    let json = Value::fields(
        kind,
        fields.iter().filter(|one| shown(one)).cloned().collect(),
    );
    Value::fields(kind, fields).with_json(json)
}

fn log_destination(log: &HealthLog) -> Value {
    match log {
        HealthLog::Local => "local".into(),
        HealthLog::Journal => "events_logger".into(),
        HealthLog::Directory(directory) => directory.as_str().into(),
    }
}

/// Whether there is a check of the health.
pub(super) fn is_checked(definition: &Definition, sketch: &Sketch) -> bool {
    let image = sketch.image.as_ref().map(defaults).unwrap_or_default();
    let plan = health::plan(&definition.options.health, &image.health);
    plan.is_ok_and(|plan| plan.is_some())
}

/// The check of the health and the one before it; zero is not shown.
fn checks(definition: &Definition, sketch: &Sketch) -> (Value, Value) {
    let nanos = |time: std::time::Duration| Value::from(time.as_nanos() as u64);
    let said = |fields: Vec<(&'static str, Value)>| {
        let fields = fields.into_iter();
        fields
            .filter(|(_, value)| *value != Value::from(0_u64))
            .collect()
    };
    let own = &definition.options.health;
    let image = sketch.image.as_ref().map(defaults).unwrap_or_default();
    let Some(plan) = health::plan(own, &image.health).ok().flatten() else {
        let none = HealthCommand::None;
        let is_off = own.disabled || own.command.as_ref() == Some(&none);
        let off = || {
            Value::fields(
                "*manifest.Schema2HealthConfig",
                vec![("Test", Value::list(none.test()))],
            )
        };
        return (if is_off { off() } else { Value::Null }, Value::Null);
    };
    let policy = &plan.policy;
    let check = said(vec![
        ("Test", Value::list(plan.command.test())),
        ("StartPeriod", nanos(policy.start_period)),
        (
            "Interval",
            nanos(policy.rhythm.interval.unwrap_or_default()),
        ),
        ("Timeout", nanos(policy.rhythm.timeout)),
        ("Retries", u64::from(policy.retries).into()),
    ]);
    let startup = plan.startup.as_ref().zip(policy.startup.as_ref());
    let startup = startup.map(|(command, policy)| {
        let fields = said(vec![
            ("Test", Value::list(command.test())),
            (
                "Interval",
                nanos(policy.rhythm.interval.unwrap_or_default()),
            ),
            ("Timeout", nanos(policy.rhythm.timeout)),
            ("Retries", u64::from(policy.retries).into()),
            ("Successes", u64::from(policy.successes).into()),
        ]);
        Value::fields("*define.StartupHealthCheck", fields)
    });
    let check = Value::fields("*manifest.Schema2HealthConfig", check);
    (check, startup.unwrap_or_default())
}

fn list_or_null(words: &[String]) -> Value {
    match words.is_empty() {
        true => Value::Null,
        false => Value::list(words),
    }
}

fn image_name(definition: &Definition) -> &str {
    match &definition.source {
        crate::definition::Source::Image { name, .. } => name,
        crate::definition::Source::Rootfs { .. } => "",
    }
}

/// What the payload gets, but for the values of secrets: those are for the payload alone.
fn environment(definition: &Definition, sketch: &Sketch) -> Value {
    let env = sketch.spec.as_ref().and_then(|spec| {
        let process = spec.process().as_ref()?;
        process.env().clone()
    });
    let mut env = env.unwrap_or_default();
    let secret: Vec<&str> = definition
        .options
        .files
        .secrets
        .iter()
        .filter_map(|secret| match &secret.how {
            SecretUse::Env { target } => Some(target.as_deref().unwrap_or(secret.name.as_str())),
            SecretUse::Mount { .. } => None,
        })
        .collect();
    env.retain(|word| {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        !secret.contains(&name)
    });
    Value::list(env)
}

pub(super) fn annotations(definition: &Definition, sketch: &Sketch) -> Value {
    let real = sketch.spec.as_ref().filter(|_| sketch.is_real);
    let all = real.and_then(|spec| spec.annotations().clone());
    let all: std::collections::BTreeMap<String, String> = match all {
        Some(all) => all.into_iter().collect(),
        None => definition.options.annotations.clone(),
    };
    match all.is_empty() {
        true => Value::Null,
        false => Value::map(&all),
    }
}

fn secrets(definition: &Definition) -> Value {
    let all = &definition.options.files.secrets;
    if all.is_empty() {
        return Value::Null;
    }
    let one = |secret: &crate::definition::Secret| {
        let (uid, gid, mode) = match secret.how {
            SecretUse::Mount { uid, gid, mode, .. } => (uid, gid, mode),
            SecretUse::Env { .. } => (0, 0, 0),
        };
        Value::fields(
            "*define.InspectSecret",
            vec![
                ("Name", secret.name.as_str().into()),
                ("UID", uid.into()),
                ("GID", gid.into()),
                ("Mode", mode.into()),
            ],
        )
    };
    Value::List(all.iter().map(one).collect())
}

/// A command that would make such a container.
fn create_command(definition: &Definition) -> Value {
    let mut words = vec!["unitbox".to_owned(), "create".to_owned()];
    for spec in options() {
        for value in spec.values(&definition.options) {
            words.push(format!("--{}={value}", spec.flag));
        }
    }
    if matches!(definition.source, crate::definition::Source::Rootfs { .. }) {
        words.push("--rootfs".to_owned());
    }
    words.push(definition.source_name().to_owned());
    words.extend(definition.command.iter().cloned());
    Value::list(words)
}
