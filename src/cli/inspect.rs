//! `inspect`: podman-inspect(1)'s shape, as far as there is something to tell.

use std::time::Duration;

use clap::ArgMatches;
use serde_json::{Value, json};

use super::error::CliError;
use super::{Host, output, targets};
use crate::api::Layout;
use crate::container::logs::{LogPlace, place};
use crate::container::observe::{Observation, State, observe};
use crate::container::{apparmor, conf};
use crate::definition::mount::MountKind;
use crate::definition::{Definition, Source};
use crate::sys::time::Stamp;
use crate::types::UnitName;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let mut found = Vec::new();
    let told = targets::each(targets::texts(args, "containers"), |text| {
        let definition = targets::find(&host.layout, text)?;
        let seen = observe(&host.layout, site.manager, &definition)?;
        found.push(describe(&host.layout, &definition, &seen));
        Ok(())
    });
    output::say(&format!("{:#}", Value::Array(found)))?;
    told
}

/// RFC 3339; Go's zero time where nothing happened, as Podman has it.
pub(super) fn time(micros: u64) -> String {
    if micros == 0 {
        "0001-01-01T00:00:00Z".to_owned()
    } else {
        Stamp::local(Duration::from_micros(micros))
            .as_str()
            .to_owned()
    }
}

pub(super) fn state(seen: &Observation) -> Value {
    let exit = seen.exit.as_ref();
    let started = match seen.started {
        0 => exit.map_or(0, |exit| exit.started()),
        started => started,
    };
    let ended = matches!(seen.state, State::Exited | State::Created);
    // A code that nobody knows is null: neither 0 nor -1 would be true.
    let code = match exit.filter(|_| ended) {
        Some(exit) => json!(exit.code()),
        None => json!(0),
    };
    json!({
        "Status": seen.state.as_str(),
        "Running": matches!(seen.state, State::Running | State::Paused | State::Stopping),
        "Paused": seen.state == State::Paused,
        "Restarting": false,
        "OOMKilled": exit.is_some_and(|exit| ended && exit.oom()),
        "Dead": false,
        "Pid": seen.pid.unwrap_or(0),
        "ExitCode": code,
        "Error": exit.filter(|_| ended).map(|exit| exit.reason()).unwrap_or_default(),
        "StartedAt": time(started),
        "FinishedAt": time(exit.map_or(0, |exit| exit.finished())),
    })
}

fn describe(layout: &Layout, definition: &Definition, seen: &Observation) -> Value {
    let options = &definition.options;
    let (image, rootfs) = match &definition.source {
        Source::Image { id, .. } => (id.as_str(), ""),
        Source::Rootfs { path } => ("", path.as_str()),
    };
    let (path, args) = match definition.command.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("", &[][..]),
    };
    let log_path = match place(layout, definition) {
        Ok(LogPlace::File(path)) => path.display().to_string(),
        Ok(LogPlace::Journal(_)) | Err(_) => String::new(),
    };
    json!({
        "Id": definition.id,
        "Created": time(definition.created),
        "Path": path,
        "Args": args,
        "State": state(seen),
        "Image": image,
        "ImageName": definition.source_name(),
        "Rootfs": rootfs,
        "Name": definition.name,
        "RestartCount": seen.restarts,
        "Dependencies": options.dependencies(),
        "Unit": UnitName::of(&definition.name).as_str(),
        "OCIRuntime": options.runtime,
        "Config": {
            "Hostname": options.hostname.as_deref().unwrap_or(definition.id.short()),
            "User": options.user.as_deref().unwrap_or_default(),
            "Env": options.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "Cmd": definition.command,
            "Entrypoint": options.entrypoint,
            "Image": definition.source_name(),
            "WorkingDir": options.workdir.as_deref().unwrap_or_default(),
            "Labels": options.labels,
            "Annotations": options.annotations,
            "OpenStdin": options.interactive,
            "Tty": false,
            "StopSignal": options.stop_signal,
            "StopTimeout": options.stop_timeout_or_default(),
        },
        "HostConfig": {
            "AutoRemove": options.remove,
            "Memory": options.memory.unwrap_or(0),
            "NetworkMode": options.network.to_string(),
            "LogConfig": {
                "Type": options.log_driver.name(),
                "Path": log_path,
                "Tag": options.log.tag.as_deref().unwrap_or_default(),
                "Size": options.log.max_size,
            },
        },
        "AppArmorProfile": profile(layout, definition),
        "Mounts": mounts(layout, definition),
    })
}

/// The AppArmor profile of its next start; a configuration that cannot be read is for that start to tell.
fn profile(layout: &Layout, definition: &Definition) -> String {
    let conf = conf::load(layout, &definition.options.conf).unwrap_or_default();
    let profile = apparmor::profile(definition, &conf);
    profile.unwrap_or_default().to_owned()
}

/// What Podman lists: files of the host and volumes.
fn mounts(layout: &Layout, definition: &Definition) -> Vec<Value> {
    let all = definition.options.files.effective().iter();
    let listed = all.filter_map(|mount| {
        let (kind, source) = match mount.kind {
            MountKind::Bind => ("bind", mount.source.clone()),
            MountKind::Volume => {
                let name = mount.source.parse().ok()?;
                let data = layout.volume_data(&name);
                ("volume", data.to_string_lossy().into_owned())
            }
            _ => return None,
        };
        let name = if kind == "volume" {
            mount.source.as_str()
        } else {
            ""
        };
        Some(json!({
            "Type": kind,
            "Name": name,
            "Source": source,
            "Destination": mount.target,
            "Options": mount.options,
            "RW": !mount.has("ro"),
        }))
    });
    listed.collect()
}
