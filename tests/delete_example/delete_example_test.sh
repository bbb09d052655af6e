#!/usr/bin/env bash
# Deletes the example from a copy, as docs/make-it-yours.md says. Then does with what is left what .ci/run does: builds
# and tests it, checks its form, runs the commands of its README.
set -euo pipefail

here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
root="$(cd "$here/../.." && pwd)"
most_lines=40

# Not below the test's own directory: Bazel's paths would get too long, and its server must not outlive the test there.
scratch="$(mktemp -d)"
copy="$scratch/copy"
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
# It would make Bazel believe that it is one of Bazel's own tests.
unset TEST_TMPDIR
bazel() { ./bazelw --output_user_root="$scratch/bazel" --max_idle_secs=60 "$@"; }
clean_up() {
  (cd "$copy" && bazel shutdown) &>/dev/null || true
  chmod -R u+w "$scratch"
  rm -rf "$scratch"
}
trap clean_up EXIT

# A clone has no more than this: what git knows, and what it would add.
mkdir "$copy"
(cd "$root" && git ls-files --cached --others --exclude-standard -z |
  while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
  tar -cf - --null --files-from=-) | tar -C "$copy" -xf -
cd "$copy"
# What .ci/check has installed of the same lock is as good as new.
[[ ! -e $root/bazel/lint/node_modules ]] || cp -r "$root/bazel/lint/node_modules" bazel/lint/
git init --quiet
git add .

commands="$(sed -n '/<!-- test: delete_example -->/,/^```$/p' docs/make-it-yours.md | sed '1,2d;$d')"
[[ -n $commands ]] || {
  echo "FAILED: docs/make-it-yours.md has no block marked 'test: delete_example'"
  exit 1
}
# What is left of the copy after the first line, which removes directories.
bash -euo pipefail -c "$(head -n 1 <<<"$commands" | sed 's/ &&$//')"
lines="$(git grep -cE '(//|#) example$' | awk -F: '{ n += $2 } END { print n + 0 }')"
echo "$lines lines are marked as example outside of its own directories"
if ((lines > most_lines)); then
  echo "FAILED: more than $most_lines lines are not 'a few lines'"
  exit 1
fi
echo "$commands"
bash -euo pipefail -c "$(tail -n +2 <<<"$commands")"
git add .

failed=0
step() {
  echo "---- $1"
  shift
  "$@" || {
    echo "FAILED: $*"
    failed=1
  }
}
# docs/make-it-yours.md renames the service in main.cc and nowhere else.
is_not_named() {
  local -r literal='^[^/]*"[^"]*orders[^"]*"'
  ! git grep -nE "$literal" -- {service,client}/'*.cc' ':!*_test.cc' ':!*/main.cc' ':!*/testing/*'
}
step "name" is_not_named
# What is cached of the rest is as good as new; .ci/run names such a cache.
options=(--keep_going --noshow_progress)
[[ -n ${BAZEL_DISK_CACHE:-} ]] && options+=(--disk_cache="$BAZEL_DISK_CACHE")
step "form" .ci/check
step "README" .ci/readme
step "test" bazel test "${options[@]}" //...
((failed == 0))
