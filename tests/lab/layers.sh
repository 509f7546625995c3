# shellcheck shell=bash
# The layers laid over a root: payloads for the tests, what a container needs, unitbox.

PAYLOAD_DIR=usr/share/unitbox-lab
PAYLOAD_IMAGE=docker.io/library/busybox:latest

# Not of use in a namespace container, or would reach out of it: it shares the host's kernel settings and devices.
CONTAINER_MASKED=(
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
    systemd-sysctl.service systemd-modules-load.service modprobe@.service systemd-pstore.service
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
    sys-fs-fuse-connections.mount console-getty.service getty@.service ldconfig.service
    systemd-journal-catalog-update.service systemd-hwdb-update.service systemd-update-done.service
)

# payload_ensure ROOT: print a layer with a busybox root file system, the same as an OCI image, and `stamp`.
payload_ensure() {
    local key
    key=$({ cat "$LAB_SRC/stamp.c" && basename "$1"; } |
        cache_key payload_build payload_rootfs payload_busybox payload_image oci_blob oci_config oci_manifest)
    cached payload "$key" payload_build "$1"
}

payload_build() {
    local dir=$1/$PAYLOAD_DIR root=$2
    mkdir -p "$dir"
    payload_rootfs "$dir/busybox" "$root"
    payload_image "$dir" "$PAYLOAD_IMAGE"
}

payload_rootfs() {
    payload_busybox "$1" "$2/usr/bin/busybox"
    quietly stamp gcc -static -Os -Wall -Wextra -Werror -s -o "$1/bin/stamp" "$LAB_SRC/stamp.c"
}

# payload_busybox DIR BUSYBOX: a root file system of a static busybox and nothing else.
payload_busybox() {
    local fs=$1 busybox=$2 applet
    mkdir -p "$fs"/{bin,etc,proc,sys,dev,run,root,var}
    mkdir -m 1777 "$fs/tmp" "$fs/var/tmp"
    cp "$busybox" "$fs/bin/busybox"
    while IFS= read -r applet; do
        [[ $applet == busybox ]] || ln -s busybox "$fs/bin/$applet"
    done < <("$fs/bin/busybox" --list)
    printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false >"$fs/etc/passwd"
    printf '%s\n' root:x:0: tty:x:5: nogroup:x:65534: >"$fs/etc/group"
}

# payload_image DIR NAME: DIR/busybox as OCI layout DIR/busybox-oci and as oci-archive DIR/busybox.tar.
payload_image() {
    local dir=$1 name=$2 oci=$1/busybox-oci layer diff config manifest
    local pack=(tar --numeric-owner --owner=0 --group=0 --sort=name --mtime=@1700000000)
    mkdir -p "$oci/blobs/sha256"
    "${pack[@]}" -C "$dir/busybox" -cf "$dir/layer.tar" .
    diff=$(sha256sum "$dir/layer.tar" | cut -d ' ' -f 1)
    gzip -n "$dir/layer.tar"
    layer=$(oci_blob "$oci" "$dir/layer.tar.gz")
    config=$(oci_config "$diff" | oci_blob "$oci")
    manifest=$(oci_manifest "$oci" "$config" "$layer" | oci_blob "$oci")
    printf '{"imageLayoutVersion":"1.0.0"}' >"$oci/oci-layout"
    jq -nc --arg name "$name" --arg digest "$manifest" --argjson size "$(oci_size "$oci" "$manifest")" '
        {schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest,
         size: $size, annotations: {"org.opencontainers.image.ref.name": $name}}]}' >"$oci/index.json"
    "${pack[@]}" -C "$oci" -cf "$dir/busybox.tar" blobs index.json oci-layout
}

# oci_blob LAYOUT [FILE]: move a file, or stdin, to its content's name; print its digest.
oci_blob() {
    local oci=$1 file=${2:-$1/blobs/new} sum
    (($# > 1)) || cat >"$file"
    sum=$(sha256sum "$file" | cut -d ' ' -f 1)
    mv "$file" "$oci/blobs/sha256/$sum"
    printf 'sha256:%s\n' "$sum"
}

oci_size() { stat -c %s "$1/blobs/sha256/${2#sha256:}"; }

oci_config() {
    jq -nc --arg diff "sha256:$1" '
        {architecture: "amd64", os: "linux", created: "2023-11-14T22:13:20Z",
         config: {Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["sh"]},
         rootfs: {type: "layers", diff_ids: [$diff]}, history: [{created: "2023-11-14T22:13:20Z"}]}'
}

oci_manifest() {
    jq -nc --arg config "$2" --argjson csize "$(oci_size "$1" "$2")" \
        --arg layer "$3" --argjson lsize "$(oci_size "$1" "$3")" '
        {schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
         config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $csize},
         layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: $layer, size: $lsize}]}'
}

# container_ensure: print the layer with the settings of a namespace container.
container_ensure() {
    cached container "$(cache_key container_build settings_build <<<"${CONTAINER_MASKED[*]}")" container_build
}

container_build() {
    local dir=$1 unit
    settings_build "$dir"
    for unit in "${CONTAINER_MASKED[@]}"; do
        ln -s /dev/null "$dir/etc/systemd/system/$unit"
    done
    # There may be no pids controller.
    mkdir -p "$dir/etc/containers"
    printf '[containers]\npids_limit = 0\n' >"$dir/etc/containers/containers.conf"
}

# settings_build DIR: what every tier wants. The journal must lose nothing, and is large enough for 10 million lines.
settings_build() {
    local dir=$1
    mkdir -p "$dir"/etc/systemd/{system,journald.conf.d} "$dir/var/log/journal"
    cat >"$dir/etc/systemd/journald.conf.d/lab.conf" <<-'EOF'
		[Journal]
		Storage=persistent
		RateLimitIntervalSec=0
		RateLimitBurst=0
		SystemMaxUse=16G
		SystemKeepFree=256M
	EOF
}

# install_ensure: print the layer that packaging/install.sh makes; nothing if the checkout has no such script.
install_ensure() {
    local bin=${UNITBOX_BIN_DIR:-${CARGO_TARGET_DIR:-$LAB_CHECKOUT/target}/release} key
    [[ -f $LAB_CHECKOUT/packaging/install.sh ]] || return 0
    key=$(install_inputs "$bin" | cache_key install_build)
    cached install "$key" install_build "$bin"
}

install_inputs() {
    local bin=$1 binary
    for binary in unitbox unitbox-monitor unitbox-generator unitbox-bus; do
        [[ -f $bin/$binary ]] || die "no $binary in $bin: build it, or set UNITBOX_BIN_DIR"
        # Not their content: unstripped ones are large, and this is asked at each boot.
        stat -L -c '%n %s %y' "$(realpath "$bin/$binary")"
    done
    find "$LAB_CHECKOUT"/{packaging,units,man} -type f -print0 | sort -z | xargs -0 sha256sum
}

install_build() {
    local dir=$1 bin=$2
    cache_drop 'install-*' 240
    quietly install env UNITBOX_BIN_DIR="$bin" \
        bash "$LAB_CHECKOUT/packaging/install.sh" --destdir "$dir" --prefix /usr
}
