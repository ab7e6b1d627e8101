# An idle server: how often each worker wakes up, the processor time that takes,
# and whether it grows.  Once with the default settings, once with ticks of
# 10 ms, where growth would show soon.  The server's own processes are beside
# them, with the WAL summarizer from 17 on.
. test/bench/lib.sh

seconds=${BENCH_IDLE_SECONDS:-60}

sleeps() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"; }
anonymous_kb() { awk '/^RssAnon/ { print $2 }' "/proc/$1/status"; }

# "PID NAME" of each process that is looked at
processes() {
	ask "SELECT pid || ' ckpx ' || name FROM ckpx_workers ORDER BY name"
	ask "SELECT pid || ' ' || backend_type FROM pg_stat_activity WHERE backend_type IN
		('background writer', 'walwriter', 'checkpointer', 'autovacuum launcher', 'walsummarizer') ORDER BY backend_type"
}

new_cluster "wal_level = replica" "shared_preload_libraries = 'ckpx'" "max_slot_wal_keep_size = '1GB'"
[ "$(major_version)" -lt 17 ] || echo "summarize_wal = on" >>"$data/postgresql.conf"
for tick_ms in 5000 10; do
	start_server "ckpx.collect_interval=${tick_ms}ms"
	ask "CREATE EXTENSION IF NOT EXISTS ckpx" >/dev/null
	await_collected
	ask "SELECT ckpx_checkpoint()" >/dev/null

	# Caches fill, and the last checkpoint's work ends.
	sleep 10
	processes >"$TMPDIR/processes"
	while read -r pid name; do
		echo "$pid $(sleeps "$pid") $(cpu_of_pid "$pid") $(anonymous_kb "$pid") $name"
	done <"$TMPDIR/processes" >"$TMPDIR/before"
	say "idle for $seconds s with ticks of $tick_ms ms"
	sleep "$seconds"
	while read -r pid before_sleeps before_cpu before_kb name; do
		echo "$(sleeps "$pid") $before_sleeps $(cpu_of_pid "$pid") $before_cpu $(($(anonymous_kb "$pid") - before_kb)) $name"
	done <"$TMPDIR/before" >"$TMPDIR/after"
	processes | diff "$TMPDIR/processes" - >&2
	row "ticks of $tick_ms ms"
	while read -r now_sleeps before_sleeps now_cpu before_cpu kb name; do
		row "  $name: wakings per second" "$(calc %.2f "($now_sleeps - $before_sleeps) / $seconds")"
		row "  $name: CPU s per hour" "$(calc %.2f "($now_cpu - $before_cpu) / $seconds * 3.6")"
		row "  $name: kB grown" "$kb"
	done <"$TMPDIR/after"
	for group in "ckpx" "PostgreSQL"; do
		row "  $group, all of these: CPU s per hour" "$(awk -v group="$group" -v seconds="$seconds" '
			($6 == "ckpx") == (group == "ckpx") { ms += $3 - $4 } END { printf "%.2f\n", ms / seconds * 3.6 }' "$TMPDIR/after")"
	done
	stop_server
done
