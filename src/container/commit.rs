//! `commit`: an image of what a container has become.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::files::layer::Contents;
use super::files::{self, Scope};
use super::observe::{State, observe};
use super::pause::{Frozen, hold_still};
use super::{ContainerError, Site};
use crate::definition::{Definition, Source};
use crate::image::change::{self, Change};
use crate::image::reference::Reference;
use crate::image::{Draft, Format, ImageConfig, Images, Said, Written};
use crate::plan::bundle::{of_image, rfc3339};
use crate::store::{self, ContainerLock};
use crate::sys::signals::{SignalFd, SignalSet, unblock};
use crate::sys::time::realtime;

/// Longest wait for a start or a stop that is under way.
const TIME: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// What the user asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Name of the image, if it gets one.
    pub name: Option<Reference>,
    /// Form of its manifest.
    pub format: Format,
    /// Changes of its configuration.
    pub changes: Vec<Change>,
    /// Who made it.
    pub author: Option<String>,
    /// What is said of it.
    pub message: Option<String>,
    /// One layer with all files, instead of one with the changes on top of those of the image.
    pub squash: bool,
    /// A payload that runs stands still while its files are read.
    pub pause: bool,
    /// Everything that is mounted becomes a volume of the image.
    pub include_volumes: bool,
}

/// A step that is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A layer is there, by its diffID.
    Layer(String),
    /// The image is there, by its id.
    Image(String),
}

/// Makes an image of a container, and gives its id.
///
/// # Errors
/// The container has no image, its files cannot be read, or the image cannot be made: nothing has changed then, and the
/// payload runs.
pub fn commit(
    site: Site<'_>,
    definition: &Definition,
    wish: &Wish,
    done: &mut dyn FnMut(Step),
) -> Result<String, ContainerError> {
    let Source::Image { id, name } = &definition.source else {
        let text = "cannot commit a container that uses an exploded rootfs";
        return Err(ContainerError::Files(text.to_owned()));
    };
    let images = Images::open(&site.layout.state())?;
    let base = images.resolve(id)?;
    let mut draft = images.draft(Some(&base))?;
    describe(definition, &base.config, wish, draft.config());
    let written = write_layer(site, definition, wish, &draft)?;
    if wish.squash {
        draft.clear_layers();
    } else {
        for layer in &base.layers {
            done(Step::Layer(layer.to_string()));
        }
    }
    let layer = draft.add_layer(written)?;
    done(Step::Layer(layer.to_string()));
    let created = rfc3339(realtime().as_micros() as u64);
    let mut history = json!({
        "created": created, "created_by": "/bin/sh", "comment": format!("FROM {name}"),
    });
    if let (Some(author), Some(line)) = (&wish.author, history.as_object_mut()) {
        line.insert("author".to_owned(), json!(author));
    }
    let id = draft.finish(Said {
        name: wish.name.clone(),
        format: wish.format,
        created,
        author: wish.author.clone(),
        comment: wish.message.clone(),
        history,
        platform: Vec::new(),
    })?;
    done(Step::Image(id.clone()));
    Ok(id)
}

/// Writes what the container has, while it stands still.
fn write_layer(
    site: Site<'_>,
    definition: &Definition,
    wish: &Wish,
    draft: &Draft<'_>,
) -> Result<Written, ContainerError> {
    let layout = site.layout;
    let signals = Signals::block(definition)?;
    let go_on = || signals.check();
    if wish.squash {
        let opened = files::open(site, definition, Scope::Root)?;
        let _still = frozen(site, definition, wish)?;
        let contents = Contents::whole(layout, definition, &opened)?;
        let written =
            draft.write_layer(&mut |to| contents.write(to, &go_on).and_then(|()| go_on()))?;
        store::load(layout, &definition.id)?;
        return Ok(written);
    }
    let _still = settle(site, definition, wish)?;
    let contents = Contents::changes(layout, definition)?;
    let written = draft.write_layer(&mut |to| contents.write(to, &go_on).and_then(|()| go_on()))?;
    // Who removes it meanwhile has taken files away under our eyes.
    store::load(layout, &definition.id)?;
    Ok(written)
}

/// Keeps a container as it is, as far as that is wished for.
struct Still<'a> {
    _frozen: Option<Frozen<'a>>,
    _lock: Option<ContainerLock>,
}

/// One that does not run is locked; one that runs is frozen, if that is wished for.
fn settle<'a>(
    site: Site<'_>,
    definition: &'a Definition,
    wish: &Wish,
) -> Result<Still<'a>, ContainerError> {
    let until = Instant::now() + TIME;
    loop {
        let lock = store::lock(site.layout, &definition.id)?;
        store::load(site.layout, &definition.id)?;
        let seen = observe(site.layout, site.manager, definition)?;
        match seen.state {
            State::Created | State::Exited => {
                return Ok(Still {
                    _frozen: None,
                    _lock: Some(lock),
                });
            }
            State::Initialized | State::Running | State::Paused => {
                drop(lock);
                return Ok(Still {
                    _frozen: frozen(site, definition, wish)?,
                    _lock: None,
                });
            }
            _ if Instant::now() >= until => {
                let id = &definition.id;
                let text =
                    format!("container {id} is being started, stopped or removed: try again");
                return Err(ContainerError::State(text));
            }
            _ => drop(lock),
        }
        std::thread::sleep(LOOK);
    }
}

