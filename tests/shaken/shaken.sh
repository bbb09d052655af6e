#!/bin/sh
# Runs a command with the library beside this script: see shaken.cc.
library="$(cd "$(dirname "$0")" && pwd)/libshaken.so"
LD_PRELOAD="$library${LD_PRELOAD:+:$LD_PRELOAD}" exec "$@"
