#!/bin/sh
# launch.sh STARTED_FILE COMMAND...: runs COMMAND in this process, held back when its last start was moments ago.
#
# supervisor's own back-off (startsecs above 0) would restart a service that ended with exit code 2 as well: a wrong
# configuration, which no restart cures. Without it, a service that crashes at once would be restarted without pause.
started_file=$1
shift
last=$(cat "$started_file" 2>/dev/null)
if [ $(($(date +%s) - ${last:-0})) -lt 3 ]; then sleep 2; fi
date +%s >"$started_file"
# `up --no-ping` leaves this file. What crashed and is started again asks nobody either: a provider that is away just then
# must not end it for good.
if [ -n "$last" ] || [ -f "${started_file%/*}/no-ping" ]; then export PING_PROVIDERS=false; fi
exec "$@"
