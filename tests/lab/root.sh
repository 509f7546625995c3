# shellcheck shell=bash
# The cached root of a Debian suite.

ROOT_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# root_ensure SUITE [LIST...]: print a root with the packages of packages-SUITE and of every further LIST.
root_ensure() {
    local suite=$1 packages
    [[ -f $LAB_SRC/packages-$suite ]] || die "unknown suite $suite"
    packages=$(root_packages "$@")
    cached "root-$suite" "$(cache_key root_build root_settle <<<"$suite $packages")" root_build "$suite" "$packages"
}

root_packages() {
    local list lists=("packages-$1" "${@:2}")
    for list in "${lists[@]}"; do
        grep -v '^#' "$LAB_SRC/$list"
    done | sort -u | paste -sd ,
}

root_build() {
    local dir=$1 suite=$2 packages=$3 conf sources
    say "building a $suite root"
    conf=$(mktemp)
    sources=$(mktemp)
    root_apt_conf >"$conf"
    root_sources "$suite" >"$sources"
    quietly "root-$suite" mmdebstrap --mode=root --variant=minbase --skip=check/empty \
        --aptopt="$conf" --include="$packages" --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$suite" "$dir" "$sources"
    rm -f "$conf" "$sources"
    root_settle "$dir"
}

# The host's own mirror, with the suite's name in place of the host's.
root_sources() {
    local suite=$1 host lines
    host=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    lines=$(root_host_archives)
    if [[ ! $lines ]]; then
        quietly apt-update apt-get -o DPkg::Lock::Timeout=300 update
        lines=$(root_host_archives)
    fi
    awk -v host="$host" -v suite="$suite" -v key="$ROOT_KEYRING" '
        $2 == host || $2 == host "-updates" || $2 == host "-security" {
            print "deb [signed-by=" key "] " $1 " " suite substr($2, length(host) + 1) " main"; n++
        }
        END { exit n == 0 }' <<<"$lines" || die "no Debian archive of $host in the apt configuration of this host"
}

root_host_archives() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' | sort -u
}

# How the host reaches its mirror: proxies and what it may overlook.
root_apt_conf() {
    apt-config dump --format '%F "%v";%n' Acquire | grep -E '^Acquire::(https?|ftp|Check-|Retries|Force)' || true
    printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n'
}

# What makes boots differ from each other or busy: identity of the build host, first-boot jobs, timers.
root_settle() {
    local dir=$1
    rm -f "$dir"/etc/apt/apt.conf.d/99mmdebstrap "$dir"/etc/hostname "$dir"/etc/systemd/system/timers.target.wants/*
    # Tests start the registry with what they want of it.
    rm -f "$dir"/etc/systemd/system/multi-user.target.wants/docker-registry.service
    rm -rf "$dir"/var/cache/apt/* "$dir"/var/log/*.log
    : >"$dir/etc/resolv.conf"
    : >"$dir/etc/machine-id"
    touch "$dir/etc/.updated" "$dir/var/.updated"
}
