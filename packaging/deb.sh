#!/bin/bash
# Makes a Debian package of built programs: DIR/unitbox_VERSION_ARCH.deb, whose path is printed.
#
#   deb.sh [--version VERSION] [--output DIR]
#
# --version    instead of the one of Cargo.toml
# --output     where the package goes (the working directory); it is there whole or not at all
#
# Environment: UNITBOX_BIN_DIR    the programs; without it they are built, as install.sh does
#              SOURCE_DATE_EPOCH  the time of the changelog and of all files; without it, that of the last commit
#
# Needs Debian's dpkg-dev and binutils. What is in it, and where, is install.sh's to say.

set -Eeuo pipefail
shopt -s inherit_errexit nullglob

SOURCE=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
DEBIAN=$SOURCE/packaging/debian
VERSION=
OUTPUT=.
STAGE=

die() {
    printf 'deb.sh: %s\n' "$*" >&2
    exit 1
}

trap 'die "failed: $BASH_COMMAND"' ERR
trap '[[ ! $STAGE ]] || rm -rf "$STAGE"' EXIT

usage() { sed -n 's/^#   //p' "${BASH_SOURCE[0]}" | head -n 1; }

parse() {
    while (($# > 0)); do
        case $1 in
            --version | --output)
                (($# > 1)) || die "$1 needs a value"
                [[ $1 == --version ]] && VERSION=$2 || OUTPUT=$2
                shift
                ;;
            --version=*) VERSION=${1#*=} ;;
            --output=*) OUTPUT=${1#*=} ;;
            -h | --help) usage && exit 0 ;;
            *) die "unknown argument $1; usage: $(usage)" ;;
        esac
        shift
    done
    [[ $VERSION ]] || VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/Cargo.toml" | head -n 1)
    # No revision: the package is made where the program is.
    [[ $VERSION =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || die "'$VERSION' is not a version of a native Debian package"
    [[ -d $OUTPUT ]] || die "no directory $OUTPUT"
    for program in dpkg-deb dpkg-shlibdeps strip; do
        command -v "$program" >/dev/null || die "no $program: install dpkg-dev and binutils"
    done
}

epoch() {
    [[ ! ${SOURCE_DATE_EPOCH:-} ]] || { echo "$SOURCE_DATE_EPOCH" && return; }
    git -C "$SOURCE" log -1 --format=%ct 2>/dev/null || date +%s
}

# The programs and all that goes with them; what install.sh turns on is for the package's scripts to turn on.
stage_files() {
    local root=$1
    "$SOURCE/packaging/install.sh" --destdir "$root"
    rm -r "$root/etc/systemd"
    find "$root/usr" -type f -perm 755 -exec strip --strip-unneeded -R .comment -R .note {} +
    find "$root/usr/share/man" -type f -exec gzip -9n {} +
}

stage_docs() {
    local root=$1 doc=$1/usr/share/doc/unitbox
    mkdir -p "$doc" "$root/usr/share/lintian/overrides"
    cp "$DEBIAN/copyright" "$doc/copyright"
    cp "$DEBIAN/lintian-overrides" "$root/usr/share/lintian/overrides/unitbox"
    sed -e "s|@version@|$VERSION|" -e "s|@date@|$(LC_ALL=C date -uR -d "@$SOURCE_DATE_EPOCH")|" "$DEBIAN/changelog" |
        gzip -9n >"$doc/changelog.gz"
}

# Which libraries, and since when: dpkg-shlibdeps wants a source package around it.
libraries() {
    local root=$1 programs=()
    mapfile -t programs < <(find "$root/usr" -type f -perm 755)
    printf 'Source: unitbox\n\nPackage: unitbox\nArchitecture: any\n' >"$STAGE/debian/control"
    (cd "$STAGE" && dpkg-shlibdeps -O --ignore-missing-info "${programs[@]/#/-e}") | sed -n 's/^shlibs:Depends=//p'
}

stage_control() {
    local root=$1 control=$1/DEBIAN depends size script
    size=$(du -sk --apparent-size "$root" | cut -f 1)
    mkdir "$control"
    depends=$(libraries "$root")
    [[ $depends ]] || die "dpkg-shlibdeps found no library"
    sed -e "s|@version@|$VERSION|" -e "s|@arch@|$(dpkg --print-architecture)|" -e "s|@libraries@|$depends|" \
        -e "s|@size@|$size|" "$DEBIAN/control" >"$control/control"
    (cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$control/conffiles"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$control/md5sums"
    for script in postinst prerm postrm; do
        install -m 755 "$DEBIAN/$script" "$control/$script"
    done
}

main() {
    local root name
    parse "$@"
    SOURCE_DATE_EPOCH=$(epoch)
    export SOURCE_DATE_EPOCH
    umask 022
    STAGE=$(mktemp -d)
    root=$STAGE/debian/unitbox
    mkdir -p "$root"
    stage_files "$root"
    stage_docs "$root"
    stage_control "$root"
    name=unitbox_${VERSION}_$(dpkg --print-architecture).deb
    dpkg-deb --root-owner-group --build "$root" "$STAGE/$name" >/dev/null
    cp "$STAGE/$name" "$OUTPUT/.$name.new"
    mv -fT "$OUTPUT/.$name.new" "$OUTPUT/$name"
    printf '%s\n' "$OUTPUT/$name"
}

main "$@"
