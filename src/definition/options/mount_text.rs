//! The texts of `--volume`, `--mount` and `--tmpfs`, read and written.

use crate::definition::mount::{self, IdmapOption, Mount, MountFlag, MountKind};
use crate::types::VolumeName;

use super::parse::clean;

fn of(flag: MountFlag, kind: MountKind, source: &str, target: String) -> Mount {
    Mount {
        flag,
        kind,
        source: source.to_owned(),
        target,
        options: Vec::new(),
        subpath: None,
        anonymous: false,
    }
}

/// `[SOURCE:]TARGET[:OPTION,...]` of `--volume`.
pub(super) fn volume(text: &str) -> Result<Mount, String> {
    clean(text)?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => {
            return Err(
                "incorrect volume format, should be [host-dir:]ctr-dir[:option]".to_owned(),
            );
        }
    };
    if parts.len() > 1 && source.is_empty() {
        return Err("host directory cannot be empty".to_owned());
    }
    let target = mount::target(target)?;
    let kind = match source.starts_with(['/', '.']) {
        true => MountKind::Bind,
        false => MountKind::Volume,
    };
    let mut mount = of(MountFlag::Volume, kind, source, target);
    if kind == MountKind::Volume && !source.is_empty() {
        check_name(source)?;
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            // Words of other systems' file sharing.
            "cached" | "delegated" => {}
            "idmap" => mount.options.push(option.to_owned()),
            _ if option.starts_with("idmap=") => mount.options.push(mapping(option)?),
            _ if mount::is_volume_option(option) => mount.options.push(option.to_owned()),
            _ => return Err(format!("invalid option type {option:?}")),
        }
    }
    mount::check_exclusive(&mount.options)?;
    check_overlay(&mount)?;
    Ok(mount)
}

/// An option `idmap=...` that can be used.
fn mapping(option: &str) -> Result<String, String> {
    let text = option.strip_prefix("idmap=").unwrap_or_default();
    let parsed: Result<IdmapOption, String> = text.parse();
    parsed.map_err(|reason| format!("idmap: {reason}"))?;
    Ok(option.to_owned())
}

fn check_name(name: &str) -> Result<(), String> {
    let parsed: Result<VolumeName, _> = name.parse();
    parsed.map(drop).map_err(|error| error.to_string())
}

fn check_overlay(mount: &Mount) -> Result<(), String> {
    let (upper, work) = (mount.value_of("upperdir"), mount.value_of("workdir"));
    if upper.is_some() != work.is_some() {
        return Err("must specify both `upperdir` and `workdir`".to_owned());
    }
    if !mount.has("O") {
        return match upper {
            Some(_) => Err("`upperdir` and `workdir` need the option `O`".to_owned()),
            None => Ok(()),
        };
    }
    let own = |option: &&String| {
        ["O", "U"].contains(&option.as_str())
            || option.starts_with("upperdir=")
            || option.starts_with("workdir=")
    };
    if mount.options.iter().filter(own).count() != mount.options.len() {
        return Err("can't use 'O' with other options".to_owned());
    }
    let absolute = |dir: Option<&str>| dir.is_none_or(|dir| dir.starts_with('/'));
    if !absolute(upper) || !absolute(work) {
        return Err("`upperdir` and `workdir` must be absolute paths".to_owned());
    }
    Ok(())
}

/// What `--volume` reads as this mount.
pub(super) fn volume_text(mount: &Mount) -> String {
    let mut text = mount.target.clone();
    if !mount.source.is_empty() {
        text = format!("{}:{text}", mount.source);
    }
    if !mount.options.is_empty() {
        text = format!("{text}:{}", mount.options.join(","));
    }
    text
}

