//! Sequences of verbs: a table in which every verb meets every state, and what a generator makes up.

/// What is done, step by step; `${P}a` and `${P}b` are containers of this sequence alone.
pub(super) struct Sequence {
    pub(super) name: String,
    pub(super) steps: Vec<String>,
}

const RUNS: &str = "$E run -d --name ${P}a $L $R stamp run";
const IGNORES: &str =
    "$E run -d --name ${P}a $L $R sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'";

/// A state, and how a container gets there.
const STATES: &[(&str, &[&str])] = &[
    ("missing", &[]),
    ("created", &["$E create --name ${P}a $L $R stamp run"]),
    (
        "initialized",
        &["$E create --name ${P}a $L $R stamp run", "$E init ${P}a"],
    ),
    ("running", &[RUNS]),
    ("deaf", &[IGNORES, "sleep 0.3"]),
    ("paused", &[RUNS, "$E pause ${P}a"]),
    (
        "exited",
        &["$E run --name ${P}a $L $R sh -c 'echo out; echo err >&2; exit 3'"],
    ),
    ("stopped", &[RUNS, "$E stop -t 5 ${P}a"]),
    ("killed", &[RUNS, "$E kill ${P}a", "$E wait ${P}a"]),
    (
        "failed",
        &["$E run --name ${P}a $L $R /no/such/program 2>/dev/null"],
    ),
];

/// Every verb, as it is said of one container.
const VERBS: &[&str] = &[
    "init ${P}a",
    "start ${P}a",
    "stop -t 1 ${P}a",
    "stop -t 0 ${P}a",
    "stop -i -t 1 ${P}a",
    "stop -t 1 --filter label=seq=${P#s}",
    "restart -t 1 ${P}a",
    "restart -t 1 --filter label=seq=${P#s}",
    "kill ${P}a",
    "kill -s TERM ${P}a || exit; sleep 0.5",
    "kill -s NOPE ${P}a",
    "pause ${P}a",
    "pause --filter label=seq=${P#s}",
    "unpause ${P}a",
    "unpause --filter label=seq=${P#s}",
    "rm ${P}a",
    "rm -i ${P}a",
    "rm -f -t 0 ${P}a",
    "rm --filter label=seq=${P#s}",
    "port ${P}a",
    "container exists ${P}a",
    "container inspect --format '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.ExitCode}}' ${P}a",
    "inspect --format '{{.Name}} {{.Path}} {{len .Args}} {{.Config.Labels}}' ${P}a",
    "container prune -f --filter label=seq=${P#s}",
    "ps --format '{{.Names}} {{.State}}' --filter name=^${P}a",
    "ps -a --format '{{.Names}} {{.State}} {{.Exited}}' --filter label=seq=${P#s}",
    "ps -a --noheading --filter name=^${P}a | sed 's/Up .*/Up/; s/ago.*/ago/; s/Less than a second/N/; s/[0-9][0-9]* seconds\\?/N/'",
    "stats --no-stream --format '{{.Name}}' ${P}a 2>/dev/null",
    "wait ${P}a",
    "wait --ignore ${P}a",
    "wait --condition running ${P}a",
    "wait --condition exited,stopped ${P}a",
    "wait --condition paused,created ${P}a",
    "logs ${P}a",
    "top ${P}a hpid 2>&1 | wc -l",
    "exec ${P}a true",
    "cp ${P}a:/no/such /opt/seq/$E.$P.none",
    "diff ${P}a",
    "mount ${P}a >/dev/null",
    "unmount ${P}a",
];

