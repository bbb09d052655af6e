#!/usr/bin/env bash
# Collects the server and the client as deploy/Dockerfile does, and runs them with that folder as their root, as the user
# of the image: nothing is missing there, SIGTERM reaches the server, and the bill of materials says what it is made of.
set -euo pipefail
collect="$PWD/$1" server="$PWD/$2" client="$PWD/$3"

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
fail() {
  echo "FAILED: $*"
  exit 1
}

"$collect" "$root" "$server" "$client"
chmod 755 "$root"

# With /proc, as every container has it, in a namespace of mounts; an ordinary user takes one with a root of its own.
# Inside of a default container root can at least change the root.
mkdir "$root/proc"
# shellcheck disable=SC2016 # Expanded in there.
namespace=(unshare --mount) user=(--userspec=65532:65532) mount='mount --rbind /proc "$0/proc" &&'
(($(id -u) == 0)) || namespace+=(--map-root-user) user=()
"${namespace[@]}" true 2>/dev/null || namespace=() mount=""
# shellcheck disable=SC2016 # Expanded in there.
in_image() { exec "${namespace[@]}" bash -c "$mount"' exec chroot "$@"' "$root" "${user[@]}" "$root" "$@"; }
if ((${#namespace[@]} == 0)) && ! (in_image /usr/bin/client help) >/dev/null 2>&1; then
  echo "SKIPPED: neither mounts of its own nor another root can be had here; it would have run the server in its image"
  exit 0
fi

(in_image /usr/bin/echo_server --print_config) >"$root/printed" || fail "the server does not run in there"
grep -q -- '--termination_grace=30s' "$root/printed" || fail "it prints another configuration: $(cat "$root/printed")"
(in_image /usr/bin/client help) >/dev/null || fail "the client does not run in there"

(in_image /usr/bin/echo_server --address=127.0.0.1:0 --port_file=/tmp/port --shutdown_lame_duck=0) 2>"$root.log" &
pid=$!
trap 'kill -KILL "$pid" 2>/dev/null || true; rm -rf "$root" "$root.log"' EXIT
for ((i = 0; i < 600; i++)); do
  [[ ! -s $root/tmp/port ]] || break
  kill -0 "$pid" 2>/dev/null || fail "the server ended: $(cat "$root.log")"
  sleep 0.1
done
[[ -s $root/tmp/port ]] || fail "the server does not serve: $(cat "$root.log")"
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
((code == 0)) || fail "exit code $code: $(cat "$root.log")"

for name in bin/sh usr/bin/env lib/apt usr/bin/dpkg; do
  [[ ! -e $root/$name ]] || fail "$name is in the image, and nobody needs it"
done
# gRPC is a shared library, or a part of a release where the package has it so, or was linked from its source.
of_package="$(pkg-config --modversion grpc++ 2>/dev/null || true)"
grpc=""
if ldd "$server" | grep 'libgrpc++' >/dev/null; then
  grpc="libgrpc++1"
elif [[ $("$server" --version) == *"gRPC $of_package" ]]; then
  grpc="libgrpc++-dev"
fi
python3 - "$root/usr/share/sbom/image.cdx.json" "$grpc" <<'PYTHON'
import json, sys

bill = json.load(open(sys.argv[1]))
packages = {c["name"]: c for c in bill["components"] if c["type"] == "library"}
for name in ["libc6", sys.argv[2]]:
    if not any(package.startswith(name) for package in packages):
        sys.exit("FAILED: %s is not in the bill of materials: %s" % (name, sorted(packages)))
for name, package in packages.items():
    assert package["purl"] == "pkg:deb/debian/%s@%s?arch=%s" % (name, package["version"], package["purl"].split("arch=")[1]), package
print("%d packages" % len(packages))
PYTHON
