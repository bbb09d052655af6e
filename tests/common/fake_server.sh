#!/bin/sh
# A server as far as server_process_test.cc can see.
echo "flags: $*"
echo "under: $UNDER"
for flag in "$@"; do
  case $flag in
  --fail)
    echo "could not start"
    exit 2
    ;;
  --port_file=*) port_file=${flag#*=} ;;
  --address=*) address=${flag#*=} ;;
  esac
done
echo "${address%:0}:5678" >"$port_file"
exec sleep 1000