/// Sentences that no generator would make.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "rename",
        &[
            "$E create --name ${P}a $R stamp run",
            "$E rename ${P}a ${P}b",
            "$E inspect --format '{{.Name}}' ${P}b",
            "$E start ${P}b",
            "$E rm ${P}a",
            "$E rm ${P}b",
            "$E rm -f -t 0 ${P}b",
        ],
    ),
    ("rename of what is not there", &["$E rename ${P}a ${P}b"]),
    (
        "rename to no name",
        &["$E create --name ${P}a $R true", "$E rename ${P}a 'a b'"],
    ),
    (
        "several of which one is missing",
        &[
            RUNS,
            "$E stop -t 1 ${P}a ${P}b",
            "$E kill ${P}b ${P}a",
            "$E pause ${P}a ${P}b",
            "$E rm -f -t 0 ${P}b ${P}a",
        ],
    ),
    (
        "several of which one is wrong",
        &[
            RUNS,
            "$E create --name ${P}b $R true",
            "$E kill ${P}b ${P}a",
            "$E rm ${P}b",
        ],
    ),
    (
        "names and --all",
        &[
            "$E stop -a ${P}a",
            "$E kill -a ${P}a",
            "$E rm -a ${P}a",
            "$E pause -a ${P}a",
            "$E start --all ${P}a",
        ],
    ),
    (
        "names and --latest",
        &["$E stop -l ${P}a", "$E rm -l ${P}a", "$E stop -a -l"],
    ),
    (
        "no names",
        &[
            "$E start",
            "$E stop",
            "$E kill",
            "$E rm",
            "$E pause",
            "$E unpause",
            "$E restart",
            "$E port",
            "$E inspect",
        ],
    ),
    (
        "filters and names",
        &[
            "$E stop --filter name=x ${P}a",
            "$E rm --filter name=x ${P}a",
            "$E ps --filter x",
            "$E ps --filter x=y",
            "$E ps --filter status=x",
            "$E ps -n 1 -l",
            "$E ps -q -s",
            "$E ps -s --ns",
        ],
    ),
    (
        "files of ids",
        &[
            RUNS,
            "$E inspect --format '{{.Id}}' ${P}a >/opt/seq/$E.$P",
            "$E stop -t 1 --cidfile /opt/seq/$E.$P",
            "$E rm --cidfile /opt/seq/$E.$P",
            "$E rm --cidfile /no/such",
            "$E rm -i --cidfile /no/such",
            "$E stop --cidfile /no/such -a",
        ],
    ),
    (
        "a file of an id is made",
        &[
            "$E create --cidfile /opt/seq/$E.new.$P --name ${P}a $R true >/dev/null",
            "test -s /opt/seq/$E.new.$P",
        ],
    ),
    (
        "replace",
        &[
            RUNS,
            "$E create --replace --name ${P}a $R sh -c 'exit 2'",
            "$E start ${P}a || exit; $E wait ${P}a",
            "$E run --replace --name ${P}a $R sh -c 'exit 4'",
            "$E create --replace $R true",
        ],
    ),
    (
        "a name that is taken",
        &[
            "$E create --name ${P}a $R true",
            "$E create --name ${P}a $R true 2>/dev/null",
        ],
    ),
    (
        "removes itself",
        &[
            "$E run --rm --name ${P}a $R sh -c 'exit 5'",
            "$E run -d --rm --name ${P}a $R stamp run",
            "$E stop -t 5 ${P}a",
        ],
    ),
    (
        "restart of one that removes itself",
        &[
            "$E run -d --rm --name ${P}a $R stamp run",
            "$E restart -t 5 ${P}a",
            "$E stop -t 5 ${P}a",
        ],
    ),
    (
        "created to remove itself",
        &[
            "$E create --rm --name ${P}a $R sh -c 'exit 6'",
            "$E start -a ${P}a; code=$?; sleep 1; exit $code",
        ],
    ),
    (
        "killed and removes itself",
        &[
            "$E run -d --rm --name ${P}a $R stamp run",
            "$E kill ${P}a || exit; sleep 1",
        ],
    ),
    (
        "starts again and again",
        &[
            "$E create --name ${P}a $R sh -c 'exit 7'",
            "$E start -a ${P}a",
            "$E start ${P}a || exit; $E wait ${P}a",
            "$E start -a ${P}a",
            "$E wait ${P}a",
        ],
    ),
    (
        "attached",
        &[
            "$E create --name ${P}a $R sh -c 'echo one; echo two >&2; exit 8'",
            "$E start -a ${P}a",
        ],
    ),
    (
        "made ready, then attached",
        &[
            "$E create --name ${P}a $R sh -c 'echo one; echo two >&2; exit 8'",
            "$E init ${P}a",
            "$E start -a ${P}a",
            "$E init ${P}a",
            "$E inspect --format '{{.State.Status}} {{.State.Running}}' ${P}a",
            "$E start ${P}a || exit; $E wait ${P}a",
        ],
    ),
    (
        "made ready again and again",
        &[
            "$E create --name ${P}a $L $R stamp run",
            "$E init ${P}a",
            "$E stop -t 0 ${P}a",
            "$E init ${P}a",
            "$E kill ${P}a",
            "timeout 5 $E wait --condition initialized ${P}a",
            "$E ps -a --filter status=initialized --filter label=seq=${P#s} --format '{{.Names}} {{.Status}}'",
            "$E start ${P}a",
            "$E init ${P}a",
        ],
    ),
    (
        "made ready and removes itself",
        &[
            "$E create --rm --name ${P}a $R sh -c 'exit 6'",
            "$E init ${P}a",
            "$E start -a ${P}a; code=$?; sleep 1; exit $code",
            "$E create --rm --name ${P}a $R stamp run",
            "$E init ${P}a",
            "$E rm -f -t 0 ${P}a",
        ],
    ),
    (
        "attached with input",
        &[
            "$E create -i --name ${P}a $R cat",
            "echo hello | $E start -a -i ${P}a",
        ],
    ),
    (
        "attaches several",
        &["$E create --name ${P}a $R true", "$E start -a ${P}a ${P}a"],
    ),
    (
        "dependents",
        &[
            "$E create --name ${P}a $L $R stamp run",
            "$E create --name ${P}b $L --requires ${P}a $R stamp run",
            "$E start ${P}b",
            "$E rm -f -t 0 --depend ${P}a | sort",
        ],
    ),
    (
        "all dependents at once",
        &[
            "$E create --name ${P}a $L $R stamp run",
            "$E create --name ${P}b $L --requires ${P}a $R stamp run",
            "$E rm --filter label=seq=${P#s}",
        ],
    ),
    (
        "waits for several",
        &[
            "$E run --name ${P}a $R sh -c 'exit 3'",
            "$E run --name ${P}b $R sh -c 'exit 4'",
            "$E wait ${P}a ${P}b",
            "$E wait ${P}b ${P}c",
            "$E wait --ignore ${P}c ${P}b",
        ],
    ),
    (
        "waits for nonsense",
        &[
            "$E create --name ${P}a $R true",
            "$E wait --condition foo ${P}a",
            "$E wait --interval x ${P}a",
            "$E wait --condition created ${P}a",
        ],
    ),
    (
        "waits for a stop",
        &[
            RUNS,
            "$E wait ${P}a & sleep 0.3; $E stop -t 5 ${P}a >/dev/null; wait",
        ],
    ),
    (
        "waits for a pause",
        &[
            RUNS,
            "$E wait --condition paused ${P}a & sleep 0.3; $E pause ${P}a >/dev/null; wait",
        ],
    ),
    (
        "freezes and thaws",
        &[
            RUNS,
            "$E pause ${P}a",
            "$E pause ${P}a",
            "$E unpause ${P}a",
            "$E unpause ${P}a",
            "$E stop -t 5 ${P}a",
        ],
    ),
    (
        "removes while it stands still",
        &[RUNS, "$E pause ${P}a", "$E rm ${P}a", "$E rm -f -t 0 ${P}a"],
    ),
    (
        "kills while it stands still",
        &[RUNS, "$E pause ${P}a", "$E kill ${P}a || exit; sleep 0.5"],
    ),
    (
        "signals by number and name",
        &[
            RUNS,
            "$E kill -s 0 ${P}a",
            "$E kill -s 99 ${P}a",
            "$E kill -s sigterm ${P}a || exit; sleep 0.5",
        ],
    ),
    (
        "templates that are wrong",
        &[
            RUNS,
            "$E ps --format '{{.Foo}}' --filter name=^${P}a",
            "$E ps --format '{{foo}}'",
            "$E ps --format '{{.Names' 2>/dev/null",
            "$E inspect --format '{{.State.Foo}}' ${P}a",
            "$E inspect --format '{{.Foo}}' ${P}a",
            "$E ps --format '{{if}}x{{end}}'",
            "$E inspect --format '{{index .Args 9}}' ${P}a",
            "$E ps --format '{{len .Pid}}' --filter name=^${P}a",
        ],
    ),
    (
        "templates",
        &[
            RUNS,
            "$E ps --format 'table {{.Names}}\\t{{.State}}' --filter name=^${P}a",
            "$E ps --format '{{range .}}<{{.Names}}>{{end}}' --filter name=^${P}a",
            "$E ps --format '{{.Labels.seq}} {{.Command}} {{.Mounts}}' --filter name=^${P}a",
            "$E inspect --format '{{range .Args}}[{{.}}]{{else}}none{{end}} {{join .Args \",\"}} {{json .Args}} {{upper .Name}} {{printf \"%05d\" .RestartCount}}' ${P}a",
        ],
    ),
    (
        "inspects what is not there",
        &[
            "$E inspect ${P}a",
            "$E container inspect ${P}a",
            "$E inspect --type image ${P}a 2>/dev/null",
            "$E inspect --type foo ${P}a",
        ],
    ),
    (
        "the sorted list",
        &[
            "$E create --name ${P}b $R true",
            "$E create --name ${P}a $R false",
            "$E ps -a --sort names --format '{{.Names}}' --filter name=^${P}[ab]",
            "$E ps -a --sort command --format '{{.Names}}' --filter name=^${P}[ab]",
            "$E ps -a --sort created --format '{{.Names}}' --filter name=^${P}[ab]",
        ],
    ),
];

