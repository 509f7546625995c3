# shellcheck shell=bash
# One running lab: its directory $LAB_STATE/NAME, its cgroup unitbox-lab-NAME, its systemd-nspawn.
#
# The directory: suite, layers (of the overlay, topmost first), owner (whose death lets `lab gc` collect it), nspawn and
# leader (pid:starttime), lock, console, disk (upper, work, /var/lib/unitbox and /var/lib/containers). All mounts are in
# a mount namespace of the lab's own, so that they end with its last process, whatever happens.

BOOT_TIMEOUT=90
STOP_TIMEOUT=15

machine_check_name() {
    [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$ ]] || die "not a name for a lab: '$1' (a-z, 0-9 and -, 40 at most)"
}

# machine_create NAME SUITE LAYER...: the directory, complete as soon as it has its name; it belongs to this process.
machine_create() {
    local name=$1 suite=$2 tmp
    shift 2
    mkdir -p "$LAB_STATE"
    tmp=$(mktemp -d "$LAB_STATE/.new-$name.XXXXXX")
    printf '%s\n' "$@" >"$tmp/layers"
    printf '%s\n' "$suite" >"$tmp/suite"
    pid_token $$ >"$tmp/owner"
    mkdir "$tmp/disk" "$tmp/root"
    if ! mv -T "$tmp" "$LAB_STATE/$name" 2>/dev/null; then
        rm -rf "$tmp"
        die "lab $name exists"
    fi
}

# In one step, and under the lock: another lab's collection must read neither half of it nor the owner before, who may
# have ended when it looks for that one.
machine_set_owner() {
    (
        flock 9
        printf '%s\n' "$2" >"$LAB_STATE/$1/owner.new"
        mv "$LAB_STATE/$1/owner.new" "$LAB_STATE/$1/owner"
    ) 9<"$LAB_STATE/$1"
}

# Start systemd-nspawn, which outlives this process and holds none of its descriptors.
machine_start() {
    local name=$1 dir=$LAB_STATE/$1 cgroup
    cgroup=$(cgroup_root)/unitbox-lab-$name
    mkdir -p "$cgroup/sup"
    # Leaf cgroups can be limited only if each level above hands its controllers down.
    sed 's/\(^\| \)\([a-z]\)/\1+\2/g' "$cgroup/cgroup.controllers" >"$cgroup/cgroup.subtree_control" || true
    setsid unshare --mount --propagation slave "$LAB_SRC/nspawn" "$dir" "$cgroup/sup" </dev/null >"$dir/console" 2>&1 &
    disown
    pid_token $! >"$dir/nspawn" || true
}

# The leader is systemd itself, not what systemd-nspawn is before it executes it.
machine_find_leader() {
    local nspawn=$1 child children=()
    read -ra children 2>/dev/null <"/proc/$nspawn/task/$nspawn/children" || true
    for child in ${children[@]+"${children[@]}"}; do
        if grep -qP '^NSpid:\t\d+\t1$' "/proc/$child/status" 2>/dev/null &&
            [[ $(cat "/proc/$child/comm" 2>/dev/null) == systemd && -S /proc/$child/root/run/systemd/private ]]; then
            pid_token "$child"
            return
        fi
    done
    return 1
}

machine_await() {
    local name=$1 dir=$LAB_STATE/$1 nspawn leader state deadline=$((SECONDS + BOOT_TIMEOUT))
    nspawn=$(<"$dir/nspawn")
    until leader=$(machine_find_leader "${nspawn%%:*}"); do
        token_alive "$nspawn" || machine_failed "$name" "systemd-nspawn ended"
        ((SECONDS < deadline)) || machine_failed "$name" "no systemd after $BOOT_TIMEOUT s"
        sleep 0.02
    done
    printf '%s\n' "$leader" >"$dir/leader"
    state=$(timeout "$BOOT_TIMEOUT" "$0" exec "$name" systemctl is-system-running --wait || true)
    [[ $state == running ]] || machine_failed "$name" "systemd says '$state'"
}

