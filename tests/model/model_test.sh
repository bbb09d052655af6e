#!/usr/bin/env bash
# What Spin says of shutdown.pml:
#   model_test.sh every_state      no run breaks a rule, every run was looked at, no line is there for nothing
#   model_test.sh planted_bugs     a model that finds nothing may be one that cannot: each bug that is planted here is
#                                  found, by the rule that it breaks
set -euo pipefail

model="tests/model/shutdown.pml"
work="$(mktemp -d "${TEST_TMPDIR:-/tmp}/model.XXXXXX")"
trap 'rm -rf "$work"' EXIT

# bazelw installs it, and for .ci/run that is a step of its own. With Bazelisk, nobody needs more than a compiler.
if ! command -v spin >/dev/null; then
  echo "SKIPPED: Spin is not installed; bazel/packages.txt names its package"
  exit 0
fi

# Visits every state of the model in directory $1; what Spin says is in answer there.
visit() {
  (
    cd "$1"
    # -o3: what is merged with the statement before it is never said to be unreached.
    spin -o3 -a shutdown.pml >spin.log || { cat spin.log && exit 1; }
    # To optimise takes longer than it saves. It ends with an error rather than take all the memory of a machine.
    gcc -O0 -w -DMEMLIM=4096 -o pan pan.c
    ./pan -a -m100000 >answer 2>&1 || true
  )
}

# The rule that the model in directory $1 breaks, by its name in shutdown.pml; nothing if it breaks none.
broken_rule() {
  local line
  case "$(grep '^pan:1: ' "$1/answer")" in
    *"assertion violated"*)
      # The replay goes on to the end of an atomic step, and may break another rule there.
      line="$(cd "$1" && spin -o3 -t shutdown.pml | sed -n 's/^spin: shutdown.pml:\([0-9]*\), Error: assertion violated$/\1/p' | sed -n 1p)"
      sed -n "${line}s,.*/\* \([A-Z_]*\).*,\1,p" "$1/shutdown.pml"
      ;;
    *"acceptance cycle"*) echo "every_run_ends" ;;
  esac
}

# The lines of the model in directory $1 to which no run comes. Time and operators have no end of their own; of
# DoneWith(), the model says why.
unreached() {
  sed -n 's/^\tshutdown\.pml:\([0-9]*\), state [0-9]*, \(.*\)/\1: \2/p' "$1/answer" |
    grep -v '"-end-"$\|"i = [0-4]"$' || true
}

fail() {
  echo "FAILED: $*"
  cat "$work/answer"
  exit 1
}

every_state() {
  cp "$model" "$work/shutdown.pml"
  visit "$work"
  answer="$(cat "$work/answer")"

  rule="$(broken_rule "$work")"
  if [[ -n $rule ]]; then
    (cd "$work" && spin -o3 -t -p shutdown.pml)
    fail "the run above breaks the rule $rule"
  fi
  [[ $answer == *", errors: 0"* ]] || fail "Spin does not say that there are no errors"
  [[ $answer == *"Full statespace search"* ]] || fail "Spin did not look at every state"
  [[ $answer != *"Search not completed"* ]] || fail "Spin was stopped before it had seen every state"
  [[ $answer != *"max search depth too small"* ]] || fail "Spin has left out what lies deeper"
  [[ $answer == *"+ (every_run_ends)"* ]] || fail "Spin did not ask whether every run ends"
  [[ $answer == *$'\tshutdown.pml:'*', "-end-"'* ]] || fail "Spin does not say what it has not come to"
  never="$(unreached "$work")"
  [[ -z $never ]] || fail "no run comes to these lines:"$'\n'"$never"

  echo "$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' "$work/answer") states, no rule broken"
}

failed=0
planted=()
plant() { # which bug; the rule that must find it; how it is planted
  local bug="$1" rule="$2" found
  rm -rf "$work/bug" && mkdir "$work/bug"
  sed -e "$3" "$model" >"$work/bug/shutdown.pml"
  planted+=("$rule")
  if cmp -s "$model" "$work/bug/shutdown.pml"; then
    found="nothing to plant it in"
  else
    visit "$work/bug"
    found="$(broken_rule "$work/bug")"
    # Spin stops at a broken rule, and has not come to what lies behind.
    [[ -n $found || -z "$(unreached "$work/bug")" ]] || found="every_line_is_reached"
  fi
  if [[ $found == "$rule" ]]; then
    printf 'ok      %-50s %s\n' "$bug" "$rule"
  else
    printf 'FAILED  %-50s %s expected, found: %s\n' "$bug" "$rule" "${found:-nothing}"
    failed=1
  fi
}

