#!/usr/bin/env bash
# What bazelw does on machines of many kinds. The programs that it asks and runs are stubs, each of which writes down how
# it was called; the PATH has nothing else but the tools that every machine has.
# shellcheck disable=SC2016 # What a stub does is expanded when it runs.
set -euo pipefail

root="$PWD"
clone="$(dirname "$(readlink -f bazelw)")" # Where Bazel's link to it leads.
work="$(mktemp -d "${TEST_TMPDIR:-/tmp}/bazelw.XXXXXX")"
trap 'rm -rf "$work"' EXIT
unset BAZELW_STRICT
export CALLS="$work/calls" INSTALLED="$work/installed" HOME="$work"
failed=0
from_packages="bazelw: dependencies from packages: there is neither Bazelisk nor a Bazel 7 of another's that runs"

declare -A listed=()
while read -r group package _; do
  [[ -z $group || $group == "#"* ]] || listed["$group"]+="$package"$'\n'
done <"$root/bazel/packages.txt"
packages() { printf '%s' "${listed["$1"]}"; }

stub() { # name; what it does besides writing its call down
  [[ -x $work/bin/$1 ]] || { : >"$work/bin/$1" && chmod +x "$work/bin/$1"; }
  {
    echo '#!/usr/bin/env bash'
    echo 'echo "${0##*/}$(printf " [%s]" "$@")" >>"$CALLS"'
    echo "$2"
  } >"$work/bin/$1"
}

# What every machine has.
mkdir "$work/bin" "$work/tools"
for tool in bash cat chmod cut dirname env grep ln mktemp readlink rm sed sh tail touch tr; do
  ln -s "$(type -P "$tool")" "$work/tools/$tool"
done
path="$work/bin:$work/tools"

machine() { # what is installed: groups of packages.txt. A bare Debian, with apt-get, and nobody but root.
  local group
  rm -f "$work/bin/"{bazelisk,bazelisk.of.debian,getent,sudo}
  [[ ! -L $work/bin/bazel ]] || rm "$work/bin/bazel"
  : >"$INSTALLED"
  for group; do packages "$group" >>"$INSTALLED"; done
  stub dpkg-query 'while read -r package; do echo "ii ,$package, "; done <"$INSTALLED"'
  stub apt-get 'echo "apt-get says $1"; [[ $1 != install ]] || printf "%s\n" "${@:4}" >>"$INSTALLED"'
  stub id 'echo 0'
  stub df 'printf "Filesystem 1024-blocks Used Available\n/dev/x 9 9 ${FREE:-99999999} 9%% /\n"'
  stub sleep ''
  bazel_of bazel no_version
}

bazel_of() { # the program's name, its version
  stub "$1" '[[ $1 != --version ]] || { echo "bazel '"$2"'"; exit 0; }; echo "$$" >"$CALLS.pid"; exit 7'
}
# Debian's newer one: dpkg says its version when it is asked for that.
debians_bazel() {
  bazel_of bazel "$1"
  stub dpkg-query '[[ $* != *Version* ]] || { echo "'"$1"'+ds-8"; exit 0; }
while read -r package; do echo "ii ,$package, "; done <"$INSTALLED"'
}
without() { rm "${@/#/$work/bin/}"; }
nobody_but() { stub id "echo $1"; }
# Not installed, though the rest of its group is.
lacks() {
  local package
  for package; do sed -i "/^$package\$/d" "$INSTALLED"; done
}

bazelw() { # its output in $said, its exit code in $code, what it has called in $called
  : >"$CALLS"
  code=0
  PATH="$path" "$root/bazelw" "$@" >"$work/said" 2>&1 &
  pid=$!
  wait "$pid" || code=$?
  said="$(cat "$work/said")"
  # Not what only asks.
  called="$(grep -vE '^(dpkg-query|id|df|sleep)( |$)|^bazel(isk)? \[--version\]$' "$CALLS" || true)"
}

is() { # what; what it is; what it should be
  [[ $2 == "$3" ]] && return
  printf 'FAILED %s: %s is\n%s\nand not\n%s\n' "$case" "$1" "$2" "$3"
  failed=1
}
says() {
  [[ $said == *"$1"* ]] && return
  printf 'FAILED %s: it does not say\n%s\nbut\n%s\n' "$case" "$1" "$said"
  failed=1
}

