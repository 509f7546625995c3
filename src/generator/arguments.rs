//! The command line, which is Quadlet's.

use std::ffi::OsString;
use std::path::PathBuf;

use super::GeneratorError;

/// What the generator is to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Arguments {
    /// For a user's manager.
    pub(super) user: bool,
    /// Print units instead of writing them.
    pub(super) dry_run: bool,
    /// Messages go to standard error.
    pub(super) no_kmsg: bool,
    /// Tell what is made.
    pub(super) verbose: bool,
    /// Tell the version and do nothing.
    pub(super) version: bool,
    /// Where units go.
    pub(super) directory: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, GeneratorError> {
        let mut parsed = Self::default();
        let mut directories = Vec::new();
        for arg in args {
            // Go's flags have one dash or two.
            let flag = arg.to_str().and_then(|arg| {
                let short = arg.strip_prefix('-')?;
                Some(short.strip_prefix('-').unwrap_or(short))
            });
            let Some(flag) = flag else {
                directories.push(PathBuf::from(arg));
                continue;
            };
            let field = match flag {
                "user" => &mut parsed.user,
                "dryrun" | "dry-run" => &mut parsed.dry_run,
                "no-kmsg-log" => &mut parsed.no_kmsg,
                "v" => &mut parsed.verbose,
                "version" => &mut parsed.version,
                _ => return Err(GeneratorError::Flag(arg.to_string_lossy().into_owned())),
            };
            *field = true;
        }
        let count = directories.len();
        parsed.directory = directories.into_iter().next().filter(|_| !parsed.dry_run);
        match count {
            _ if parsed.version => Ok(parsed),
            1 | 3 => Ok(parsed),
            0 if parsed.dry_run => Ok(parsed),
            _ => Err(GeneratorError::Directories(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, GeneratorError> {
        Arguments::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn it_is_called_as_quadlet_is() {
        let normal = Some(PathBuf::from("/n"));
        assert_eq!(parse(&["/n", "/e", "/l"]).unwrap().directory, normal);
        let one = parse(&["--user", "-no-kmsg-log", "-v", "/n"]).unwrap();
        assert!(one.user && one.no_kmsg && one.verbose && !one.dry_run);
        assert_eq!(one.directory, normal);
        assert!(parse(&["-dryrun"]).unwrap().dry_run);
        assert_eq!(parse(&["--dryrun", "/n"]).unwrap().directory, None);
        assert!(parse(&["--version"]).unwrap().version);
    }

    #[test]
    fn any_other_call_is_refused() {
        assert_eq!(parse(&[]), Err(GeneratorError::Directories(0)));
        assert_eq!(parse(&["/n", "/e"]), Err(GeneratorError::Directories(2)));
        let error = parse(&["--what", "/n"]).unwrap_err();
        assert_eq!(error.to_string(), "unknown flag \"--what\"");
    }
}
