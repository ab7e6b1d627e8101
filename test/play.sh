#!/usr/bin/env bash
# make play: a throw-away server with ckpx to look at, with psql or a debugger.
# Called through test/private.sh, which removes everything at the end.
set -eu -o pipefail

. test/throwaway.sh

say "the workers, for gdb -p"
show "SELECT name, pid FROM ckpx_workers"
say "from another terminal, as root or as the user of the server; Ctrl-C ends it"
echo "psql -h $PGHOST -U $PGUSER $PGDATABASE"
say "$TMPDIR/server.log"
exec tail -n +1 -f --pid="$(head -n 1 "$data/postmaster.pid")" "$TMPDIR/server.log"
