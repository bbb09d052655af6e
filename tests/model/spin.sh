# How the tests of this room run Spin. Sourced.
set -euo pipefail

model="tests/model/stop.pml"
work="$(mktemp -d "${TEST_TMPDIR:-/tmp}/model.XXXXXX")"
trap 'rm -rf "$work"' EXIT

# .ci/run installs it first, and counts that as a step; elsewhere nobody needs it.
if ! command -v spin >/dev/null; then
  echo "SKIPPED: Spin is not installed; bazel/packages.txt names its package"
  exit 0
fi

# Visits every state of the model in directory $1; what Spin says is in answer there.
visit() {
  (
    cd "$1"
    spin -a stop.pml >spin.log || { cat spin.log && exit 1; }
    # It ends with an error rather than take all the memory of a machine.
    gcc -O1 -w -DMEMLIM=4096 -o pan pan.c
    ./pan -a -m100000 >answer 2>&1 || true
  )
}

# The rule that the model in directory $1 breaks, by its name in stop.pml; nothing if it breaks none.
broken_rule() {
  local line
  case "$(grep '^pan:1: ' "$1/answer")" in
    *"assertion violated"*)
      line="$(cd "$1" && spin -t stop.pml | sed -n 's/^spin: stop.pml:\([0-9]*\), Error: assertion violated$/\1/p')"
      sed -n "${line}s,.*/\* \([A-Z_]*\).*,\1,p" "$1/stop.pml"
      ;;
    *"acceptance cycle"*) echo "every_run_ends" ;;
  esac
}
