# Questions to a long history: ckpx_collect_range over 10,000 entries, and the
# map of one relation next to that of all.
#
# The history is made by a program while the server is stopped.  The time of a
# question is the median latency that pgbench logs, minus that of SELECT 1 in
# the same session: the server's time, the function's result not sent.  The
# first question of a session takes longer: memory is touched for the first
# time, the shared one too.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}
calls=${BENCH_CALLS:-400}

build_program make_history

# make_store NAME COUNT NRELATIONS NBLOCKS: sets start, tenth (the start of the
# last ten entries) and end.
make_store() {
	local key folder

	say "a history of $1 incrementals of $2 relations with $3 blocks"
	new_cluster "fsync = off" "shared_preload_libraries = 'ckpx'" "ckpx.max_entries = 12000" \
		"ckpx.collect_interval = '1h'" "ckpx.min_incremental_interval = '1h'" "ckpx.max_incremental_interval = 0"
	start_server
	ask "CREATE EXTENSION ckpx"
	ask "CREATE TABLE one AS SELECT i FROM generate_series(1, 20000) i"
	ask "SELECT ckpx_checkpoint()" >/dev/null
	key=$(ask "SELECT CASE reltablespace WHEN 0 THEN dattablespace ELSE reltablespace END,
		d.oid, pg_relation_filenode(c.oid) FROM pg_class c, pg_database d
		WHERE relname = 'one' AND datname = current_database()")
	stop_server
	folder=$(echo "$data"/ckpx/*-*)
	read -r start tenth end <<<"$("$TMPDIR/make_history" "$folder" "$1" "$2" "$3" ${key//|/ })"
	start_server "ckpx.enabled=off"
	await_collected
	say "$(ask "SELECT count(*) || ' entries, ' || pg_size_pretty(sum(size_bytes)) FROM ckpx_checkpoints WHERE state = 'finished'")"
	[ "$(ask "SELECT count(*) FROM ckpx_checkpoints WHERE state = 'finished'")" -ge "$1" ]
}

# Latencies in ms of a query: median and 99 %.  pgbench logs a zero where the
# answer was there before it looked at the clock; these are left out.
latencies() {					# latencies QUERY CALLS
	echo "$1" >"$TMPDIR/script.sql"
	rm -f "$TMPDIR"/latency.*
	pgbench -n -M prepared -f "$TMPDIR/script.sql" -t "$2" -l --log-prefix="$TMPDIR/latency" >/dev/null
	awk '$3 > 0 { print $3 / 1000 }' "$TMPDIR"/latency.* | sort -g |
		awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[int(NR * 0.99)] }'
}

# Execution time in ms of a query that is the first of its session.
first_call() { ask "EXPLAIN (ANALYZE, TIMING OFF) $1" | awk '/^Execution Time/ { print $3 }'; }

collect_range() {
	local i base whole last p99 x wholes=() lasts=() tails=() bases=() firsts=()

	make_store 10000 1 3
	ask "SELECT checkpointed, complete, length(locations) FROM ckpx_collect_range('$start', '$end')" >&2
	for ((i = 1; i <= rounds; i++)); do
		read -r base x <<<"$(latencies "SELECT 1" "$calls")"
		read -r whole p99 <<<"$(latencies "SELECT checkpointed FROM ckpx_collect_range('$start', '$end')" "$calls")"
		read -r last x <<<"$(latencies "SELECT checkpointed FROM ckpx_collect_range('$tenth', '$end')" "$calls")"
		say "SELECT 1 $base ms, all $whole ms (99 %: $p99 ms), last ten $last ms"
		firsts+=("$(first_call "SELECT checkpointed FROM ckpx_collect_range('$start', '$end')")")
		bases+=("$base")
		wholes+=("$(calc %.4f "$whole - $base")")
		tails+=("$(calc %.4f "$p99 - $base")")
		lasts+=("$(calc %.4f "$last - $base")")
	done
	stop_server
	row "SELECT 1, with the way to the client, ms" "$(median_of %.3f "${bases[@]}")" "$(spread_of %.3f "${bases[@]}")"
	row "ckpx_collect_range, all 10,000 entries, ms" "$(median_of %.3f "${wholes[@]}")" "$(spread_of %.3f "${wholes[@]}")" "< 1"
	row "  99 % of the calls, ms" "$(median_of %.3f "${tails[@]}")" "$(spread_of %.3f "${tails[@]}")"
	row "  the first call of a session, ms" "$(median_of %.3f "${firsts[@]}")" "$(spread_of %.3f "${firsts[@]}")"
	row "ckpx_collect_range, the last ten of them, ms" "$(median_of %.3f "${lasts[@]}")" "$(spread_of %.3f "${lasts[@]}")" "< 1"
}

one_relation() {
	local i one all x ones=() alls=() ratios=()

	make_store 100 10000 10
	ask "SELECT fork, nblocks FROM ckpx_changed_blocks('$start', '$end', 'one')" >&2
	for ((i = 1; i <= rounds; i++)); do
		read -r one x <<<"$(latencies "SELECT sum(nblocks) FROM ckpx_changed_blocks('$start', '$end', 'one')" 10)"
		read -r all x <<<"$(latencies "SELECT sum(nblocks) FROM ckpx_changed_blocks('$start', '$end')" 1)"
		say "one relation $one ms, all $all ms"
		ones+=("$one")
		alls+=("$all")
		ratios+=("$(calc %.5f "$one / $all")")
	done
	stop_server
	row "ckpx_changed_blocks, 100 x 10,000 relations, all, ms" "$(median_of %.0f "${alls[@]}")" "$(spread_of %.0f "${alls[@]}")"
	row "  one relation, ms" "$(median_of %.1f "${ones[@]}")" "$(spread_of %.1f "${ones[@]}")"
	row "  one / all" "$(median_of %.4f "${ratios[@]}")" "$(spread_of %.4f "${ratios[@]}")"
}

collect_range
one_relation