planted_bugs() {
  plant "closes before it saves" NOT_IN_USE 's/SaveState(); CloseResources();/CloseResources(); SaveState();/'
  plant "cancels before it drains" FORWARD 's/DrainCalls(); CancelCalls();/CancelCalls(); DrainCalls();/'
  plant "drains before it closes the listener" LISTENER_FIRST 's/DrainConnections(); DrainCalls();/DrainCalls(); DrainConnections();/'
  plant "goes back though nobody has taken the drain back" FORWARD 's/finished = !(drain == kTakenBack/finished = !(drain == kRequested/'
  plant "serves again and stays a lame duck" AS_BEFORE 's/:: !finished -> healthy = true/:: !finished/'
  plant "lets who takes a drain back wait while it stops" ANSWERED 's/noticed = true; drain = kTooLate/noticed = true/'
  plant "stays drained whatever is requested meanwhile" every_run_ends 's/define Interrupted (requested || /define Interrupted (/'
  plant "halts once it is drained" every_run_ends 's/WaitByHand(); requested;/WaitByHand(); false;/'
  plant "does not wait for what saves" IN_ITS_PHASE 's/CloseAll(Bit(kSaver))/started = started | Bit(kSaver)/'
  plant "ends a lame duck when nobody calls" NOT_TOO_SOON 's/:: noticed -> Exhaust()/:: noticed -> if :: true :: Exhaust() fi/'
  plant "gives a phase its share and no more" NOT_TOO_SOON 's/(noticed -> EndOf(next)/(noticed -> now + ShareOf(next)/'
  plant "lets calls use what others are guaranteed" GUARANTEED 's/(noticed -> EndOf(next)/(noticed -> (next == kDrainingCalls -> kShares : EndOf(next))/'
  plant "shuts down under connections" CONNECTIONS_FIRST '/^inline DrainConnections/,/^}/s/Wait(!Carried, true)/skip/'
  plant "does not wait for connections after an interrupt" CONNECTIONS_FIRST '/^inline DrainConnections/,/^}/s/Wait(!Carried, true)/if :: interrupt :: else -> & fi/'
  plant "keeps a cut answer to itself" CLEAN '/^inline DrainCalls/,/^}/s/!Carried, /!(open \& Bit(kHandler)), /'
  plant "saves nothing" NOT_IN_USE 's/SaveState(); CloseResources();/CloseResources();/'
  plant "closes a backend under a call" NOT_IN_USE 's/DrainCalls(); CancelCalls();/DrainCalls();/'
  plant "closes what something in the registry uses" NOT_IN_USE 's/ && !(EntriesUsing(i) & ~done) ->/ ->/'
  plant "lets one closer have all the time" EACH_HAS_ITS_TURN 's, - (Height(i) - 1),,'
  plant "keeps a failed closer to itself" CLEAN 's/-> TellFailure(kCloseFailed)/-> skip/'
  plant "keeps a cut call to itself" CLEAN 's/if :: finished :: else -> TellFailure(kForced) fi/skip/'
  plant "frees what a hung closer holds" DESTROYS_NOTHING_IN_USE 's/; abandoned = true/; skip/'
  plant "joins a closer that hangs" every_run_ends 's/:: Bit(i) & open -> PassOver(i)/:: Bit(i) \& open -> false/'
  plant "waits for a worker without a limit" BITES_NO_PATIENCE '/Bit(kWorker)), hung/s/.*/wait_until = kNever; !(open \& Bit(kWorker)); finished = true;/'
  plant "has no watchdog" WITHIN_GRACE 's/kBites (kShares + 1)/kBites kNever/'
  plant "has no watchdog once it has stopped" WITHIN_GRACE 's/now < kBites/(now < kBites || phase == kStopped)/;s/now >= kBites/& \&\& phase != kStopped/'
  plant "keeps nothing back for the watchdog" BITES_NO_PATIENCE 's/kBites (kShares + 1)/kBites kShares/'
  plant "has no reserve" WITHIN_GRACE 's/kGrace (kShares + 2)/kGrace kShares/'
  plant "has an exit code with which no run ends" every_line_is_reached 's/:: exit_code == kForced/:: exit_code == kWatchdog -> Exit(kWatchdog)\n    &/'

  for rule in $(sed -n 's,.*assert(.*/\* \([A-Z_]*\).*,\1,p' "$model") every_run_ends every_line_is_reached; do
    [[ " ${planted[*]} " == *" $rule "* ]] && continue
    echo "FAILED  no bug is planted for the rule $rule"
    failed=1
  done
  echo "${#planted[@]} bugs planted"
  return $failed
}

"$1"
