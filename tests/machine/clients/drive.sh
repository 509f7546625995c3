#!/bin/bash
# drive CLIENT SEED SECONDS NAME...: one of many clients. A line for each thing that it does, in $OUT/CLIENT:
# microseconds before and after, verb, container, code, and what was printed, in one line.
set -u
client=$1 RANDOM=$2 until=$((SECONDS + $3))
shift 3
names=("$@")
# A first process of a PID namespace is deaf to signals until it has its handlers, and may be frozen before.
R='--pid=host --rootfs /usr/share/unitbox-lab/busybox'
format='{{.State}}'
verbs=(create run run start start start stop stop restart kill term pause unpause rm rmf exec exec ps ps inspect)

act() {
    case $1 in
        create) unitbox create --name "$2" $R stamp run ;;
        run) unitbox run -d --name "$2" $R stamp run ;;
        stop | restart) unitbox "$1" -t 4 "$2" ;;
        kill) unitbox kill "$2" ;;
        term) unitbox kill -s TERM "$2" ;;
        rmf) unitbox rm -f -t 4 "$2" ;;
        exec) unitbox exec "$2" true ;;
        ps) unitbox ps -a --filter "name=^$2\$" --format "$format" ;;
        inspect) unitbox inspect --format '{{.State.Status}}' "$2" ;;
        *) unitbox "$1" "$2" ;;
    esac
}
export R format
export -f act

while ((SECONDS < until)); do
    verb=${verbs[RANDOM % ${#verbs[@]}]} name=${names[RANDOM % ${#names[@]}]}
    before=${EPOCHREALTIME/./}
    said=$(timeout -k 5 60 bash -c 'act "$@"' act "$verb" "$name" 2>&1)
    code=$?
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$before" "${EPOCHREALTIME/./}" "$verb" "$name" "$code" "${said//[$'\n\t']/ }"
done >"$OUT/$client"