fn sequence(name: String, steps: impl IntoIterator<Item = String>) -> Sequence {
    Sequence {
        name,
        steps: steps.into_iter().collect(),
    }
}

/// A verb as a step; what may block is ended, and the end of what ends at once is awaited.
fn step(state: &str, verb: &str) -> String {
    let starts = verb.starts_with("start") || verb.starts_with("restart");
    if verb.starts_with("wait") {
        format!("timeout 2 $E {verb}")
    } else if starts && state == "exited" {
        format!("$E {verb} || exit; $E wait ${{P}}a >/dev/null")
    } else {
        format!("$E {verb}")
    }
}

/// The table: every verb in every state.
pub(super) fn table() -> Vec<Sequence> {
    let mut all = Vec::new();
    for (state, steps) in STATES {
        for verb in VERBS {
            let steps = steps.iter().map(|step| (*step).to_owned());
            all.push(sequence(
                format!("{state}: {verb}"),
                steps.chain([step(state, verb)]),
            ));
        }
    }
    all
}

/// What people do that is no cell of the table.
pub(super) fn others() -> Vec<Sequence> {
    let all = OTHERS.iter();
    all.map(|(name, steps)| {
        sequence(
            (*name).to_owned(),
            steps.iter().map(|step| (*step).to_owned()),
        )
    })
    .collect()
}

