#!/usr/bin/env bash
# Makes a CA and certificates for development: development_ca.sh DIRECTORY [HOST...]
#
#   ca.pem                       whom both sides trust; its key is thrown away
#   server.pem, server.key       for localhost, 127.0.0.1, ::1 and each HOST (DNS name or IPv4 address)
#   client.pem, client.key       a caller: URI:spiffe://development/client
#
# Valid for 30 days. A running server picks up new ones when the command is repeated; what callers trust must be renewed
# with it. Exit codes: 0 made, 1 not.
set -euo pipefail
cd "${BAZELW_CALLED_FROM:-${BUILD_WORKING_DIRECTORY:-.}}"

fail() {
  echo "development_ca: $1" >&2
  exit 1
}

[[ $# -ge 1 && $1 != -* ]] || fail "usage: development_ca DIRECTORY [HOST...]"
command -v openssl > /dev/null || fail "openssl is missing (apt-get install openssl)"
directory=$1
shift
names="DNS:localhost,IP:127.0.0.1,IP:::1"
for host in "$@"; do
  [[ $host =~ ^[A-Za-z0-9.*-]+$ ]] || fail "\"$host\" is neither a DNS name nor an IPv4 address"
  [[ $host =~ ^[0-9.]+$ ]] && names+=",IP:$host" || names+=",DNS:$host"
done

umask 077
mkdir -p "$directory" || fail "cannot create $directory"
work=$(mktemp -d "$directory/.new.XXXXXX") || fail "cannot write in $directory"
trap 'rm -rf "$work"' EXIT

run() {
  openssl "$@" 2> "$work/log" || fail "openssl $1: $(cat "$work/log")"
}

# issue NAME SUBJECT_ALTERNATIVE_NAMES USAGE
issue() {
  run req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$1.key" -subj "/CN=$1" -out "$work/request"
  printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\n' "$2" "$3" > "$work/extensions"
  run x509 -req -in "$work/request" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 30 \
    -extfile "$work/extensions" -out "$work/$1.pem"
}

run req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ca.key" -subj "/CN=development CA" \
  -days 30 -out "$work/ca.pem" -addext "keyUsage=critical,keyCertSign,cRLSign"
issue server "$names" serverAuth
issue client "URI:spiffe://development/client" clientAuth
mv "$work"/{ca.pem,server.key,server.pem,client.key,client.pem} "$directory"
echo "$directory: ca.pem, server.pem, server.key ($names), client.pem, client.key"