machine_failed() {
    local name=$1
    tail -n 20 "$LAB_STATE/$name/console" >&2
    if [[ -f $LAB_STATE/$name/leader ]]; then
        "$0" exec "$name" sh -c 'systemctl --no-pager --failed; systemctl --no-pager list-jobs
            journalctl --no-pager -q -p warning -n 30' >&2 || true
    fi
    die "lab $name did not boot: $2"
}

machine_leader() {
    local leader
    leader=$(cat "$LAB_STATE/$1/leader" 2>/dev/null) || die "no lab $1"
    token_alive "$leader" || die "lab $1 is dead"
    printf '%s\n' "${leader%%:*}"
}

# machine_exec NAME CMD...: becomes the command. It lives in a cgroup of the lab that no unit of it owns; nsenter, which
# is its parent, stays outside of that, so as to be there to reap it when all of the cgroup is killed.
machine_exec() {
    local name=$1 leader
    shift
    leader=$(machine_leader "$name")
    # shellcheck disable=SC2016 # for the shell inside
    exec nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd -- env -i HOME=/root \
        USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /bin/sh -c 'mkdir -p "$0" && echo $$ >"$0/cgroup.procs" && exec "$@"' /sys/fs/cgroup/lab.exec "$@"
}

# starting, running, dead (it ended by itself), orphan (its owner ended)
machine_state() {
    local dir=$LAB_STATE/$1 owner leader
    owner=$(cat "$dir/owner" 2>/dev/null || true)
    leader=$(cat "$dir/leader" 2>/dev/null || true)
    if [[ $owner != none ]] && ! token_alive "$owner"; then
        echo orphan
    elif [[ ! $leader ]]; then
        echo starting
    elif token_alive "$leader"; then
        echo running
    else
        echo dead
    fi
}

machine_poweroff() {
    local dir=$LAB_STATE/$1 nspawn leader deadline=$((SECONDS + STOP_TIMEOUT))
    nspawn=$(cat "$dir/nspawn" 2>/dev/null || true)
    leader=$(cat "$dir/leader" 2>/dev/null || true)
    token_alive "$leader" || return 0
    echo 1 2>/dev/null >"$(cgroup_root)/unitbox-lab-$1/sup/payload/lab.exec/cgroup.kill" || true
    kill -RTMIN+4 "${leader%%:*}" 2>/dev/null || return 0
    while token_alive "$nspawn" && ((SECONDS < deadline)); do
        sleep 0.02
    done
}

# Kill every process, and with them the mounts and namespaces; remove what systemd-nspawn then leaves.
machine_kill() {
    local cgroup
    cgroup=$(cgroup_root)/unitbox-lab-$1
    [[ -d $cgroup ]] || return 0
    echo 1 >"$cgroup/cgroup.kill"
    while grep -q 'populated 1' "$cgroup/cgroup.events" 2>/dev/null; do
        sleep 0.01
    done
    machine_remove_cgroups "unitbox-lab-$1"
    rm -rf "/run/systemd/nspawn/propagate/$1" "/run/systemd/nspawn/unix-export/$1"
    [[ ! -s $LAB_STATE/$1/lock ]] || rm -f "/run/systemd/nspawn/locks/$(<"$LAB_STATE/$1/lock")"
}

# Whatever is left of a lab, in any state. The lock is kept to the end of this process: nobody collects it meanwhile.
machine_remove() {
    local dir=$LAB_STATE/$1
    if [[ -d $dir ]] && { exec 9<"$dir"; } 2>/dev/null; then
        flock 9
    fi
    machine_wipe "$1"
}

machine_wipe() {
    machine_kill "$1"
    rm -rf --one-file-system "${LAB_STATE:?}/$1"
}

# systemd-nspawn makes the same path in a v1 hierarchy `systemd`, where there is one.
machine_remove_cgroups() {
    local mount
    while IFS= read -r mount; do
        [[ ! -d $mount/$1 ]] || find "$mount/$1" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done < <(findmnt -n -t cgroup,cgroup2 -o TARGET)
}
