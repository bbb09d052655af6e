#!/usr/bin/env bash
# What bazelw does on machines of many kinds. The programs that it asks and runs are stubs, each of which writes down how
# it was called; the PATH has nothing else but the tools that every machine has.
# shellcheck disable=SC2016 # What a stub does is expanded when it runs.
set -euo pipefail

root="$PWD"
work="$(mktemp -d "${TEST_TMPDIR:-/tmp}/bazelw.XXXXXX")"
trap 'rm -rf "$work"' EXIT
export CALLS="$work/calls" INSTALLED="$work/installed"
failed=0

packages() { awk -v group="$1" '$1 == group { print $2 }' "$root/bazel/packages.txt"; }

stub() { # name; what it does besides writing its call down
  {
    echo '#!/usr/bin/env bash'
    echo 'echo "${0##*/}$(printf " [%s]" "$@")" >>"$CALLS"'
    echo "$2"
  } >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

machine() { # what is installed: groups of packages.txt. A bare Debian, with apt-get, and nobody but root.
  local tool group
  rm -rf "${work:?}/bin" && mkdir "$work/bin"
  for tool in bash cat chmod env mktemp rm sed tail tr; do ln -s "$(command -v "$tool")" "$work/bin/$tool"; done
  : >"$INSTALLED"
  for group; do packages "$group" >>"$INSTALLED"; done
  stub dpkg-query 'while read -r package; do echo "ii ,$package, "; done <"$INSTALLED"'
  stub apt-get 'echo "apt-get says $1"; [[ $1 != install ]] || printf "%s\n" "${@:4}" >>"$INSTALLED"'
  stub id 'echo 0'
  debians_bazel
}

debians_bazel() { stub bazel '[[ $1 != --version ]] || { echo "bazel no_version"; exit 0; }; echo "$$" >"$CALLS.pid"; exit 7'; }
newer_bazel() { stub "$1" '[[ $1 != --version ]] || { echo "bazel 8.7.0"; exit 0; }; exit 7'; }
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
  PATH="$work/bin" "$root/bazelw" "$@" >"$work/said" 2>&1 &
  pid=$!
  wait "$pid" || code=$?
  said="$(cat "$work/said")"
  # Not what only asks.
  called="$(grep -vE '^(dpkg-query|id)( |$)|^bazel \[--version\]$' "$CALLS" || true)"
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
is "what is said" "$said" ""
is "Bazel's process" "$(cat "$CALLS.pid")" "$pid"

case="packages are missing"
machine build test
lacks g++ libsqlite3-dev spin
bazelw build //...
is "what is called" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends] [g++] [libsqlite3-dev]
bazel [build] [//...]"
is "what is said" "$said" \
  "Installing packages that this repository needs (bazel/packages.txt says why): g++ libsqlite3-dev"
bazelw build //...
is "what is called the second time" "$called" "bazel [build] [//...]"
is "what is said the second time" "$said" ""
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
printf "#!/usr/bin/env bash\necho installed bazel \"\$@\"\n" >"${0%/*}/bazel"
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
says "there is no apt-get here"
says "Missing:
  g++ libabsl-dev"
says "$(packages build | tr '\n' ' ' | sed 's/ $//')"

case="there is neither dpkg nor Bazel"
machine
without apt-get dpkg-query bazel
bazelw build
is "the exit code" "$code" 1
says "there is no apt-get here"
says "apt-get install --no-install-recommends bazel-bootstrap g++"

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
says "apt-get install --no-install-recommends g++"

case="not root, with sudo"
machine build
lacks g++
nobody_but 1000
stub sudo '"$@"'
bazelw build
is "what is called" "$called" "sudo [env] [DEBIAN_FRONTEND=noninteractive] [apt-get] [update]
apt-get [update]
sudo [env] [DEBIAN_FRONTEND=noninteractive] [apt-get] [install] [-y] [--no-install-recommends] [g++]
apt-get [install] [-y] [--no-install-recommends] [g++]
bazel [build]"

case="apt-get fails"
machine build
lacks g++
stub apt-get 'echo "no network"; exit 100'
bazelw build
is "the exit code" "$code" 1
is "what is called" "$called" "apt-get [update]"
says "no network"
says "apt-get could not install what is missing."

for program in bazelisk bazel; do
  case="a newer Bazel, $program"
  machine
  newer_bazel "$program"
  bazelw build //...
  is "what is called" "$called" "$program [build] [//...]"
  is "the exit code" "$code" 7
  bazelw test //...
  is "what is called for tests" "$called" "apt-get [update]
apt-get [install] [-y] [--no-install-recommends]$(packages test | sed 's/.*/ [&]/' | tr -d '\n')
$program [test] [//...]"
  without apt-get dpkg-query
  bazelw test //...
  is "what is called for tests without dpkg" "$called" "$program [test] [//...]"
done

((failed)) || echo "ok"
exit "$failed"
