#!/usr/bin/env bash
# No run of the model breaks a rule, every run was looked at, and none of the model's lines is there for nothing.
source tests/model/spin.sh

fail() {
  echo "FAILED: $*"
  cat "$work/answer"
  exit 1
}

cp "$model" "$work/stop.pml"
visit "$work"
answer="$(cat "$work/answer")"

rule="$(broken_rule "$work")"
if [[ -n $rule ]]; then
  (cd "$work" && spin -t -p stop.pml)
  fail "the run above breaks the rule $rule"
fi
[[ $answer == *", errors: 0"* ]] || fail "Spin does not say that there are no errors"
[[ $answer == *"Full statespace search"* ]] || fail "Spin did not look at every state"
[[ $answer != *"Search not completed"* ]] || fail "Spin was stopped before it had seen every state"
[[ $answer != *"max search depth too small"* ]] || fail "Spin has left out what lies deeper"
[[ $answer == *"+ (every_run_ends)"* ]] || fail "Spin did not ask whether every run ends"
# Time has no end of its own.
never="$(grep $'^\tstop.pml:' "$work/answer" | grep -v '"-end-"' || true)"
[[ -z $never ]] || fail "no run comes to these lines:"$'\n'"$never"

echo "$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' "$work/answer") states, no rule broken"
