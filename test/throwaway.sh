# A throw-away server with ckpx, for scripts that test/private.sh runs and that
# source this file.  It makes the cluster in $data and starts it.
#
#	say TEXT, show SQL, ask SQL, fail TEXT, start

data=$TMPDIR/data
export PGHOST=$TMPDIR PGPORT=5432 PGUSER=demo PGDATABASE=postgres

say() { printf '\n--- %s\n' "$*"; }
ask() { psql -XAtqc "$1"; }
show() { psql -Xqc "$1"; }
fail() {
	echo "$(basename "$0" .sh): $*" >&2
	tail -n 20 "$TMPDIR/server.log" >&2 || true
	exit 1
}
start() { pg_ctl -s -w -D "$data" -l "$TMPDIR/server.log" start || fail "the server did not start"; }

say "build, and install into a private copy of $(postgres --version)"
test/build.sh

say "a cluster on a Unix socket, with short intervals"
initdb -D "$data" -U demo -A trust -N >"$TMPDIR/initdb.log"
cat >>"$data/postgresql.conf" <<EOF
listen_addresses = ''
unix_socket_directories = '$TMPDIR'
shared_preload_libraries = 'ckpx'
ckpx.collect_interval = '250ms'
ckpx.min_incremental_interval = '1s'
ckpx.min_count = 100
ckpx.max_flush_interval = '500ms'
max_slot_wal_keep_size = '2GB'
ckpx.max_retained_wal = '1GB'
EOF
start
show 'CREATE EXTENSION ckpx'
