//! Sentences of several verbs.

use super::cases::RUNS;

/// Sentences that no generator would make.
pub(super) const OTHERS: &[(&str, &[&str])] = &[
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
    (
        "rename of one that runs",
        &[
            RUNS,
            "$E rename ${P}a ${P}b",
            "$E inspect --format '{{.Name}} {{.State.Status}}' ${P}b",
            "$E exec ${P}b true",
            "$E exec ${P}a true",
            "$E rename ${P}b ${P}b 2>/dev/null",
            "$E stop -t 5 ${P}b",
            "$E start ${P}b",
            "$E restart -t 5 ${P}b",
            "$E rename ${P}b ${P}a",
            "$E kill ${P}a || exit; $E wait ${P}a",
            "$E start ${P}a",
            "$E rm -f -t 0 ${P}a",
        ],
    ),
    (
        "rename of one that waits for its start",
        &[
            "$E create --name ${P}a $R stamp run",
            "$E init ${P}a",
            "$E rename ${P}a ${P}b",
            "$E start ${P}b",
            "$E exec ${P}b true",
            "$E stop -t 5 ${P}b",
            "$E start ${P}b",
            "$E rm -f -t 0 ${P}b",
        ],
    ),
    (
        "rename of one that removes itself",
        &[
            "$E run -d --rm --name ${P}a $R stamp run >/dev/null",
            "$E rename ${P}a ${P}b",
            "$E inspect --format '{{.Name}} {{.State.Status}}' ${P}b",
            "$E exec ${P}b true",
            "$E exec ${P}a true",
            "$E restart -t 5 ${P}b",
            "$E rename ${P}b ${P}a",
            "$E stop -t 5 ${P}a",
            "$E container exists ${P}a",
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
            // Podman's own cleanup behind it undoes the next init now and then.
            "$E start -a ${P}a; code=$?; sleep 1; (exit $code)",
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
        "cleans up behind what was meant",
        &[
            RUNS,
            "$E create --name ${P}b $R true",
            "$E run --name ${P}c $R true",
            "$E container cleanup ${P}a ${P}b ${P}c",
            "$E container cleanup",
            "$E container cleanup ${P}d",
            "$E container cleanup -a ${P}a",
            "$E container cleanup -l ${P}a",
            "$E container cleanup -l",
            "$E container cleanup --rm ${P}c",
            "$E container cleanup --rm ${P}a 2>/dev/null",
            "$E container cleanup --rmi ${P}b 2>/dev/null",
        ],
    ),
    (
        "words of a command",
        &[
            "$E create --name ${P}a $R true",
            "$E create --name ${P}b $R true one",
            "$E run --name ${P}c $R /no/such 2>/dev/null",
            "$E inspect --format '{{.Path}} {{.Args}} {{len .Args}}' ${P}a ${P}b ${P}c",
        ],
    ),
    (
        "what a process ends with",
        &[
            RUNS,
            "$E exec ${P}a /no/such 2>/dev/null",
            "$E exec ${P}a nosuch 2>/dev/null",
            "$E exec ${P}a /etc/passwd 2>/dev/null",
            "$E exec -w /no/such ${P}a true 2>/dev/null",
            "$E exec -u nobodyknows ${P}a true 2>/dev/null",
            "$E exec ${P}a sh -c 'kill -9 $$'",
            "$E exec -d ${P}a /no/such 2>/dev/null",
            "$E exec -d ${P}a /etc/passwd 2>/dev/null",
            "exec 3>&- 4>&-; $E exec --preserve-fds 2 ${P}a true",
            "$E exec --preserve-fd 77 ${P}a true",
            "$E pause ${P}a",
            "$E exec ${P}a true",
            "$E exec -d ${P}a true",
        ],
    ),
    (
        "the end of a process that nobody waits for",
        &[
            RUNS,
            "$E exec -d ${P}a sh -c 'sleep 1; exit 8' >/dev/null",
            "$E inspect --format '{{len .ExecIDs}}' ${P}a",
            "sleep 2; $E events --stream=false --since 10s --filter container=${P}a --filter event=exec_died --format '{{.Status}} {{.ContainerExitCode}}'",
            "$E exec -dt ${P}a sh -c 'exit 9' >/dev/null",
            "sleep 1; $E events --stream=false --since 10s --filter container=${P}a --filter event=exec_died --format '{{.Status}} {{.ContainerExitCode}}' | tail -n 1",
        ],
    ),
    (
        "attached to some streams",
        &[
            "echo in | $E run -i --rm -a stdin -a stdout $R sh -c 'echo out; echo err >&2; cat; exit 3'",
            "echo in | $E run -i --rm -a stdin,STDERR $R sh -c 'echo out; echo err >&2; cat'",
            "echo in | $E run -i --rm -a stdin $R sh -c 'echo out; cat >/dev/null; exit 4'",
            "$E run --rm -a stdin $R true",
            "$E run --rm -t -a stdout $R echo terminal | tr -d '\\r'",
            "$E run --rm -a foo $R true",
            "$E run --rm -d -a foo $R true",
            "$E run --rm -a '' $R true",
            "$E run -d -a stdout --name ${P}a $R sh -c 'echo out; echo err >&2' || exit; $E wait ${P}a",
            "$E logs ${P}a",
            "$E create -a stdout --name ${P}b $R sh -c 'echo out; echo err >&2'",
            "$E start -a ${P}b",
        ],
    ),
    (
        "tells who has no client for its output when it has begun",
        &[
            "(sleep 2 | $E run -i -a stdin --name ${P}a $R cat >/opt/seq/$E.$P.id) & sleep 1; wc -c </opt/seq/$E.$P.id; wait",
        ],
    ),
    (
        "descriptors are handed on",
        &[
            "exec 3< <(echo three) 4< <(echo four); $E run --rm --preserve-fds 2 $R sh -c 'cat <&3; cat <&4; cat <&5' 2>/dev/null",
            "exec 3< <(echo three) 5< <(echo five); $E run --rm --preserve-fd 3,5 $R sh -c 'cat <&5; cat <&3'",
            "exec 3< <(echo three); $E run --rm $R sh -c 'cat <&3' 2>/dev/null",
            "exec 3< <(echo three); $E run -d --name ${P}a --preserve-fds 1 $R sh -c 'cat <&3' || exit; $E wait ${P}a",
            "$E logs ${P}a",
            "exec 3>&- 4>&-; $E run --rm --preserve-fds 2 $R true",
            "$E run --rm --preserve-fd 77 $R true",
            "$E run --rm --preserve-fd 2 $R true",
        ],
    ),
    (
        "files of process ids",
        &[
            "$E run -d --name ${P}a --pidfile /opt/seq/$E.$P.p --conmon-pidfile /opt/seq/$E.$P.c $R stamp run",
            "[[ $(cat /opt/seq/$E.$P.p /opt/seq/$E.$P.c) = $($E inspect --format '{{.State.Pid}}{{.State.ConmonPid}}' ${P}a) ]]",
            "$E inspect --format '{{.PidFile}} {{.ConmonPidFile}}' ${P}a",
            "$E restart -t 5 ${P}a",
            "[[ $(cat /opt/seq/$E.$P.p /opt/seq/$E.$P.c) = $($E inspect --format '{{.State.Pid}}{{.State.ConmonPid}}' ${P}a) ]]",
            "$E rm -f -t 0 ${P}a",
            "test -s /opt/seq/$E.$P.p && test -s /opt/seq/$E.$P.c",
            "$E run --rm --pidfile /no/such/file $R true 2>/dev/null",
            "$E run --rm --pidfile /etc $R true 2>/dev/null",
            "$E run --rm --conmon-pidfile /no/such/file $R true 2>/dev/null",
        ],
    ),
    (
        "its image goes with it",
        &[
            "eval $LOAD; $E run --rmi --network=none $I sh -c 'exit 3'",
            "$E image exists $I",
            "eval $LOAD; $E run -d --rmi --network=none --name ${P}a $I true || exit; sleep 2",
            "$E image exists $I",
            "eval $LOAD; $E create --name ${P}b --network=none $I true >/dev/null",
            "$E run --rmi --network=none $I true 2>/dev/null",
            "$E image exists $I",
            "$E rm ${P}b",
            "$E run --rmi --rm=false --network=none $I true",
            "$E run --rmi $R true",
            "$E run --rmi=false --rm --network=none $I true",
            "$E rmi $I >/dev/null",
            "$E create --rmi $R true 2>/dev/null",
            // Of what could not be started Podman removes the image in some runs, as client and cleanup are at it.
            "eval $LOAD; $E run --rmi --network=none $I /no/such 2>/dev/null; code=$?; sleep 2; $E rmi $I >/dev/null 2>&1; exit $code",
        ],
    ),
    (
        "attached with input",
        &[
            "$E create -i --name ${P}a $R cat",
            "echo hello | $E start -a -i ${P}a",
            "echo hello | $E start -a ${P}a",
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
