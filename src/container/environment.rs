//! What the caller's environment and files give to a container that is made: from then on it is part of the definition.

use std::fs;
use std::io;

use super::ContainerError;
use crate::definition::Options;
use crate::plan::conf::Conf;

/// Variables of a proxy, which also have forms in upper case.
const PROXY: [&str; 4] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"];

/// The caller's variables, those that are not UTF-8 left out.
pub fn of_caller() -> Vec<(String, String)> {
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// An assignment as it is; a name alone has the caller's value, or nothing comes of it; `PREFIX*` is all that begin so.
pub fn expand(word: &str, caller: &[(String, String)]) -> Vec<String> {
    if word.is_empty() {
        return Vec::new();
    }
    if word.contains('=') {
        return vec![word.to_owned()];
    }
    let word = word.trim_start_matches([' ', '\t']);
    let taken = caller
        .iter()
        .filter(|(name, _)| match word.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == word,
        });
    taken
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Reads the files that the options name and takes what they want of the caller's environment.
///
/// # Errors
/// A file cannot be read, or a line of it is no assignment.
pub fn resolve(
    options: &mut Options,
    conf: &Conf,
    caller: &[(String, String)],
) -> Result<(), ContainerError> {
    let mut env = Vec::new();
    for path in std::mem::take(&mut options.process.env_files) {
        for line in lines(&path)? {
            for assignment in expand(&line, caller) {
                env.push(split(&path, &assignment)?);
            }
        }
    }
    env.append(&mut options.env);
    options.env = env;
    for path in std::mem::take(&mut options.process.label_files) {
        for line in lines(&path)? {
            let (key, value) = split(&path, &line)?;
            options.labels.entry(key).or_insert(value);
        }
    }
    let process = &mut options.process;
    let containers = &conf.containers;
    let all = process.env_host.or(containers.env_host) == Some(true);
    let proxies = process.http_proxy.or(containers.http_proxy) != Some(false);
    let wanted = |name: &str| {
        let is = |proxy: &&str| *proxy == name || proxy.to_ascii_uppercase() == name;
        all || proxies && PROXY.iter().any(is)
    };
    process.host_env = caller
        .iter()
        .filter(|(name, _)| wanted(name))
        .cloned()
        .collect();
    Ok(())
}

/// The lines of a file that say something.
fn lines(path: &str) -> Result<Vec<String>, ContainerError> {
    let text = fs::read_to_string(path).map_err(ContainerError::io("read", path))?;
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches([' ', '\t']));
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

fn split(path: &str, line: &str) -> Result<(String, String), ContainerError> {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    if name.is_empty() || line.contains('\0') {
        let short: String = line.chars().take(120).collect();
        let reason = io::Error::other(format!("{short:?} is not NAME=VALUE"));
        return Err(ContainerError::io("read", path)(reason));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn resolved(mut options: Options, conf: &str) -> Options {
        let caller = [pair("X1", "1"), pair("X2", "2"), pair("HTTP_PROXY", "p")];
        let conf = Conf::parse(conf, "x").unwrap();
        resolve(&mut options, &conf, &caller).unwrap();
        options
    }

    #[test]
    fn the_callers_variables_come_by_name_and_by_prefix() {
        let caller = [pair("X1", "1"), pair("X2", "2"), pair("Y", "=")];
        assert_eq!(expand("X*", &caller), ["X1=1", "X2=2"]);
        assert_eq!(expand("Y", &caller), ["Y=="]);
        assert_eq!(expand("Z", &caller), [""; 0]);
        assert_eq!(expand("", &caller), [""; 0]);
        assert_eq!(expand("Z=*", &caller), ["Z=*"]);
    }

    #[test]
    fn options_win_over_containers_conf() {
        let names = |options: Options| -> Vec<String> {
            let taken = options.process.host_env.into_iter();
            taken.map(|(name, _)| name).collect()
        };
        assert_eq!(names(resolved(Options::default(), "")), ["HTTP_PROXY"]);
        let off = "[containers]\nhttp_proxy=false";
        assert_eq!(names(resolved(Options::default(), off)), [""; 0]);
        let mut on = Options::default();
        on.process.http_proxy = Some(true);
        assert_eq!(names(resolved(on, off)), ["HTTP_PROXY"]);
        let all = "[containers]\nenv_host=true";
        assert_eq!(names(resolved(Options::default(), all)).len(), 3);
    }

    #[test]
    fn files_are_read_as_podman_does() {
        let path = std::env::temp_dir().join(format!("unitbox-env-{}", std::process::id()));
        let file = path.display().to_string();
        fs::write(&path, "# c\n  A=1\nB=2 \n\nX1\nX9\nD=\"q\"\n").unwrap();
        let mut options = Options::default();
        options.process.env_files = vec![file.clone()];
        options.env = vec![pair("A", "3")];
        let resolved = resolved(options, "");
        let expected = [
            ("A", "1"),
            ("B", "2 "),
            ("X1", "1"),
            ("D", "\"q\""),
            ("A", "3"),
        ];
        let expected: Vec<_> = expected.map(|(name, value)| pair(name, value)).into();
        assert_eq!(resolved.env, expected);
        assert!(resolved.process.env_files.is_empty());

        fs::write(&path, "a=b=c\nk\n").unwrap();
        let mut options = Options::default();
        options.process.label_files = vec![file.clone()];
        options.labels.insert("k".to_owned(), "own".to_owned());
        resolve(&mut options, &Conf::default(), &[]).unwrap();
        assert_eq!(options.labels["a"], "b=c");
        assert_eq!(options.labels["k"], "own");

        fs::write(&path, "=z\n").unwrap();
        let mut options = Options::default();
        options.process.env_files = vec![file.clone()];
        let error = resolve(&mut options, &Conf::default(), &[]).unwrap_err();
        assert!(error.to_string().contains(&file), "{error}");
        fs::remove_file(path).unwrap();
    }
}
