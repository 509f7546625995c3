# shellcheck shell=bash
# Sourced by vm.sh: what the host needs, and the cached root (base disk, kernel, initrd) all machines share.

guest_suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archive the host itself uses, so that mirrors and proxies are the administrator's choice, not ours.
archive_uri() {
    local label=$1 uri
    uri=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$label|//p" | head -n 1)
    [[ -n $uri ]] || die "find the $label archive in the host's apt sources: none (run apt-get update)"
    echo "$uri"
}

qemu_version() { qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p'; }

vm_deps() {
    local -A package=([mmdebstrap]=mmdebstrap [qemu-img]=qemu-utils [busybox]=busybox-static [cpio]=cpio
        [xz]=xz-utils [mke2fs]=e2fsprogs [tail]=coreutils [flock]=util-linux)
    local tool missing=()
    for tool in "${!package[@]}"; do
        command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
    done
    [[ -e $keyring ]] || missing+=(debian-archive-keyring)
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    if ((${#missing[@]})) || [[ -z $(qemu_version) ]]; then
        "${apt[@]}" update >&2
    fi
    if ((${#missing[@]})); then
        "${apt[@]}" install --no-install-recommends "${missing[@]}" >&2
    fi
    # QEMU 7 has a cmpxchg16b bug that panics the guest.
    if [[ $(qemu_version) -lt 8 ]]; then
        install_qemu
    fi
}

install_qemu() {
    # shellcheck source=/dev/null
    local suite work apt
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    if [[ $suite == bookworm ]]; then
        # A source list of this one call: the host's own apt configuration stays as it is.
        work=$(mktemp -d)
        mkdir -p "$work/lists/partial"
        local uri signed="[signed-by=$keyring]"
        uri=$(archive_uri Debian)
        printf 'deb %s %s %s main\n' "$signed" "$uri" bookworm "$signed" "$uri" bookworm-backports >"$work/sources.list"
        apt+=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=-
            -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User=root
            -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -t bookworm-backports)
    fi
    "${apt[@]}" update >&2
    "${apt[@]}" install --no-install-recommends qemu-system-x86 qemu-system-data seabios >&2
    [[ -z ${work:-} ]] || rm -rf "$work"
    [[ $(qemu_version) -ge 8 ]] || die "install qemu 8 or later: the archive has only $(qemu_version)"
}

root_key() { cat "$here/packages-vm" "$here/vm-root.sh" "$here/vm-initrd" | sha256sum | cut -c1-16; }

# Prints the directory of the cached root, building it first where it is not there.
vm_root() {
    local key dir work
    key=$(root_key)
    dir=$cache/root-$key
    mkdir -p "$cache"
    if [[ ! -d $dir ]]; then
        vm_deps
        exec 8>"$cache/root.lock"
        flock 8
        if [[ ! -d $dir ]]; then
            rm -rf --one-file-system "$cache"/tmp-root.*
            work=$(mktemp -d "$cache/tmp-root.XXXXXX")
            build_root "$work" 8>&- || { rm -rf --one-file-system "$work"; die "build the root of the virtual machines"; }
            mv -T "$work" "$dir"
            prune_roots "$key"
        fi
        exec 8>&-
    fi
    touch "$dir"
    echo "$dir"
}

# Roots nobody used for a while go, unless a machine still stands on one.
prune_roots() {
    local old
    find "$cache" -maxdepth 1 -name 'root-*' ! -name "root-$1" -type d -mtime +3 | while read -r old; do
        grep -qsx "${old##*/}" "$cache"/vms/*/base || rm -rf --one-file-system "$old"
    done
}

build_root() (
    set -e
    local work=$1 tree=$1/tree uri security packages
    chmod 755 "$work"
    uri=$(archive_uri Debian)
    security=$(archive_uri Debian-Security)
    packages=$(grep -v '^#' "$here/packages-vm" | paste -sd,)
    apt-config dump | grep -E '^Acquire::(http|https|Check)' >"$work/apt.conf" || true
    # INITRD=No: the initrd is our own (build_initrd), which boots in a fraction of the time.
    INITRD=No mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
        --aptopt="$work/apt.conf" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        "$guest_suite" "$tree" \
        "deb [signed-by=$keyring] $uri $guest_suite main" \
        "deb [signed-by=$keyring] $uri $guest_suite-updates main" \
        "deb [signed-by=$keyring] $security $guest_suite-security main" >&2
    # Nothing of the host's mirrors stays in the image.
    rm -f "$tree"/etc/apt/apt.conf.d/99mmdebstrap "$tree"/etc/apt/sources.list "$tree"/etc/apt/sources.list.d/*
    rm -f "$work/apt.conf" "$tree"/etc/machine-id "$tree"/etc/resolv.conf
    cp "$tree"/bin/busybox "$work/busybox"
    cp "$tree"/boot/vmlinuz-* "$work/vmlinuz"
    build_initrd "$work"
    rm -rf "$tree"/boot/* "$tree"/vmlinuz* "$tree"/initrd.img*
    truncate -s 6G "$work/base.raw"
    mke2fs -q -t ext4 -L root -E lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$work/base.raw" >&2
    chmod 0444 "$work/base.raw"
    rm -rf --one-file-system "$tree"
)

# Kernel modules are unpacked here, on the host: xz in an emulated processor costs seconds.
build_initrd() {
    local work=$1 modules dep name file
    modules=$(echo "$work"/tree/lib/modules/*)
    mkdir -p "$work"/initrd/{bin,dev,proc,sys,sysroot,modules}
    cp "$work/busybox" "$work/initrd/bin/busybox"
    install -m 755 "$here/vm-initrd" "$work/initrd/init"
    for name in virtio_pci virtio_blk virtio_console crc32c_generic ext4; do
        dep=$(grep "/$name\.ko[.a-z]*:" "$modules/modules.dep") || {
            grep -q "/$name\.ko" "$modules/modules.builtin" && continue
            die "find kernel module $name in $modules"
        }
        # modules.dep lists a module, then all it needs, the deepest last.
        for file in $(echo "${dep/:/}" | tr ' ' '\n' | tac); do
            name=$(basename "${file%.xz}")
            [[ ! -e $work/initrd/modules/$name ]] || continue
            case $file in
            *.xz) xz -dc "$modules/$file" >"$work/initrd/modules/$name" ;;
            *) cp "$modules/$file" "$work/initrd/modules/$name" ;;
            esac
            echo "$name" >>"$work/initrd/modules/order"
        done
    done
    (cd "$work/initrd" && find . | cpio --quiet -o -H newc -R 0:0 >../initrd.img)
    rm -rf "$work/initrd"
}
