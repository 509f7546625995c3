# shellcheck shell=bash
# The host: messages, logs, packages, cgroups.

DEPS=(mmdebstrap debian-archive-keyring systemd-container jq gcc libc6-dev tmux)

say() { printf 'lab: %s\n' "$*" >&2; }

# 125 as in `env` and `unitbox`: the tool failed, not the command that it was to run.
die() {
    say "$*"
    exit 125
}

# quietly LABEL CMD...: the output goes to a log file; a failure shows its tail.
quietly() {
    local label=$1 log
    shift
    mkdir -p "$LAB_CACHE/log"
    log=$LAB_CACHE/log/$label.log
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        die "$label failed; the whole log is $log"
    fi
}

deps_missing() {
    local package
    for package in "${DEPS[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) == installed ]] ||
            printf '%s\n' "$package"
    done
}

deps_install() {
    local apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "$@"
}

deps_ensure() {
    local missing
    command -v dpkg-query >/dev/null || die "the lab needs a Debian host"
    mapfile -t missing < <(deps_missing)
    ((${#missing[@]} == 0)) && return
    say "installing ${missing[*]}"
    quietly deps deps_install "${missing[@]}"
}

# Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified where v1 is mounted beside it.
cgroup_root() {
    local target
    target=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    [[ $target ]] || die "no cgroup2 is mounted on this host"
    printf '%s\n' "$target"
}

# Alive means not a zombie either: an orphan may wait long for the host's PID 1 to reap it.
pid_alive() {
    local stat
    [[ $1 ]] && read -r stat 2>/dev/null <"/proc/$1/stat" && [[ ${stat##*) } != [ZX]* ]]
}

# A process that no other can be mistaken for: its pid and its start time (proc_pid_stat(5), field 22).
pid_token() {
    local stat fields
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    read -ra fields <<<"${stat##*) }"
    printf '%s:%s\n' "$1" "${fields[19]}"
}

token_alive() { pid_alive "${1%%:*}" && [[ $(pid_token "${1%%:*}" || true) == "$1" ]]; }
