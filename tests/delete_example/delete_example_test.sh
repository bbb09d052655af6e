#!/usr/bin/env bash
# Deletes the example from a copy, as docs/make-it-yours.md says, then builds and tests what is left.
set -euo pipefail

here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
root="$(cd "$here/../.." && pwd)"
most_lines=40

# Not below the test's own directory: Bazel's paths would get too long, and its server must not outlive the test there.
scratch="$(mktemp -d)"
copy="$scratch/copy"
bazel() {
  # TEST_TMPDIR would make it believe that it is one of Bazel's own tests.
  (cd "$copy" && env -u TEST_TMPDIR HOME="${HOME:-$scratch}" \
    ./bazelw --output_user_root="$scratch/bazel" --max_idle_secs=60 "$@")
}
clean_up() {
  bazel shutdown &>/dev/null || true
  chmod -R u+w "$scratch"
  rm -rf "$scratch"
}
trap clean_up EXIT

mkdir "$copy"
tar -C "$root" --exclude='./bazel-*' --exclude=./.git --exclude=node_modules -cf - . | tar -C "$copy" -xf -

lines="$( (cd "$copy" && grep -rE '(//|#) example$' \
  --include=BUILD --include=WORKSPACE --include='*.bazel' --include=packages.txt --include='*.cc' . || true) |
  grep -cvE '^./(service/(orders|inventory)|tests/rolling)/' || true)"
echo "$lines lines are marked as example outside of its own directories"
if ((lines > most_lines)); then
  echo "FAILED: more than $most_lines lines are not 'a few lines'"
  exit 1
fi

commands="$(sed -n '/<!-- test: delete_example -->/,/^```$/p' "$copy/docs/make-it-yours.md" | sed '1,2d;$d')"
[[ -n $commands ]] || {
  echo "FAILED: docs/make-it-yours.md has no block marked 'test: delete_example'"
  exit 1
}
echo "$commands"
(cd "$copy" && bash -euo pipefail -c "$commands")

# What is cached of the rest is as good as new; .ci/run names such a cache.
options=()
[[ -n ${BAZEL_DISK_CACHE:-} ]] && options+=(--disk_cache="$BAZEL_DISK_CACHE")
bazel test "${options[@]}" --keep_going --noshow_progress //...
