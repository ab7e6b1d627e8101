#!/usr/bin/env bash
# Does flushing by policy pay?  pgbench's TPC-B with ckpx.flush on and off, in
# alternating runs on one server, and the medians of both with their spread.
# Called through test/private.sh, on an installed build.
#
#	BENCH_PAIRS     pairs of runs (10)
#	BENCH_SECONDS   length of a run (62: two checkpoint cycles)
#	BENCH_SCALE     pgbench scale (20: 300 MB, more than twice the buffers)
#	BENCH_BUFFERS   shared_buffers (128MB)
#
# Each run starts right after a checkpoint, so all cover the same cycles.
# Pages that PostgreSQL's checkpointer wrote, pages that anybody wrote (the
# flusher's are among buffers_backend) and the time of its syncs come from
# pg_stat_bgwriter; CPU time from /proc, of the server with all its children.
set -eu -o pipefail

pairs=${BENCH_PAIRS:-10}
seconds=${BENCH_SECONDS:-62}
scale=${BENCH_SCALE:-20}
buffers=${BENCH_BUFFERS:-128MB}
data=$TMPDIR/bench
results=${CKPX_OUT:-$TMPDIR}/flush.txt
export PGHOST=$TMPDIR PGPORT=5432 PGUSER=bench PGDATABASE=postgres

ask() { psql -XAtqc "$1"; }

start() {
	initdb -D "$data" -U bench -A trust >"$TMPDIR/initdb.log"
	cat >>"$data/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$TMPDIR'
		shared_preload_libraries = 'ckpx'
		shared_buffers = '$buffers'
		checkpoint_timeout = 30s
		max_wal_size = 8GB
		max_slot_wal_keep_size = 4GB
		autovacuum = off
	CONF
	pg_ctl -s -w -D "$data" -l "$TMPDIR/bench.log" start
	psql -Xqc 'CREATE EXTENSION ckpx'
	pgbench -i -q -s "$scale" 2>/dev/null
}

# CPU seconds so far: the postmaster with its dead children, and the living.
cpu() {
	local postmaster ticks
	postmaster=$(head -n 1 "$data/postmaster.pid")
	ticks=$(getconf CLK_TCK)
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v p="$postmaster" -v t="$ticks" '
		{ sub(/^[0-9]+ \(.*\) /, $1 " x ") }
		$1 == p { sum += $14 + $15 + $16 + $17 }
		$4 == p { sum += $14 + $15 }
		END { printf "%.2f\n", sum / t }'
}

counters() {
	ask "SELECT buffers_checkpoint, buffers_checkpoint + buffers_clean + buffers_backend,
			checkpoint_sync_time FROM pg_stat_bgwriter" | tr '|' ' '
}

run() {							# run on|off
	local before after cpu0 cpu1 tps xacts p99
	psql -Xq -c "ALTER SYSTEM SET ckpx.flush = $1" -c 'SELECT pg_reload_conf()' >/dev/null
	psql -Xqc CHECKPOINT
	rm -f "$TMPDIR"/latency.*
	before=$(counters)
	cpu0=$(cpu)
	(cd "$TMPDIR" && pgbench -n -c 4 -j 1 -T "$seconds" -l --log-prefix=latency >pgbench.out 2>&1)
	cpu1=$(cpu)
	# Statistics arrive late.
	psql -Xqc 'SELECT pg_stat_force_next_flush()' >/dev/null
	after=$(counters)
	tps=$(awk '/^tps/ { print $3 }' "$TMPDIR/pgbench.out")
	xacts=$(awk '/actually processed/ { print $NF }' "$TMPDIR/pgbench.out")
	p99=$(cat "$TMPDIR"/latency.* | awk '{ print $3 }' | sort -n |
		awk '{ v[NR] = $1 } END { print v[int(NR * 0.99)] / 1000 }')
	echo "$before $after $cpu0 $cpu1 $xacts $tps $p99" | awk -v f="$1" '{
		print f, $10, ($8 - $7) / $9 * 1000, ($5 - $2) / $9 * 1000, $4 - $1, $6 - $3, $11 }'
}

start
: >"$results.runs"
run off >/dev/null				# warm up
for ((i = 1; i <= pairs; i++)); do
	# Who goes first alternates, too.
	for flush in $([ $((i % 2)) -eq 1 ] && echo off on || echo on off); do
		run $flush | tee -a "$results.runs" >&2
	done
done
ask "SELECT * FROM ckpx_flush_stat" >&2
pg_ctl -s -w -D "$data" -m fast stop

{
	echo "flushing by policy: $pairs pairs of $seconds s, scale $scale, shared_buffers $buffers"
	awk '
	function median(a, n,    i, j, t) {
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
		low = a[1]; high = a[n]
		return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
	}
	BEGIN { split("tps|CPU ms per transaction|pages written per 1000 transactions|pages written by checkpoints|checkpoint sync, ms|latency p99, ms", name, "|") }
	{ n[$1]++; for (c = 2; c <= 7; c++) v[$1, c, n[$1]] = $c }
	END {
		printf "%-36s %12s %20s %12s %20s %7s\n", "", "off", "(min - max)", "on", "(min - max)", "ratio"
		for (c = 2; c <= 7; c++) {
			for (i = 1; i <= n["off"]; i++) a[i] = v["off", c, i] + 0
			off = median(a, n["off"]); spread = sprintf("(%.4g - %.4g)", low, high)
			for (i = 1; i <= n["on"]; i++) b[i] = v["on", c, i] + 0
			on = median(b, n["on"])
			printf "%-36s %12.4g %20s %12.4g %20s %7.3f\n", name[c - 1], off, spread, on, sprintf("(%.4g - %.4g)", low, high), off ? on / off : 0
		}
	}' "$results.runs"
} | tee "$results"
