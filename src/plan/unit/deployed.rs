//! Units of files: `web.service` for `web.container`. What a user writes in `[Unit]` and `[Service]` wins.

use std::path::{Path, PathBuf};

use super::render::{file_value, listed_path};
use super::{Property, Section, Unit, UnitFacts, Value, restart};
use crate::definition::unit_file::{
    self, Container, Expander, FileError, FileSet, From, INSTANCE, Kind, Reload, Specifiers,
    UnitFile, id_of, is_template, passes, service_of, volume_of,
};
use crate::definition::{Definition, Options, Source, VERSION};
use crate::types::UnitName;

/// What the plan of a file's unit must know.
#[derive(Clone)]
pub struct DeployFacts<'a> {
    /// Of the host, as for any unit.
    pub host: UnitFacts<'a>,
    /// Path of `unitbox`.
    pub client: &'a Path,
    /// The host's specifiers.
    pub specifiers: &'a Specifiers,
    /// Other files.
    pub set: &'a FileSet,
    /// Paths of this file, of its drop-ins, and of the files that it refers to with theirs: what its start reads.
    pub paths: &'a dyn Fn(&str) -> Vec<PathBuf>,
}

/// A unit that was made of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployed {
    /// Name of the unit.
    pub service: String,
    /// Its text.
    pub text: String,
    /// Links that enable it or give it other names: path below the directory of units, and where it leads.
    pub links: Vec<(String, String)>,
    /// What is wrong: the unit then says so when it is started.
    pub errors: Vec<FileError>,
}

/// Makes the unit of a file that could be read; one with errors gets a unit that fails with them.
pub fn deploy(kind: Kind, file: &UnitFile, facts: &DeployFacts) -> Deployed {
    let mut errors = unit_file::check(kind, file, facts.specifiers, facts.set);
    let service = service_of(kind, file);
    let links = unit_file::links(file, &service).unwrap_or_else(|wrong| {
        errors.extend(wrong);
        Vec::new()
    });
    let text = match kind {
        _ if !errors.is_empty() => None,
        Kind::Container => container(file, &service, facts)
            .map_err(|more| errors.extend(more))
            .ok(),
        Kind::Volume => Some(volume(file, facts)),
        // Their check fails.
        _ => None,
    };
    Deployed {
        text: text.unwrap_or_else(|| failing(&file.path, &errors, facts)),
        service,
        links,
        errors,
    }
}

/// The unit of a file that cannot be read: it fails with what is wrong.
pub fn broken(kind: Kind, path: &Path, errors: Vec<FileError>, facts: &DeployFacts) -> Deployed {
    let empty = UnitFile {
        path: path.into(),
        sections: Vec::new(),
    };
    Deployed {
        service: service_of(kind, &empty),
        text: failing(path, &errors, facts),
        links: Vec::new(),
        errors,
    }
}

