# shellcheck shell=bash # Sourced.
# A machine of its own for a test: a directory with a bare Debian, in which commands run as root and see nothing else of
# this machine's files. It takes what this machine takes: the mirror, apt's settings of the network, certificates.

# What is missing for it; nothing when all is there.
root_folder_needs() {
  if (($(id -u) != 0)); then
    echo "root, for chroot and mount"
  elif ! unshare --mount true 2>/dev/null; then
    echo "mounts (CAP_SYS_ADMIN), which a container has not by default"
  elif ! command -v debootstrap >/dev/null; then
    echo "debootstrap: bazel/install_packages anywhere"
  fi
}

# Ends the test, as a failure, where a root folder cannot be made.
require_root_folder() { # what the test would have done
  local needs
  needs="$(root_folder_needs)"
  [[ -n $needs ]] || return 0
  echo "This test needs $needs. It would have $1."
  exit 1
}

# Prints where root folders are kept for the next run. A test may have no HOME.
kept_root_folders() {
  local home="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
  local kept="${ANYWHERE:-$home/.cache/anywhere}"
  mkdir -p "$kept"
  echo "$kept"
}

# Waits until no other test, of another clone perhaps, uses it. It is this one's until unlock_root_folder, or until the test
# and all that it has started have ended.
lock_root_folder() { # the directory
  exec {root_folder_lock}>"$1.lock"
  flock --nonblock "$root_folder_lock" || {
    echo "waiting for another test that uses $1"
    flock "$root_folder_lock"
  }
}

unlock_root_folder() {
  exec {root_folder_lock}>&-
}

# The first of Debian's mirrors that this machine's apt knows.
mirror() {
  # shellcheck disable=SC2016 # apt expands it.
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$'
}

make_root_folder() { # the directory, which may be there; the suite
  local root="$1" suite="$2" uri
  [[ ! -e $root/.made ]] || return 0
  uri="$(mirror)" || { echo "apt knows no mirror of Debian's" && return 1; }
  rm -rf --one-file-system "$root"
  debootstrap --variant=minbase "$suite" "$root" "$uri" >"$root.log" 2>&1 || { tail -n 5 "$root.log" && return 1; }
  apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' >"$root/etc/apt/apt.conf.d/90as-there" || true
  cp -L /etc/resolv.conf "$root/etc/"
  mkdir -p "$root/etc/ssl/certs" "$root/build"
  [[ ! -e /etc/ssl/certs/ca-certificates.crt ]] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/as-there.crt"
  touch "$root/.made"
}

# A clone has no more than this: what git knows, and what it would add.
put_sources_into() { # the directory, the sources
  rm -rf "$1/src"
  mkdir "$1/src"
  (cd "$2" && git ls-files --cached --others --exclude-standard -z |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar -cf - --null --files-from=-) | tar -C "$1/src" -xf -
}

# Runs a script in it, from the sources, with arguments; what it mounts and starts ends with it.
in_root_folder() { # the directory, the script's text, arguments
  local root="$1" script="$2"
  shift 2
  # shellcheck disable=SC2016 # Expanded in there.
  unshare --mount --pid --fork --kill-child bash -euc '
    root="$1" && shift
    mount --make-rprivate /
    mount --bind "$root" "$root" # unshare asks for a root that is mounted.
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    exec chroot "$root" env -i HOME=/build LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
      NODE_EXTRA_CA_CERTS=/etc/ssl/certs/as-there.crt \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      bash -euo pipefail -c "cd /src; $0" in_root_folder "$@"' "$script" "$root" "$@"
}
