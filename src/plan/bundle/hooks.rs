//! OCI hooks of the host that match a container (oci-hooks(5), version 1.0.0).

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::{Hook, Spec};
use regex_lite::Regex;
use serde::Deserialize;

use crate::definition::Definition;

/// The version of the files that is known.
const VERSION: &str = "1.0.0";

/// What the plan must know of the host's hooks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HookFacts {
    /// Name and contents of each file, in the order of names.
    pub files: Vec<(String, String)>,
}

/// A file of a hook.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: String,
    hook: Hook,
    when: When,
    stages: Vec<Stage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    #[serde(rename = "precreate")]
    PreCreate,
    #[serde(rename = "prestart")]
    PreStart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    #[serde(rename = "poststart")]
    PostStart,
    #[serde(rename = "poststop")]
    PostStop,
}

/// All conditions that are given must hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct When {
    always: Option<bool>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    commands: Vec<String>,
    has_bind_mounts: Option<bool>,
}

/// Puts the hooks that match into the configuration and returns the filters that it must go through (`precreate`).
pub(super) fn plan(
    definition: &Definition,
    facts: &HookFacts,
    spec: &mut Spec,
    warnings: &mut Vec<String>,
) -> Vec<Hook> {
    select(facts, has_bind_mounts(definition), spec, warnings)
}

/// What the user has mounted; what every container has does not count.
fn has_bind_mounts(definition: &Definition) -> bool {
    !definition.options.files.effective().is_empty()
}

fn select(
    facts: &HookFacts,
    has_bind_mounts: bool,
    spec: &mut Spec,
    warnings: &mut Vec<String>,
) -> Vec<Hook> {
    let mut filters = Vec::new();
    for (name, text) in &facts.files {
        match matching(text, has_bind_mounts, spec) {
            Ok(Some(file)) => {
                for stage in file.stages {
                    let hook = file.hook.clone();
                    match stage {
                        Stage::PreCreate => filters.push(hook),
                        stage => stage.add(hook, spec),
                    }
                }
            }
            Ok(None) => {}
            Err(reason) => warnings.push(format!("hook {name}: {reason}; left out")),
        }
    }
    filters
}

impl Stage {
    /// Behind the hooks that are there already, those of devices.
    fn add(self, hook: Hook, spec: &mut Spec) {
        let mut hooks = spec.hooks().clone().unwrap_or_default();
        #[allow(deprecated, reason = "files of the host still use prestart")]
        let list = match self {
            Self::PreCreate => return,
            Self::PreStart => hooks.prestart_mut(),
            Self::CreateRuntime => hooks.create_runtime_mut(),
            Self::CreateContainer => hooks.create_container_mut(),
            Self::StartContainer => hooks.start_container_mut(),
            Self::PostStart => hooks.poststart_mut(),
            Self::PostStop => hooks.poststop_mut(),
        };
        list.get_or_insert_default().push(hook);
        spec.set_hooks(Some(hooks));
    }
}

/// The file if it is for this container; the reason if it is for none.
fn matching(text: &str, has_bind_mounts: bool, spec: &Spec) -> Result<Option<File>, String> {
    let mut file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("version {:?} is not {VERSION}", file.version));
    }
    if !file.hook.path().is_absolute() {
        return Err("the path of its program is not absolute".to_owned());
    }
    if file.stages.is_empty() {
        return Err("it names no stage".to_owned());
    }
    let mut seen: Vec<Stage> = Vec::new();
    file.stages.retain(|stage| {
        let first = !seen.contains(stage);
        seen.push(*stage);
        first
    });
    let annotations = spec.annotations().as_ref();
    let args = spec
        .process()
        .as_ref()
        .and_then(|process| process.args().as_ref());
    let command = args.and_then(|args| args.first()).map(String::as_str);
    let matches = file.when.matches(
        &annotations.into_iter().flatten().collect::<Vec<_>>(),
        command.unwrap_or_default(),
        has_bind_mounts,
    )?;
    Ok(matches.then_some(file))
}

impl When {
    fn matches(
        &self,
        annotations: &[(&String, &String)],
        command: &str,
        has_bind_mounts: bool,
    ) -> Result<bool, String> {
        let pattern =
            |text: &String| Regex::new(text).map_err(|error| format!("{text:?}: {error}"));
        let mut conditions = Vec::new();
        conditions.extend(self.always);
        conditions.extend(self.has_bind_mounts.map(|wanted| wanted && has_bind_mounts));
        for (key, value) in &self.annotations {
            let (key, value) = (pattern(key)?, pattern(value)?);
            let mut all = annotations.iter();
            conditions.push(all.any(|(k, v)| key.is_match(k) && value.is_match(v)));
        }
        if !self.commands.is_empty() {
            let patterns: Vec<Regex> = self
                .commands
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()?;
            conditions.push(patterns.iter().any(|pattern| pattern.is_match(command)));
        }
        if conditions.is_empty() {
            return Err("it has no condition".to_owned());
        }
        Ok(conditions.into_iter().all(|holds| holds))
    }
}

