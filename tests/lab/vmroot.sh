# shellcheck shell=bash
# The base of all virtual machines: a disk with a root, its kernel, an initrd; and QEMU to run it.

VM_SUITE=trixie
VM_DISK_SIZE=8G
# All that stands between the kernel and its root, and the port of the agent, which must not wait for udev.
VM_MODULES=(virtio_pci virtio_blk virtio_console crc32c_generic ext4)
DEPS+=(qemu-utils cpio e2fsprogs xz-utils)

vm_deps() {
    deps_ensure
    # QEMU 7 has a cmpxchg16b bug that panics the guest.
    (($(qemu_version) >= 8)) || quietly qemu qemu_install
    (($(qemu_version) >= 8)) || die "the archive has no QEMU 8 or later for this host"
}

qemu_version() {
    local version
    version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p' || true)
    printf '%s\n' "${version:-0}"
}

# From the backports of the host's own mirror where the release is too old. The source list is of this one call: the
# host's apt configuration stays as it is.
qemu_install() {
    local host work apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    host=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    work=$(mktemp -d)
    if [[ $host == bookworm ]]; then
        mkdir -p "$work/lists/partial"
        { root_sources bookworm && root_sources bookworm | sed -n 's/ bookworm main$/ bookworm-backports main/p'; } \
            >"$work/sources.list"
        apt+=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/lists"
            -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -t bookworm-backports)
    fi
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends \
        qemu-system-x86 qemu-system-data seabios
    rm -rf "$work"
}

# base_ensure [PACKAGES]: print a directory with base.raw, vmlinuz, initrd.img, and usr/bin/busybox for payload_ensure.
# PACKAGES: names with commas of what is wanted besides.
base_ensure() {
    local packages key
    packages=$(root_packages "$VM_SUITE" packages-vm)${1:+,$1}
    key=$({ cat "$LAB_SRC/vm-init" && printf '%s\n' "$VM_SUITE $VM_DISK_SIZE ${VM_MODULES[*]} $packages"; } |
        cache_key root_build root_settle base_build base_selinux initrd_build initrd_modules)
    cached vm "$key" base_build "$packages"
}

# INITRD=No: our own initrd boots in a fraction of the time of Debian's.
base_build() {
    local dir=$1 tree=$1/tree
    mkdir -m 0755 "$tree"
    INITRD=No root_build "$tree" "$VM_SUITE" "$2"
    install -D "$tree/usr/bin/busybox" "$dir/usr/bin/busybox"
    cp "$tree"/boot/vmlinuz-* "$dir/vmlinuz"
    initrd_build "$dir" "$tree"
    rm -rf "${tree:?}"/boot/* "$tree"/vmlinuz* "$tree"/initrd.img*
    base_selinux "$tree"
    truncate -s "$VM_DISK_SIZE" "$dir/base.raw"
    quietly mke2fs mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$dir/base.raw"
    chmod 0444 "$dir/base.raw"
    rm -rf --one-file-system "$tree"
}

# A root with a policy is labelled here: in the machine that would take minutes, and before it systemd is nobody.
base_selinux() {
    local tree=$1
    [[ -d $tree/etc/selinux/default ]] || return 0
    printf 'SELINUX=permissive\nSELINUXTYPE=default\n' >"$tree/etc/selinux/config"
    quietly labels chroot "$tree" setfiles -F /etc/selinux/default/contexts/files/file_contexts /
}

initrd_build() {
    local dir=$1 tree=$2 initrd=$1/initrd
    mkdir -p "$initrd"/{bin,dev,proc,sys,sysroot,modules}
    cp "$dir/usr/bin/busybox" "$initrd/bin/busybox"
    install -m 755 "$LAB_SRC/vm-init" "$initrd/init"
    initrd_modules "$initrd/modules" "$(echo "$tree"/usr/lib/modules/*)"
    (cd "$initrd" && find . | cpio --quiet -o -H newc -R 0:0) >"$dir/initrd.img"
    rm -rf "$initrd"
}

# initrd_modules TO FROM: unpacked here, as xz in an emulated processor costs seconds, and in the order of loading.
initrd_modules() {
    local to=$1 from=$2 name line file
    for name in "${VM_MODULES[@]}"; do
        if grep -q "/$name\.ko" "$from/modules.builtin"; then
            continue
        fi
        line=$(grep "/$name\.ko[.a-z]*:" "$from/modules.dep") || die "no kernel module $name in $from"
        # modules.dep names a module, then all that it needs, the deepest last.
        for file in $(tr ' ' '\n' <<<"${line/:/}" | tac); do
            name=$(basename "${file%.xz}")
            [[ ! -e $to/$name ]] || continue
            case $file in
                *.xz) xz -dc "$from/$file" >"$to/$name" ;;
                *) cp "$from/$file" "$to/$name" ;;
            esac
            printf '%s\n' "$name" >>"$to/order"
        done
    done
}
