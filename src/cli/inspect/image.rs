//! An image.

use crate::cli::template::Value;
use crate::image::Image;

fn or_null(words: &[String]) -> Option<Value> {
    (!words.is_empty()).then(|| Value::list(words))
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| text.into())
}

/// All that is known of an image.
pub(super) fn describe(image: &Image) -> Value {
    let config = &image.config;
    let is_tag = |name: &&String| !name.contains('@');
    let tags: Vec<String> = image.names.iter().filter(is_tag).cloned().collect();
    let untagged = |name: &String| {
        if name.contains('@') {
            return name.clone();
        }
        let untagged = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        format!(
            "{}@{}",
            untagged.map_or(name.as_str(), |(name, _)| name),
            image.digest
        )
    };
    let keys = |words: &[String]| {
        let empty = || Value::fields("struct {}", Vec::new());
        let all = words.iter().map(|word| (word.clone(), empty()));
        (!words.is_empty()).then(|| Value::Map(all.collect()))
    };
    let labels = (!config.labels.is_empty()).then(|| Value::map(&config.labels));
    let wishes = [
        ("User", text(&config.user)),
        ("ExposedPorts", keys(&config.exposed_ports)),
        ("Env", or_null(&config.env)),
        ("Entrypoint", or_null(&config.entrypoint)),
        ("Cmd", or_null(&config.cmd)),
        ("Volumes", keys(&config.volumes)),
        ("WorkingDir", text(&config.working_dir)),
        ("Labels", labels.clone()),
        ("StopSignal", text(&config.stop_signal)),
    ];
    let wishes = wishes
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    let layers = image.layers.iter().map(ToString::to_string);
    let fields = vec![
        ("Id", image.id.as_str().into()),
        ("Digest", image.digest.to_string().into()),
        ("RepoTags", Value::list(&tags)),
        ("RepoDigests", Value::list(image.names.iter().map(untagged))),
        ("Parent", "".into()),
        ("Comment", "".into()),
        ("Created", image.created.clone().unwrap_or_default().into()),
        ("Config", Value::fields("*v1.ImageConfig", wishes.collect())),
        ("Size", image.size.into()),
        ("VirtualSize", image.size.into()),
        (
            "RootFS",
            Value::fields(
                "*inspect.RootFS",
                vec![("Type", "layers".into()), ("Layers", Value::list(layers))],
            ),
        ),
        ("Labels", labels.unwrap_or_default()),
        ("User", config.user.as_str().into()),
        ("NamesHistory", Value::list(&image.names)),
    ];
    Value::fields("interface {}", fields)
}
