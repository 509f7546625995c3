//! The grammar of `volume` and `secret`.

use clap::{Arg, ArgAction, Command};

use super::args::{output_file, switch};
use super::{inspect, ps};

pub(super) fn verbs() -> Vec<Command> {
    vec![volume(), secret()]
}

fn name(what: &'static str) -> Arg {
    Arg::new("name").value_name(what)
}

fn names(what: &'static str) -> Arg {
    Arg::new("names").value_name(what).num_args(1..)
}

fn list(about: &'static str, quiet: &'static str) -> Command {
    Command::new("ls")
        .about(about)
        .arg(switch("quiet", Some('q'), quiet))
        .arg(ps::template())
}

fn volume() -> Command {
    Command::new("volume")
        .about("Verbs on volumes")
        .subcommand_required(true)
        .subcommands([
            Command::new("create")
                .about("Make a volume")
                .arg(
                    Arg::new("driver")
                        .long("driver")
                        .short('d')
                        .value_name("DRIVER")
                        .default_value("local")
                        .help("local, which is all there is"),
                )
                .arg(switch("ignore", None, "One that is there is no error"))
                .arg(label())
                .arg(
                    Arg::new("opt")
                        .long("opt")
                        .short('o')
                        .value_name("KEY[=VALUE]")
                        .action(ArgAction::Append)
                        .help("o=uid=UID,gid=GID (the owner), copy, nocopy, noquota"),
                )
                .arg(name("NAME")),
            list("List volumes", "Names only")
                .visible_alias("list")
                .arg(volume_filter().short('f'))
                .arg(switch(
                    "noheading",
                    Some('n'),
                    "Leave the heading of the table out",
                )),
            Command::new("export")
                .about("Write the files of a volume as an archive")
                .arg(output_file(
                    "A file instead of standard output, which must be no terminal",
                ))
                .arg(name("VOLUME").required(true)),
            Command::new("import")
                .about("Put the files of an archive, - is standard input, into a volume")
                .arg(name("VOLUME").required(true))
                .arg(Arg::new("source").value_name("FILE|-").required(true)),
            Command::new("mount")
                .about("Tell where the files of a volume are")
                .arg(name("VOLUME").required(true)),
            Command::new("unmount")
                .about("For compatibility: nothing is mounted on a volume")
                .arg(name("VOLUME").required(true)),
            Command::new("inspect")
                .about("Show volumes as JSON")
                .arg(inspect::format())
                .arg(names("VOLUME").required(true)),
            Command::new("rm")
                .about("Remove volumes")
                .arg(switch("force", Some('f'), "Also their containers"))
                .arg(names("VOLUME").required(true)),
            Command::new("exists")
                .about("End with 0 if the volume is there, else with 1")
                .arg(name("VOLUME").required(true)),
            Command::new("prune")
                .about("Remove the volumes that no container has")
                .arg(volume_filter())
                .arg(switch("force", Some('f'), "Do not ask")),
        ])
}

fn label() -> Arg {
    Arg::new("label")
        .long("label")
        .short('l')
        .value_name("KEY[=VALUE]")
        .action(ArgAction::Append)
        .help("Add a label")
}

fn volume_filter() -> Arg {
    ps::filter()
        .short(None)
        .help("Only volumes for which this holds")
}

fn secret() -> Command {
    Command::new("secret")
        .about("Verbs on secrets")
        .subcommand_required(true)
        .subcommands([
            Command::new("create")
                .about("Keep the contents of a file, - is standard input, as a secret")
                .arg(switch("env", None, "The contents are those of a variable"))
                .arg(switch("replace", None, "Replace a secret of this name"))
                .arg(label())
                .arg(name("NAME").required(true))
                .arg(Arg::new("file").value_name("FILE|-").required(true)),
            list("List secrets", "Ids only"),
            Command::new("inspect")
                .about("Show secrets as JSON")
                .arg(inspect::format())
                .arg(switch("showsecret", None, "With their contents"))
                .arg(names("SECRET").required(true)),
            Command::new("rm")
                .about("Remove secrets")
                .arg(switch("all", Some('a'), "All of them").conflicts_with("names"))
                .arg(switch(
                    "ignore",
                    Some('i'),
                    "One that is not there is no error",
                ))
                .arg(names("SECRET").required_unless_present("all")),
            Command::new("exists")
                .about("End with 0 if the secret is there, else with 1")
                .arg(name("SECRET").required(true)),
        ])
}
