//! `alias podman=unitbox`: lines as people type them every day.

/// Lines with a container of their own each, and lines on one that runs.
pub(super) const DAILY: &[(&str, &[&str])] = &[
    (
        "short runs",
        &[
            "$E run --rm $R echo hello",
            "echo text | $E run --rm -i $R cat",
            "B=2 $E run --rm -e A=1 -e B -e C $R env | grep '^[ABC]=' | sort",
            "$E run --rm -w /tmp $R pwd",
            "$E run --rm -u 1000:1000 $R id -u",
            "$E run --rm -v /opt/seq/drive:/data:ro $R sh -c 'wc -l </data; echo >/data'",
            "$E run --rm --entrypoint /bin/echo $R hi",
            "$E run --rm --read-only $R touch /x",
            "$E run --rm --tmpfs /scratch $R sh -c 'echo a >/scratch/f && cat /scratch/f'",
            "$E run --rm --hostname box $R hostname",
            "$E run --rm --cap-drop all $R grep CapEff /proc/self/status",
            "$E run --rm $R false",
            "$E run --rm $R no-such-program 2>/dev/null",
            "$E run --rm $R /etc 2>/dev/null",
            "$E run --rm $R sh -c 'echo out; echo err >&2; kill -9 $$'",
        ],
    ),
    (
        "a service",
        &[
            "$E run -d --name ${P}a --label app=web $L $R sh -c 'trap exit TERM; echo up; while :; do sleep 0.1; done' | wc -l",
            "sleep 0.5; $E ps -q --filter name=^${P}a | wc -l",
            "$E ps --filter label=app=web --filter name=^${P} --format '{{.Names}} {{.State}}'",
            "$E container ls -a -q --filter name=^${P} | wc -l",
            "$E exec ${P}a sh -c 'echo one; exit 4'",
            "$E exec -e X=1 -w /tmp ${P}a sh -c 'echo $X $PWD'",
            "echo in | $E exec -i ${P}a cat",
            "$E exec -u 1000 ${P}a id -u",
            "$E cp /opt/seq/drive ${P}a:/tmp/$P.$E && $E exec ${P}a head -n 1 /tmp/$P.$E",
            "$E cp ${P}a:/etc/passwd - | tar -t",
            "$E cp ${P}a:/etc/passwd /opt/seq/$P.$E && wc -l </opt/seq/$P.$E",
            "$E logs --tail 1 ${P}a",
            "$E logs -n --since 1h ${P}a",
            "$E inspect -f '{{.State.Running}} {{.Config.Labels.app}}' ${P}a",
            "$E stats --no-stream --format '{{.Name}}' ${P}a 2>/dev/null",
            "$E pause ${P}a && $E unpause ${P}a",
            "$E restart -t 3 ${P}a && $E stop -t 3 ${P}a && $E start ${P}a",
            "$E rm ${P}a",
            "$E rm -f -t 1 ${P}a",
        ],
    ),
    (
        "a job",
        &[
            "$E run --name ${P}j $L $R sh -c 'echo done; exit 3'",
            "$E wait ${P}j",
            "$E start -a ${P}j",
            "$E ps -a --filter name=^${P}j --format '{{.Names}}\\t{{.ExitCode}}'",
            "$E export -o /opt/seq/$E.$P.tar ${P}j && [ -f /opt/seq/$E.$P.tar ]",
            "$E rename ${P}j ${P}k && $E container exists ${P}k",
            "$E container prune -f --filter label=seq=${P#s} | wc -l",
        ],
    ),
    (
        "volumes",
        &[
            "$E volume create ${P}v",
            "$E run --rm -v ${P}v:/d $R sh -c 'echo x >/d/f'",
            "$E run --rm -v ${P}v:/d $R cat /d/f",
            "$E volume ls -q | grep ^${P}v",
            "$E volume rm ${P}v",
            "$E volume exists ${P}v",
        ],
    ),
    // Colour is for who asks for it, and nothing that moves is written into a pipe.
    (
        "colour",
        &[
            "$E run --name ${P}a $L $R sh -c 'echo out'",
            "$E run --name ${P}b $L $R sh -c 'echo out'",
            // Podman reads several in any order.
            "$E logs -n ${P}a ${P}b | sort | od -c",
            "$E logs --color ${P}a | od -c",
            "$E logs --color -n ${P}a ${P}b | sort | od -c",
            "script -qc \"$E logs ${P}a\" /dev/null | od -c",
            "script -qc \"$E logs --color ${P}a\" /dev/null | od -c",
            "for verb in 'ps -a' 'images' 'volume ls' \"logs ${P}a\" \"inspect ${P}a\" \"stats --no-stream\" 'info'; do $E $verb 2>&1 | grep -c $'\\033'; done",
            "script -qc \"$E ps -a --filter name=^${P}\" /dev/null | grep -c $'\\033'",
        ],
    ),
];
