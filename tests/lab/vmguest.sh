# shellcheck shell=bash
# What a machine has beyond the base: its own disk, unitbox, payloads, settings, the agent that runs commands.

VM_MASKED=(
    getty@.service serial-getty@.service console-getty.service getty.target
    systemd-hwdb-update.service systemd-networkd.service systemd-pstore.service e2scrub_reap.service
    nftables.service podman.service podman.socket podman-auto-update.service podman-restart.service
    podman-clean-transient.service netavark-dhcp-proxy.socket netavark-dhcp-proxy.service
    modprobe@drm.service modprobe@efi_pstore.service
)

# agent_ensure: print a directory with `agent`, the program at both ends of the machine's serial ports.
agent_ensure() {
    cached agent "$(cache_key agent_build <"$LAB_SRC/vm_agent.rs")" agent_build
}

# Static, as the guest may have an older C library than the host.
agent_build() {
    quietly agent rustc --edition 2024 -O -C target-feature=+crt-static -o "$1/agent" "$LAB_SRC/vm_agent.rs"
}

# guest_create NAME OWNER INSTALL PACKAGES KERNEL: the directory, complete as soon as it has its name.
guest_create() {
    local name=$1 owner=$2 install=$3 packages=$4 kernel=$5 base agent payload unitbox='' layers=() dir
    base=$(base_ensure "$packages")
    agent=$(agent_ensure)
    payload=$(payload_ensure "$base")
    ((install == 0)) || unitbox=$(install_ensure)
    layers=("$payload" ${unitbox:+"$unitbox"})
    mkdir -p "$LAB_STATE"
    dir=$(mktemp -d "$LAB_STATE/.new-$name.XXXXXX")
    printf '%s\n' "$owner" >"$dir/owner"
    printf '%s\n' "$kernel" >"$dir/kernel"
    printf '%s\n' "$base" "$agent" "${layers[@]}" >"$dir/layers"
    guest_files "$dir/files" "$agent" "${layers[@]}"
    tar -C "$dir/files" --numeric-owner --owner=0 --group=0 -cf "$dir/files.tar" .
    rm -rf "$dir/files"
    qemu-img create -q -f qcow2 -F raw -b "$base/base.raw" "$dir/disk.qcow2"
    if ! mv -T "$dir" "$LAB_STATE/$name" 2>/dev/null; then
        rm -rf "$dir"
        die "machine $name exists"
    fi
}

# guest_files DIR AGENT LAYER...
guest_files() {
    local dir=$1 agent=$2 layer unit
    shift 2
    mkdir -m 0755 "$dir"
    for layer; do
        cp -a "$layer/." "$dir"
    done
    settings_build "$dir"
    for unit in "${VM_MASKED[@]}"; do
        ln -s /dev/null "$dir/etc/systemd/system/$unit"
    done
    # One of its own: with an empty one systemd takes the boot for the first ever, and presets all units.
    tr -d - </proc/sys/kernel/random/uuid >"$dir/etc/machine-id"
    printf 'lab\n' >"$dir/etc/hostname"
    install -D -m 755 "$agent/agent" "$dir/usr/libexec/lab-agent"
    install -m 644 "$LAB_SRC/lab-agent.service" "$dir/etc/systemd/system/lab-agent.service"
    mkdir -p "$dir/etc/systemd/system/sysinit.target.wants"
    ln -s ../lab-agent.service "$dir/etc/systemd/system/sysinit.target.wants/lab-agent.service"
}
