# pgbench TPC-B with ckpx preloaded and without, on one data directory.
#
# The two take turns, in the order with-without, without-with, ..., each after
# a restart and a checkpoint.  Before a run with ckpx, ckpx reads what was
# written without it.  Intervals are shorter than by default, so that cuts and
# incremental checkpoints fall into every run.
#
# A busy machine makes TPS spread by more than ckpx costs, so the processor
# time of ckpx's workers is measured too, as a part of all that the server used.
. test/bench/lib.sh

pairs=${BENCH_PAIRS:-6}
seconds=${BENCH_SECONDS:-12}

new_cluster "shared_buffers = '256MB'" "max_wal_size = '4GB'" "checkpoint_timeout = '30min'" \
	"ckpx.collect_interval = '1s'" "ckpx.min_incremental_interval = '5s'"

# CPU ms of the postmaster, its living children and those that have ended.
cpu_of_server() {
	local postmaster
	postmaster=$(head -n 1 "$data/postmaster.pid")
	for pid in $postmaster $(cat "/proc/$postmaster/task/$postmaster/children"); do
		sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true
	done | awk -v hz="$(getconf CLK_TCK)" '
		{ sum += $12 + $13; if (NR == 1) sum += $14 + $15 } END { print sum * 1000 / hz }'
}

cpu_of_workers() {
	local pid
	for pid in $(ask "SELECT pid FROM ckpx_workers WHERE pid IS NOT NULL"); do
		cpu_of_pid "$pid"
	done | awk '{ sum += $1 } END { print sum }'
}

run_pgbench() { pgbench -n -c 2 -j 2 -T "$seconds" | awk '/^tps/ { print $3 }'; }

tps_with() {
	local workers server
	start_server shared_preload_libraries=ckpx
	await_collected
	ask "SELECT ckpx_checkpoint()" >/dev/null
	ask "CHECKPOINT"
	workers=$(cpu_of_workers)
	server=$(cpu_of_server)
	tps=$(run_pgbench)
	share=$(calc %.5f "($(cpu_of_workers) - $workers) / ($(cpu_of_server) - $server) * 100")
	incrementals=$(ask "SELECT incrementals_done FROM ckpx_stat")
	stop_server
}

tps_without() {
	start_server shared_preload_libraries=
	ask "CHECKPOINT"
	tps=$(run_pgbench)
	stop_server
}

start_server shared_preload_libraries=ckpx
ask "CREATE EXTENSION ckpx"
pgbench -i -q -s 20 2>/dev/null
stop_server

ratios=() shares=() with=() without=()
for ((i = 1; i <= pairs; i++)); do
	if ((i % 2)); then
		tps_with; a=$tps
		tps_without; b=$tps
	else
		tps_without; b=$tps
		tps_with; a=$tps
	fi
	say "with $a, without $b, workers' CPU $share %, incrementals $incrementals"
	with+=("$a")
	without+=("$b")
	shares+=("$share")
	ratios+=("$(calc %.4f "$a / $b")")
done
row "TPS with ckpx" "$(median_of %.0f "${with[@]}")" "$(spread_of %.0f "${with[@]}")"
row "TPS without" "$(median_of %.0f "${without[@]}")" "$(spread_of %.0f "${without[@]}")"
row "with / without, pair by pair" "$(median_of %.3f "${ratios[@]}")" "$(spread_of %.3f "${ratios[@]}")" ">= 0.98"
row "ckpx's workers, % of the server's CPU" "$(median_of %.2f "${shares[@]}")" "$(spread_of %.2f "${shares[@]}")"