/// Walks of two containers, made up from a seed.
pub(super) fn walks(count: u64) -> Vec<Sequence> {
    const STEPS: &[&str] = &[
        "create --name ${P}X $L $R stamp run",
        "run -d --name ${P}X $L $R stamp run",
        "run --name ${P}X $L $R sh -c 'exit 3'",
        "start ${P}X || exit; sleep 0.4",
        "stop -t 5 ${P}X",
        "restart -t 5 ${P}X || exit; sleep 0.4",
        "kill ${P}X >/dev/null && timeout 5 $E wait ${P}X",
        "pause ${P}X",
        "unpause ${P}X",
        "rm ${P}X",
        "rm -f -t 0 ${P}X",
        "inspect --format '{{.State.Status}} {{.State.ExitCode}}' ${P}X",
        "start ${P}a ${P}b || exit; sleep 0.4",
        // Podman goes through several in any order.
        "stop -t 5 ${P}a ${P}b | sort",
        "rm -f -t 0 ${P}a ${P}b | sort",
    ];
    let walk = |number: u64| {
        let mut seed = 0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xd134_2543_de82_ef95);
        let mut next = |most: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % most
        };
        let mut still: Vec<&str> = Vec::new();
        let mut steps = Vec::new();
        while steps.len() < 7 {
            let name = ["a", "a", "b"][next(3)];
            // Something must be there to walk with.
            let choice = match steps.is_empty() {
                true => next(3),
                false => next(STEPS.len()),
            };
            let step = STEPS[choice];
            let both = !step.contains('X');
            // What Podman refuses of one that is paused, and we do not.
            if step.starts_with("stop") && (still.contains(&name) || both && !still.is_empty()) {
                continue;
            }
            if step.starts_with("pause") {
                still.push(name);
            } else if ["unpause", "kill", "rm -f"]
                .iter()
                .any(|verb| step.starts_with(verb))
            {
                still.retain(|other| *other != name && !both);
            }
            steps.push(format!(
                "$E {}",
                step.replace("${P}X", &format!("${{P}}{name}"))
            ));
        }
        sequence(format!("walk {number}"), steps)
    };
    (0..count).map(walk).collect()
}
