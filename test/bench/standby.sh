# What replay on a standby waits for, with ckpx preloaded there and without.
#
# A primary without ckpx has two standbys, one with it and one without.  Each
# statement commits with synchronous_commit = remote_apply, so it takes as long
# as that standby needs to replay it; the two take turns as the one that is
# waited for.  pgbench runs on the primary all the time, in another database so
# that it causes no conflicts of its own, and the standby with ckpx cuts, flushes and writes checkpoints much more often than by default, so
# that its workers are busy when replay wants their descriptors closed.
#
#	DROP DATABASE, DROP TABLESPACE   replay waits until every connected
#	                                 process has closed its files
#	conflict                         VACUUM removes rows that a query on the
#	                                 standby could still see: it is cancelled
. test/bench/lib.sh

rounds=${BENCH_STANDBY_ROUNDS:-20}
standbys=(with without)
declare -A port=([with]=5433 [without]=5434)

on() {							# on STANDBY SQL
	psql -XAtq -v ON_ERROR_STOP=1 -p "${port[$1]}" -c "$2"
}

new_cluster "allow_in_place_tablespaces = on" "shared_buffers = '128MB'" \
	"max_wal_size = '4GB'" "checkpoint_timeout = '1min'" "autovacuum = off" \
	"synchronous_commit = remote_apply"
cat >>"$data/pg_hba.conf" <<<'local replication all trust'
# The primary makes a checkpoint when a database goes; that is to be short.
start_server fsync=off
ask "CREATE EXTENSION ckpx"
ask "CREATE TABLE seen (a int)"
ask "CREATE DATABASE busy"
pgbench -i -q -s 10 busy 2>/dev/null

for name in "${standbys[@]}"; do
	rm -rf "$TMPDIR/$name"
	pg_basebackup -D "$TMPDIR/$name" -R -c fast -X stream >&2
	{
		echo "port = ${port[$name]}"
		echo "cluster_name = '$name'"
		echo "max_standby_streaming_delay = 0"
	} >>"$TMPDIR/$name/postgresql.conf"
done
cat >>"$TMPDIR/with/postgresql.conf" <<'EOC'
shared_preload_libraries = 'ckpx'
ckpx.collect_interval = '100ms'
ckpx.min_incremental_interval = '500ms'
ckpx.min_count = 1
ckpx.global_min_count = 3
ckpx.flush = on
ckpx.max_flush_interval = '1s'
EOC
for name in "${standbys[@]}"; do
	pg_ctl -s -w -t 300 -D "$TMPDIR/$name" -l "$TMPDIR/$name.log" start
done
load=
finish() {
	if [ -n "$load" ]; then kill "$load" 2>/dev/null || true; fi
	for name in "${standbys[@]}"; do
		pg_ctl -s -D "$TMPDIR/$name" -m immediate stop || true
	done
}
trap finish EXIT

# Wait for the standby named, from now on, at every commit.
wait_for() {
	ask "ALTER SYSTEM SET synchronous_standby_names = '$1'"
	ask "SELECT pg_reload_conf()" >/dev/null
	until [ "$(ask "SELECT string_agg(application_name, ',') FROM pg_stat_replication WHERE sync_state = 'sync'")" = "$1" ]; do
		sleep 0.05
	done
}

# timed SQL: ms until all of it is replayed
timed() {
	psql -XAtq -v ON_ERROR_STOP=1 2>&1 <<-EOF2 | awk '/^Time:/ { sum += $2 } END { print sum }'
		\\timing on
		$1;
	EOF2
}

# A query on the standby whose snapshot sees all rows of "seen".
old_query() {
	psql -XAtq -p "${port[$1]}" >/dev/null 2>&1 <<-'EOF2' &
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT count(*) FROM seen;
		SELECT pg_sleep(60);
	EOF2
	query=$!
	until [ "$(on "$1" "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")" = 1 ]; do
		sleep 0.05
	done
}

one_round() {					# one_round STANDBY
	wait_for "$1"
	ask "CREATE DATABASE dropped STRATEGY file_copy"
	ask "CREATE TABLESPACE dropped LOCATION ''"
	ask "TRUNCATE seen; INSERT INTO seen SELECT generate_series(1, 1000)"
	database=$(timed "DROP DATABASE dropped")
	tablespace=$(timed "DROP TABLESPACE dropped")
	old_query "$1"
	ask "DELETE FROM seen"
	# Only what has a transaction number is waited for.
	conflict=$(timed "VACUUM seen; INSERT INTO seen VALUES (1)")
	wait "$query" || true
	plain=$(timed "INSERT INTO seen VALUES (1)")
}

for name in "${standbys[@]}"; do
	wait_for "$name"
	ask "INSERT INTO seen VALUES (1)"
done
PGOPTIONS='-c synchronous_commit=off' pgbench -n -c 1 -R 200 -T 3600 busy >"$TMPDIR/pgbench.log" 2>&1 &
load=$!

declare -A databases tablespaces conflicts plains
database_ratios=() tablespace_ratios=() conflict_ratios=() plain_ratios=()
for ((i = 1; i <= rounds; i++)); do
	order=("${standbys[@]}")
	((i % 2)) || order=(without with)
	declare -A now=()
	for name in "${order[@]}"; do
		one_round "$name"
		databases[$name]+=" $database"
		tablespaces[$name]+=" $tablespace"
		conflicts[$name]+=" $conflict"
		plains[$name]+=" $plain"
		now[$name]="$database $tablespace $conflict $plain"
	done
	say "ms for DROP DATABASE, DROP TABLESPACE, conflict, INSERT: with ${now[with]}, without ${now[without]}"
	read -r a b c d <<<"${now[with]}"
	read -r e f g h <<<"${now[without]}"
	database_ratios+=("$(calc %.4f "$a / $e")")
	tablespace_ratios+=("$(calc %.4f "$b / $f")")
	conflict_ratios+=("$(calc %.4f "$c / $g")")
	plain_ratios+=("$(calc %.4f "$d / $h")")
done
say "checkpoints on the standby with ckpx: $(on with "SELECT incrementals_done, flush_passes FROM ckpx_stat")"

pair() {						# pair WHAT MS-WITH MS-WITHOUT RATIO...
	local what=$1 with=$2 without=$3
	shift 3
	row "$what, ms with ckpx" "$(median_of %.1f $with)" "$(spread_of %.1f $with)"
	row "$what, ms without" "$(median_of %.1f $without)" "$(spread_of %.1f $without)"
	row "$what, with / without" "$(median_of %.2f "$@")" "$(spread_of %.2f "$@")"
}
pair "DROP DATABASE replayed" "${databases[with]}" "${databases[without]}" "${database_ratios[@]}"
pair "DROP TABLESPACE replayed" "${tablespaces[with]}" "${tablespaces[without]}" "${tablespace_ratios[@]}"
pair "VACUUM that cancels a query" "${conflicts[with]}" "${conflicts[without]}" "${conflict_ratios[@]}"
pair "INSERT, nothing to wait for" "${plains[with]}" "${plains[without]}" "${plain_ratios[@]}"
