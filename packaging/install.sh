#!/bin/bash
# Installs unitbox where a distribution would, or removes it again.
#
#   install.sh [--destdir DIR] [--prefix /usr] [--uninstall]
#
# --destdir    install below DIR and leave the running system alone: for packages, images, test machines
# --prefix     where programs go: /usr (the default), or /usr/local, which systemd reads too
# --uninstall  remove what was installed; containers and images in /var/lib/unitbox stay
#
# Environment: UNITBOX_BIN_DIR  install the binaries of this directory; nothing is built then
#
# To run it again is to upgrade: each file is replaced by a rename, so that a program which runs, or is being started,
# is either the old one or the new one. Needs bash and coreutils; cargo, if there is something to build.

set -Eeuo pipefail
shopt -s inherit_errexit nullglob

SOURCE=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
DESTDIR=
PREFIX=/usr
UNINSTALL=
PROGRAMS=(unitbox unitbox-monitor unitbox-generator unitbox-bus)

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

trap 'die "failed: $BASH_COMMAND"' ERR

usage() { sed -n 's/^#   //p' "${BASH_SOURCE[0]}" | head -n 1; }

parse() {
    while (($# > 0)); do
        case $1 in
            --destdir | --prefix)
                (($# > 1)) || die "$1 needs a directory"
                [[ $1 == --prefix ]] && PREFIX=$2 || DESTDIR=$2
                shift
                ;;
            --destdir=*) DESTDIR=${1#*=} ;;
            --prefix=*) PREFIX=${1#*=} ;;
            --uninstall) UNINSTALL=1 ;;
            -h | --help) usage && exit 0 ;;
            *) die "unknown argument $1; usage: $(usage)" ;;
        esac
        shift
    done
    [[ $PREFIX =~ ^(/[A-Za-z0-9._+-]+)+$ ]] || die "prefix '$PREFIX' is not a plain absolute path"
    [[ -z $DESTDIR || $DESTDIR == /* ]] || DESTDIR=$PWD/$DESTDIR
    DESTDIR=${DESTDIR%/}
    [[ $DESTDIR || $EUID -eq 0 ]] || die "must be run as root, or with --destdir"
}

# Print where the binaries are, after building them if that is for us to do. Cargo knows if there is anything to build.
binaries() {
    local dir=${UNITBOX_BIN_DIR:-} program
    if [[ ! $dir ]]; then
        dir=${CARGO_TARGET_DIR:-$SOURCE/target}/release
        if command -v cargo >/dev/null; then
            cargo build --release --locked --bins --manifest-path "$SOURCE/Cargo.toml" >&2 || die "the build failed"
        fi
    fi
    for program in "${PROGRAMS[@]}"; do
        [[ -f $dir/$program ]] || die "no $program in $dir: build it (cargo build --release), or set UNITBOX_BIN_DIR"
    done
    printf '%s\n' "$dir"
}

# D-Bus reads policies below /usr/share and /etc only.
policy_dir() { [[ $PREFIX == /usr ]] && echo /usr/share/dbus-1/system.d || echo /etc/dbus-1/system.d; }

# manifest BINDIR: a line for each file: mode, source, destination. The one list for install and uninstall.
manifest() {
    local bin=$1 file program lib=$PREFIX/lib/systemd
    for program in unitbox-monitor unitbox-bus; do
        printf '755 %s %s\n' "$bin/$program" "$PREFIX/libexec/unitbox/$program"
    done
    printf '755 %s %s\n' "$bin/unitbox-generator" "$lib/system-generators/unitbox-generator"
    for file in "$SOURCE"/units/*.{service,socket,target,slice,timer,path}; do
        printf '644 %s %s\n' "$file" "$lib/system/${file##*/}"
    done
    for file in "$SOURCE"/units/*.preset; do
        printf '644 %s %s\n' "$file" "$lib/system-preset/${file##*/}"
    done
    for file in "$SOURCE"/packaging/dbus/*.conf; do
        printf '644 %s %s\n' "$file" "$(policy_dir)/${file##*/}"
    done
    for file in "$SOURCE"/packaging/dbus/*.service; do
        printf '644 %s %s\n' "$file" "$PREFIX/share/dbus-1/system-services/${file##*/}"
    done
    # Where the parser and the boot look for profiles, whatever the prefix.
    for file in "$SOURCE"/packaging/apparmor/*; do
        printf '644 %s %s\n' "$file" "/etc/apparmor.d/${file##*/}"
    done
    for file in "$SOURCE"/man/*.[158]; do
        printf '644 %s %s\n' "$file" "$PREFIX/share/man/man${file##*.}/${file##*/}"
    done
    # Last: once there is a command line, all that it needs is there.
    printf '755 %s %s\n' "$bin/unitbox" "$PREFIX/bin/unitbox"
}

