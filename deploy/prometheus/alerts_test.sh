#!/usr/bin/env bash
# Usage: alerts_test.sh RULES TESTS
set -euo pipefail
command -v promtool >/dev/null || {
  echo "promtool is missing: apt-get install prometheus" >&2
  exit 1
}
promtool check rules "$1"
promtool test rules "$2"
