#!/usr/bin/env bash
set -euo pipefail
command -v promtool >/dev/null || {
  echo "promtool is missing: apt-get install prometheus" >&2
  exit 1
}
cd "$(dirname "$0")"
promtool check rules alerts.yml
promtool test rules alerts_test.yml
