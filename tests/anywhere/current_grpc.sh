# shellcheck shell=bash # In a root folder of Debian sid.
# Debian's experimental suite has the newest gRPC and Protobuf as packages. Nothing else is taken from there: the newest
# Abseil, for one, is not the one that they were built with. Python's two from there lack a library and a module, and
# cannot be loaded: callers in Python have those of sid.
uri="$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list)"
echo "deb $uri experimental main" >/etc/apt/sources.list.d/experimental.list
cat >/etc/apt/preferences.d/current-grpc <<END
Package: python3-grpcio python3-protobuf
Pin: release a=unstable
Pin-Priority: 1001

Package: src:grpc src:protobuf
Pin: release a=experimental
Pin-Priority: 900
END
apt-get update

# Debian's Bazel is linked with an older gRPC, whose package cannot be installed beside the newer one. Its libraries can.
if ! dpkg-query -W grpc-of-bazel >/dev/null 2>&1; then
  work="$(mktemp -d)"
  old="$(apt-cache depends bazel-bootstrap | awk '$2 ~ /^libgrpc(\+\+)?[0-9]/ { print $2 }')"
  mkdir -p "$work/old/DEBIAN"
  # shellcheck disable=SC2086 # Two words.
  (cd "$work" && apt-get -o APT::Sandbox::User=root download $old)
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/old"; done
  rm -r "$work/old/usr/share"
  version() { dpkg-deb -f "$work/$1"_*.deb Version; }
  cat >"$work/old/DEBIAN/control" <<END
Package: grpc-of-bazel
Version: 1
Architecture: $(dpkg --print-architecture)
Maintainer: nobody <nobody@localhost>
Provides: $(for each in $old; do echo "$each (= $(version "$each"))"; done | paste -sd ,)
Depends: $(dpkg-deb -f "$work"/libgrpc[0-9]*.deb Depends)
Description: the gRPC that Bazel is linked with
END
  dpkg-deb -b "$work/old" "$work/grpc-of-bazel.deb"
  apt-get install -y --no-install-recommends "$work/grpc-of-bazel.deb"
  rm -r "$work"
fi
bazel/install_packages build test
