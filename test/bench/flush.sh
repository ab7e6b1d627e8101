# Does flushing by policy pay?  pgbench TPC-B with ckpx.flush on and off
# ("demand" writes nothing by itself, either).
#
# The two take turns on one server, each run right behind a checkpoint, so that
# all cover the same checkpoint cycles.  The data is more than twice as large as
# shared_buffers and fsync is on.
#
# Pages that PostgreSQL's checkpointer wrote, pages that anybody wrote (the
# flusher's are among buffers_backend) and the time of the checkpointer's syncs
# come from pg_stat_bgwriter; CPU time is that of the server with all its
# children, ckpx's workers included.  What the device wrote is WAL for the most
# part; pages are in it as often as they went there from the kernel's cache.
. test/bench/lib.sh

pairs=${BENCH_FLUSH_PAIRS:-10}
seconds=${BENCH_FLUSH_SECONDS:-62}
scale=${BENCH_FLUSH_SCALE:-50}
buffers=${BENCH_FLUSH_BUFFERS:-128MB}

new_cluster "shared_buffers = '$buffers'" "checkpoint_timeout = '30s'" "max_wal_size = '8GB'" \
	"max_slot_wal_keep_size = '4GB'" "autovacuum = off" "shared_preload_libraries = 'ckpx'"

# Sectors that the device below the cluster has written, 0 where that is not known.
device=/sys/dev/block/$(findmnt -rno MAJ:MIN -T "$TMPDIR" 2>/dev/null | tr -d ' ')/stat
sectors() { awk '{ print $7 }' "$device" 2>/dev/null || echo 0; }

counters() {
	ask "SELECT buffers_checkpoint, buffers_checkpoint + buffers_clean + buffers_backend,
			checkpoint_sync_time FROM pg_stat_bgwriter" | tr '|' ' '
}

# One run: "TPS, CPU ms per transaction, pages per transaction, pages of
# checkpoints per transaction, ms of their syncs, p99 of the latency in ms, kB of
# the device per transaction".
run_with_flush() {				# run_with_flush on|off
	local before cpu written
	ask "ALTER SYSTEM SET ckpx.flush = $1" >/dev/null
	ask "SELECT pg_reload_conf()" >/dev/null
	ask CHECKPOINT >/dev/null
	rm -f "$TMPDIR"/latency.*
	before=$(counters)
	cpu=$(cpu_of_server)
	written=$(sectors)
	(cd "$TMPDIR" && pgbench -n -c 4 -T "$seconds" -l --log-prefix=latency) >"$TMPDIR/pgbench.out" 2>&1
	# The postmaster has the CPU time of a backend only once that has gone.
	sleep 1
	cpu=$(calc %.1f "$(cpu_of_server) - $cpu")
	written=$(($(sectors) - written))
	echo "$before $(counters) $cpu $(awk '/actually processed/ { n = $NF } /^tps/ { print n, $3 }' "$TMPDIR/pgbench.out") \
		$(sort -n -k3,3 "$TMPDIR"/latency.* | awk '{ v[NR] = $3 } END { print v[int(NR * 0.99)] / 1000 }') $written" |
		awk '{ print $9, $7 / $8, ($5 - $2) / $8, ($4 - $1) / $8, $6 - $3, $10, $11 / 2 / $8 }'
}

start_server
ask 'CREATE EXTENSION ckpx' >/dev/null
pgbench -i -q -s "$scale" >"$TMPDIR/pgbench.out" 2>&1
run_with_flush off >/dev/null
for ((i = 1; i <= pairs; i++)); do
	for flush in $([ $((i % 2)) = 1 ] && echo off on || echo on off); do
		run_with_flush "$flush" >>"$TMPDIR/flush.$flush"
		say "$flush: $(tail -n 1 "$TMPDIR/flush.$flush")"
	done
done
stop_server

# print_ratio COLUMN NAME TARGET FORMAT: both medians, and of the pairs' ratios the
# median and the spread
print_ratio() {
	local off on ratios
	off=$(awk -v c="$1" '{ print $c }' "$TMPDIR/flush.off" | median)
	on=$(awk -v c="$1" '{ print $c }' "$TMPDIR/flush.on" | median)
	ratios=$(paste -d' ' "$TMPDIR/flush.off" "$TMPDIR/flush.on" |
		awk -v c="$1" '$c > 0 { print $(c + 7) / $c }')
	row "$2 (off $(printf "$4" "$off"), on $(printf "$4" "$on"))" \
		"$(median_of %.2f $ratios)" "$(spread_of %.2f $ratios)" "$3"
}

print_ratio 1 'TPS with ckpx.flush on / off' '>= 0.97' %.0f
print_ratio 2 'CPU ms per transaction' '<= 1.05' %.2f
print_ratio 3 'pages written per transaction, by anybody' '<= 1.10' %.3f
print_ratio 4 "pages written per transaction, by PostgreSQL's checkpoints" '<= 0.50' %.3f
print_ratio 5 'time of their syncs, ms' '<= 0.50' %.0f
print_ratio 6 'latency, 99th percentile, ms' '<= 1' %.1f
if [ -r "$device" ]; then
	print_ratio 7 'kB that the device wrote per transaction' '' %.1f
fi
