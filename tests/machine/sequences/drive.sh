#!/bin/bash
# drive ENGINE NUMBER...: runs the steps of these sequences, and after each step tells code, output, errors and states.
set -u -o pipefail
E=$1
R='--network=none --rootfs /usr/share/unitbox-lab/busybox'
I=docker.io/library/busybox
LOAD="$E load -i /usr/share/unitbox-lab/busybox.tar >/dev/null 2>&1"
shift
for number; do
    P=s$number L="--label seq=$number"
    while IFS= read -r step; do
        echo "\$ $step"
        (eval "$step") >"/opt/seq/$E.$number.out" 2>"/opt/seq/$E.$number.err" </dev/null
        echo "code $?"
        sed 's/^/out /' "/opt/seq/$E.$number.out"
        sed 's/^/err /' "/opt/seq/$E.$number.err"
        "$E" ps -a --format '{{.Names}} {{.State}} {{.ExitCode}}' --filter "name=^${P}[a-z]" | sort | sed 's/^/state /'
    done <"/opt/seq/cases/$number" >"/opt/seq/results/$number.$E"
    ids=$("$E" ps -aq --filter "name=^${P}[a-z]")
    # shellcheck disable=SC2086 # several words
    [[ -z $ids ]] || "$E" rm -f -t 0 $ids >/dev/null 2>&1
done
: "$R" "$L" "$I" "$LOAD"
