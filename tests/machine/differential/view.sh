#!/bin/busybox sh
# What a payload sees of its container, in sections.
exec 2>&1
PATH=/bin:/sbin:/usr/bin:/usr/sbin
section() { echo "== $1"; }
show() { for f; do echo "-- $f"; stat -c '%a %u %g %F' "$f" && cat "$f"; done; }
umask_is=$(umask)
section args; for word; do echo "$word"; done
section env; tr '\0' '\n' </proc/$$/environ | sort
section cwd; readlink /proc/$$/cwd; [ "$PWD" = / ] || stat -c '%a %u %g' .
section umask; echo "$umask_is"
section id; id -u; id -g; id -G
section status; grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|CoreDumping):' /proc/$$/status
section limits; cat /proc/$$/limits
section oom; cat /proc/$$/oom_score_adj
section personality; cat /proc/$$/personality
section namespaces; for n in cgroup ipc mnt net pid time user uts; do echo "$n $(readlink /proc/$$/ns/$n)"; done
section maps; cat /proc/$$/uid_map /proc/$$/gid_map /proc/$$/setgroups
section mounts; cat /proc/$$/mountinfo
section label; cat /proc/$$/attr/current
section pid; if [ $$ = 1 ]; then echo first; else echo other; fi; [ $$ != 1 ] || tr '\0' '\n' </proc/1/cmdline
section fds; for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo "$fd $(readlink /proc/$$/fd/$fd)"; done
section hostname; hostname; cat /proc/sys/kernel/domainname
section etc; show /etc/hosts /etc/hostname /etc/resolv.conf /run/.containerenv /etc/passwd /etc/group
section tz; readlink /etc/localtime; date -d @0 +%H%Z
section dev; find /dev -mindepth 1 -not -path '/dev/pts/*' -exec stat -c '%n %a %u %g %t:%T %F %N' {} + | sort
section tree; find /run /data /vol /srv /mnt /secrets -maxdepth 3 -exec stat -c '%n %a %u %g %F' {} + | sort
section dirs; stat -c '%n %a %u %g' / /proc /sys /dev /tmp /var/tmp /etc /root
section sysctl; for k in net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range net/core/somaxconn \
    kernel/msgmax kernel/shm_rmid_forced fs/mqueue/msg_max; do echo "$k $(cat /proc/sys/$k)"; done
section cgroup; if grep -qx 0::/ /proc/self/cgroup; then echo own root; else echo seen from above; fi
section write; for d in / /run /tmp /var/tmp /dev /dev/shm /vol /data /mnt /proc/sys /sys/fs/cgroup /srv/app; do
    [ ! -d $d ] || { if touch $d/.probe && rm $d/.probe; then echo "$d yes"; else echo "$d no"; fi; }; done 2>/dev/null
section masked; for p in /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/scsi \
    /sys/firmware /sys/fs/selinux /sys/dev/block /sys/devices/virtual/powercap; do
    [ ! -e $p ] || echo "$p $(stat -c '%F' $p) $(ls $p 2>/dev/null | head -1) $(head -c 1 $p 2>/dev/null | wc -c)"; done
section links; ls /sys/class/net
section end
[ -z "$CODE" ] || exit "$CODE"
