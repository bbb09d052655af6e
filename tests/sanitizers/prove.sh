#!/usr/bin/env bash
# A sanitizer that finds nothing may be one that is not on: each must find the bug that is planted for it.
#   tests/sanitizers/prove.sh [asan|ubsan|tsan ...]
# Not a test of Bazel's, because it runs Bazel.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
(($#)) || set -- asan ubsan tsan

failed=0
for config in "$@"; do
  case $config in
    asan) bug=use_after_free report="AddressSanitizer: heap-use-after-free" ;;
    ubsan) bug=undefined_shift report="runtime error: shift exponent 40 is too large" ;;
    tsan) bug=data_race report="ThreadSanitizer: data race" ;;
    *) echo "no such sanitizer: $config" >&2 && exit 2 ;;
  esac
  if log="$(./bazelw test --config="$config" --noshow_progress "//tests/sanitizers:$bug" 2>&1)"; then
    verdict="FAILED  $config did not end tests/sanitizers/$bug.cc"
  elif [[ $log != *"$report"* ]]; then
    verdict="FAILED  $config did not report \"$report\""
  else
    verdict="ok      $config finds tests/sanitizers/$bug.cc"
  fi
  echo "$verdict"
  [[ $verdict == ok* ]] || { echo "$log" && failed=1; }
done
exit $failed