/// `TARGET[:OPTION,...]` of `--tmpfs`.
pub(super) fn tmpfs(text: &str) -> Result<Mount, String> {
    clean(text)?;
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = of(
        MountFlag::Tmpfs,
        MountKind::Tmpfs,
        "tmpfs",
        mount::target(target)?,
    );
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if !mount::is_tmpfs_option(option) {
            return Err(format!(
                "unknown mount option {option:?}: invalid mount option"
            ));
        }
        mount.options.push(option.to_owned());
    }
    mount::check_exclusive(&mount.options)?;
    Ok(mount)
}

/// What `--tmpfs` reads as this mount.
pub(super) fn tmpfs_text(mount: &Mount) -> String {
    match mount.options.is_empty() {
        true => mount.target.clone(),
        false => format!("{}:{}", mount.target, mount.options.join(",")),
    }
}

const FORMAT: &str = "incorrect mount format: should be --mount type=<bind|devpts|glob|image|ramfs|tmpfs|volume>,\
                      [src=<host-dir|volume-name>,]target=<ctr-dir>[,options]";

/// `type=TYPE,KEY=VALUE,...` of `--mount`.
pub(super) fn mount(text: &str) -> Result<Mount, String> {
    clean(text)?;
    let fields = fields(text)?;
    let mut kind = MountKind::Volume;
    for field in &fields {
        if let Some(word) = field.strip_prefix("type=") {
            kind = kind_of(word)?;
        }
    }
    let mut mount = of(MountFlag::Mount, kind, "", String::new());
    let mut seen: Vec<&str> = Vec::new();
    for field in fields.iter().filter(|field| !field.starts_with("type=")) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let canonical = canonical(key);
        if seen.contains(&canonical) {
            return Err(format!("cannot pass {key:?} option more than once"));
        }
        seen.push(canonical);
        key_value(&mut mount, key, value)?;
    }
    finish(mount)
}

fn kind_of(word: &str) -> Result<MountKind, String> {
    use MountKind::{Bind, Devpts, Glob, Image, Ramfs, Tmpfs, Volume};
    let all = [Bind, Devpts, Glob, Image, Ramfs, Tmpfs, Volume];
    let found = all.into_iter().find(|kind| kind.as_str() == word);
    found.ok_or_else(|| format!("invalid filesystem type {word:?}"))
}

fn finish(mut mount: Mount) -> Result<Mount, String> {
    if mount.target.is_empty() && mount.kind != MountKind::Glob {
        return Err("must set volume destination".to_owned());
    }
    match mount.kind {
        MountKind::Bind if mount.source.is_empty() => mount.source.clone_from(&mount.target),
        MountKind::Tmpfs | MountKind::Ramfs | MountKind::Devpts => {
            mount.source = mount.kind.as_str().to_owned();
        }
        MountKind::Image if mount.source.is_empty() => {
            return Err("must set source and destination for image volume".to_owned());
        }
        MountKind::Image
            if mount
                .subpath
                .as_deref()
                .is_some_and(|path| !path.starts_with('/')) =>
        {
            return Err("the subpath of an image must be an absolute path".to_owned());
        }
        MountKind::Glob if mount.source.is_empty() => return Err(FORMAT.to_owned()),
        MountKind::Volume if !mount.source.is_empty() => check_name(&mount.source)?,
        _ => {}
    }
    mount::check_exclusive(&mount.options)?;
    Ok(mount)
}

/// One name for the names of one key.
fn canonical(key: &str) -> &str {
    match key {
        "source" => "src",
        "dst" | "destination" => "target",
        "readonly" | "rw" | "readwrite" => "ro",
        "chown" => "U",
        "volume-subpath" => "subpath",
        "z" | "Z" => "relabel",
        "noexec" => "exec",
        "nosuid" => "suid",
        "nodev" => "dev",
        "notmpcopyup" => "tmpcopyup",
        "shared" | "rshared" | "private" | "rprivate" | "slave" | "rslave" | "unbindable"
        | "runbindable" => "bind-propagation",
        key => key,
    }
}

