# ckpx_changed_rows of a table of which 1 % of the blocks changed, against a
# scan of all of it.
#
# Both read from the page cache: shared_buffers are small, and the table was
# read once before.  The changed blocks lie apart from each other, so that each
# is a range of its own.  Each aggregates the rows that it gets.
. test/bench/lib.sh

runs=${BENCH_RUNS:-5}
megabytes=${BENCH_ROWS_MB:-1024}

new_cluster "fsync = off" "autovacuum = off" "shared_buffers = '128MB'" "max_wal_size = '8GB'" \
	"checkpoint_timeout = '1d'" "max_parallel_workers_per_gather = 0"
start_server shared_preload_libraries=ckpx
ask "CREATE EXTENSION ckpx"
say "making a table of $megabytes MB"
blocks=$((megabytes * 128))
# Seven rows a block, with room for another version of one.
ask "CREATE TABLE big (id int, n int, pad text) WITH (fillfactor = 90)"
ask "ALTER TABLE big ALTER pad SET STORAGE PLAIN"
ask "INSERT INTO big SELECT i, 0, repeat('x', 1000) FROM generate_series(1, $blocks * 7) i"
ask "VACUUM big"
ask "SELECT ckpx_checkpoint()" >/dev/null
since=$(ask "SELECT ckpx_sync_point()")
ask "UPDATE big SET n = 1 WHERE id % 700 = 0"
await_collected
changed=$(ask "SELECT sum(nblocks) FROM ckpx_changed_blocks('$since', NULL, 'big') WHERE fork = 'main'")
total=$(ask "SELECT pg_relation_size('big') / 8192")
ask "SELECT count(n) FROM big" >/dev/null

ms_of() {						# ms_of QUERY
	psql -XAtq -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

all=() rows=() ratios=()
for ((i = 1; i <= runs; i++)); do
	all+=("$(ms_of "SELECT count(ctid), sum(n) FROM big")")
	rows+=("$(ms_of "SELECT count(ctid), sum((\"row\").n) FROM ckpx_changed_rows(NULL::big, '$since')")")
	ratios+=("$(calc %.4f "${rows[-1]} / ${all[-1]}")")
	say "scan ${all[-1]} ms, changed rows ${rows[-1]} ms"
done
stop_server

row "table, MB" "$(calc %.0f "$total / 128")"
row "  changed blocks, %" "$(calc %.2f "100 * $changed / $total")"
row "  scan of all, ms" "$(median_of %.0f "${all[@]}")" "$(spread_of %.0f "${all[@]}")"
row "  ckpx_changed_rows, ms" "$(median_of %.1f "${rows[@]}")" "$(spread_of %.1f "${rows[@]}")"
row "  ckpx_changed_rows / scan" "$(median_of %.3f "${ratios[@]}")" "$(spread_of %.3f "${ratios[@]}")" "<= 0.05"