/// Freezes what runs, if that is wished for.
fn frozen<'a>(
    site: Site<'_>,
    definition: &'a Definition,
    wish: &Wish,
) -> Result<Option<Frozen<'a>>, ContainerError> {
    match wish.pause {
        true => hold_still(site, definition),
        false => Ok(None),
    }
}

/// Signals that would end us wait, so that nobody is left frozen.
struct Signals {
    set: SignalSet,
    arrived: SignalFd,
    /// One has arrived, and what is done is given up.
    told: Cell<bool>,
}

impl Signals {
    fn block(definition: &Definition) -> Result<Self, ContainerError> {
        use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let failed = || ContainerError::io("commit", definition.name.as_str());
        let set = SignalSet::of(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM]).map_err(failed())?;
        let arrived = SignalFd::new(&set).map_err(failed())?;
        Ok(Self {
            set,
            arrived,
            told: Cell::new(false),
        })
    }

    fn check(&self) -> io::Result<()> {
        match self.arrived.read()? {
            // Not of the kind that is tried again.
            Some(_) => {
                self.told.set(true);
                Err(io::Error::other("interrupted"))
            }
            None => Ok(()),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Who gives up anyway cleans up first.
        while self.told.get() && matches!(self.arrived.read(), Ok(Some(_))) {}
        // Nothing can be done about it, and the set was taken before.
        let _ = unblock(&self.set);
    }
}

/// What the container was made with, as the configuration of an image.
fn describe(
    definition: &Definition,
    image: &ImageConfig,
    wish: &Wish,
    config: &mut Map<String, Value>,
) {
    let options = &definition.options;
    let mut put = |key: &str, value: Value| match value.as_array().is_some_and(Vec::is_empty) {
        true => drop(config.remove(key)),
        false => drop(config.insert(key.to_owned(), value)),
    };
    put("Env", json!(of_image(&image.env, options)));
    if let Some(entrypoint) = &options.entrypoint {
        put("Entrypoint", json!(entrypoint));
        put("Cmd", json!(definition.command));
    } else if !definition.command.is_empty() {
        put("Cmd", json!(definition.command));
    }
    if let Some(user) = &options.user {
        put("User", json!(user));
    }
    match (&options.workdir, image.working_dir.as_str()) {
        (Some(workdir), _) => put("WorkingDir", json!(workdir)),
        (None, "") => put("WorkingDir", json!("/")),
        (None, _) => {}
    }
    if let Some(signal) = options.stop_signal {
        put("StopSignal", json!(signal.to_string()));
    }
    for (key, value) in &options.labels {
        change::add_key(config, "Labels", key, json!(value));
    }
    for mount in options.files.effective() {
        if mount.anonymous || wish.include_volumes {
            change::add_key(config, "Volumes", &mount.target, json!({}));
        }
    }
    change::apply(&wish.changes, config);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`describe`] makes of a configuration.
    fn described(definition: &Definition, wish: &Wish, before: Value) -> Value {
        let mut config = before.as_object().unwrap().clone();
        let image = serde_json::from_value(before).unwrap();
        describe(definition, &image, wish, &mut config);
        Value::Object(config)
    }

    #[test]
    fn an_image_asks_for_what_its_container_was_made_with() {
        let mut definition = Definition::sample();
        definition.command = vec!["ls".to_owned()];
        let options = &mut definition.options;
        options.env = vec![("X".to_owned(), "y".to_owned())];
        options.user = Some("5".to_owned());
        options.process.unset_env = vec!["GONE".to_owned()];
        let before = json!({
            "Env": ["A=b", "GONE=1"], "Entrypoint": ["/e"], "Cmd": ["old"], "Healthcheck": {"Test": ["NONE"]},
            "Labels": {"l": "1"},
        });
        let want = json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b", "X=y"],
            "Entrypoint": ["/e"], "Cmd": ["ls"], "Healthcheck": {"Test": ["NONE"]}, "Labels": {"l": "1"}, "User": "5",
            "WorkingDir": "/",
        });
        let made = described(&definition, &Wish::default(), before.clone());
        assert_eq!(made, want);

        definition.command = Vec::new();
        definition.options.entrypoint = Some(Vec::new());
        let wish = Wish {
            changes: change::parse("USER 7", change::Style::Commit).unwrap(),
            ..Wish::default()
        };
        let made = described(&definition, &wish, before);
        assert_eq!((made.get("Cmd"), made.get("Entrypoint")), (None, None));
        assert_eq!(made["User"], "7");
    }
}