fn key_value(mount: &mut Mount, key: &str, value: Option<&str>) -> Result<(), String> {
    use MountKind::{Bind, Devpts, Glob, Image, Ramfs, Tmpfs, Volume};
    let kind = mount.kind;
    let only = |kinds: &[MountKind]| match kinds.contains(&kind) {
        true => Ok(()),
        false => Err(format!(
            "{key:?} option not supported for {:?} mount types",
            kind.as_str()
        )),
    };
    let need = || {
        let value = value.filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("{key}: must provide an argument for option"))
    };
    let mut option = |text: String| mount.options.push(text);
    match key {
        "src" | "source" => {
            only(&[Bind, Volume, Image, Glob])?;
            mount.source = need()?.to_owned();
        }
        "target" | "dst" | "destination" => mount.target = mount::target(need()?)?,
        "readonly" | "ro" | "rw" | "readwrite" => match (key, switch(key, value)?) {
            // An image is read-only unless somebody says otherwise.
            ("rw" | "readwrite", true) => option("rw".to_owned()),
            ("rw" | "readwrite", false) | (_, true) => option("ro".to_owned()),
            _ => {}
        },
        "U" | "chown" => {
            only(&[Bind, Volume, Tmpfs, Ramfs, Glob])?;
            if switch(key, value)? {
                option("U".to_owned());
            }
        }
        "bind-propagation" => {
            only(&[Bind, Glob])?;
            let word = need()?;
            if canonical(word) != key {
                return Err(format!(
                    "unknown mount option {word:?}: invalid mount option"
                ));
            }
            option(word.to_owned());
        }
        "bind-nonrecursive" => {
            only(&[Bind, Glob])?;
            if switch(key, value)? {
                option("bind".to_owned());
            }
        }
        "relabel" => match need()? {
            "private" => option("Z".to_owned()),
            "shared" => option("z".to_owned()),
            _ => return Err(format!("{key} mount option must be 'private' or 'shared'")),
        },
        "tmpfs-size" | "tmpfs-mode" => {
            only(&[Tmpfs])?;
            option(format!("{}={}", &key["tmpfs-".len()..], need()?));
        }
        "tmpcopyup" | "notmpcopyup" | "noswap" if value.is_none() => {
            only(&[Tmpfs])?;
            option(key.to_owned());
        }
        "uid" | "gid" | "mode" | "max" => {
            only(&[Devpts])?;
            option(format!("{key}={}", need()?));
        }
        "subpath" | "volume-subpath" => {
            only(&[Volume, Image])?;
            mount.subpath = Some(need()?.to_owned());
        }
        "no-dereference" => {
            only(&[Bind, Glob])?;
            option(key.to_owned());
        }
        "idmap" if kind == Image => return Err("idmap: invalid mount option".to_owned()),
        "idmap" if value.is_none() => option(key.to_owned()),
        "idmap" => option(mapping(&format!("idmap={}", need()?))?),
        "consistency" => {}
        "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "z" | "Z" if value.is_none() => {
            option(key.to_owned());
        }
        "copy" | "nocopy" if value.is_none() && kind == Volume => option(key.to_owned()),
        word if canonical(word) == "bind-propagation" && value.is_none() => option(key.to_owned()),
        _ => return Err(format!("{key}: invalid mount option")),
    }
    Ok(())
}

fn switch(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(format!("{key} must be set to true or false")),
    }
}

/// What `--mount` reads as this mount.
pub(super) fn mount_text(mount: &Mount) -> String {
    let mut fields = vec![format!("type={}", mount.kind.as_str())];
    let made = [MountKind::Tmpfs, MountKind::Ramfs, MountKind::Devpts].contains(&mount.kind);
    if !mount.source.is_empty() && !made {
        fields.push(format!("src={}", mount.source));
    }
    if !mount.target.is_empty() {
        fields.push(format!("target={}", mount.target));
    }
    let subpath = mount.subpath.iter().map(|path| format!("subpath={path}"));
    fields.extend(subpath);
    for option in &mount.options {
        fields.push(match option.as_str() {
            "bind" => "bind-nonrecursive".to_owned(),
            _ if mount.kind != MountKind::Devpts
                && (option.starts_with("size=") || option.starts_with("mode=")) =>
            {
                format!("tmpfs-{option}")
            }
            option => option.to_owned(),
        });
    }
    let quoted = fields.iter().map(|field| match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    });
    quoted.collect::<Vec<_>>().join(",")
}