case="nothing is missing"
machine build
bazelw run //:demo -- "two words" ""
is "what is called" "$called" "bazel [run] [//:demo] [--] [two words] []"
is "the exit code" "$code" 7
is "what is said" "$said" "$from_packages"
is "Bazel's process" "$(cat "$CALLS.pid")" "$pid"

case="warnings are errors"
BAZELW_STRICT=1 bazelw build
is "what is called" "$called" "bazel [--bazelrc=$clone/bazel/strict.bazelrc] [build]"

case="packages are missing"
machine build test
lacks g++ libsqlite3-dev spin
bazelw build //...
is "what is called" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends] [g++] [libsqlite3-dev]
bazel [build] [//...]"
is "what is said" "$said" "$from_packages
Installing packages that this repository needs (bazel/packages.txt says why): g++ libsqlite3-dev"
bazelw build //...
is "what is called the second time" "$called" "bazel [build] [//...]"
is "what is said the second time" "$said" "$from_packages"
bazelw test //...
is "what is called for tests" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends] [spin]
bazel [test] [//...]"

case="another package provides it"
machine build
lacks pkg-config
stub dpkg-query 'while read -r package; do echo "ii ,$package, "; done <"$INSTALLED"
echo "ii ,pkgconf, pkg-config (= 1.8), other"'
bazelw build
is "what is called" "$called" "bazel [build]"

case="a package is held at its version"
machine build
stub dpkg-query 'while read -r package; do echo "ii ,$package, "; done <"$INSTALLED" | sed "s/^ii ,g++/hi ,g++/"'
bazelw build
is "what is called" "$called" "bazel [build]"

case="packages are known, but not installed"
machine build
lacks g++
stub dpkg-query 'while read -r package; do echo "ii ,$package, "; done <"$INSTALLED"; echo "rc ,g++, "'
bazelw build
says "needs (bazel/packages.txt says why): g++"

case="a machine without Bazel"
machine
without bazel
stub apt-get '[[ $1 == install ]] || exit 0
printf "#!/usr/bin/env bash\n[[ \$1 != --version ]] || { echo bazel no_version; exit 0; }\necho installed bazel \"\$@\"\n" >"${0%/*}/bazel"
chmod +x "${0%/*}/bazel"'
bazelw build //...
is "what is called" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends]$(packages build | sed 's/.*/ [&]/' | tr -d '\n')"
says "installed bazel build //..."

case="there is no apt-get"
machine build
lacks g++ libabsl-dev
without apt-get
bazelw build
is "the exit code" "$code" 1
is "what is called" "$called" ""
says "there is no apt-get here to install them: g++ libabsl-dev"

case="there is neither dpkg nor Bazel"
machine
without apt-get dpkg-query bazel
bazelw build
is "the exit code" "$code" 1
says "there is no apt-get here to install them: bazel-bootstrap g++"

case="there is no dpkg, but Bazel"
machine
without apt-get dpkg-query
bazelw test //...
is "what is called" "$called" "bazel [test] [//...]"

case="not root, and no sudo"
machine build
lacks g++
nobody_but 1000
bazelw build
is "the exit code" "$code" 1
is "what is called" "$called" ""
says "takes root or sudo"
says "Remedy: as root: apt-get update && apt-get install --no-install-recommends g++"

case="not root, with sudo"
machine build
lacks g++
nobody_but 1000
stub sudo '"$@"'
bazelw build
is "what is called" "$called" "sudo [env] [LC_ALL=C.UTF-8] [DEBIAN_FRONTEND=noninteractive] [apt-get] [update]
apt-get [update]
sudo [env] [LC_ALL=C.UTF-8] [DEBIAN_FRONTEND=noninteractive] [apt-get] [install] [-y] [--no-install-recommends] [g++]
apt-get [install] [-y] [--no-install-recommends] [g++]
bazel [build]"

# The first calls of apt-get fail with a message; then it goes well.
apt_fails() { # how often, what it says
  echo "$1" >"$CALLS.failures"
  echo "$2" >"$CALLS.message"
  stub apt-get 'read -r left <"$CALLS.failures"
((left == 0)) || { echo "$((left - 1))" >"$CALLS.failures"; cat "$CALLS.message"; exit 100; }
[[ $1 != install ]] || printf "%s\n" "${@:4}" >>"$INSTALLED"'
}
fails_for_ever=1000000

