# shellcheck shell=bash # Runs as root on a machine of its own, with the units installed (systemd_test.sh).
# What systemd sees of the orders server, and what callers see of systemd.
set -uo pipefail

failed=0
check() { # what must hold; the command that says whether it does
  local what="$1"
  shift
  if "$@"; then echo "ok      $what"; else
    echo "FAILED  $what"
    failed=$((failed + 1))
  fi
}
await() { # the most seconds; a command
  local -r end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

# Whether a unit has these properties: has orders.service ActiveState=active Result=success
has() {
  local unit="$1" each
  shift
  for each in "$@"; do
    [[ $(systemctl show --property="${each%%=*}" "$unit") == "$each" ]] || return 1
  done
}
must_have() {
  has "$@" || { systemctl show --property="$(printf '%s\n' "${@:2}" | sed 's/=.*//' | paste -sd ,)" "$1" && false; }
}
value() { systemctl show --value --property="$2" "$1"; }
log_since() { # the unit; what now() printed
  journalctl --sync && journalctl --unit="$1" --output=cat --no-pager --after-cursor="$2"
}
now() { journalctl --sync && journalctl --lines=0 --show-cursor --no-pager | sed -n 's/^-- cursor: //p'; }
# A drop-in of orders.service, in place of the last one.
drop_in() {
  local -r file=/run/systemd/system/orders.service.d/test.conf
  mkdir -p "${file%/*}"
  printf '%s\n' '[Service]' "$@" >"$file"
  systemctl daemon-reload
}

ready() { # where; by default on loopback
  exec 3<>"/dev/tcp/${1:-127.0.0.1}/50061" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && grep -q '^HTTP/1.[01] 200' <&3
} 2>/dev/null
start_anew() {
  systemctl stop orders.socket orders.service orders@blue.service orders@green.service
  systemctl reset-failed
  systemctl start orders.socket orders.service
}

# Callers, each of which calls without a pause until the halt. A client's call is a process and a connection.
connect_on_and_on() {
  while [[ ! -e /run/callers/halt ]]; do
    if true </dev/tcp/127.0.0.1/50051; then echo "connected" >>"$1.answered"; fi 2>>"$1.failed"
    sleep 0.01
  done
}
order_on_and_on() {
  while [[ ! -e /run/callers/halt ]]; do
    client place --customer=loop --timeout=30s apple=1 >>"$1.answered" 2>"$1.said" || cat "$1.said" >>"$1.failed"
  done
}
start_callers() {
  rm -rf /run/callers
  mkdir /run/callers
  local i
  for i in 1 2; do
    connect_on_and_on "/run/callers/connects$i" &
    [[ -z $example ]] || order_on_and_on "/run/callers/orders$i" &
  done
  callers_are_answered
}
callers_are_answered() { # all of them, from now on
  local each lines
  for each in connects1 connects2 ${example:+orders1 orders2}; do
    lines="$(answered "$each")"
    await 60 has_more "$each" "$((lines + 1))" || return 1
  done
}
has_more() { (($(answered "$1") > $2)); }
answered() { if [[ -e /run/callers/$1.answered ]]; then wc -l <"/run/callers/$1.answered"; else echo 0; fi; }
no_caller_failed() { # ends them
  touch /run/callers/halt
  wait
  wc -l /run/callers/*.answered | sed 's/^/        /'
  cat /run/callers/*.failed >/run/failures
  [[ ! -s /run/failures ]] || { sort /run/failures | uniq -c && false; }
}

# Its backend has no unit in deploy/. Without the example its flags are gone, too.
example=""
[[ ! -x /usr/bin/inventory ]] || example=yes
if [[ -n $example ]]; then
  cat >/run/systemd/system/inventory.service <<'END'
[Service]
Type=notify
ExecStart=/usr/bin/inventory --database=/var/lib/inventory/inventory.sqlite3 --stock=apple=1000000
DynamicUser=yes
StateDirectory=inventory
END
  systemctl daemon-reload
  systemctl start inventory.service
else
  sed -i -E '/^--(database|inventory)=/d' /etc/orders/flags
fi

# systemd forgets how a unit ended that nothing wants.
systemctl enable --quiet orders.socket orders.service orders@blue.service orders@green.service

units_are_right() {
  local said
  said="$(systemd-analyze verify orders.service orders.socket orders@blue.service 2>&1)"
  [[ -z $said ]] || { echo "$said" && false; }
}
check "systemd finds nothing wrong in the units" units_are_right

systemd-analyze security --no-pager orders.service | grep Overall
is_hardly_exposed() { systemd-analyze security --threshold=12 --no-pager "$@" >/dev/null; }
check "the exposure is 1.2 at most" is_hardly_exposed orders.service orders@blue.service

# It serves and cannot say so.
serves_unready() {
  drop_in UnsetEnvironment=NOTIFY_SOCKET
  systemctl start --no-block orders.service
  await 60 ready && must_have orders.service ActiveState=activating SubState=start
}
check "a serving unit is not active without READY" serves_unready
systemctl stop orders.socket orders.service
drop_in

starts() {
  systemctl start orders.socket orders.service &&
    must_have orders.service ActiveState=active SubState=running StatusText=Serving && ready
}
check "READY makes the unit active, STATUS says Serving" starts

is_confined() {
  local status
  status="$(<"/proc/$(value orders.service MainPID)/status")"
  grep -qP "^CapEff:\t0+\$" <<<"$status" && grep -qP "^CapBnd:\t0+\$" <<<"$status" &&
    grep -qP '^NoNewPrivs:\t1$' <<<"$status" &&
    grep -qP '^Seccomp:\t2$' <<<"$status" && grep -qP '^Uid:\t[1-9]' <<<"$status"
}
check "the hardening is in force" is_confined

# systemd takes what it can get: to go above the machine's own limit it needs a privilege.
has_descriptors() {
  local -r got="$(awk '/^Max open files/ { print $5 }' "/proc/$(value orders.service MainPID)/limits")"
  ((got == 65536)) || { echo "        they are $got" && false; }
}
if ((0x$(awk '/^CapBnd/ { print $2 }' /proc/1/status) >> 24 & 1)); then
  check "the server may have 65536 descriptors" has_descriptors
else
  echo "no      LimitNOFILE=65536 is not checked: without CAP_SYS_RESOURCE the limit here is $(ulimit -H -n)"
fi

stores() {
  local -r file=/var/lib/private/orders/orders.sqlite3
  client place --customer=ann apple=2 && [[ -s $file && ! -O $file ]]
}
[[ -z $example ]] || check "an order is stored in the state directory" stores
check "an operator reaches the admin socket" client state --admin=unix:/run/orders/admin.sock

# Both: the socket alone would start it again.
stops() {
  local before statuses=() absent='$^' # Nothing.
  [[ -n $example ]] || absent='sales totals|store pool|inventory channel'
  before="$(now)"
  systemctl stop --no-block orders.socket orders.service
  await 10 has orders.service ActiveState=deactivating SubState=stop-sigterm
  while has orders.service ActiveState=deactivating; do statuses+=("$(value orders.service StatusText)"); done
  printf '%s\n' "${statuses[@]}" >/run/statuses
  grep -qP '^LameDuck, at most [0-9.]+s more' /run/statuses || { cat /run/statuses && return 1; }
  must_have orders.service ActiveState=inactive Result=success ExecMainCode=1 ExecMainStatus=0 || return 1
  log_since orders.service "$before" >/run/stopped
  # These two close at the same time.
  awk '$5 ~ /^\+[0-9.]+s$/ { print $6, $7, $7 ~ /^(Closed|StateSaved)$/ ? $8 " " $9 : "" }' /run/stopped |
    sed -E 's/"(database|inventory channel)"/"database or inventory channel"/; s/ *$//' >/run/steps
  # Yours, which nobody here knows.
  [[ -n $example ]] || sed -i -E '/ (StateSaved|Closed) "/ { /"admin /!d }' /run/steps
  diff - /run/steps < <(
    grep -vE "$absent" <<'END'
Serving ShutdownRequested:
LameDuck LameDuckEntered
DrainingConnections ListenerClosed
DrainingConnections GoodbyeSaid:
DrainingConnections ConnectionsGone
DrainingCalls NewCallsRefused
DrainingCalls CallsFinished
CancellingCalls ServerStopped
StoppingWorkers WorkersStopped
SavingState StateSaved "sales totals"
ClosingResources Closed "store pool"
ClosingResources Closed "database or inventory channel"
ClosingResources Closed "database or inventory channel"
ClosingResources Closed "admin server"
ClosingResources Closed "admin HTTP"
Stopped Stopped:
END
  )
}
check "a stop goes through all phases to success" stops
check "its report can be drawn from the journal" client report /run/stopped
check "the report is in the state directory" test -s /var/lib/private/orders/shutdown_report.json

restarts_under_callers() {
  local i process
  start_anew && start_callers || return 1
  for i in 1 2 3; do
    process="$(value orders.service MainPID)"
    systemctl restart orders.service && callers_are_answered || return 1
    must_have orders.service ActiveState=active SubState=running || return 1
    [[ $(value orders.service MainPID) != "$process" ]] || return 1
  done
  no_caller_failed
}
check "three restarts behind the socket refuse nobody" restarts_under_callers
keeps_orders() {
  client list >/run/orders_kept
  [[ $(grep -c ' loop ' /run/orders_kept) == $(cat /run/callers/orders*.answered | wc -l) &&
    $(grep -c ' ann ' /run/orders_kept) == 1 ]]
}
[[ -z $example ]] || check "every order is there after the restarts" keeps_orders

is_started_by_a_caller() {
  systemctl stop --quiet orders.service 2>/dev/null
  must_have orders.service ActiveState=inactive && true </dev/tcp/127.0.0.1/50051 &&
    await 60 has orders.service ActiveState=active SubState=running
}
check "the next caller starts a stopped service" is_started_by_a_caller

# It is stopped as if it hung: no handler runs, nothing is told.
hangs() {
  local before process
  before="$(now)"
  process="$(value orders.service MainPID)"
  must_have orders.service ActiveState=active NRestarts=0 WatchdogUSec=30s || return 1
  kill -STOP "$process"
  await 60 has orders.service NRestarts=1 && await 60 has orders.service ActiveState=active SubState=running || return 1
  log_since orders.service "$before" | grep -F "orders.service: Watchdog timeout (limit 30s)!" &&
    log_since orders.service "$before" | grep -F "orders.service: Failed with result 'watchdog'." || return 1
  await 60 ready && [[ $(value orders.service MainPID) != "$process" ]]
}
check "the watchdog ends a stopped process" hangs

# The lame duck alone takes five seconds.
ends_in_time() {
  drop_in TimeoutStopSec=2s
  start_anew && systemctl stop orders.socket orders.service
  must_have orders.service "$@"
}
check "without the flag TimeoutStopSec is the limit" ends_in_time ActiveState=failed Result=timeout

# By the lines of docs/operations.md.
asks_for_its_limit() {
  local before lines
  mapfile -t lines < <(sed -nE 's/^ +((ExecStartPre=\+|EnvironmentFile=-).*)/\1/p' /operations.md)
  drop_in "${lines[@]}" TimeoutStopSec=20s
  before="$(now)"
  start_anew || return 1
  log_since orders.service "$before" >/run/said
  grep -F 'SIGKILL after 20s (TIMEOUT_STOP_USEC), before a shutdown of 30s' /run/said || { cat /run/said && return 1; }
}
check "a unit asks systemd for its own limit" asks_for_its_limit

# Where there is no other host, another address of this one.
can_be_asked_from_elsewhere() {
  local lines
  if ! ready || ready 127.0.0.2; then return 1; fi
  mapfile -t lines < <(sed -nE '/^ +ExecStart=$/,/--admin_allow_plaintext$/s/^ +//p' /operations.md)
  drop_in "${lines[@]}"
  start_anew && ready 127.0.0.2
}
check "by the manual's drop-in other hosts ask for health and metrics" can_be_asked_from_elsewhere
drop_in TimeoutStopSec=2s

echo --systemd_extend_timeout >>/etc/orders/flags
check "with the flag a stop gets its time" ends_in_time ActiveState=inactive Result=success ExecMainStatus=0
sed -i '/^--systemd_extend_timeout$/d' /etc/orders/flags
drop_in

# Where operators have their reports is theirs: what follows does not depend on it.
sed -i '/^--shutdown_report=/d' /etc/orders/flags

takes_over() { # the new instance, the old one
  systemctl start "orders@$1.service" && must_have "orders@$1.service" ActiveState=active StatusText=Serving || return 1
  await 60 has "orders@$2.service" ActiveState=inactive &&
    must_have "orders@$2.service" Result=success ExecMainCode=1 ExecMainStatus=0 && callers_are_answered
}
hot_restarts() {
  systemctl stop orders.socket orders.service
  systemctl start orders@blue.service && start_callers &&
    takes_over green blue && takes_over blue green && no_caller_failed
}
check "two hot restarts refuse nobody" hot_restarts

# A call whose message never arrives whole is cut, and the old instance's exit code is 3.
half_a_call() {
  exec 4<>/dev/tcp/127.0.0.1/50051 || return 1
  printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0' >&4
  # Of stream 1: POST, http, the path, the authority, te, content-type; then 3 of 10 bytes.
  printf '\0\0\x43\1\4\0\0\0\1\x83\x86\4\x1c/grpc.health.v1.Health/Check\1\1x\0\2te\x8trailers\xf\x10\x10application/grpc' >&4
  printf '\0\0\xa\0\0\0\0\0\1\0\0\0' >&4
}
ends_with() { has "$1" ExecMainCode=1 "ExecMainStatus=$2"; }
stays_away() {
  local -r before="$(now)"
  half_a_call && systemctl start orders@green.service || return 1
  await 60 ends_with orders@blue.service 3
  must_have orders@blue.service ExecMainCode=1 ExecMainStatus=3 NRestarts=0 || return 1
  log_since orders@blue.service "$before" | grep -F 'CallsCut' || return 1
  # It would have come back a second later.
  sleep 5
  must_have orders@blue.service ActiveState=failed Result=exit-code NRestarts=0 &&
    must_have orders@green.service StatusText=Serving && grep -qF '"reason":"handover"' /run/orders/report-blue.json
}
check "an old instance that cut a call stays away" stays_away
# Of any other end it comes back, whatever the last report says.
comes_back() {
  must_have orders@green.service ActiveState=active && kill -KILL "$(value orders@green.service MainPID)" || return 1
  await 60 has orders@green.service NRestarts=1 && await 60 has orders@green.service ActiveState=active
}
check "an instance that was killed comes back" comes_back
# It has cut a call and handed nothing over, unlike the one before it.
comes_back_alone() {
  local before report
  systemctl stop orders@green.service
  for report in /run/orders/report-green.json /var/lib/private/orders/shutdown_report.json; do
    echo '{"reason":"handover"}' >"$report"
  done
  systemctl start orders@green.service && [[ ! -e /run/orders/report-green.json ]] || return 1
  before="$(now)"
  half_a_call && kill -INT "$(value orders@green.service MainPID)" || return 1
  await 60 has orders@green.service NRestarts=1 && await 60 has orders@green.service ActiveState=active || return 1
  log_since orders@green.service "$before" | grep -F '"reason":"interrupt"' | grep -F '"exit_code":3' >/dev/null
}
check "an instance that cut a call and was not replaced comes back" comes_back_alone

((failed == 0)) || {
  journalctl --boot --no-pager --output=short-precise | cut -c 1-300 | tail -n 60
  exit 1
}