fn failing(path: &Path, errors: &[FileError], facts: &DeployFacts) -> String {
    let mut message = errors.first().map_or_else(String::new, ToString::to_string);
    if errors.len() > 1 {
        message.push_str(&format!(
            " (and {} more: unitbox verify tells)",
            errors.len() - 1
        ));
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let properties = vec![
        text(
            Section::Unit,
            "Description",
            &format!("unitbox file {name} (has errors)"),
        ),
        text(Section::Unit, "Documentation", "man:unitbox.container(5)"),
        text(Section::Unit, "SourcePath", &path.display().to_string()),
        text(Section::Service, "Type", "notify"),
        property(
            Section::Service,
            "ExecStart",
            Value::Exec(vec![
                facts.host.monitor.display().to_string(),
                format!("--refuse={message}"),
            ]),
        ),
        text(Section::Service, "SyslogIdentifier", "unitbox-monitor"),
    ];
    render(path, &properties, None)
}

fn container(
    file: &UnitFile,
    service: &str,
    facts: &DeployFacts,
) -> Result<String, Vec<FileError>> {
    let expander = Expander {
        specifiers: &facts.specifiers.of_unit(service, &file.path),
        environment: None,
    };
    let container = Container::read(file, service, &expander, facts.set)?;
    let mut options = Options::default();
    container.apply(&mut options)?;
    let machine = facts.specifiers.expand("%m").unwrap_or_default();
    let definition = Definition {
        version: VERSION,
        id: id_of(&machine, service),
        name: container.name.clone(),
        created: 0,
        source: match &container.from {
            From::Image(name) => Source::Image {
                name: name.clone(),
                id: String::new(),
            },
            From::Rootfs(path) => Source::Rootfs { path: path.clone() },
        },
        command: Vec::new(),
        options,
        deployed: None,
    };
    let mut properties = Unit::of(&definition, &facts.host).properties;
    adapt(&mut properties, &container, file, service, facts);
    if is_template(service) {
        // Only an instance has an id.
        for property in &mut properties {
            if let Value::Fields(fields) = &mut property.value {
                fields.retain(|(name, _)| !name.starts_with("CONTAINER_ID"));
            }
        }
    }
    let text = render(&file.path, &properties, Some(file));
    Ok(text.replace(INSTANCE, "%i"))
}

/// From the unit of a container to that of a file.
fn adapt(
    properties: &mut Vec<Property>,
    container: &Container,
    file: &UnitFile,
    service: &str,
    facts: &DeployFacts,
) {
    use Section::{Service, Unit};
    let name = container.name.as_str();
    let unit = service.replace("@.", &format!("@{INSTANCE}."));
    let mut command = vec![
        facts.host.monitor.display().to_string(),
        format!("--unit={unit}"),
    ];
    let root = facts.host.layout.root();
    if root != Path::new("/") {
        command.push(format!("--root={}", root.display()));
    }
    let own = file.path.file_name().unwrap_or_default().to_string_lossy();
    let names = std::iter::once(own.as_ref()).chain(container.refers.iter().map(String::as_str));
    let paths = names.flat_map(|name| (facts.paths)(name));
    command.extend(paths.map(|path| format!("--file={}", path.display())));
    command.push(name.to_owned());
    for property in properties.iter_mut() {
        match property.key {
            "ExecStart" => property.value = Value::Exec(command.clone()),
            "ExecReload" => property.value = Value::Exec(super::reload_of(&command)),
            _ => {}
        }
    }
    // A file's unit restarts as systemd has it, is collected as any other, and says itself whether it wants the network.
    let own = ["StartLimitIntervalSec", "CollectMode", "After"];
    properties.retain(|property| !own.contains(&property.key));
    restart::adapt(properties, file);
    let cleanup = UnitName::cleanup_of(&container.name).as_str().to_owned();
    let mut more = vec![
        text(Unit, "SourcePath", &file.path.display().to_string()),
        // What it cleans up is this unit's, whose name it does not know.
        property(Unit, "Before", Value::Units(vec![cleanup])),
    ];
    more.extend(network(file));
    if !container.requires.is_empty() {
        for key in ["Requires", "After"] {
            more.push(property(
                Unit,
                key,
                Value::Units(container.requires.clone()),
            ));
        }
    }
    let state = facts.host.layout.state().display().to_string();
    let paths = std::iter::once(&state).chain(&container.mounts_for);
    let paths: Vec<String> = paths.filter_map(|path| listed_path(path)).collect();
    more.push(property(
        Unit,
        "RequiresMountsFor",
        Value::Raw(paths.join(" ")),
    ));
    if let Some(reload) = &container.reload {
        more.push(property(
            Service,
            "ExecReload",
            Value::Exec(reload_command(reload, name, facts)),
        ));
    }
    properties.extend(more);
    // Of what has one value only, the user's is the only one.
    let user = |section: &str, key: &str| {
        file.section(section)
            .is_some_and(|section| section.last(key).is_some())
    };
    properties.retain(|property| match (property.section, &property.value) {
        (_, Value::Units(_) | Value::Fields(_) | Value::Raw(_)) => true,
        (_, Value::Statuses(..) | Value::Tried(_)) => true,
        // Where ours is there, the file's is not enough.
        (Service, _) if property.key == "Restart" => true,
        (Unit, _) => !user("Unit", property.key),
        (Service, _) => !user("Service", property.key),
    });
}

fn reload_command(reload: &Reload, name: &str, facts: &DeployFacts) -> Vec<String> {
    let client = facts.client.display().to_string();
    let words: Vec<&str> = match reload {
        Reload::Signal(signal) => vec!["kill", "--signal", signal, name],
        Reload::Command(command) => {
            let words = ["exec", name].into_iter();
            words.chain(command.iter().map(String::as_str)).collect()
        }
    };
    let words = words.into_iter().map(str::to_owned);
    std::iter::once(client).chain(words).collect()
}

fn volume(file: &UnitFile, facts: &DeployFacts) -> String {
    let service = service_of(Kind::Volume, file);
    let specifiers = facts.specifiers.of_unit(&service, &file.path);
    let name = volume_of(file);
    let name = specifiers.expand(&name).unwrap_or(name);
    let state = facts.host.layout.state().display().to_string();
    let client = facts.client.display().to_string();
    let words = ["volume", "create", "--ignore", &name].map(str::to_owned);
    let command = std::iter::once(client).chain(words).collect();
    let mut properties = vec![
        text(
            Section::Unit,
            "Description",
            &format!("unitbox volume {name}"),
        ),
        text(Section::Unit, "Documentation", "man:unitbox.container(5)"),
        text(
            Section::Unit,
            "SourcePath",
            &file.path.display().to_string(),
        ),
        property(
            Section::Unit,
            "RequiresMountsFor",
            Value::Raw(listed_path(&state).unwrap_or_default()),
        ),
        text(Section::Service, "Type", "oneshot"),
        property(Section::Service, "RemainAfterExit", Value::Bool(true)),
        property(Section::Service, "ExecStart", Value::Exec(command)),
        text(Section::Service, "SyslogIdentifier", "unitbox"),
    ];
    properties.extend(network(file));
    render(&file.path, &properties, Some(file))
}

/// The network is up before it, unless the file wants otherwise (podman-systemd.unit(5), "DefaultDependencies").
fn network(file: &UnitFile) -> Vec<Property> {
    if !unit_file::wants_network(file) {
        return Vec::new();
    }
    let online = || Value::Units(vec!["network-online.target".to_owned()]);
    let keys = ["Wants", "After"];
    keys.map(|key| property(Section::Unit, key, online()))
        .to_vec()
}

fn property(section: Section, key: &'static str, value: Value) -> Property {
    Property {
        section,
        key,
        value,
    }
}

fn text(section: Section, key: &'static str, value: &str) -> Property {
    property(section, key, Value::Text(value.to_owned()))
}

/// Our properties, and behind them what the user has in the same sections; then the others.
fn render(path: &Path, properties: &[Property], file: Option<&UnitFile>) -> String {
    let mut out = format!(
        "# Made by unitbox-generator of {}; changes are lost.\n",
        path.display()
    );
    for (section, name) in [(Section::Unit, "Unit"), (Section::Service, "Service")] {
        out.push_str(&format!("\n[{name}]\n"));
        for property in properties
            .iter()
            .filter(|property| property.section == section)
        {
            out.push_str(&format!(
                "{}={}\n",
                property.key,
                file_value(&property.value)
            ));
        }
        let own = file.and_then(|file| file.section(name));
        let restarts = properties.iter().any(|property| property.key == "Restart");
        own.into_iter()
            .for_each(|section| lines(&mut out, section, restarts));
    }
    let ours = ["Unit", "Service", "Quadlet"];
    let kind = Kind::of(path).map_or("", Kind::section);
    for section in file.into_iter().flat_map(|file| &file.sections) {
        let name = section.name.as_str();
        // What is for the container may be a secret, and units can be read by all.
        if !ours.contains(&name) && name != kind {
            out.push_str(&format!("\n[{name}]\n"));
            lines(&mut out, section, false);
        }
    }
    out
}

fn lines(out: &mut String, section: &unit_file::Section, restarts: bool) {
    for entry in section
        .entries
        .iter()
        .filter(|entry| passes(section, entry) && !(restarts && entry.key == "Restart"))
    {
        out.push_str(&format!("{}={}\n", entry.key, entry.value));
    }
}

#[cfg(test)]
#[path = "deployed_tests.rs"]
mod deployed_tests;
