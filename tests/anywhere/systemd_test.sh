#!/usr/bin/env bash
# Runs the units of deploy/systemd under a real systemd, on a machine of its own: a bare Debian in namespaces of its own,
# with systemd as its first process. What is checked there: systemd_checks.sh.
#
#   systemd_test.sh COLLECT PROGRAM...
#
# The root folder is kept for the next run in $ANYWHERE, ~/.cache/anywhere unless it is set; what the machine writes is
# not. It is the release that this machine has, because the programs were built with its libraries. Takes a minute and
# a half, and two minutes more for the first time.
set -euo pipefail
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
# shellcheck source=/dev/null # Beside it.
. "$here/root_folder.sh"

require_root_folder "run the units of deploy/systemd under a real systemd"
# All that is mounted below ends with the test.
[[ -n ${ORDERS_OWN_MOUNTS:-} ]] || ORDERS_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0" "$@"

collect="$PWD/$1"
shift
# shellcheck source=/dev/null # This machine's.
suite="$(. /etc/os-release && echo "$VERSION_CODENAME")"
base="$(kept_root_folders)/$suite-systemd"
lock_root_folder "$base"
make_root_folder "$base" "$suite"
mkdir -p "$base/src"
in_root_folder "$base" '
  command -v systemctl >/dev/null || {
    apt-get update
    apt-get install -y --no-install-recommends systemd systemd-sysv
  }' >"$base.log" 2>&1 || { tail -n 5 "$base.log" && exit 1; }
unlock_root_folder

work="$(mktemp -d)"
machine=""
end_machine() {
  # Its child, the machine's first process, ends with it.
  { [[ -z $machine ]] || { kill -KILL "$machine" && wait "$machine"; } || true; } 2>/dev/null
  [[ ! -d $work/cgroups/$group ]] || until find "$work/cgroups/$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
    sleep 0.1
  done
  umount -l "$work/cgroups" "$work/layer" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
group="orders_systemd_test.$$"
trap end_machine EXIT

# Its files: those of the root folder, and a layer above them in memory.
mkdir "$work/cgroups" "$work/layer"
mount -t tmpfs -o mode=755 tmpfs "$work/layer"
mkdir "$work/layer/"{upper,work,root}
root="$work/layer/root"
mount -t overlay -o "lowerdir=$base,upperdir=$work/layer/upper,workdir=$work/layer/work" overlay "$root"

# What programs are linked with comes with them, where the bare Debian has not got it.
"$collect" "$work/collected" "$@" >/dev/null
rm -r "$work/collected/etc" "$work/collected/tmp" "$work/collected/usr/share/sbom"
tar -C "$work/collected" -cf - . | tar -C "$root" --skip-old-files --keep-directory-symlink -xf -
# Installed as each of these files says of itself.
units="$here/../../deploy/systemd"
cp "$units"/orders.service "$units"/orders@.service "$units"/orders.socket "$root/etc/systemd/system/"
for unit in orders.service orders@.service; do
  install -D -m 644 "$units/hardening.conf" "$root/etc/systemd/system/$unit.d/hardening.conf"
done
install -D -m 644 "$units/flags" "$root/etc/orders/flags"
cp "$here/systemd_checks.sh" "$here/../../docs/operations.md" "$root/"

# systemd takes the group of its first process for the root of all: it gets one of its own.
mount -t cgroup2 cgroup2 "$work/cgroups"
mkdir "$work/cgroups/$group"
# shellcheck disable=SC2016 # Expanded in there.
(
  echo "$BASHPID" >"$work/cgroups/$group/cgroup.procs"
  exec unshare --cgroup --mount --pid --uts --ipc --net --fork --kill-child bash -euc '
    cd "$0"
    mount -t proc proc proc
    # What sysctl sets of the kernel would be set for everybody.
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do cp -a "/dev/$device" dev/; done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    pivot_root . .
    umount -l .
    # Told that it is in a container, it leaves clocks, modules and devices alone.
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /sbin/init' "$root"
) >"$work/console" 2>&1 </dev/null &
machine=$!

# By its number here, the machine's first process.
first() { grep -lsP "^PPid:\t$machine\$" /proc/[0-9]*/status | grep -o '[0-9]*' || true; }
in_machine() {
  nsenter --target "$(first)" --all --root \
    env -i --chdir=/ PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C.UTF-8 "$@"
}
for ((i = 0; i < 600; i++)); do
  [[ ! -S $(printf '/proc/%s/root/run/systemd/private' "$(first)") ]] || break
  kill -0 "$machine" 2>/dev/null || break
  sleep 0.1
done
state="$(in_machine timeout 120 systemctl is-system-running --wait 2>&1)" || true
if [[ $state != running ]]; then
  echo "FAILED: systemd does not start as the first process of a namespace here: ${state:-it ended}"
  cat "$work/console"
  in_machine systemctl --failed --no-legend || true
  exit 1
fi
in_machine systemctl --version | head -n 1
in_machine bash /systemd_checks.sh
