//! Sequences of verbs: a table in which every verb meets every state, and what a generator makes up.

use super::{daily, sentences};

/// What is done, step by step; `${P}a` and `${P}b` are containers of this sequence alone.
pub(super) struct Sequence {
    pub(super) name: String,
    pub(super) steps: Vec<String>,
}

pub(super) const RUNS: &str = "$E run -d --name ${P}a $L $R stamp run";
const IGNORES: &str =
    "$E run -d --name ${P}a $L $R sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'";

/// A state, and how a container gets there.
pub(super) const STATES: &[(&str, &[&str])] = &[
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
    "export -o /opt/seq/$E.$P.tar ${P}a",
    "attach ${P}a",
    "attach --sig-proxy=false ${P}a",
    "mount ${P}a >/dev/null",
    "unmount ${P}a",
    "rename ${P}a ${P}c",
    "update ${P}a",
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
    } else if verb.starts_with("attach") {
        // With the proxy on, the payload gets the signal; one that is deaf to it keeps the client.
        format!("timeout -k 1 2 $E {verb} >/dev/null; code=$?; sleep 0.5; (exit $code)")
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
    written(sentences::OTHERS)
}

/// What people type every day.
pub(super) fn daily() -> Vec<Sequence> {
    written(daily::DAILY)
}

fn written(all: &[(&str, &[&str])]) -> Vec<Sequence> {
    let all = all.iter();
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
