# Questions to a long history: ckpx_collect_range over 10,000 entries, and the
# map of one relation next to that of all.
#
# The history is made by a program while the server is stopped.  The time of a
# question is the median latency that pgbench logs, minus that of SELECT 1 in
# the same session: the server's time, the function's result not sent.  The
# first question of a session takes longer: memory is touched for the first
# time, the shared one too.  It is measured in sessions of their own, from
# log_executor_stats, also in processor time, which does not depend so much on
# what else the machine does.  All of it once more while the checkpointer merges
# a global out of the oldest hundred entries, which are large so that it takes a
# while.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}
calls=${BENCH_CALLS:-400}

sessions=${BENCH_SESSIONS:-100}

build_program make_history

# make_store COUNT NRELATIONS NBLOCKS [FIRST NRELATIONS NBLOCKS]: sets start,
# tenth (the start of the last ten entries) and end.
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
	read -r start tenth end <<<"$("$TMPDIR/make_history" "$folder" "$1" "$2" "$3" ${key//|/ } "${@:4}")"
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

# The same of a query that is the first of its session, in new sessions, as the
# executor counts it: processor time, median and 99 %, and elapsed time.
first_calls() {					# first_calls QUERY SESSIONS
	local i
	for ((i = 0; i < $2; i++)); do
		echo '\connect'
		echo "SET client_min_messages = log; SET log_executor_stats = on; $1;"
	done >"$TMPDIR/sessions.sql"
	psql -XAtq -v ON_ERROR_STOP=1 -f "$TMPDIR/sessions.sql" 2>&1 |
		awk '/ s elapsed$/ { print ($2 + $5) * 1000, $8 * 1000 }' >"$TMPDIR/sessions"
	[ "$(wc -l <"$TMPDIR/sessions")" -eq "$2" ]
	awk '{ print $1 }' "$TMPDIR/sessions" | sort -g >"$TMPDIR/cpu"
	awk '{ print $2 }' "$TMPDIR/sessions" | sort -g | paste "$TMPDIR/cpu" - |
		awk '{ c[NR] = $1; e[NR] = $2 } END { m = int((NR + 1) / 2); p = int(NR * 0.99); print c[m], c[p], e[m], e[p] }'
}

all="SELECT checkpointed FROM ckpx_collect_range"

# One round: all entries, 99 % of these calls, the last ten entries, the first
# calls of sessions.  Each goes to an array of that name.
measure_round() {
	local base whole last p99 cpu cpu99 first first99 x
	read -r base x <<<"$(latencies "SELECT 1" "$calls")"
	read -r whole p99 <<<"$(latencies "$all('$start', '$end')" "$calls")"
	read -r last x <<<"$(latencies "$all('$tenth', '$end')" "$calls")"
	read -r cpu cpu99 first first99 <<<"$(first_calls "$all('$start', '$end')" "$sessions")"
	say "SELECT 1 $base ms, all $whole ms (99 %: $p99 ms), last ten $last ms, first calls $first ms (99 %: $first99 ms), processor $cpu ms (99 %: $cpu99 ms)"
	bases+=("$base")
	wholes+=("$(calc %.4f "$whole - $base")")
	tails+=("$(calc %.4f "$p99 - $base")")
	lasts+=("$(calc %.4f "$last - $base")")
	cpus+=("$cpu")
	cpu_tails+=("$cpu99")
	firsts+=("$first")
	first_tails+=("$first99")
}

print_rounds() {				# print_rounds TITLE
	row "$1, ms" "$(median_of %.3f "${wholes[@]}")" "$(spread_of %.3f "${wholes[@]}")" "< 1"
	row "  99 % of the calls, ms" "$(median_of %.3f "${tails[@]}")" "$(spread_of %.3f "${tails[@]}")" "< 1"
	row "  the first call of a session, processor ms" "$(median_of %.3f "${cpus[@]}")" "$(spread_of %.3f "${cpus[@]}")"
	row "    99 % of these, processor ms" "$(median_of %.3f "${cpu_tails[@]}")" "$(spread_of %.3f "${cpu_tails[@]}")" "< 1"
	row "  the first call of a session, ms" "$(median_of %.3f "${firsts[@]}")" "$(spread_of %.3f "${firsts[@]}")"
	row "    99 % of these, ms" "$(median_of %.3f "${first_tails[@]}")" "$(spread_of %.3f "${first_tails[@]}")" "< 1"
}

global_runs() { [ "$(ask "SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'global' AND state = 'running'")" = 1 ]; }

collect_range() {
	local i bases=() wholes=() tails=() lasts=() firsts=() first_tails=() cpus=() cpu_tails=()

	make_store 10000 1 3 100 ${BENCH_GLOBAL:-20000 300}
	ask "SELECT checkpointed, complete, length(locations) FROM ckpx_collect_range('$start', '$end')" >&2
	for ((i = 1; i <= rounds; i++)); do
		measure_round
	done
	row "SELECT 1, with the way to the client, ms" "$(median_of %.3f "${bases[@]}")" "$(spread_of %.3f "${bases[@]}")"
	print_rounds "ckpx_collect_range, all 10,000 entries"
	row "ckpx_collect_range, the last ten of them, ms" "$(median_of %.3f "${lasts[@]}")" "$(spread_of %.3f "${lasts[@]}")" "< 1"

	bases=() wholes=() tails=() lasts=() firsts=() first_tails=() cpus=() cpu_tails=()
	stop_server
	start_server "ckpx.enabled=on"
	for ((i = 0; i < 100; i++)); do
		if global_runs; then break; fi
	done
	for ((i = 1; i <= rounds; i++)); do
		measure_round
		# What was measured when nothing was written any more does not count.
		global_runs || break
	done
	say "$((i - 1)) rounds while a global was written"
	[ $i -gt 1 ]
	if [ $i -le "$rounds" ]; then
		unset 'wholes[-1]' 'tails[-1]' 'firsts[-1]' 'first_tails[-1]' 'cpus[-1]' 'cpu_tails[-1]'
	fi
	print_rounds "the same while a global is written, $((i - 1)) rounds"
	stop_server
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
