#!/usr/bin/env bash
# Plays deploy/Dockerfile without Docker, each line as it stands there: the build in a bare Debian, and what it makes of an
# empty image. Runs that as Docker would, calls it, and stops it: exit code 0.
#
# The bare Debian is kept for the next run in $ANYWHERE, ~/.cache/anywhere unless it is set. Takes a quarter of an hour
# and 2 GB.
set -euo pipefail
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
# shellcheck source=/dev/null # Beside it.
. "$here/root_folder.sh"
sources="$(readlink -f "$here/../..")"

require_root_folder "built deploy/Dockerfile"
kept="$(kept_root_folders)"
work="$(mktemp -d "$kept/dockerfile.XXXXXX")"
container=""
clean_up() {
  [[ -z $container ]] || kill -KILL "$container" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
fail() {
  echo "FAILED: $*"
  exit 1
}

declare -A stages=()
# Starts a stage: IMAGE [AS NAME]
from() {
  local image="$1" suite
  root="$work/${3:-image}" workdir=/ user=0:0 stop=SIGTERM entrypoint='[]' cmd='[]'
  stages["${3:-image}"]="$root"
  case "$image" in
    scratch) mkdir "$root" ;;
    debian:12-slim) suite=bookworm ;;
    debian:13-slim) suite=trixie ;;
    *) fail "it is not known what $image is" ;;
  esac
  [[ -n ${suite:-} ]] || return 0
  lock_root_folder "$kept/$suite-bare"
  make_root_folder "$kept/$suite-bare" "$suite"
  unlock_root_folder
  cp -a "$kept/$suite-bare" "$root"
}
run() { # a line for the shell, with the environment that Docker gives it
  mkdir -p "$root/src" # Where it starts.
  # shellcheck disable=SC2016 # Expanded in there.
  in_root_folder "$root" 'HOME=~root && cd "$1" && exec env -i PATH="$PATH" HOME="$HOME" /bin/sh -c "$2"' "$workdir" "$1" \
    >"$work/log" 2>&1 || { tail -n 30 "$work/log" && fail "RUN $1"; }
}

"$here/dockerfile.py" steps "$sources/deploy/Dockerfile" >"$work/steps"
while read -r -u 3 instruction rest; do
  echo "$((SECONDS / 60)):$(printf %02d $((SECONDS % 60)))  $instruction $rest"
  # shellcheck disable=SC2086 # Words.
  case "$instruction" in
    FROM) from $rest ;;
    RUN) run "$rest" ;;
    COPY)
      context="$sources"
      if [[ $rest == --from=* ]]; then
        name="${rest%% *}"
        context="${stages[${name#--from=}]}" rest="${rest#* }"
      fi
      "$here/dockerfile.py" copy "$context" "$root" "$workdir" $rest
      ;;
    WORKDIR) workdir="$rest" && mkdir -p "$root$workdir" ;;
    USER) user="$rest" ;;
    STOPSIGNAL) stop="$rest" ;;
    ENTRYPOINT) entrypoint="$rest" ;;
    CMD) cmd="$rest" ;;
    EXPOSE) ;; # A note for people.
    *) fail "$instruction is not understood" ;;
  esac
done 3<"$work/steps"

shared="$(find "$root" -name 'libgrpc*' -o -name 'libprotobuf*' -o -name 'libabsl*')"
[[ -z $shared ]] || fail "not a part of the programs: $shared"
echo "ok      gRPC, Protobuf and Abseil are a part of the programs"

# The first process of its container, as with Docker: signals without a handler do not reach it.
mkdir -p "$root/proc" "$root/dev"
# shellcheck disable=SC2016 # Expanded in there.
unshare --mount --pid --net --ipc --uts --fork --kill-child bash -euc '
  mount --make-rprivate /
  mount -t proc proc "$2/proc"
  mount -t tmpfs tmpfs "$2/dev"
  for device in null zero random urandom; do cp -a "/dev/$device" "$2/dev/"; done
  exec "$0" "$@"' "$here/dockerfile.py" run "$root" "$workdir" "$user" "$entrypoint" "$cmd" >"$work/log" 2>&1 &
container=$!
first() { grep -lsP "^PPid:\t$container\$" /proc/[0-9]*/status | grep -o '[0-9]*' || true; }
for ((i = 0; i < 600; i++)); do
  ! grep -q ' Serving  *Serving' "$work/log" || break
  kill -0 "$container" 2>/dev/null || break
  sleep 0.1
done
grep -q ' Serving  *Serving' "$work/log" || fail "what is in the image does not serve: $(cat "$work/log")"
server="$(first)"
sed -n 's/^Uid:\t\([0-9]*\).*/ok      it serves as user \1/p' "/proc/$server/status"
nsenter --target "$server" --all --root --wd /usr/bin/client list || fail "no call is answered: $(cat "$work/log")" # example
echo "ok      it answers a call of the client in the image" # example
kill -s "${stop#SIG}" "$server"
code=0
wait "$container" || code=$?
container=""
((code == 0)) || fail "exit code $code after $stop: $(cat "$work/log")"
echo "ok      $stop ends it with exit code 0"