# A line for each completion: shell, destination.
completions() {
    printf '%s %s\n' \
        bash "$PREFIX/share/bash-completion/completions/unitbox" \
        zsh "$PREFIX/share/zsh/site-functions/_unitbox" \
        fish "$PREFIX/share/fish/vendor_completions.d/unitbox.fish"
}

# A line for each unit that is to be on: unit, link that turns it on.
enabled() {
    local unit target
    while read -r _ unit; do
        while IFS= read -r target; do
            printf '%s %s\n' "$unit" "/etc/systemd/system/$target.wants/$unit"
        done < <(sed -n 's/^WantedBy=//p' "$SOURCE/units/$unit")
    done < <(grep -h '^enable ' "$SOURCE"/units/*.preset)
}

# put MODE DESTINATION: standard input becomes the file, at once.
put() {
    local mode=$1 to=$DESTDIR$2
    mkdir -p "${to%/*}" || die "cannot make ${to%/*}"
    { cat >"$to.new" && chmod "$mode" "$to.new" && mv -fT "$to.new" "$to"; } || die "cannot write $to"
}

# What is not a program names the others by their place.
expand() { sed -e "s|@bindir@|$PREFIX/bin|g" -e "s|@libexecdir@|$PREFIX/libexec|g" "$1"; }

install_files() {
    local bin=$1 mode from to
    while read -r mode from to; do
        if [[ $mode == 755 ]]; then
            put "$mode" "$to" <"$from"
        else
            expand "$from" | put "$mode" "$to"
        fi
    done < <(manifest "$bin")
}

install_completions() {
    local bin=$1 shell to text
    while read -r shell to; do
        text=$("$bin/unitbox" completion "$shell") || die "$bin/unitbox cannot make the completion for $shell"
        put 644 "$to" <<<"$text"
    done < <(completions)
}

# The same as `systemctl preset` would do, for a system that is not running.
link_enabled() {
    local unit link
    while read -r unit link; do
        mkdir -p "$DESTDIR${link%/*}" || die "cannot make $DESTDIR${link%/*}"
        ln -sfT "$PREFIX/lib/systemd/system/$unit" "$DESTDIR$link" || die "cannot link $DESTDIR$link"
    done < <(enabled)
}

# live: is it the running system that is changed, and has it systemd as PID 1 (sd_booted(3))?
live() { [[ ! $DESTDIR && -d /run/systemd/system ]]; }

tell_systemd() {
    local units=()
    live || return 0
    systemctl daemon-reload || die "systemctl daemon-reload failed"
    mapfile -t units < <(enabled | cut -d ' ' -f 1)
    systemctl --quiet preset "${units[@]}" || die "cannot enable ${units[*]}"
    # It keeps no state, and the new one is to answer.
    systemctl try-restart unitbox-bus.service 2>/dev/null || true
}

uninstall() {
    local path running
    if live; then
        running=$(systemctl list-units --plain --no-legend --state=active,activating 'unitbox-*.service' |
            awk '$1 !~ /^unitbox-(bus|restore|restore-early|cleanup@.*)\.service$/ {print $1}' | paste -sd ' ')
        [[ ! $running ]] || die "containers are running, stop them first: $running"
        systemctl stop unitbox-bus.service 2>/dev/null || true
    fi
    while read -r path; do
        rm -f "$DESTDIR$path" || die "cannot remove $DESTDIR$path"
    done < <(manifest - | cut -d ' ' -f 3; { completions && enabled; } | cut -d ' ' -f 2)
    rmdir "$DESTDIR$PREFIX/libexec/unitbox" 2>/dev/null || true
    ! live || systemctl daemon-reload || die "systemctl daemon-reload failed"
}

main() {
    local bin
    parse "$@"
    if [[ $UNINSTALL ]]; then
        uninstall
        return
    fi
    bin=$(binaries) || exit 1
    install_files "$bin"
    install_completions "$bin"
    if [[ $DESTDIR || ! -d /run/systemd/system ]]; then
        link_enabled
    fi
    tell_systemd
}

main "$@"
