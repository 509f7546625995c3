# shellcheck shell=bash
# One virtual machine: its directory $LAB_STATE/NAME, its QEMU, and the keeper beside that.
#
# The directory: layers, owner (pid:starttime or none), kernel (more arguments for it), disk.qcow2, files.tar (unpacked
# onto the disk in the first boot), qemu (pid:starttime), port.N (sockets to the agent), port.N.lock, on (locked as long
# as the keeper lives), ended (QEMU's exit code), console, keeper (messages of QEMU).

# So many commands can run in one machine at a time.
VM_PORTS=8

vm_is_on() { token_alive "$(cat "$1/qemu" 2>/dev/null || true)"; }

vm_boot() {
    local dir=$LAB_STATE/$1
    ! vm_is_on "$dir" || die "machine $1 is on"
    vm_kill "$dir"
    rm -f "$dir"/{ended,qemu} "$dir"/port.*
    setsid --fork "$LAB_SRC/vm.sh" __keep "$1" </dev/null >"$dir/keeper" 2>&1
    vm_await "$1" ''
}

# vm_keep NAME: QEMU for as long as it and the owner live. If the owner ends first, everything is removed.
vm_keep() {
    local dir=$LAB_STATE/$1 owner pid code=0
    owner=$(<"$dir/owner")
    # Short names of sockets, whatever the length of the directory's.
    cd "$dir" || return
    exec 9>on
    flock -n 9 || die "machine $1 has a keeper"
    vm_qemu 9>&- &
    pid=$!
    pid_token "$pid" >qemu || true
    while pid_alive "$pid"; do
        if [[ $owner != none ]] && ! token_alive "$owner"; then
            kill -KILL "$pid" 2>/dev/null || true
            wait "$pid" || true
            rm -rf --one-file-system "$dir"
            return
        fi
        sleep 0.5
    done
    wait "$pid" || code=$?
    printf '%s\n' "$code" >ended
}

# Becomes QEMU.
vm_qemu() {
    local base port
    base=$(head -n 1 layers)
    # Direct I/O, and a cluster map that reaches the disk when the guest flushes: a cut loses what was not synced.
    # shellcheck disable=SC2054 # QEMU's own commas
    local args=(-accel tcg,thread=multi -cpu max -m 2048 -smp 2 -nodefaults -no-user-config -nic none -display none
        -kernel "$base/vmlinuz" -initrd "$base/initrd.img" -serial file:console
        -append 'console=ttyS0 quiet mitigations=off audit=0 systemd.show_status=0'" $(<kernel)"
        -drive file=disk.qcow2,if=virtio,format=qcow2,cache=none
        -drive file=files.tar,if=virtio,format=raw,readonly=on
        -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng -device virtio-serial-pci)
    for ((port = 0; port < VM_PORTS; port++)); do
        args+=(-chardev "socket,id=port$port,path=port.$port,server=on,wait=off"
            -device "virtserialport,chardev=port$port,name=lab.$port")
    done
    exec qemu-system-x86_64 "${args[@]}"
}

# vm_await NAME BOOT: until systemd has finished a boot with another id than BOOT.
vm_await() {
    local name=$1 before=$2 dir=$LAB_STATE/$1 boot state deadline=$((SECONDS + VM_BOOT_TIMEOUT))
    while ((SECONDS < deadline)); do
        [[ ! -e $dir/ended ]] || vm_failed "$name" 'it went off'
        ! grep -aqs 'Kernel panic\|^lab: ' "$dir/console" || vm_failed "$name" 'the kernel or its init gave up'
        # is-system-running exits 1 unless all is well, so its words are asked, not its code.
        { read -r boot && read -r state; } < <(vm_call "$name" -t 10 sh -c \
            'cat /proc/sys/kernel/random/boot_id; systemctl is-system-running' 2>/dev/null) || boot='' state=''
        if [[ $boot && $boot != "$before" ]]; then
            case $state in
                running) return ;;
                degraded)
                    say "machine $name is degraded"
                    (vm_call "$name" -t 60 systemctl --failed --no-legend --plain >&2)
                    return
                    ;;
            esac
        fi
        sleep 0.2
    done
    vm_failed "$name" "no end of the boot in $VM_BOOT_TIMEOUT s"
}

vm_failed() {
    local dir=$LAB_STATE/$1
    tail -n 20 "$dir/keeper" "$dir/console" >&2 || true
    die "machine $1 did not boot: $2"
}

# vm_call NAME [-i] [-t SECONDS] CMD...: by the first port that no other caller uses. Becomes the agent, so that who
# kills the caller ends the command; the port's lock ends with it.
vm_call() {
    local dir=$LAB_STATE/$1 agent port lock
    shift
    agent=$(sed -n 2p "$dir/layers")/agent
    vm_is_on "$dir" || die "machine $(basename "$dir") is off"
    cd "$dir" || return
    while :; do
        for ((port = 0; port < VM_PORTS; port++)); do
            exec {lock}>"port.$port.lock"
            ! flock -n "$lock" || exec "$agent" call "port.$port" "$@"
            exec {lock}>&-
        done
        sleep 0.1
    done
}

vm_cut() { vm_kill "$LAB_STATE/$1"; }

# vm_kill DIR: until QEMU and its keeper are gone, though the keeper may be about to start QEMU.
vm_kill() {
    local dir=$1 token lock
    exec {lock}>>"$dir/on"
    until flock -n "$lock"; do
        token=$(cat "$dir/qemu" 2>/dev/null || true)
        ! token_alive "$token" || kill -KILL "${token%%:*}" 2>/dev/null || true
        sleep 0.05
    done
    exec {lock}>&-
}

vm_poweroff() {
    local dir=$LAB_STATE/$1 deadline=$((SECONDS + 120))
    vm_is_on "$dir" || return 0
    (vm_call "$1" -t 60 systemctl poweroff) || true
    while vm_is_on "$dir"; do
        if ((SECONDS > deadline)); then
            vm_kill "$dir"
            die "machine $1 was not off after 120 s: power cut"
        fi
        sleep 0.1
    done
    vm_kill "$dir"
}

vm_remove() {
    local dir=$LAB_STATE/$1
    [[ -d $dir ]] || return 0
    vm_kill "$dir"
    rm -rf --one-file-system "$dir"
}

# What no keeper removes: machines that were off when the owner ended, or whose keeper was killed too.
vm_collect() {
    local dir owner
    find "$LAB_STATE" -mindepth 1 -maxdepth 1 -name '.new-*' -mmin +10 -exec rm -rf {} + 2>/dev/null || true
    for dir in "$LAB_STATE"/*/; do
        owner=$(cat "$dir/owner" 2>/dev/null || true)
        if [[ $owner && $owner != none ]] && ! token_alive "$owner"; then
            say "collecting machine $(basename "$dir")"
            vm_remove "$(basename "$dir")"
        fi
    done
}
