#!/usr/bin/env bash
# What the development CA makes is what its words say.
set -euo pipefail
script=$PWD/deploy/tls/development_ca.sh
cd "$TEST_TMPDIR"

fail() {
  echo "FAIL: $1"
  exit 1
}

"$script" made orders.example 10.0.0.7
for each in server client; do
  openssl verify -CAfile made/ca.pem "made/$each.pem" > /dev/null || fail "$each is not signed by the CA"
  diff <(openssl x509 -in "made/$each.pem" -noout -pubkey) <(openssl pkey -in "made/$each.key" -pubout) ||
    fail "$each has another key"
  [[ $(stat -c %a "made/$each.key") == 600 ]] || fail "others can read $each.key"
done
openssl x509 -in made/server.pem -noout -ext subjectAltName > names
for name in DNS:localhost DNS:orders.example "IP Address:10.0.0.7" "IP Address:127.0.0.1"; do
  grep -q "$name" names || fail "the server's certificate is not for $name"
done
openssl x509 -in made/client.pem -noout -ext subjectAltName | grep -q URI:spiffe://development/client || fail "the caller has no name"
[[ $(find made -mindepth 1 | wc -l) == 5 ]] || fail "something is left over"

"$script" made > /dev/null || fail "it cannot be repeated"
mkdir shell
BUILD_WORKING_DIRECTORY=/ BAZELW_CALLED_FROM=$PWD/shell "$script" below > /dev/null
[[ -e shell/below/ca.pem ]] || fail "a path is not that of the shell"
for wrong in --help "bad,host"; do
  words=(made "$wrong")
  [[ $wrong == --help ]] && words=(--help)
  if output=$("$script" "${words[@]}" 2>&1); then fail "it accepts $wrong"; fi
  [[ $output == "development_ca: "* && $(wc -l <<< "$output") == 1 ]] || fail "it says: $output"
done
touch file
if output=$("$script" file/below 2>&1); then fail "it writes below a file"; fi
grep -q "cannot create file/below" <<< "$output" || fail "it says: $output"
