# ckpx's runner beside PostgreSQL 17's WAL summarizer, over the same WAL.
#
# A corpus is made once, with ckpx.enabled off, and its WAL is kept.  Then the
# two take turns on it, each alone on a server that does nothing else:
#
#	runner       reads from the beginning of the epoch to the end of the corpus,
#	             as in the part "collect".  Then ckpx makes one incremental of it.
#	             Its files and its slot are put back behind the turn.
#	summarizer   finds no summary, so it begins with the oldest segment.  That is
#	             the one in which the epoch begins: everything older was removed
#	             right before.  The corpus ends with the checkpoint of a shutdown,
#	             where a summary ends, and has no other: one file each.
#
# "pg_waldump --quiet" reads the same range.  All of it is in the page cache.
# What a process has used at the end of the range is its whole life.
#
# The second half is pgbench TPC-B with ckpx, with the summarizer and with
# neither, in turns.  Both have caught up before a run; ckpx's intervals are
# short, as in the part "tps".
. test/bench/lib.sh

mb=${BENCH_PEER_MB:-2000}		# of the first corpus, about
turns=${BENCH_PEER_TURNS:-5}
pairs=${BENCH_PEER_PAIRS:-10}
seconds=${BENCH_PEER_SECONDS:-8}
sync=${BENCH_SYNC:-off}

need_summaries peer

# ---- corpora: what is there before the range, and what happens in it

scale=$((mb < 200 ? 1 : mb / 100))
prepare_mixed() { pgbench -i -q -s "$scale" 2>/dev/null; }
change_mixed() {
	# The first changes of a page carry its image, most later ones do not.
	tpcb "$scale" $((mb * 500))
	bulk_changes $((mb * 2000))
	ask "CREATE INDEX ON pgbench_accounts (abalance)"
	ask "VACUUM pgbench_accounts"
}

# One row on each page, with room for its next versions.
prepare_hot() {
	ask "CREATE TABLE hot (id int, n int, pad text STORAGE plain) WITH (fillfactor = 10)"
	ask "INSERT INTO hot SELECT i, 0, repeat('x', 700) FROM generate_series(1, 3000) i"
}
change_hot() {
	ask "DO \$\$ BEGIN FOR i IN 1..$mb / 3 LOOP UPDATE hot SET n = n + 1; COMMIT; END LOOP; END \$\$"
}

prepare_bulk() { ask "CREATE TABLE loaded (id int PRIMARY KEY, k int, t text)"; }
change_bulk() {
	seq $((mb * 2500)) | awk -v OFS='\t' '{ print $1, $1 * 7919 % 1000003, sprintf("%060d", $1) }' |
		psql -XAtq -v ON_ERROR_STOP=1 -c "COPY loaded FROM STDIN"
}

relations=$((mb * 5))
prepare_many() {
	ask "DO \$\$ BEGIN FOR i IN 1..$relations LOOP
		EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY, n int)', i); COMMIT; END LOOP; END \$\$"
}
change_many() {
	ask "DO \$\$ BEGIN FOR round IN 1..20 LOOP FOR i IN 1..$relations LOOP
		EXECUTE format('INSERT INTO many_%s SELECT i, 0 FROM generate_series(%s, %s) i', i, round * 10, round * 10 + 9);
		COMMIT; END LOOP; END LOOP; END \$\$"
}

# ---- turns

# Leaves the range in $start, $end and $bytes, and what ckpx knows at its
# beginning in $TMPDIR/before.
make_corpus() {					# make_corpus NAME
	say "$1: making the WAL"
	new_cluster "fsync = off" "synchronous_commit = off" "autovacuum = off" "shared_buffers = '256MB'" \
		"max_wal_size = '100GB'" "wal_keep_size = 0" "checkpoint_timeout = '1d'" "wal_compression = off" \
		"ckpx.enabled = off" "ckpx.max_retained_wal = '100GB'"
	start_server
	"prepare_$1"
	ask "SELECT pg_switch_wal()" >/dev/null
	ask "CHECKPOINT"
	stop_server
	echo "wal_keep_size = '100GB'" >>"$data/postgresql.conf"
	start_server shared_preload_libraries=ckpx ckpx.collect_interval=1h
	ask "CREATE EXTENSION ckpx"
	await_collected
	start=$(ask "SELECT max(to_lsn) FROM ckpx_gaps")
	"change_$1"
	stop_server
	end=$(pg_controldata -D "$data" | sed -n "s/^Latest checkpoint's REDO location: *//p")
	rm -rf "$TMPDIR/before"
	mkdir "$TMPDIR/before"
	cp -a "$data/ckpx" "$data/pg_replslot" "$data/postgresql.auto.conf" "$TMPDIR/before/"
}

