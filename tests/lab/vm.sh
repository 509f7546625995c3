#!/usr/bin/env bash
# The lab's full tier: a virtual machine with real systemd, every cgroup controller, reboots and power cuts.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
cache=${UNITBOX_LAB_CACHE:-/var/cache/unitbox-lab}/vm
# What the machine's life hangs on: a process id, or 0 for nobody.
owner=${UNITBOX_LAB_OWNER:-$PPID}
# tcg works everywhere; kvm is much faster where it works.
accel=${UNITBOX_VM_ACCEL:-tcg}
boot_seconds=${UNITBOX_VM_BOOT_SECONDS:-300}
# That many commands can run in one machine at a time.
ports=8

die() {
    echo "vm: $*" >&2
    exit 125
}

usage() {
    cat <<'EOF'
usage: vm.sh VERB ...
  deps                     install what the host needs
  root                     build the cached root of all machines, print its directory
  new NAME                 make a machine with unitbox installed
  boot NAME                start it, wait until its systemd has finished booting
  exec [-i] [-t SECS] NAME CMD...
                           run a command as root in it: output, errors and exit code are the command's
                           (-i: with our standard input; -t: 124 after SECS; 255: the machine went away)
  reboot NAME              reboot from inside, wait for the new boot
  cut NAME                 power cut: what the guest did not sync is lost; boot starts it again
  stop NAME                power it off from inside
  rm NAME                  cut the power and delete it
  list                     machines and their state
A machine is deleted when its owner dies: the caller of `new`, or process UNITBOX_LAB_OWNER (0: nobody).
Environment: UNITBOX_LAB_CACHE, UNITBOX_BIN_DIR (built programs, default target/release of the checkout),
UNITBOX_VM_ACCEL (tcg or kvm), UNITBOX_VM_BOOT_SECONDS.
EOF
}

# shellcheck source=tests/lab/vm-root.sh
. "$here/vm-root.sh"

machine_dir() {
    [[ $1 =~ ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$ ]] || die "use machine name $1: letters, digits, _ . - only"
    echo "$cache/vms/$1"
}

existing() {
    local dir
    dir=$(machine_dir "$1")
    [[ -e $dir/base ]] || die "find machine $1: no such machine"
    echo "$dir"
}

# A process id alone may have been given to another process since; with its start time it is unique until a reboot.
process_stamp() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The second field may hold spaces; the 22nd is the start time, the 20th after the closing parenthesis.
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $1 $stat
    [[ $2 != Z ]] || return 1
    echo "$1 ${21}"
}

# alive FILE: does the process that FILE has the stamp of still run?
alive() {
    local pid start
    read -r pid start 2>/dev/null <"$1" || return 1
    [[ $pid == 0 || $(process_stamp "$pid") == "$pid $start" ]]
}

kill_stamped() {
    local pid start
    alive "$1" || return 0
    read -r pid start <"$1"
    kill -KILL "$pid" 2>/dev/null || true
    while alive "$1"; do sleep 0.05; done
}

# The program at both ends of the serial ports, built once per source.
agent() {
    local program
    program=$cache/agent-$(sha256sum "$here/vm_agent.rs" | cut -c1-16)
    if [[ ! -x $program ]]; then
        mkdir -p "$cache"
        # Static: the guest may have an older C library than the host.
        rustc --edition 2024 -O -C target-feature=+crt-static -o "$program.$$" "$here/vm_agent.rs"
        mv "$program.$$" "$program"
    fi
    echo "$program"
}

vm_new() {
    local name=$1 dir root program
    dir=$(machine_dir "$name")
    collect
    root=$(vm_root)
    program=$(agent)
    mkdir -p "$cache/vms"
    mkdir "$dir" 2>/dev/null || die "make machine $name: it is there already"
    if [[ $owner == 0 ]]; then echo "0 0"; else process_stamp "$owner"; fi >"$dir/owner" ||
        { rm -rf "$dir"; die "make machine $name: its owner, process $owner, is dead"; }
    (
        set -e
        mkdir -m 755 "$dir/files"
        guest_files "$root" "$program" "$dir/files"
        tar -C "$dir/files" --owner=0 --group=0 -cf "$dir/files.tar" .
        rm -rf "$dir/files"
        qemu-img create -q -f qcow2 -F raw -b "$root/base.raw" "$dir/disk.qcow2"
    ) || { rm -rf "$dir"; die "make machine $name"; }
    # Last: a machine without it is not finished.
    echo "${root##*/}" >"$dir/base"
}

