# An idle server: how often each worker wakes up per tick, the processor time
# that takes, and whether it grows.  Once with the default settings, once with
# ticks of 10 ms, where growth would show soon.
. test/bench/lib.sh

seconds=${BENCH_IDLE_SECONDS:-60}
workers="runner flusher checkpointer observer"

sleeps() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"; }
anonymous_kb() { awk '/^RssAnon/ { print $2 }' "/proc/$1/status"; }

new_cluster "wal_level = replica" "shared_preload_libraries = 'ckpx'" "max_slot_wal_keep_size = '1GB'"
for tick_ms in 5000 10; do
	start_server "ckpx.collect_interval=${tick_ms}ms"
	ask "CREATE EXTENSION IF NOT EXISTS ckpx" >/dev/null
	await_collected
	ask "SELECT ckpx_checkpoint()" >/dev/null

	# Caches fill, and the last checkpoint's work ends.
	sleep 10
	for worker in $workers; do
		pid=$(worker_pid $worker)
		echo "$worker $pid $(sleeps "$pid") $(cpu_of_pid "$pid") $(anonymous_kb "$pid")"
	done >"$TMPDIR/before"
	say "idle for $seconds s with ticks of $tick_ms ms"
	sleep "$seconds"
	while read -r worker pid before_sleeps before_cpu before_kb; do
		[ "$(worker_pid "$worker")" = "$pid" ]
		row "$worker, ticks of $tick_ms ms: wakings per second" \
			"$(calc %.2f "($(sleeps "$pid") - $before_sleeps) / $seconds")"
		row "$worker, ticks of $tick_ms ms: CPU ms per second" \
			"$(calc %.2f "($(cpu_of_pid "$pid") - $before_cpu) / $seconds")"
		row "$worker, ticks of $tick_ms ms: kB grown" "$(($(anonymous_kb "$pid") - before_kb))"
	done <"$TMPDIR/before"
	stop_server
done