lsn() { echo $(((16#${1%/*} << 32) + 16#${1#*/})); }

# Seconds since the process began.
age_of() { ask "SELECT extract(epoch FROM clock_timestamp() - backend_start) FROM pg_stat_activity WHERE pid = $1"; }

note_process() {				# note_process NAME PID
	note "$1.wall" "$(age_of "$2")"
	note "$1.cpu" "$(calc %.4f "$(cpu_of_pid "$2") * 1e6 / $bytes")"
	note "$1.peak" "$(memory_of_pid "$2" VmHWM)"
}

turn_of_runner() {
	local name ms
	start_server shared_preload_libraries=ckpx
	ask "SELECT ckpx_wait_collected('$end')" >/dev/null
	note_process runner "$(worker_pid runner)"
	[ "$(ask "SELECT wal_bytes_read >= $bytes FROM ckpx_stat")" = t ]

	ask "ALTER SYSTEM SET ckpx.enabled = on"
	ask "SELECT pg_reload_conf()" >/dev/null
	ask "SELECT ckpx_checkpoint()" >/dev/null
	cpu_of_workers >"$TMPDIR/workers"
	while read -r name ms; do
		note "share.$name" "$(core_share "$ms" "$bytes")"
	done <"$TMPDIR/workers"
	note workers.cpu "$(awk -v bytes="$bytes" '{ ms += $2 } END { print ms * 1e6 / bytes }' "$TMPDIR/workers")"
	read -r objects blocks <<<"$(ask "SELECT sum(size_bytes) || ' ' || sum(nblocks) FROM ckpx_checkpoints WHERE kind = 'incremental'")"
	note runner.bytes "$objects"
	stop_server

	rm -rf "$data/ckpx" "$data/pg_replslot"
	cp -a "$TMPDIR"/before/* "$data/"
}

# Until there are summaries of all before this LSN.
await_summarized() {
	ask "DO \$\$ BEGIN
		WHILE (SELECT summarized_lsn < '$1' FROM pg_get_wal_summarizer_state()) LOOP PERFORM pg_sleep(0.01); END LOOP;
		END \$\$"
}

turn_of_summarizer() {
	start_server summarize_wal=on
	await_summarized "$end"
	note_process summarizer "$(ask "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsummarizer'")"
	# The segment in which the epoch begins, and no more.
	[ "$(ask "SELECT '$start'::pg_lsn - min(start_lsn) BETWEEN 0 AND 16 * 1024 * 1024 FROM pg_available_wal_summaries()")" = t ]
	stop_server
	note summarizer.bytes "$(cat "$data"/pg_wal/summaries/*.summary | wc -c)"
	rm "$data"/pg_wal/summaries/*
}

measure() {						# measure NAME TITLE
	local i turn worker
	make_corpus "$1"
	bytes=$(($(lsn "$end") - $(lsn "$start")))
	forget_notes
	for ((i = 1; i <= turns; i++)); do
		for turn in $([ $((i % 2)) = 1 ] && echo runner summarizer || echo summarizer runner); do
			"turn_of_$turn"
		done
		note waldump.cpu "$(calc %.4f "$(cpu_of_command pg_waldump --quiet -p "$data/pg_wal" -s "$start" -e "$end") * 1e6 / $bytes")"
		say "$1: $bytes bytes, CPU s per GB: runner $(tail -n 1 "$TMPDIR/noted.runner.cpu"), summarizer $(tail -n 1 "$TMPDIR/noted.summarizer.cpu"), pg_waldump $(tail -n 1 "$TMPDIR/noted.waldump.cpu")"
	done
	row "$2: WAL, MB" "$(calc %.0f "$bytes / 1e6")"
	row_of "  runner, CPU s per GB" %.3f runner.cpu
	row_of "  all of ckpx's workers, with the incremental, CPU s per GB" %.3f workers.cpu
	row_of "  summarizer, CPU s per GB" %.3f summarizer.cpu
	row_of "  pg_waldump --quiet, CPU s per GB" %.3f waldump.cpu
	row_of_ratio "  summarizer / runner, CPU" %.2f summarizer.cpu runner.cpu
	row_of_ratio "  summarizer / all of ckpx's workers, CPU" %.2f summarizer.cpu workers.cpu
	row_of_ratio "  runner / pg_waldump, CPU" %.2f runner.cpu waldump.cpu
	row_of "  runner, wall time, s" %.2f runner.wall
	row_of "  summarizer, wall time, s" %.2f summarizer.wall
	row_of_ratio "  summarizer / runner, wall time" %.2f summarizer.wall runner.wall
	row_of "  runner, peak memory, MB" %.1f runner.peak
	row_of "  summarizer, peak memory, MB" %.1f summarizer.peak
	row "  changed blocks" "$blocks"
	row_of "  object, bytes" %.0f runner.bytes
	row_of "  summaries, bytes" %.0f summarizer.bytes
	for worker in runner flusher checkpointer observer; do
		row_of "  $worker, % of a core at 100 MB of WAL per second" %.2f "share.$worker"
	done
}

measure mixed "load, TPC-B, index builds, vacuum"
measure hot "3,000 hot blocks"
measure bulk "bulk load"
measure many "$relations relations"

# ---- pgbench with each

# $1 is the one that runs: ckpx, summarizer or neither.
run_with() {
	local lsn
	case $1 in
	ckpx)
		start_server shared_preload_libraries=ckpx
		await_collected
		ask "SELECT ckpx_checkpoint()" >/dev/null
		ask "CHECKPOINT"
		;;
	summarizer)
		start_server summarize_wal=on
		lsn=$(ask "SELECT pg_current_wal_insert_lsn()")
		ask "CHECKPOINT"
		await_summarized "$lsn"
		;;
	neither)
		start_server
		ask "CHECKPOINT"
		;;
	esac
	rm -f "$TMPDIR"/latency.*
	run_pgbench "$seconds" -l --log-prefix="$TMPDIR/latency"
	note "$1.tps" "$tps"
	note "$1.cpu" "$cpu"
	note "$1.p99" "$(sort -n -k3,3 "$TMPDIR"/latency.* | awk '{ v[NR] = $3 } END { print v[int(NR * 0.99)] / 1000 }')"
	say "$1: TPS $tps, p99 $(tail -n 1 "$TMPDIR/noted.$1.p99") ms, CPU ms for 1000 $cpu"
	stop_server
}

new_cluster "shared_buffers = '256MB'" "max_wal_size = '4GB'" "checkpoint_timeout = '30min'" "synchronous_commit = $sync" \
	"ckpx.collect_interval = '1s'" "ckpx.min_incremental_interval = '3s'"
start_server shared_preload_libraries=ckpx
ask "CREATE EXTENSION ckpx"
pgbench -i -q -s 20 2>/dev/null
stop_server

forget_notes
order=(neither ckpx summarizer)
for ((i = 0; i < pairs; i++)); do
	for ((j = 0; j < 3; j++)); do
		run_with "${order[(i + j) % 3]}"
	done
done
row "pgbench TPC-B, synchronous_commit $sync: rounds" "$pairs"
for name in "${order[@]}"; do
	row_of "  TPS with $name" %.0f "$name.tps"
	row_of "  latency with $name, 99th percentile, ms" %.2f "$name.p99"
done
for name in ckpx summarizer; do
	row_of_ratio "  TPS with $name / neither" %.3f "$name.tps" neither.tps
	row_of_ratio "  99th percentile with $name / neither" %.2f "$name.p99" neither.p99
	row_of_ratio "  server's CPU for a transaction with $name / neither" %.3f "$name.cpu" neither.cpu
done