# What a machine has beyond the root: unitbox, the busybox root file system of the tests, the command agent.
guest_files() {
    local root=$1 program=$2 files=$3 applet unit box=$3/usr/share/unitbox-lab/busybox
    mkdir -p "$files"/etc/systemd/{system/sysinit.target.wants,journald.conf.d} "$files/usr/libexec"
    if [[ -x $checkout/packaging/install.sh ]]; then
        UNITBOX_BIN_DIR=${UNITBOX_BIN_DIR:-$checkout/target/release} \
            "$checkout/packaging/install.sh" --destdir "$files" --prefix /usr >&2
    fi
    mkdir -p "$box"/{bin,etc,proc,sys,dev,run,tmp}
    chmod 1777 "$box/tmp"
    cp "$root/busybox" "$box/bin/busybox"
    for applet in $("$root/busybox" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$box/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$box/etc/passwd"
    echo 'root:x:0:' >"$box/etc/group"

    # A machine id of its own, else systemd takes the boot for the first one and presets every unit.
    tr -d - </proc/sys/kernel/random/uuid >"$files/etc/machine-id"
    echo lab >"$files/etc/hostname"
    printf '[Journal]\nRateLimitIntervalSec=0\nRateLimitBurst=0\n' >"$files/etc/systemd/journald.conf.d/lab.conf"
    for unit in getty@.service serial-getty@.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-hwdb-update.service; do
        ln -s /dev/null "$files/etc/systemd/system/$unit"
    done
    install -m 755 "$program" "$files/usr/libexec/lab-agent"
    install -m 644 "$here/vm-agent.service" "$files/etc/systemd/system/lab-agent.service"
    ln -s ../lab-agent.service "$files/etc/systemd/system/sysinit.target.wants/lab-agent.service"
}

vm_boot() {
    local name=$1 dir
    dir=$(existing "$name")
    if alive "$dir/qemu"; then die "boot machine $name: it runs"; fi
    setsid --fork "$here/vm.sh" __keep "$name" </dev/null >/dev/null 2>"$dir/keep.log"
    wait_booted "$name" ''
}

# Waits until systemd inside has finished a boot that is not BEFORE; a degraded one is named, not refused.
wait_booted() {
    local name=$1 before=$2 dir state boot deadline=$((SECONDS + boot_seconds))
    dir=$(existing "$name")
    while ((SECONDS < deadline)); do
        if [[ -e $dir/keep.exit ]] || grep -aqs 'Kernel panic\|^lab: ' "$dir/console.log"; then
            tail -n 20 "$dir/keep.log" "$dir/console.log" >&2
            die "boot machine $name: it died"
        fi
        if [[ -S $dir/port.0 ]] && state=$(vm_exec -t 5 "$name" sh -c \
            'cat /proc/sys/kernel/random/boot_id; systemctl is-system-running' 2>/dev/null || [[ $? == 1 ]]); then
            { read -r boot && read -r state; } <<<"$state" || state=
            if [[ $boot != "$before" ]]; then
                case $state in
                running) return ;;
                degraded)
                    echo "vm: machine $name is degraded:" >&2
                    vm_exec -t 60 "$name" systemctl --failed --no-legend --plain >&2
                    return
                    ;;
                esac
            fi
        fi
        sleep 0.2
    done
    tail -n 20 "$dir/console.log" >&2
    die "boot machine $name: not finished after $boot_seconds s"
}