case="another distribution has no such browser"
machine registry
bazel_of bazelisk 8.7.0
stub apt-get '[[ $1 == install ]] || exit 0
[[ " $* " != *" chromium "* ]] || { echo "E: Package '"'chromium'"' has no installation candidate"; exit 100; }
printf "%s\n" "${@:4}" >>"$INSTALLED"'
bazelw test //...
is "the exit code" "$code" 7
says "does not know, and tests that need it will fail: chromium "
is "what is installed in the end" "$(sort -u "$INSTALLED")" \
  "$({ packages registry && packages test; } | grep -vx chromium | sort -u)"
is "what is done at last" "$(tail -n 1 <<<"$called")" "bazelisk [test] [//...]"

case="another apt is at work"
for message in \
  "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 42 (apt-get)" \
  "E: Could not get lock /var/cache/apt/archives/lock. It is held by process 42 (apt-get)" \
  "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?" \
  "dpkg: error: dpkg frontend lock was locked by another process with pid 42"; do
  machine build
  lacks g++
  apt_fails 3 "$message"
  bazelw build
  is "the exit code" "$code" 7
  says "Another apt or dpkg is at work; waiting for it: $message"
  is "how often it says so" "$(grep -c "waiting for it" "$work/said")" 1
  is "how often it sleeps" "$(grep -c '^sleep' "$CALLS")" 3
  is "what is done at last" "$(tail -n 1 <<<"$called")" "bazel [build]"
done

case="another apt is at work and does not end"
machine build
lacks g++
apt_fails "$fails_for_ever" "E: Could not get lock /var/lib/dpkg/lock. It is held by process 42 (dpkg)"
sed 's/^kSecondsOfWaiting=.*/kSecondsOfWaiting=3/' "$root/bazel/install_packages" >"$work/impatient"
code=0
PATH="$path" bash <(sed "s,^list=.*,list=$root/bazel/packages.txt," "$work/impatient") build >"$work/said" 2>&1 || code=$?
said="$(cat "$work/said")"
is "the exit code" "$code" 1
says "at work for 0 minutes: E: Could not get lock /var/lib/dpkg/lock. It is held by process 42 (dpkg)"

case="another bazelw installs the same meanwhile"
machine build
lacks g++
apt_fails "$fails_for_ever" "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 42 (apt-get)"
stub sleep 'echo g++ >>"$INSTALLED"'
bazelw build
is "what is called" "$called" "apt-get [update]
bazel [build]"

# What is sent when apt-get has begun; what `kill` calls it, the exit code.
interrupted() {
  case="$1 while packages are installed"
  machine build
  lacks g++
  # As apt-get does: it ends what it has begun.
  stub apt-get 'trap "" INT TERM HUP
parents() { grep -h ^PPid "/proc/$$/status" "/proc/$PPID/status"; }
before="$(parents)"
echo begun >"$CALLS.began"
for ((i = 0; i < 1000; ++i)); do [[ ! -e $CALLS.end ]] || break; read -rt 0.05 _ <>"$CALLS.fifo"; done
[[ $(parents) == "$before" ]] && echo "apt-get has ended" >>"$CALLS"'
  rm -f "$CALLS.began" "$CALLS.end" "$CALLS.fifo"
  mkfifo "$CALLS.fifo"
  : >"$CALLS"
  # Ctrl-C is for all of a job; a job of its own takes job control.
  set -m
  PATH="$path" "$root/bazelw" build >"$work/said" 2>&1 &
  pid=$!
  set +m
  for ((i = 0; i < 1000; ++i)); do [[ ! -s $CALLS.began ]] || break; sleep 0.05; done
  kill -s "$1" -- "-$pid"
  touch "$CALLS.end"
  code=0
  wait "$pid" || code=$?
  said="$(cat "$work/said")"
  is "the exit code" "$code" "$2"
  is "what it waited for" "$(tail -n 1 "$CALLS")" "apt-get has ended"
  says "nothing goes on behind it"
}
interrupted INT 130
interrupted TERM 143
interrupted HUP 129

# What apt-get says; what it comes from, and the remedy.
mishap() {
  case="apt-get says: $1"
  machine build
  lacks g++
  apt_fails "$fails_for_ever" "$1"
  bazelw build
  is "the exit code" "$code" 1
  is "what is called" "$called" "apt-get [update]"
  is "how often it sleeps" "$(grep -c '^sleep' "$CALLS")" 0
  says "$2"
  says "Remedy: $3"
  [[ $3 == *"as root: apt-get update"* ]] || is "how much is said" "$(wc -l <"$work/said")" 4
}
mishap "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem." \
  "dpkg was interrupted, and apt-get does nothing" "as root: dpkg --configure -a; then run this again"
