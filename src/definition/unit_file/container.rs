//! From the `[Container]` section to options.

use std::path::Path;

use super::expand::Expander;
use super::keys::{self, Form, Meaning, WORDS};
use super::references::{container_of, image_of, service_of, volume_of};
use super::service::{self, truth};
use super::suggest::hint;
use super::{Entry, FileError, FileSet, INSTANCE, Kind, Position, UnitFile, words};
use crate::definition::mount::clean;
use crate::definition::{Arity, OptionSpec, Options, options, refusal};
use crate::types::ContainerName;

/// One value of an option, and where it came from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The option.
    pub spec: &'static OptionSpec,
    /// Its value, as on the command line.
    pub value: String,
    /// Key and place in the file.
    key: String,
    at: Position,
}

/// Where the root filesystem comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// An image by its name.
    Image(String),
    /// A directory, as behind `--rootfs`.
    Rootfs(String),
}

/// What a reload does in the container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reload {
    /// A command of its own.
    Command(Vec<String>),
    /// A signal for its first process.
    Signal(String),
}

/// What a `.container` file asks for.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: ContainerName,
    /// Its root filesystem.
    pub from: From,
    /// Command and arguments.
    pub command: Vec<String>,
    /// Options, in the order of the file.
    pub settings: Vec<Setting>,
    /// Names of other files that it refers to.
    pub refers: Vec<String>,
    /// Services of other files that it needs.
    pub requires: Vec<String>,
    /// Paths whose file systems must be mounted.
    pub mounts_for: Vec<String>,
    /// What a reload does.
    pub reload: Option<Reload>,
}

impl Setting {
    /// Puts the value into the options.
    ///
    /// # Errors
    /// The value is refused.
    pub fn apply(&self, options: &mut Options) -> Result<(), FileError> {
        self.spec.apply(options, &self.value).map_err(|error| {
            let (key, reason) = (&self.key, &error.reason);
            let message = format!("invalid value {:?} for {key}=: {reason}", error.value);
            FileError::new(&self.at, message)
        })
    }
}

impl Container {
    /// Reads a file. What only the start of the unit can tell is left out if the expander has no environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(
        file: &UnitFile,
        unit: &str,
        expander: &Expander,
        set: &FileSet,
    ) -> Result<Self, Vec<FileError>> {
        let Some(section) = file.section(Kind::Container.section()) else {
            return Err(vec![FileError::new(
                &file.whole(),
                "no [Container] section",
            )]);
        };
        let mut reader = Reader {
            expander,
            set,
            directory: file.path.parent().unwrap_or(Path::new("/")),
            settings: Vec::new(),
            refers: Vec::new(),
            requires: Vec::new(),
            mounts_for: Vec::new(),
            errors: Vec::new(),
        };
        for entry in &section.entries {
            // The last of those with one value counts, and none before an empty one.
            let counts = section.all(&entry.key).iter().any(|one| one.at == entry.at);
            reader.entry(entry, counts);
        }
        for entry in file
            .section("Service")
            .iter()
            .flat_map(|section| &section.entries)
        {
            reader.service(entry);
        }
        let own = |key: &str| section.last(key);
        reader.user(own("User"), own("Group"));
        let name = reader.name(file, unit);
        let from = reader.from(own("Image"), own("Rootfs"), &section.at);
        let command = own("Exec").and_then(|entry| reader.words(entry));
        let reload = reader.reload(own("ReloadCmd"), own("ReloadSignal"));
        match (name, from) {
            (Some(name), Some(from)) if reader.errors.is_empty() => Ok(Self {
                name,
                from,
                command: command.unwrap_or_default(),
                settings: reader.settings,
                refers: reader.refers,
                requires: reader.requires,
                mounts_for: reader.mounts_for,
                reload,
            }),
            _ => {
                reader.errors.sort();
                reader.errors.dedup();
                Err(reader.errors)
            }
        }
    }

    /// The options, on top of those that are there.
    ///
    /// # Errors
    /// Every value that is refused.
    pub fn apply(&self, options: &mut Options) -> Result<(), Vec<FileError>> {
        let results = self.settings.iter().map(|setting| setting.apply(options));
        let mut errors: Vec<FileError> = results.filter_map(Result::err).collect();
        errors.sort();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }

    /// Whether the file has a flag set.
    pub fn sets(&self, flag: &str) -> bool {
        self.settings
            .iter()
            .any(|setting| setting.spec.flag == flag)
    }
}

