# CPU time to collect WAL, against pg_waldump over the same WAL.
#
# With ckpx.enabled off no incremental is ever made, so a restarted server has
# to read all the WAL again, from the beginning of the epoch.  What the runner
# has used when it has read everything is its whole life: its start, decoding,
# the map, and putting the map into the logtail.  pg_waldump then decodes
# exactly the same range.  Both read from the page cache.
. test/bench/lib.sh

runs=${BENCH_RUNS:-5}

new_corpus() {
	new_cluster "fsync = off" "synchronous_commit = off" "autovacuum = off" "shared_buffers = '256MB'" \
		"max_wal_size = '8GB'" "checkpoint_timeout = '1d'" "wal_compression = off" \
		"ckpx.enabled = off" "ckpx.collect_interval = '1h'" "ckpx.max_retained_wal = '20GB'"
}

# Each makes its tables before tracking starts or lets them be a part of it.
corpus_tpcb() {
	start_server full_page_writes=off
	pgbench -i -q -s 10 2>/dev/null
	stop_server
	start_server full_page_writes=off shared_preload_libraries=ckpx
	ask "CREATE EXTENSION ckpx"
	# Tells the reader which transactions run, as happens every 15 s.
	ask "CHECKPOINT"
	tpcb 10 300000
}

corpus_images() {
	start_server shared_preload_libraries=ckpx
	ask "CREATE EXTENSION ckpx"
	pgbench -i -q -s 20 2>/dev/null
	ask "CHECKPOINT"
	tpcb 20 40000
}

corpus_bulk() {
	start_server shared_preload_libraries=ckpx
	ask "CREATE EXTENSION ckpx"
	bulk_changes 1000000
}

measure() {						# measure NAME TITLE
	local i start end pid ours theirs ratios=() all_ours=() all_theirs=() size hwm=() read_bytes

	say "$1: making the WAL"
	new_corpus
	"corpus_$1"
	await_collected
	stop_server
	for ((i = 1; i <= runs; i++)); do
		start_server shared_preload_libraries=ckpx
		await_collected
		pid=$(worker_pid runner)
		ours=$(cpu_of_pid "$pid")
		hwm+=("$(memory_of_pid "$pid" VmHWM)")
		IFS='|' read -r start end size read_bytes <<<"$(ask "SELECT g.to_lsn, r.collected_lsn,
			r.collected_lsn - g.to_lsn, s.wal_bytes_read
			FROM (SELECT max(to_lsn) AS to_lsn FROM ckpx_gaps) g, ckpx_runner r, ckpx_stat s")"
		[ "$read_bytes" = "$size" ] || say "the runner has read $read_bytes of $size bytes"
		theirs=$(cpu_of_command pg_waldump --quiet -p "$data/pg_wal" -s "$start" -e "$end")
		stop_server
		say "$1: $size bytes: runner $ours ms, pg_waldump $theirs ms"
		all_ours+=("$ours")
		all_theirs+=("$theirs")
		ratios+=("$(calc %.4f "$ours / $theirs")")
	done
	total_size=$(calc %.0f "$total_size + $size")
	total_ours=$(calc %.1f "$total_ours + $(median_of %.1f "${all_ours[@]}")")
	total_theirs=$(calc %.1f "$total_theirs + $(median_of %.1f "${all_theirs[@]}")")
	row "$2: WAL, MB" "$(calc %.0f "$size / 1e6")"
	row "  runner, CPU ms" "$(median_of %.0f "${all_ours[@]}")" "$(spread_of %.0f "${all_ours[@]}")"
	row "  pg_waldump --quiet, CPU ms" "$(median_of %.0f "${all_theirs[@]}")" "$(spread_of %.0f "${all_theirs[@]}")"
	row "  runner / pg_waldump" "$(median_of %.2f "${ratios[@]}")" "$(spread_of %.2f "${ratios[@]}")" "<= 1.5"
	row "  runner, peak RSS, MB" "$(median_of %.1f "${hwm[@]}")" "$(spread_of %.1f "${hwm[@]}")"
}

total_size=0 total_ours=0 total_theirs=0
measure tpcb "TPC-B without full-page images"
measure images "load, TPC-B with full-page images"
measure bulk "bulk changes, indexes, vacuum"
row "all: WAL, MB" "$(calc %.0f "$total_size / 1e6")"
row "  runner / pg_waldump" "$(calc %.2f "$total_ours / $total_theirs")" "" "<= 1.5"
