#!/usr/bin/env bash
# Builds and tests everything on another Debian, in a root folder of its own:
#
#   anywhere_test.sh SUITE PREPARE [ARGUMENTS OF BAZEL TEST]
#
# PREPARE, a script beside this one or "", is run in there first. The root folder, and what was built in it, is kept for
# the next run in $ANYWHERE, ~/.cache/anywhere unless it is set. Takes an hour and 10 GB; targets of one's own less:
#
#   ./bazelw test //tests/anywhere:current_grpc --test_arg=//service/rpc/...
set -euo pipefail
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
# shellcheck source=/dev/null # Beside it.
. "$here/root_folder.sh"

suite="$1" prepare="$2"
shift 2
(($#)) || set -- //...
require_root_folder "built and tested everything on Debian $suite"
root="$(kept_root_folders)/$suite${prepare:+-${prepare%.sh}}"
lock_root_folder "$root"
make_root_folder "$root" "$suite"
put_sources_into "$root" "$here/../.."
if [[ -n $prepare ]]; then
  in_root_folder "$root" "$(cat "$here/$prepare")" >"$root.log" 2>&1 || {
    tail -n 30 "$root.log"
    exit 1
  }
fi
# shellcheck disable=SC2016 # Expanded in there.
in_root_folder "$root" '
  code=0
  ./bazelw test --keep_going --noshow_progress --test_output=errors --disk_cache="$HOME/disk_cache" \
    --build_event_json_file="$HOME/events.json" "$@" || code=$?
  counts="$(.ci/count_tests "$HOME/events.json" "$code")"
  dpkg-query -W libgrpc++-dev libprotobuf-dev libabsl-dev g++ bazel-bootstrap
  echo "${counts% *} passed, ${counts#* } failed"
  exit "$code"' "$@"