struct Reader<'a> {
    expander: &'a Expander<'a>,
    set: &'a FileSet,
    /// Relative paths start here.
    directory: &'a Path,
    settings: Vec<Setting>,
    refers: Vec<String>,
    requires: Vec<String>,
    mounts_for: Vec<String>,
    errors: Vec<FileError>,
}

impl Reader<'_> {
    fn entry(&mut self, entry: &Entry, counts: bool) {
        let key = entry.key.as_str();
        match keys::meaning(key) {
            None if key.starts_with("X-") => {}
            None => {
                let hint = hint(key, keys::known(Kind::Container));
                self.wrong(entry, format!("unknown key {key:?}{hint}"));
            }
            Some(Meaning::Refused(reason)) if !entry.value.is_empty() => {
                self.wrong(entry, format!("{key}= is not supported: {reason}"));
            }
            Some(_) if !counts => {}
            Some(Meaning::Own) if key == "PodmanArgs" => self.flags(entry),
            Some(Meaning::Own) if key == "AutoUpdate" => {
                let label = format!("io.containers.autoupdate={}", entry.value);
                self.flag(entry, "label", label);
            }
            // With its group, below.
            Some(Meaning::Option(spec, _)) if spec.flag == "user" => {}
            Some(Meaning::Option(spec, form)) => self.option(entry, spec, form),
            Some(Meaning::Own | Meaning::Refused(_)) => {}
        }
    }

    fn option(&mut self, entry: &Entry, spec: &'static OptionSpec, form: Form) {
        let values = match WORDS.contains(&entry.key.as_str()) {
            true => self.words(entry),
            false => self.expander.value(&entry.value).map(|value| vec![value]),
        };
        // The start of the unit will tell.
        for value in values.into_iter().flatten() {
            let formed = match (form, spec.arity) {
                (Form::Plain, Arity::Switch) => truth(&value).map(|on| Some(on.to_string())),
                (Form::Plain, _) => Ok(Some(value)),
                (Form::Behind(prefix), _) => Ok(Some(format!("{prefix}{value}"))),
                (Form::If(text), _) => truth(&value).map(|on| on.then(|| text.to_owned())),
                (Form::Either(yes, no), _) => Ok(Some(match truth(&value) {
                    Ok(true) => yes.to_owned(),
                    Ok(false) => no.to_owned(),
                    // Other words are the option's own.
                    Err(_) => value,
                })),
            };
            match formed {
                Ok(Some(value)) => self.setting(entry, spec, value),
                Ok(None) => {}
                Err(reason) => self.wrong(entry, format!("{}=: {reason}", entry.key)),
            }
        }
    }

    /// A value of an option, with what it refers to.
    fn setting(&mut self, entry: &Entry, spec: &'static OptionSpec, value: String) {
        let referred = match spec.flag {
            "volume" => self.volume(value),
            "mount" => self.mount(value),
            "network" => self.network(value),
            "env-file" => Ok(self.path(&value)),
            _ => Ok(value),
        };
        match referred {
            Ok(value) => self.settings.push(Setting {
                spec,
                value,
                key: entry.key.clone(),
                at: entry.at.clone(),
            }),
            Err(reason) => self.wrong(entry, format!("{}=: {reason}", entry.key)),
        }
    }

    fn flag(&mut self, entry: &Entry, flag: &str, value: String) {
        match options().find(|spec| spec.flag == flag) {
            Some(spec) => self.setting(entry, spec, value),
            None => self.wrong(entry, format!("no flag --{flag}")),
        }
    }

    /// `PodmanArgs=`: flags as on the command line.
    fn flags(&mut self, entry: &Entry) {
        let mut words = self.words(entry).unwrap_or_default().into_iter();
        while let Some(word) = words.next() {
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let spec = options().find(|spec| match name.strip_prefix("--") {
                Some(long) => spec.flag == long,
                None => spec.short.is_some_and(|short| name == format!("-{short}")),
            });
            let Some(spec) = spec else {
                let reason = refusal(&word).map_or_else(
                    || format!("unknown flag {name:?}"),
                    |reason| format!("{name}: {reason}"),
                );
                self.wrong(entry, format!("PodmanArgs=: {reason}"));
                return;
            };
            if value.is_none() {
                value = match spec.arity {
                    Arity::Switch => Some("true".to_owned()),
                    Arity::One | Arity::Many => words.next(),
                };
            }
            match value {
                Some(_) if spec.flag == "restart" => {
                    let text = "PodmanArgs=: use Restart= in [Service] instead of --restart";
                    self.wrong(entry, text.to_owned());
                }
                Some(_) if ["name", "rm"].contains(&spec.flag) => {
                    self.wrong(entry, format!("PodmanArgs=: {name} is not for a unit file"));
                }
                Some(value) => self.setting(entry, spec, value),
                None => self.wrong(entry, format!("PodmanArgs=: {name} needs a value")),
            }
        }
    }

    /// A key of `[Service]` that means the container, or is not for the user to say.
    fn service(&mut self, entry: &Entry) {
        match service::meaning(entry) {
            Ok(service::Meaning::Pass) => {}
            Ok(service::Meaning::Option(flag, value)) => self.flag(entry, flag, value),
            Err(reason) => self.wrong(entry, reason),
        }
    }

    fn user(&mut self, user: Option<&Entry>, group: Option<&Entry>) {
        let Some(entry) = user else {
            if let Some(group) = group {
                self.wrong(group, "Group= needs User=".to_owned());
            }
            return;
        };
        let user = self.expander.value(&entry.value);
        let group = group.map(|group| self.expander.value(&group.value));
        match (user, group) {
            (Some(user), None) => self.flag(entry, "user", user),
            (Some(user), Some(Some(group))) => self.flag(entry, "user", format!("{user}:{group}")),
            _ => {}
        }
    }

    fn name(&mut self, file: &UnitFile, unit: &str) -> Option<ContainerName> {
        let text = container_of(file);
        let section = file.section(Kind::Container.section());
        let entry = section.and_then(|section| section.last("ContainerName"));
        let at = entry.map_or_else(|| file.whole(), |entry| entry.at.clone());
        // An instance is a name's part; any text stands for it before there is one.
        let held = text.replace("%i", INSTANCE).replace("%I", INSTANCE);
        let held = if super::is_template(unit) { held } else { text };
        let Some(name) = self.expander.value(&held) else {
            let message = "ContainerName= must be known before the unit starts";
            self.errors.push(FileError::new(&at, message));
            return None;
        };
        let parsed: Result<ContainerName, _> = name.parse();
        let wrong = |error| FileError::new(&at, format!("ContainerName=: {error}"));
        parsed.map_err(|error| self.errors.push(wrong(error))).ok()
    }

    fn from(
        &mut self,
        image: Option<&Entry>,
        rootfs: Option<&Entry>,
        section: &Position,
    ) -> Option<From> {
        match (image, rootfs) {
            (Some(entry), None) => {
                let name = self.expander.value(&entry.value);
                let name = name.unwrap_or_else(|| entry.value.clone());
                match self.image(name) {
                    Ok(name) => Some(From::Image(name)),
                    Err(reason) => {
                        self.wrong(entry, format!("Image=: {reason}"));
                        None
                    }
                }
            }
            (None, Some(entry)) => {
                let path = self.expander.value(&entry.value);
                let path = path.unwrap_or_else(|| entry.value.clone());
                // What stands behind a colon is how it is used.
                let (own, option) = path.rsplit_once(':').unwrap_or((&path, ""));
                let used = option == "O" || option.starts_with("idmap");
                self.need(if used { own } else { &path });
                Some(From::Rootfs(path))
            }
            (Some(_), Some(entry)) => {
                self.wrong(
                    entry,
                    "Image= and Rootfs= cannot be used together".to_owned(),
                );
                None
            }
            (None, None) => {
                let message = "[Container] has neither Image= nor Rootfs=";
                self.errors.push(FileError::new(section, message));
                None
            }
        }
    }

    fn reload(&mut self, command: Option<&Entry>, signal: Option<&Entry>) -> Option<Reload> {
        match (command, signal) {
            (Some(_), Some(signal)) => {
                let reason = "ReloadCmd= and ReloadSignal= cannot be used together";
                self.wrong(signal, reason.to_owned());
                None
            }
            (Some(command), None) => self.words(command).map(Reload::Command),
            (None, Some(signal)) => {
                let value = self.expander.value(&signal.value)?;
                let parsed: Result<crate::types::Signal, _> = value.parse();
                match parsed {
                    Ok(_) => Some(Reload::Signal(value)),
                    Err(_) => {
                        self.wrong(signal, format!("ReloadSignal=: unknown signal {value:?}"));
                        None
                    }
                }
            }
            (None, None) => None,
        }
    }

    fn words(&mut self, entry: &Entry) -> Option<Vec<String>> {
        match words::split(&entry.value) {
            Ok(words) => self.expander.words(words),
            Err(reason) => {
                self.wrong(entry, format!("{}=: {reason}", entry.key));
                None
            }
        }
    }

    fn wrong(&mut self, entry: &Entry, message: String) {
        self.errors.push(entry.error(message));
    }
}

