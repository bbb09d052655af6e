#!/usr/bin/env bash
# A model that finds nothing may be one that cannot: each bug that is planted here is found, by the rule it breaks.
source tests/model/spin.sh

failed=0
planted=()
plant() { # which bug; the rule that must find it; how it is planted
  local bug="$1" rule="$2" found
  rm -rf "$work/bug" && mkdir "$work/bug"
  sed -e "$3" "$model" >"$work/bug/stop.pml"
  planted+=("$rule")
  if cmp -s "$model" "$work/bug/stop.pml"; then
    found="nothing to plant it in"
  else
    visit "$work/bug"
    found="$(broken_rule "$work/bug")"
  fi
  if [[ $found == "$rule" ]]; then
    printf 'ok      %-50s %s\n' "$bug" "$rule"
  else
    printf 'FAILED  %-50s %s expected, found: %s\n' "$bug" "$rule" "${found:-nothing}"
    failed=1
  fi
}

plant "closes before it saves" NOT_IN_USE 's/Save(); Close();/Close(); Save();/'
plant "cancels before it drains" FORWARD 's/Drain(); Cancel();/Cancel(); Drain();/'
plant "drains before it closes the listener" LISTENER_FIRST 's/Leave(); Drain();/Drain(); Leave();/'
plant "does not wait for what saves" IN_ITS_PHASE 's/CloseAll(Bit(kSaver))/started = started | Bit(kSaver)/'
plant "saves nothing" NOT_IN_USE 's/Save(); Close();/Close();/'
plant "closes a backend under a call" NOT_IN_USE 's/Drain(); Cancel();/Drain();/'
plant "closes what something in the registry uses" NOT_IN_USE 's/ && !(EntriesUsing(i) & ~done) ->/ ->/'
plant "lets one closer have all the time" EACH_HAS_ITS_TURN 's,(deadline - now) / Height(i),(deadline - now),'
plant "keeps a failed closer to itself" CLEAN 's/-> TellFailure(kCloseFailed)/-> skip/'
plant "keeps a cut call to itself" CLEAN 's/if :: finished :: else -> TellFailure(kForced) fi/skip/'
plant "frees what a hung closer holds" DESTROYS_NOTHING_IN_USE 's/; abandoned = true/; skip/'
plant "joins a closer that hangs" every_run_ends 's/:: Bit(i) & open -> PassOver(i)/:: Bit(i) \& open -> false/'
plant "waits for a worker without a limit" BITES_NO_PATIENCE '/Bit(kWorker)), hung/s/.*/wait_until = kNever; !(open \& Bit(kWorker)); finished = true;/'
plant "has no watchdog" WITHIN_GRACE 's/bites_at = kParts;/bites_at = kNever;/'
plant "has no watchdog once it has stopped" WITHIN_GRACE 's/bites_at = kParts + 1/bites_at = kNever/'
plant "has no reserve" WITHIN_GRACE 's/kGrace (kParts + 2)/kGrace kParts/'

for rule in $(sed -n 's,.*assert(.*/\* \([A-Z_]*\).*,\1,p' "$model") every_run_ends; do
  [[ " ${planted[*]} " == *" $rule "* ]] && continue
  echo "FAILED  no bug is planted for the rule $rule"
  failed=1
done
echo "${#planted[@]} bugs planted"
exit $failed