/// The program of a hook with its arguments, the first of which is its name, and its environment.
pub fn command_of(hook: &Hook) -> (&Path, Vec<String>, Vec<(String, String)>) {
    let env = hook.env().iter().flatten();
    let pairs = env.filter_map(|pair| pair.split_once('='));
    (
        hook.path(),
        hook.args().clone().unwrap_or_default(),
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Process;

    use super::*;

    fn spec() -> Spec {
        let mut process = Process::default();
        process.set_args(Some(vec!["/usr/sbin/nginx".to_owned(), "-g".to_owned()]));
        let mut spec = Spec::default();
        spec.set_process(Some(process)).set_hooks(None);
        spec.set_annotations(Some(
            [("com.example.gpu".to_owned(), "yes".to_owned())].into(),
        ));
        spec
    }

    fn file(when: &str, stages: &str) -> String {
        format!(
            r#"{{"version":"1.0.0","hook":{{"path":"/bin/h","args":["h"],"timeout":3}},"when":{when},"stages":[{stages}]}}"#
        )
    }

    fn planned(files: &[(&str, String)], has_bind_mounts: bool) -> (Spec, Vec<Hook>, Vec<String>) {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.clone()));
        let facts = HookFacts {
            files: files.collect(),
        };
        let (mut spec, mut warnings) = (spec(), Vec::new());
        let filters = select(&facts, has_bind_mounts, &mut spec, &mut warnings);
        (spec, filters, warnings)
    }

    #[test]
    fn all_conditions_must_hold() {
        for (when, bind, expected) in [
            (r#"{"always":true}"#, false, true),
            (r#"{"always":false}"#, false, false),
            (r#"{"hasBindMounts":true}"#, true, true),
            (r#"{"hasBindMounts":true}"#, false, false),
            (r#"{"commands":["nginx$","^x"]}"#, false, true),
            (r#"{"commands":["^nginx"]}"#, false, false),
            (
                r#"{"annotations":{"^com\\.example\\..*$":"^yes$"}}"#,
                false,
                true,
            ),
            (
                r#"{"annotations":{"^com\\.example\\..*$":"^no$"}}"#,
                false,
                false,
            ),
            (
                r#"{"annotations":{"example":"."},"commands":["^nope"]}"#,
                false,
                false,
            ),
            (r#"{"always":true,"commands":["sbin"]}"#, false, true),
        ] {
            let (spec, _, warnings) = planned(&[("a.json", file(when, r#""poststop""#))], bind);
            assert_eq!(warnings, Vec::<String>::new());
            assert_eq!(spec.hooks().is_some(), expected, "{when}");
        }
    }

    #[test]
    fn hooks_land_at_their_stages_once_and_in_order() {
        let always = r#"{"always":true}"#;
        let stages = r#""precreate","prestart","createRuntime","createContainer","startContainer","poststart","poststop","poststop""#;
        let second = file(always, r#""poststop""#).replace("/bin/h", "/bin/second");
        let (spec, filters, _) = planned(&[("a", file(always, stages)), ("b", second)], false);
        assert_eq!(filters.len(), 1);
        let value = serde_json::to_value(spec.hooks()).unwrap();
        for stage in [
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
        ] {
            assert_eq!(value[stage][0]["path"], "/bin/h", "{stage}");
            assert_eq!(value[stage].as_array().unwrap().len(), 1, "{stage}");
        }
        assert_eq!(value["poststop"][1]["path"], "/bin/second");
        assert_eq!(value["poststop"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_bad_hook_is_named_and_the_others_stay() {
        let good = file(r#"{"always":true}"#, r#""poststop""#);
        for bad in [
            "{".to_owned(),
            good.replace("1.0.0", "0.1.0"),
            good.replace("/bin/h", "h"),
            good.replace("poststop", "poststep"),
            file("{}", r#""poststop""#),
            file(r#"{"always":true}"#, ""),
            file(r#"{"commands":["("]}"#, r#""poststop""#),
        ] {
            let (spec, _, warnings) =
                planned(&[("bad.json", bad.clone()), ("good", good.clone())], false);
            assert!(
                warnings.len() == 1 && warnings[0].contains("hook bad.json"),
                "{bad}: {warnings:?}"
            );
            assert!(spec.hooks().is_some());
        }
    }
}
