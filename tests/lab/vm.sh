#!/bin/bash
# The full tier: a virtual machine with real systemd, every cgroup controller, reboots and power cuts.
#
#   vm.sh deps                                install on this host what the machines need
#   vm.sh root [PACKAGES]                     build and cache their common base; print where it is
#   vm.sh new NAME [--no-install] [--owner PID] [--packages PACKAGES] [--kernel ARGUMENTS]
#                                             make a machine; --owner: it ends with that process and is removed;
#                                             --packages: it has these too (names with commas), from a base of its own;
#                                             --kernel: more arguments for its kernel
#   vm.sh boot NAME                           switch it on; wait until its systemd has booted
#   vm.sh exec [-i] [-t SECONDS] NAME [--] CMD [ARG...]
#                                             run a command in it; its output, errors and exit code are passed on.
#                                             -i: our standard input too; 124: not ended in time; 255: machine gone
#   vm.sh reboot NAME                         reboot from inside, wait for the new boot
#   vm.sh cut NAME                            power cut: what was not synced is lost
#   vm.sh stop NAME                           power it off in an orderly way
#   vm.sh rm NAME                             switch it off and remove every trace
#   vm.sh ps                                  list machines
#   vm.sh gc                                  remove those whose owner is dead
#
# Environment: as lab's, and UNITBOX_VM_BOOT_TIMEOUT (seconds, 300).
# shellcheck disable=SC2034 # the parts use the variables

set -euo pipefail
shopt -s inherit_errexit nullglob

LAB_SRC=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
LAB_CHECKOUT=$(realpath "$LAB_SRC/../..")
LAB_CACHE=${UNITBOX_LAB_CACHE:-/var/cache/unitbox-lab}
LAB_STATE=$LAB_CACHE/vm
VM_BOOT_TIMEOUT=${UNITBOX_VM_BOOT_TIMEOUT:-300}

for part in host cache root layers vmroot vmguest vmrun; do
    # shellcheck source=/dev/null
    source "$LAB_SRC/$part.sh"
done

usage() {
    sed -n '/^#   vm.sh /,/^# Env/{/^# Env/d;s/^# \{0,3\}//;p}' "$LAB_SRC/vm.sh" >&2
    exit 125
}

vm_existing() {
    [[ ${1-} =~ ^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$ ]] ||
        die "not a name for a machine: '${1-}' (a-z, 0-9 and -, 40 at most)"
    [[ ${2-} == any || -e $LAB_STATE/$1/layers ]] || die "no machine $1"
}

verb_new() {
    local name='' owner=none install=1 packages='' kernel=''
    while (($# > 0)); do
        case $1 in
            --no-install) install=0 ;;
            --owner) owner=${2-} && shift ;;
            --packages) packages=${2-} && shift ;;
            --kernel) kernel=${2-} && shift ;;
            -*) usage ;;
            *) [[ ! $name ]] || usage && name=$1 ;;
        esac
        shift || usage
    done
    vm_existing "$name" any
    [[ $owner == none ]] || owner=$(pid_token "$owner") || die "no process $owner"
    vm_collect
    vm_deps
    guest_create "$name" "$owner" "$install" "$packages" "$kernel"
}

verb_exec() {
    local options=() option OPTIND=1
    while getopts it: option; do
        case $option in
            i) options+=(-i) ;;
            t) options+=(-t "$OPTARG") ;;
            *) usage ;;
        esac
    done
    shift $((OPTIND - 1))
    local name=${1-}
    vm_existing "$name"
    shift
    [[ ${1-} != -- ]] || shift
    (($# > 0)) || usage
    vm_call "$name" ${options[@]+"${options[@]}"} "$@"
}

verb_reboot() {
    local before
    before=$(vm_call "$1" -t 60 cat /proc/sys/kernel/random/boot_id)
    # It may go down before it answers; what counts is the next boot.
    (vm_call "$1" -t 60 systemctl reboot) || true
    vm_await "$1" "$before"
}

verb_ps() {
    local dir state
    printf '%-24s %-6s %s\n' NAME STATE OWNER
    for dir in "$LAB_STATE"/*/; do
        state=off
        ! vm_is_on "$dir" || state=on
        printf '%-24s %-6s %s\n' "$(basename "$dir")" "$state" "$(cut -d : -f 1 "$dir/owner")"
    done
}

main() {
    (($# > 0)) || usage
    [[ $EUID -eq 0 ]] || die "vm.sh must be run as root"
    local verb=$1
    shift
    case $verb in
        boot | reboot | cut | stop) (($# == 1)) || usage && vm_existing "$1" ;;
        rm) (($# == 1)) || usage && vm_existing "$1" any ;;
    esac
    case $verb in
        deps) vm_deps ;;
        root) vm_deps && base_ensure "$@" ;;
        new | exec | reboot | ps) "verb_$verb" "$@" ;;
        boot) vm_boot "$1" ;;
        cut) vm_cut "$1" ;;
        gc) vm_collect ;;
        stop) vm_poweroff "$1" ;;
        rm) vm_remove "$1" ;;
        __keep) vm_keep "$@" ;;
        *) usage ;;
    esac
}

main "$@"