mishap "E: Sub-process /usr/bin/dpkg exited unexpectedly" "dpkg was interrupted" "as root: dpkg --configure -a"
mishap "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a solution)." \
  "lack others" "as root: apt-get --fix-broken install; then run this again"
mishap "E: You don't have enough free space in /var/cache/apt/archives/." "The disk is full: E: You" "make room"
mishap "dpkg: error: failed to write: No space left on device" "The disk is full: dpkg" "make room"
mishap "E: Failed to fetch x  Temporary failure resolving 'y'" "cannot be downloaded: E: Failed" "a network"
mishap "E: Unable to locate package libabsl-dev" "does not know what Debian 12 has: E: Unable" "Debian 12 or later"
mishap "E: Could not open lock file /var/lib/apt/lists/lock - open (13: Permission denied)
E: Unable to lock directory /var/lib/apt/lists/" "lacks the rights of root here: E: Could not open" "as root: apt-get update"
mishap "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?" \
  "lacks the rights of root here: E: Unable" "as root: apt-get update"
mishap "E: Could not open lock file /var/lib/apt/lists/lock - open (28: No space left on device)
E: Unable to lock directory /var/lib/apt/lists/" "The disk is full: E: Could" "make room"
mishap "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (30: Read-only file system)
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?" \
  "cannot be installed here: E: Could" "build the image"
mishap "mkdir: Read-only file system" "cannot be installed here" "build the image"
mishap "no idea" "no idea" "what it says above; then, as root: apt-get update && apt-get install --no-install-recommends g++"

case="nothing can be written where the log is"
machine build
lacks g++
stub mktemp 'echo "$CALLS.logs/log"'
bazelw build
is "the exit code" "$code" 1
is "what is called" "$called" "mktemp []"
says "No file can be written in ${TMPDIR:-/tmp}."
says "Remedy: make room there"

case="the log cannot be written any more"
mkdir "$CALLS.logs"
stub apt-get 'rm -r "$CALLS.logs"; exit 100'
bazelw build
is "the exit code" "$code" 1
says "The disk is full: what apt-get says cannot be written in ${TMPDIR:-/tmp}."
says "Remedy: make room there"
without mktemp

case="sudo cannot ask for a password"
machine build
lacks g++
nobody_but 1000
stub sudo 'echo "sudo: a terminal is required to read the password"; exit 1'
bazelw build
is "the exit code" "$code" 1
says "sudo does not let this user, or cannot ask: sudo: a terminal is required"
says "Remedy: as root: apt-get update && apt-get install --no-install-recommends g++"

for program in bazelisk bazel; do
  case="a newer Bazel, $program"
  machine registry
  bazel_of "$program" 8.7.0
  bazelw build //...
  is "what is called" "$called" "$program [build] [//...]"
  is "the exit code" "$code" 7
  is "what is said" "$said" "bazelw: dependencies from the registry: $work/bin/$program is 8.7.0"
  bazelw test //...
  is "what is called for tests" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends]$(packages test | sed 's/.*/ [&]/' | tr -d '\n')
$program [test] [//...]"
  machine
  bazel_of "$program" 8.7.0
  bazelw build //...
  is "what is called on a machine that has nothing" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends]$(packages registry | sed 's/.*/ [&]/' | tr -d '\n')
$program [build] [//...]"
  machine
  bazel_of "$program" 8.7.0
  bazelw test //...
  is "what is called for tests there" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends]$({ packages registry && packages test; } | sed 's/.*/ [&]/' | tr -d '\n')
