# Everything on a machine that a container could leave behind, one fact a line, fields between tabs. What of it is a leak
# is decided by leaks.rs. Almost no processes are started: this runs after each of many hundred kills.

shopt -s nullglob dotglob
fact() {
    local IFS=$'\t'
    printf '%s\n' "${*//$'\n'/ }"
}

systemctl list-units --all --plain --no-legend --no-pager --full |
    while read -r unit _ active _; do fact unit "$unit" "$active"; done

declare -A space
while read -r link inode; do
    space[$link]=$inode
done < <(find /proc/[0-9]*/ns -maxdepth 1 \( -name mnt -o -name net \) -printf '%p %l\n' 2>/dev/null)

declare -A seen
for dir in /proc/[0-9]*; do
    pid=${dir#/proc/} mnt=${space[$dir/ns/mnt]-} net=${space[$dir/ns/net]-} cgroup='' argv=()
    # The dead have none, kernel threads no program; those that end meanwhile are none of our business.
    [[ $mnt && -e $dir/exe ]] || continue
    while read -r line; do
        [[ $line != 0::* ]] || cgroup=${line#0::}
    done 2>/dev/null <"$dir/cgroup"
    { read -r comm <"$dir/comm" && mapfile -d '' -t argv <"$dir/cmdline"; } 2>/dev/null
    [[ $cgroup ]] || continue
    fact process "$pid" "$cgroup" "$mnt" "$net" "$comm" "${argv[*]:0:6}" "${argv[*]: -1}"
    [[ ! ${seen[$mnt]-} ]] || continue
    seen[$mnt]=1
    while read -r line; do
        fact mount "$mnt" "$pid" "$line"
    done 2>/dev/null <"$dir/mountinfo"
done

find /sys/fs/cgroup -mindepth 1 -type d -printf 'cgroup\t%p\n' 2>/dev/null
find /run/runc /run/crun -mindepth 1 -maxdepth 1 -printf 'runtime\t%p\n' 2>/dev/null
for file in /run/netns/*; do fact netns "$file"; done
for link in /sys/class/net/*; do fact link "${link##*/}"; done
while read -r _ _ _ _ _ _ _ path; do
    [[ $path != */unitbox/* ]] || fact socket "$path"
done </proc/net/unix

# Of a container's own files only that there are any.
find /run/unitbox /var/lib/unitbox /run/systemd/system /run/systemd/transient -mindepth 1 \
    \( -path '/var/lib/unitbox/containers/*/rootfs' -o -path '/var/lib/unitbox/layers/*/*' -o -path '*/bundle/rootfs' \) \
    -prune -o -printf 'file\t%y\t%p\t%l\n' 2>/dev/null
for file in /run/systemd/units/log-extra-fields:unitbox-*; do fact file f "$file" ''; done
exit 0