/// References to other files, and paths.
impl Reader<'_> {
    /// A file that must be there, and its service, which then is needed.
    fn refer(&mut self, name: &str, kind: Kind) -> Result<&UnitFile, String> {
        // An instance of a template may have no file of its own.
        let template = name.split_once('@').and_then(|(prefix, rest)| {
            let (_, suffix) = rest.rsplit_once('.')?;
            Some(format!("{prefix}@.{suffix}"))
        });
        let names = std::iter::once(name.to_owned()).chain(template);
        let mut found = names.filter_map(|name| Some((self.set.get(&name)?, name)));
        let (file, name) = found
            .next()
            .ok_or_else(|| format!("there is no file {name}"))?;
        let service = service_of(kind, file);
        if !self.requires.contains(&service) {
            self.requires.push(service);
            self.refers.push(name);
        }
        Ok(file)
    }

    fn image(&mut self, name: String) -> Result<String, String> {
        let Some(kind) = [Kind::Image, Kind::Build]
            .into_iter()
            .find(|kind| has_suffix(&name, *kind))
        else {
            return Ok(name);
        };
        let file = self.refer(&name, kind)?;
        let image = image_of(kind, file);
        image.ok_or_else(|| format!("{name} has no Image= or ImageTag="))
    }

    fn volume(&mut self, value: String) -> Result<String, String> {
        let (source, rest) = value.split_once(':').unwrap_or((&value, ""));
        if rest.is_empty() {
            return Ok(value);
        }
        if has_suffix(source, Kind::Volume) && !source.contains('/') {
            let volume = self.refer(source, Kind::Volume).map(volume_of)?;
            let volume = self.expander.value(&volume).unwrap_or(volume);
            return Ok(format!("{volume}:{rest}"));
        }
        let source = self.path_with_dot(source);
        self.need(&source);
        Ok(format!("{source}:{rest}"))
    }

    /// `type=volume,source=data.volume,...` and `type=image,source=x.image,...`
    fn mount(&mut self, value: String) -> Result<String, String> {
        let mut fields = Vec::new();
        for field in value.split(',') {
            let (key, source) = field.split_once('=').unwrap_or((field, ""));
            let is_source = ["source", "src"].contains(&key);
            if is_source && has_suffix(source, Kind::Volume) && !source.contains('/') {
                let volume = self.refer(source, Kind::Volume).map(volume_of)?;
                let volume = self.expander.value(&volume).unwrap_or(volume);
                fields.push(format!("{key}={volume}"));
            } else if is_source && has_suffix(source, Kind::Image) {
                let image = self.image(source.to_owned())?;
                fields.push(format!("{key}={image}"));
            } else if is_source {
                let path = self.path_with_dot(source);
                self.need(&path);
                fields.push(format!("{key}={path}"));
            } else {
                fields.push(field.to_owned());
            }
        }
        Ok(fields.join(","))
    }

    fn network(&mut self, value: String) -> Result<String, String> {
        let (name, options) = value.split_once(':').unwrap_or((&value, ""));
        if has_suffix(name, Kind::Container) && options.is_empty() {
            let own = self.expander.specifiers;
            let file = self.refer(name, Kind::Container)?;
            let service = service_of(Kind::Container, file);
            let of_other = own.of_unit(&service, &file.path);
            let other = of_other.expand(&container_of(file));
            let other = other.ok_or_else(|| format!("{name} is a template"))?;
            return Ok(format!("container:{other}"));
        }
        if has_suffix(name, Kind::Network) {
            self.refer(name, Kind::Network)?;
            return Err("this version has no networks".to_owned());
        }
        Ok(value)
    }

    /// A path, from the file's directory on.
    fn path(&self, path: &str) -> String {
        match path.starts_with('/') {
            true => path.to_owned(),
            false => clean(&self.directory.join(path).to_string_lossy()),
        }
    }

    /// The same for one that begins with a dot: others are names.
    fn path_with_dot(&self, path: &str) -> String {
        match path.starts_with('.') {
            true => self.path(path),
            false => path.to_owned(),
        }
    }

    fn need(&mut self, path: &str) {
        if path.starts_with('/') && !self.mounts_for.iter().any(|own| own == path) {
            self.mounts_for.push(path.to_owned());
        }
    }
}

fn has_suffix(name: &str, kind: Kind) -> bool {
    name.strip_suffix(kind.suffix())
        .is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
}