# The process beside each running machine: starts QEMU, ends it with the owner, then deletes the machine.
keep() {
    local name=$1 dir root
    dir=$(existing "$name")
    root=$cache/$(<"$dir/base")
    exec 9>"$dir/keep.lock"
    flock -n 9 || exit 0
    rm -f "$dir"/port.* "$dir/keep.exit"
    local args=(-accel "$accel" -m 2048 -smp 2 -nodefaults -nic none -display none -no-user-config
        -kernel "$root/vmlinuz" -initrd "$root/initrd.img"
        -append "console=ttyS0 quiet mitigations=off audit=0 systemd.show_status=0 random.trust_cpu=1"
        -serial file:console.log
        # Direct I/O, and a cluster map that reaches the disk when the guest flushes: a cut loses what was not synced.
        -drive file=disk.qcow2,if=virtio,format=qcow2,cache=none,discard=unmap
        -drive file=files.tar,if=virtio,format=raw,readonly=on
        -device virtio-serial-pci -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng)
    if [[ $accel == kvm ]]; then args+=(-cpu host); else args+=(-accel tcg,thread=multi -cpu max); fi
    local port
    for ((port = 0; port < ports; port++)); do
        args+=(-chardev "socket,id=port$port,path=port.$port,server=on,wait=off"
            -device "virtserialport,chardev=port$port,name=lab.$port")
    done
    # Relative socket names: an absolute one may be longer than the kernel takes.
    cd "$dir"
    qemu-system-x86_64 "${args[@]}" 9>&- &
    local qemu=$!
    process_stamp "$qemu" >qemu || true
    while kill -0 "$qemu" 2>/dev/null && alive owner; do sleep 1; done
    if ! alive owner; then
        kill -KILL "$qemu" 2>/dev/null || true
        wait "$qemu" || true
        rm -rf "$dir"
        return
    fi
    wait "$qemu" || true
    echo "$?" >keep.exit
}

vm_exec() {
    local input=() limit=() option
    OPTIND=1
    while getopts it: option; do
        case $option in
        i) input=(-i) ;;
        t) limit=(-t "$OPTARG") ;;
        *) die "exec: see vm.sh help" ;;
        esac
    done
    shift $((OPTIND - 1))
    (($# >= 2)) || die "exec: name a machine and a command"
    local dir port lock program
    dir=$(existing "$1")
    shift
    [[ -S $dir/port.0 ]] || die "run a command in machine ${dir##*/}: it does not run"
    program=$(agent)
    while :; do
        for ((port = 0; port < ports; port++)); do
            exec {lock}>"$dir/port.$port.lock"
            if flock -n "$lock"; then
                (cd "$dir" && exec "$program" call "${input[@]}" "${limit[@]}" "port.$port" "$@") || return
                exec {lock}>&-
                return 0
            fi
            exec {lock}>&-
        done
        sleep 0.1
    done
}

vm_reboot() {
    local name=$1 before
    before=$(vm_exec -t 60 "$name" cat /proc/sys/kernel/random/boot_id)
    # It may or may not answer before it goes down.
    vm_exec -t 60 "$name" systemctl reboot || true
    wait_booted "$name" "$before"
}

vm_cut() {
    local dir
    dir=$(existing "$1")
    kill_stamped "$dir/qemu"
    wait_kept "$dir"
}

# Until the process beside the machine has seen its end.
wait_kept() {
    exec 7>"$1/keep.lock"
    flock 7
    exec 7>&-
}

vm_stop() {
    local name=$1 dir deadline=$((SECONDS + 120))
    dir=$(existing "$name")
    alive "$dir/qemu" || return 0
    vm_exec -t 60 "$name" systemctl poweroff || true
    while alive "$dir/qemu"; do
        if ((SECONDS > deadline)); then
            vm_cut "$name"
            die "stop machine $name: it ran on for 120 s; power cut"
        fi
        sleep 0.2
    done
    wait_kept "$dir"
}

vm_rm() {
    local dir
    dir=$(machine_dir "$1")
    [[ -d $dir ]] || return 0
    kill_stamped "$dir/qemu"
    wait_kept "$dir"
    rm -rf "$dir"
}

# Machines whose owner and keeper both died (kill -9 of everything, or a reboot of the host).
collect() {
    local dir
    for dir in "$cache"/vms/*/; do
        [[ -e $dir/owner ]] || continue
        alive "$dir/owner" || vm_rm "$(basename "$dir")"
    done
}

vm_list() {
    local dir state
    for dir in "$cache"/vms/*/; do
        [[ -e $dir/base ]] || continue
        state=off
        if alive "$dir/qemu"; then state=on; fi
        printf '%s\t%s\towner %s\n' "$(basename "$dir")" "$state" "$(cut -d' ' -f1 "$dir/owner")"
    done
}

main() {
    local verb=${1:-help}
    shift || true
    case $verb in
    new | boot | reboot | cut | stop | rm | __keep) (($# == 1)) || die "$verb: name one machine" ;;
    esac
    case $verb in
    deps | root | new | boot | exec | reboot | cut | stop | rm | list) "vm_$verb" "$@" ;;
    __keep) keep "$@" ;;
    help | -h | --help) usage ;;
    *) die "unknown verb $verb: see vm.sh help" ;;
    esac
}

main "$@"
