# shellcheck shell=bash
# The verbs of the command line, one function each.

verb_deps() {
    DEPS+=("$@")
    deps_ensure
}

verb_root() {
    (($# == 1)) || usage
    root_ensure "$1"
}

verb_boot() {
    local name='' suite=trixie install=1 owner=none
    while (($# > 0)); do
        case $1 in
            --suite) suite=${2-} && shift ;;
            --no-install) install=0 ;;
            --owner) owner=${2-} && shift ;;
            -*) usage ;;
            *) [[ ! $name ]] || usage && name=$1 ;;
        esac
        shift || usage
    done
    machine_check_name "$name"
    [[ $owner == none ]] || owner=$(pid_token "$owner") || die "no process $owner"
    boot "$name" "$suite" "$install" "$owner"
}

# boot NAME SUITE INSTALL OWNER: to `running`, or nothing is left of it.
boot() {
    local name=$1 suite=$2 install=$3 owner=$4 root payload container unitbox=''
    command -v systemd-nspawn >/dev/null || deps_ensure
    gc_machines
    root=$(root_ensure "$suite")
    payload=$(payload_ensure "$root")
    container=$(container_ensure)
    ((install == 0)) || unitbox=$(install_ensure)
    machine_create "$name" "$suite" ${unitbox:+"$unitbox"} "$container" "$payload" "$root"
    trap 'machine_remove '"$name" EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    machine_start "$name"
    machine_await "$name"
    machine_set_owner "$name" "$owner"
    trap - EXIT HUP INT TERM
}

verb_exec() {
    local name=${1-}
    machine_check_name "$name"
    shift
    [[ ${1-} != -- ]] || shift
    (($# > 0)) || usage
    machine_exec "$name" "$@"
}

verb_stop() {
    stop_by "$@"
    machine_remove "${*: -1}"
}

verb_reboot() {
    local name=${*: -1} owner
    stop_by "$@"
    [[ -d $LAB_STATE/$name ]] || die "no lab $name"
    owner=$(<"$LAB_STATE/$name/owner")
    machine_set_owner "$name" "$(pid_token $$)"
    rm -f "$LAB_STATE/$name/leader"
    machine_kill "$name"
    machine_start "$name"
    machine_await "$name"
    machine_set_owner "$name" "$owner"
}

# stop_by [--kill] NAME: an orderly shutdown, unless told otherwise.
stop_by() {
    local orderly=1
    if [[ ${1-} == --kill ]]; then
        orderly=0
        shift
    fi
    (($# == 1)) || usage
    machine_check_name "$1"
    ((orderly == 0)) || machine_poweroff "$1"
}

verb_run() {
    local options=() name=run-$$ pid
    while [[ ${1-} == -* && $1 != -- ]]; do
        case $1 in
            --suite) options+=("$1" "${2-}") && shift ;;
            --no-install) options+=("$1") ;;
            *) usage ;;
        esac
        shift || usage
    done
    [[ ${1-} != -- ]] || shift
    (($# > 0)) || usage
    verb_boot "$name" --owner $$ ${options[@]+"${options[@]}"}
    trap 'verb_stop '"$name" EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # In the background, as a trap runs at once only while the shell is in `wait`.
    machine_exec "$name" "$@" <&0 &
    pid=$!
    wait "$pid" || exit $?
}

verb_ps() {
    local dir name leader
    printf '%-24s %-10s %-9s %s\n' NAME SUITE STATE LEADER
    for dir in "$LAB_STATE"/*/; do
        name=$(basename "$dir")
        leader=$(cat "$dir/leader" 2>/dev/null || echo -)
        printf '%-24s %-10s %-9s %s\n' "$name" "$(cat "$dir/suite")" "$(machine_state "$name")" "${leader%%:*}"
    done
}

verb_gc() {
    gc_machines
    "$LAB_SRC/vm.sh" gc
    cache_gc
}

# Stop what nobody will stop. The lock is on the lab's directory, so that a new lab of the same name is another one, and
# under it the owner does not change.
gc_machines() {
    local dir name
    find "$LAB_STATE" -mindepth 1 -maxdepth 1 -name '.new-*' -mmin +10 -exec rm -rf {} + 2>/dev/null || true
    for dir in "$LAB_STATE"/*/; do
        name=$(basename "$dir")
        (
            flock -n 9 && [[ $dir -ef /dev/fd/9 ]] || exit 0
            case $(machine_state "$name"):$(cat "$dir/owner") in
                orphan:* | dead:none) say "collecting lab $name" && machine_wipe "$name" ;;
            esac
        ) 9<"$dir" || true
    done
}
