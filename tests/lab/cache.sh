# shellcheck shell=bash
# The cache of read-only directories, each named KIND-KEY and complete as soon as it has that name.

# cached KIND KEY BUILD [ARG...]: print the directory KIND-KEY; if there is none, `BUILD TMPDIR ARG...` fills it.
# Two callers do not build twice: the second one waits.
cached() {
    local kind=$1 key=$2 dir=$LAB_CACHE/$1-$2
    shift 2
    if [[ -d $dir ]]; then
        touch "$dir"
    else
        mkdir -p "$LAB_CACHE/lock"
        cached_build "$kind" "$dir" "$@" 9>"$LAB_CACHE/lock/$kind-$key" >&2
    fi
    printf '%s\n' "$dir"
}

cached_build() {
    local kind=$1 dir=$2 build=$3 tmp
    shift 3
    flock 9
    [[ ! -d $dir ]] || return 0
    deps_ensure
    rm -rf "$dir".tmp.*
    tmp=$dir.tmp.$$
    mkdir -m 0755 "$tmp"
    "$build" "$tmp" "$@" 9>&-
    mv -T "$tmp" "$dir"
}

# A key from text on stdin and the code of the functions named: what is built depends on both.
cache_key() {
    { cat && declare -f "$@"; } | sha256sum | cut -c 1-16
}

# Drop what was not used for two weeks, and what a killed build left.
cache_gc() {
    local dir
    for dir in "$LAB_CACHE"/*.tmp.*; do
        pid_alive "${dir##*.}" || rm -rf "$dir"
    done
    cache_drop '*-????????????????' $((14 * 24 * 60))
}

# cache_drop PATTERN MINUTES: what was not used for so long and is not below a lab or a virtual machine, be it on, off or
# in the making, whichever of the two tools asks.
cache_drop() {
    local dir used
    used=$(cat "${UNITBOX_LAB_STATE:-/var/lib/unitbox-lab}"/{,.new-}*/layers "$LAB_CACHE"/vm/{,.new-}*/layers \
        /dev/null 2>/dev/null || true)
    while IFS= read -r dir; do
        [[ $used == *"$dir"* ]] || rm -rf "$dir"
    done < <(find "$LAB_CACHE" -mindepth 1 -maxdepth 1 -type d -name "$1" -mmin "+$2")
}
