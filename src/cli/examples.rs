//! Examples of every verb, for `--help` and unitbox(1).

use clap::Command;

/// Verb, with the verb that it stands behind, and lines that show it.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "container artifact",
        &[
            "unitbox container artifact add web notes.txt ./notes.txt",
            "unitbox container artifact get web notes.txt",
            "unitbox container artifact ls web",
            "unitbox container artifact rm web notes.txt",
        ],
    ),
    (
        "cp",
        &[
            "unitbox cp web:/etc/hosts ./hosts",
            "unitbox cp ./www/. web:/www",
        ],
    ),
    (
        "diff",
        &[
            "unitbox diff web",
            "unitbox diff --format json web",
            "unitbox diff web localhost/web:changed",
        ],
    ),
    ("export", &["unitbox export -o web.tar web"]),
    ("init", &["unitbox init web"]),
    ("mount", &["unitbox mount web", "unitbox mount"]),
    ("unmount", &["unitbox unmount web"]),
    (
        "attach",
        &["unitbox attach web", "unitbox attach --no-stdin --latest"],
    ),
    (
        "completion",
        &["unitbox completion bash >/usr/share/bash-completion/completions/unitbox"],
    ),
    (
        "commit",
        &[
            "unitbox commit --pause web localhost/web:changed",
            "unitbox commit -c 'CMD [\"/bin/httpd\", \"-f\"]' -c 'ENV MODE=test' web web:test",
        ],
    ),
    (
        "import",
        &[
            "unitbox import -c 'CMD [\"/bin/sh\"]' root.tar.gz localhost/root",
            "unitbox import --message 'first files' root.tar localhost/root",
        ],
    ),
    (
        "image diff",
        &[
            "unitbox image diff localhost/web:changed",
            "unitbox image diff localhost/web:changed localhost/web",
        ],
    ),
    (
        "image import",
        &["unitbox image import --arch arm64 root.tar localhost/root:arm"],
    ),
    ("container cleanup", &["unitbox container cleanup web"]),
    (
        "container exists",
        &["unitbox container exists web || unitbox create --name web busybox"],
    ),
    ("container list", &["unitbox container list --all"]),
    (
        "container prune",
        &["unitbox container prune --force --filter until=24h"],
    ),
    (
        "create",
        &["unitbox create --name web -v /srv/www:/www:ro busybox httpd -f -h /www"],
    ),
    (
        "events",
        &[
            "unitbox events --since 1h --stream=false",
            "unitbox events --filter event=died --format json",
        ],
    ),
    (
        "exec",
        &[
            "unitbox exec -it web sh",
            "unitbox exec -u 1000 -w /www web ls -l",
        ],
    ),
    ("healthcheck run", &["unitbox healthcheck run web"]),
    (
        "history",
        &[
            "unitbox history busybox",
            "unitbox history --no-trunc --format '{{.CreatedBy}}' busybox",
        ],
    ),
    ("image exists", &["unitbox image exists busybox"]),
    (
        "generate",
        &[
            "unitbox generate web >/etc/unitbox/web.container && systemctl daemon-reload",
            "podman inspect db | unitbox generate --from-podman - >/etc/unitbox/db.container",
        ],
    ),
    (
        "image inspect",
        &["unitbox image inspect --format '{{.Id}}' busybox"],
    ),
    ("image ls", &["unitbox image ls --noheading localhost/*"]),
    (
        "image mount",
        &["unitbox image mount busybox", "unitbox image mount"],
    ),
    (
        "image prune",
        &["unitbox image prune --all --force --filter until=24h"],
    ),
    (
        "image pull",
        &["unitbox image pull --platform linux/arm64 registry.example/team/web:1"],
    ),
    (
        "image push",
        &["unitbox image push --digestfile digest registry.example/team/web:1"],
    ),
    ("image rm", &["unitbox image rm busybox"]),
    ("image unmount", &["unitbox image unmount --all"]),
    (
        "images",
        &[
            "unitbox images --quiet --no-trunc",
            "unitbox images --filter dangling=true --sort size",
        ],
    ),
    ("info", &["unitbox info --format json"]),
    (
        "install",
        &[
            "unitbox install --dry-run ./units",
            "unitbox install --replace web.container data.volume",
        ],
    ),
    (
        "inspect",
        &[
            "unitbox inspect web",
            "unitbox inspect --format '{{.State.Status}}' web db",
        ],
    ),
    ("kill", &["unitbox kill --signal HUP web"]),
    (
        "load",
        &[
            "unitbox load --input busybox.tar",
            "unitbox load --input ./layout",
        ],
    ),
    (
        "logs",
        &[
            "unitbox logs --follow --tail 10 web",
            "unitbox logs -nt --since 10m web db",
        ],
    ),
    ("pause", &["unitbox pause web"]),
    ("port", &["unitbox port --all"]),
    (
        "ps",
        &[
            "unitbox ps --all --filter status=exited",
            "unitbox ps --format '{{.Names}}: {{.Status}}'",
        ],
    ),
    (
        "pull",
        &[
            "unitbox pull registry.example/team/web:1",
            "unitbox pull --policy newer containers-storage:localhost/built",
        ],
    ),
    (
        "push",
        &[
            "unitbox push localhost/web registry.example/team/web:2",
            "unitbox push --quiet web oci-archive:web.tar",
        ],
    ),
    ("rename", &["unitbox rename web old-web"]),
    ("restart", &["unitbox restart --time 5 web"]),
    (
        "rm",
        &["unitbox rm web", "unitbox rm --force --volumes --all"],
    ),
    ("rmi", &["unitbox rmi busybox", "unitbox rmi --all"]),
    (
        "run",
        &[
            "unitbox run --rm -it busybox sh",
            "unitbox run -d --name web --memory 64m busybox httpd -f",
            "unitbox run --rm --rootfs /srv/tree sh -c 'exit 7'",
        ],
    ),
    (
        "save",
        &[
            "unitbox save -o busybox.tar busybox",
            "unitbox save busybox | ssh host podman load",
            "unitbox save --format oci-dir -o ./busybox busybox",
        ],
    ),
    (
        "secret create",
        &["unitbox secret create db-pass ./password"],
    ),
    ("secret exists", &["unitbox secret exists db-pass"]),
    ("secret inspect", &["unitbox secret inspect db-pass"]),
    ("secret ls", &["unitbox secret ls --quiet"]),
    ("secret rm", &["unitbox secret rm db-pass"]),
    (
        "start",
        &["unitbox start web db", "unitbox start --attach job"],
    ),
    (
        "stats",
        &[
            "unitbox stats --no-stream",
            "unitbox stats --format json --no-stream web",
        ],
    ),
    (
        "stop",
        &["unitbox stop --time 30 web", "unitbox stop --all"],
    ),
    (
        "system prune",
        &["unitbox system prune --force --all --volumes"],
    ),
    (
        "tag",
        &["unitbox tag busybox localhost/tools:1 localhost/tools:latest"],
    ),
    ("top", &["unitbox top web pid user args"]),
    ("unpause", &["unitbox unpause --all"]),
    (
        "untag",
        &[
            "unitbox untag busybox localhost/tools:1",
            "unitbox untag busybox",
        ],
    ),
    (
        "update",
        &[
            "unitbox update --memory 128m --cpus 1.5 web",
            "unitbox update --restart always --health-interval 10s web",
        ],
    ),
    ("verify", &["unitbox verify /etc/containers/systemd"]),
    (
        "version",
        &["unitbox version --format '{{.Client.Version}}'"],
    ),
    (
        "system check",
        &[
            "unitbox system check --quick",
            "unitbox system check --repair --max 0s",
        ],
    ),
    (
        "volume create",
        &[
            "unitbox volume create data",
            "unitbox volume create --label tier=db --opt o=uid=999,gid=999 pgdata",
        ],
    ),
    ("volume exists", &["unitbox volume exists data"]),
    ("volume export", &["unitbox volume export -o data.tar data"]),
    ("volume import", &["unitbox volume import data data.tar"]),
    ("volume inspect", &["unitbox volume inspect data"]),
    (
        "volume ls",
        &[
            "unitbox volume ls --quiet",
            "unitbox volume ls --filter dangling=true --filter label=tier=db",
        ],
    ),
    ("volume mount", &["unitbox volume mount data"]),
    (
        "volume prune",
        &["unitbox volume prune --force --filter until=24h"],
    ),
    ("volume rm", &["unitbox volume rm data"]),
    ("volume unmount", &["unitbox volume unmount data"]),
    (
        "wait",
        &["unitbox wait web", "unitbox wait --condition running web"],
    ),
];

/// Adds the examples to the help of the verbs below a command.
pub(super) fn add(command: Command) -> Command {
    let grammar = command.clone();
    let mut command = command;
    for verb in grammar.get_subcommands() {
        let name = verb.get_name();
        command = command.mut_subcommand(name, |verb| {
            let mut verb = of(name).map_or(verb.clone(), |text| verb.after_help(text));
            for below in verb.clone().get_subcommands().map(Command::get_name) {
                // What may stand behind `container` is shown as it stands alone.
                let text = of(&format!("{name} {below}")).or_else(|| of(below));
                if let Some(text) = text {
                    verb = verb.mut_subcommand(below, |below| below.after_help(text));
                }
            }
            verb
        });
    }
    command
}

fn of(verb: &str) -> Option<String> {
    let (_, lines) = EXAMPLES.iter().find(|(name, _)| *name == verb)?;
    let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
    Some(format!("Examples:\n{}", lines.join("\n")))
}