$program [test] [//...]"
  without apt-get dpkg-query
  bazelw test //...
  is "what is called for tests without dpkg" "$called" "$program [test] [//...]"
done

case="Debian's newer Bazel"
machine build
debians_bazel 7.7.1
bazelw build //...
is "what is called" "$called" "bazel [--bazelrc=$clone/bazel/debian.bazelrc] [build] [//...]"
is "what is said" "$said" "$from_packages"
bazelw --registry build //...
is "what is called when the registry is asked for" "$called" ""
is "the exit code when the registry is asked for" "$code" 1
says "Remedy: npm install --global @bazel/bazelisk, and a network; or ./bazelw --packages"

case="both ways are there"
machine build
bazel_of bazelisk 8.7.0
bazelw --packages build //...
is "what is called" "$called" "bazel [build] [//...]"
is "what is said" "$said" "bazelw: dependencies from packages: it was chosen"
bazelw --registry build //...
is "what is called" "$called" "bazelisk [build] [//...]"
is "what is said" "$said" "bazelw: dependencies from the registry: it was chosen"
bazelw build --registry
is "what is called when it is an argument of Bazel" "$called" "bazelisk [build] [--registry]"

case="packages are asked for, and Bazel is too new for them"
machine build
bazel_of bazel 9.0.0
bazelw --packages build //...
is "the exit code" "$code" 1
says "packages take Debian's Bazel, or another's 4 to 6, and none runs"

for program in bazelisk bazel; do
  case="$program cannot download its Bazel"
  machine build
  stub "$program" 'echo "could not download Bazel" >&2; exit 1'
  [[ $program == bazelisk ]] || lacks bazel-bootstrap
  stub apt-get '[[ $1 != install ]] || ln -sf bazelisk.of.debian "${0%/*}/bazel"'
  bazel_of bazelisk.of.debian no_version
  bazelw build //...
  says "bazelw: $work/bin/$program does not run: could not download Bazel"
  is "what is done at last" "$(tail -n 1 <<<"$called")" "bazel [build] [//...]"
done

for shell in bash sh; do
  case="$shell bazelw"
  machine build
  : >"$CALLS"
  (cd "$root" && PATH="$path" "$shell" bazelw build) >"$work/said" 2>&1 || true
  is "what is called" "$(tail -n 1 "$CALLS")" "bazel [build]"
done

case="a link to it, from another directory"
machine build
stub bazel '[[ $1 != --version ]] || { echo "bazel no_version"; exit 0; }; pwd -P'
ln -s "$root/bazelw" "$work/link"
(cd / && PATH="$path" "$work/link" build) >"$work/said" 2>&1 || true
is "where Bazel runs" "$(tail -n 1 "$work/said")" "$clone"
(cd "$clone/bazel" && PATH="$path" ../bazelw build) >"$work/said" 2>&1 || true
is "where Bazel runs from inside" "$(tail -n 1 "$work/said")" "$clone/bazel"

stub bazel '[[ $1 != --version ]] || { echo "bazel no_version"; exit 0; }; echo "$BAZELW_CALLED_FROM"'
for directory in / "$clone/bazel"; do
  (cd "$directory" && PATH="$path" "$work/link" build) >"$work/said" 2>&1 || true
  is "from where it was called, as what Bazel runs is told" "$(tail -n 1 "$work/said")" "$directory"
done

for directory in "a space" "ä"; do
  case="a path with $directory"
  machine build
  mkdir -p "$work/$directory"
  cp "$root/bazelw" "$work/$directory/"
  code=0
  PATH="$path" "$work/$directory/bazelw" build >"$work/said" 2>&1 || code=$?
  said="$(cat "$work/said")"
  is "the exit code" "$code" 1
  says "Bazel cannot work in $work/$directory: the path has a space, or a letter outside ASCII"
  says "Remedy: move the clone"
done

case="a home that cannot be written"
machine build
HOME=/dev/null/x bazelw build
says "bazelw: /dev/null cannot be written, and Bazel keeps what it builds there. Remedy: HOME="
is "what is called" "$called" "bazel [build]"
HOME=/dev/null/x bazelw --output_user_root=/elsewhere build
is "what is said when it builds elsewhere" "$said" "$from_packages"

case="no home"
machine build
stub getent 'echo "root:x:0:0:root:$CALLS.home:/bin/bash"'
mkdir "$CALLS.home"
(unset HOME && bazelw build && is "what is said" "$said" "$from_packages" && exit "$failed") || failed=1
stub getent 'exit 2'
nobody_but 12345
(unset HOME && bazelw build && says "user 12345 has no home" && exit "$failed") || failed=1

for home in "~" relative/path; do
  case="a home that is $home"
  machine build
  stub getent 'echo "root:x:0:0:root:$CALLS.home:/bin/bash"'
  stub bazel '[[ $1 != --version ]] || { echo "bazel no_version"; exit 0; }; echo "at $HOME"'
  HOME="$home" bazelw build
  says "bazelw: HOME=$home is not used: it is no absolute path"
  says "at $CALLS.home"
  stub getent 'exit 2'
  HOME="$home" bazelw build
  says "bazelw: user 0 has no home, where Bazel keeps what it builds."
done

case="a full disk"
machine build
FREE=20480 bazelw build
says "bazelw: 20 MB are free at "
says "Remedy: make room"

((failed)) || echo "ok"
exit "$failed"
