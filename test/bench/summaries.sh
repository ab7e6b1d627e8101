# The map of a hundred incrementals next to PostgreSQL's WAL summaries of the
# same WAL: ckpx_changed_blocks() against reading every summary of the range
# with pg_wal_summary_contents() and taking the union in SQL.
#
# Half of a table's blocks, at random, change in each round, which ends with a
# checkpoint of PostgreSQL, where the summary ends, and one of ckpx.  Processor
# time of the executor, from log_executor_stats.  100 rounds of 100,000 blocks
# would write some 100 GB to tables and WAL, so there are fewer blocks.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}
nrounds=${BENCH_ROUNDS:-100}
nblocks=${BENCH_BLOCKS:-10000}

need_summaries summaries

# Processor time in ms of a query; its result goes to $TMPDIR/result.
cpu_of_query() {
	psql -XAtq -v ON_ERROR_STOP=1 -c "SET client_min_messages = log" -c "SET log_executor_stats = on" -c "$1" \
		2>"$TMPDIR/stats" >"$TMPDIR/result"
	awk '/ s elapsed$/ { print ($2 + $5) * 1000 }' "$TMPDIR/stats"
}

compare() {						# compare TITLE
	local i one listed all theirs ones=() lists=() alls=() sums=() ratios=() list_ratios=() all_ratios=()
	for ((i = 1; i <= rounds; i++)); do
		one=$(cpu_of_query "SELECT sum(nblocks) FROM ckpx_changed_blocks('$start', '$end', 'changing') WHERE fork = 'main'")
		ours=$(cat "$TMPDIR/result")
		listed=$(cpu_of_query "$rows")
		all=$(cpu_of_query "SELECT sum(nblocks) FROM ckpx_changed_blocks('$start', '$end')")
		theirs=$(cpu_of_query "$union")
		summarized=$(cat "$TMPDIR/result")
		say "one table $one ms, with a row for each block $listed ms, all $all ms, summaries $theirs ms"
		# What the summaries name of the table, the map must name.
		[ "$ours" -ge "$summarized" ] && [ "$summarized" -gt "$nblocks" ]
		ones+=("$one")
		lists+=("$listed")
		alls+=("$all")
		sums+=("$theirs")
		ratios+=("$(calc %.1f "$theirs / $one")")
		list_ratios+=("$(calc %.1f "$theirs / $listed")")
		all_ratios+=("$(calc %.1f "$theirs / $all")")
	done
	row "$1: one table, processor ms" "$(median_of %.1f "${ones[@]}")" "$(spread_of %.1f "${ones[@]}")"
	row "  with a row for each block, processor ms" "$(median_of %.1f "${lists[@]}")" "$(spread_of %.1f "${lists[@]}")"
	row "  all of the map, processor ms" "$(median_of %.1f "${alls[@]}")" "$(spread_of %.1f "${alls[@]}")"
	row "  the union of the summaries, processor ms" "$(median_of %.0f "${sums[@]}")" "$(spread_of %.0f "${sums[@]}")"
	row "  summaries / one table" "$(median_of %.1f "${ratios[@]}")" "$(spread_of %.1f "${ratios[@]}")" "> 10"
	row "  summaries / one table with a row for each block" "$(median_of %.1f "${list_ratios[@]}")" "$(spread_of %.1f "${list_ratios[@]}")" "> 10"
	row "  summaries / all of the map" "$(median_of %.1f "${all_ratios[@]}")" "$(spread_of %.1f "${all_ratios[@]}")" "> 10"
}

new_cluster "fsync = off" "autovacuum = off" "full_page_writes = off" "shared_buffers = 512MB" "max_wal_size = 4GB" \
	"checkpoint_timeout = 1h" "summarize_wal = on" "shared_preload_libraries = 'ckpx'" "ckpx.global_min_count = 1000" \
	"ckpx.min_incremental_interval = '1h'" "ckpx.max_incremental_interval = 0" "ckpx.max_incremental_wal = 0"
start_server
ask "CREATE EXTENSION ckpx"

# One row on each page, with room for its next version.
ask "CREATE TABLE changing (i int, n int, pad text STORAGE plain) WITH (fillfactor = 10)"
ask "INSERT INTO changing SELECT i, 0, repeat('x', 3000) FROM generate_series(1, $nblocks * 2) i"
ask "SELECT ckpx_checkpoint()" >/dev/null
ask "CHECKPOINT"
start=$(ask "SELECT redo_lsn FROM pg_control_checkpoint()")
ask "SELECT ckpx_wait_collected('$start')" >/dev/null
say "$nrounds rounds of $nblocks blocks"
for ((i = 1; i <= nrounds; i++)); do
	ask "UPDATE changing SET n = n + 1 WHERE hashint4(i * 1000 + $i) % 2 = 0; CHECKPOINT; SELECT ckpx_checkpoint()" >/dev/null
done
end=$(ask "SELECT redo_lsn FROM pg_control_checkpoint()")
for ((i = 0; i < 10000; i++)); do
	if [ "$(ask "SELECT max(end_lsn) >= '$end' FROM pg_available_wal_summaries()")" = t ]; then break; fi
done
summaries="FROM pg_available_wal_summaries() s WHERE s.start_lsn >= '$start' AND s.end_lsn <= '$end'"
say "$(ask "SELECT count(*) || ' incrementals' FROM ckpx_checkpoints WHERE kind = 'incremental' AND start_lsn >= '$start'"), $(ask "SELECT count(*) || ' summaries' $summaries")"
[ "$(ask "SELECT count(*) $summaries")" -ge "$nrounds" ]

relfilenode=$(ask "SELECT pg_relation_filenode('changing')")
union="SELECT count(*) FROM (SELECT c.relblocknumber
	FROM pg_available_wal_summaries() s, pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn) c
	WHERE s.start_lsn >= '$start' AND s.end_lsn <= '$end' AND NOT c.is_limit_block
		AND c.relfilenode = $relfilenode AND c.relforknumber = 0
	GROUP BY c.relblocknumber)"
rows="SELECT count(*) FROM ckpx_changed_blocks('$start', '$end', 'changing') m, unnest(m.blocks) r,
	generate_series(lower(r), upper(r) - 1) WHERE m.fork = 'main'"
compare "$nrounds incrementals of $nblocks blocks (not 100,000)"
ask "SELECT ckpx_global_checkpoint()" >/dev/null
compare "the same from a global"
stop_server