/// The fields of a line of RFC 4180: those with commas stand in double quotes.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err("bare \" in a field that is not quoted".to_owned());
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    Ok(fields)
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a field's closing \" is missing")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if rest.is_empty() || rest.starts_with(',') => return Ok((field, rest)),
            None => return Err("text after a field's closing \"".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_path_a_name_or_nothing() {
        let kinds = |text| {
            volume(text).map(|mount| (mount.kind, mount.source, mount.target, mount.options))
        };
        let of = |kind, source: &str, options: &[&str]| {
            let options: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
            Ok((kind, source.to_owned(), "/d".to_owned(), options))
        };
        assert_eq!(kinds("/d"), of(MountKind::Volume, "", &[]));
        assert_eq!(kinds("v:/d/"), of(MountKind::Volume, "v", &[]));
        assert_eq!(
            kinds("./x:/d:ro,z"),
            of(MountKind::Bind, "./x", &["ro", "z"])
        );
        assert_eq!(kinds("/x:/d:O,U"), of(MountKind::Bind, "/x", &["O", "U"]));
        for bad in [
            "",
            "d",
            "a:b:c:d",
            ":/d",
            "v:d",
            "/x:/d:bogus",
            "/x:/d:ro,rw",
            "/x:/d:z,Z",
            "/x:/d:O,ro",
            "/x:/d:O,upperdir=/u",
            "/x:/d:upperdir=/u,workdir=/w",
            "a b:/d",
            "/x:/proc",
            "/x:/",
            "/x:/d:idmap=uids=0-1-10",
            "/x:/d:idmap,idmap=uids=0-1-10;gids=0-1-10",
            "/x:/d:slave,rshared",
            "/x:/d:size=3",
        ] {
            assert!(volume(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn mounts_are_lines_of_fields() {
        let read = mount(r#"type=bind,"src=/a,b""c",dst=/d,readonly,relabel=private,bind-propagation=rshared,bind-nonrecursive"#).unwrap();
        assert_eq!(read.source, "/a,b\"c");
        assert_eq!(read.options, ["ro", "Z", "rshared", "bind"]);
        assert_eq!(mount(&mount_text(&read)).unwrap(), read);
        let read =
            mount("type=tmpfs,target=/t,tmpfs-size=10m,tmpfs-mode=1777,notmpcopyup,chown").unwrap();
        assert_eq!(read.options, ["size=10m", "mode=1777", "notmpcopyup", "U"]);
        assert_eq!(mount(&mount_text(&read)).unwrap(), read);
        for bad in [
            "",
            "type=bind",
            "type=nope,target=/d",
            "type=bind,src=/a,source=/b,dst=/d",
            "type=tmpfs,src=/a,dst=/d",
            "type=bind,src=,dst=/d",
            "type=bind,src=/a,dst=/d,ro,rw",
            "type=bind,src=/a,dst=/d,tmpfs-size=3",
            "type=image,dst=/d",
            "type=glob",
            "type=bind,src=/a,dst=d",
            "type=bind,src=/a,dst=/d,bogus",
            "type=bind,src=/a,dst=/d,ro=maybe",
            "type=volume,src=a b,dst=/d",
            "type=bind,\"src=/a,dst=/d",
            "type=bind,src=/a,dst=/d,volume-driver=x",
            "type=bind,src=/a,dst=/sys/x",
        ] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
    }
}
