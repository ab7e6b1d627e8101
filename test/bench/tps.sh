# pgbench TPC-B with ckpx preloaded and without, on one data directory.
#
# The two take turns, in the order with-without, without-with, ..., each after
# a restart and a checkpoint.  Before a run with ckpx, ckpx reads what was
# written without it.  Intervals are shorter than by default, so that cuts and
# incremental checkpoints fall into every run.
#
# BENCH_SYNC is synchronous_commit.  Off is the harder test: several times the
# transactions, and so the WAL, and no disk to wait for while ckpx works.
#
# Runs are short and many, so that what else the machine does falls upon both of
# a pair, or evens out.
# A busy machine makes TPS spread by more than ckpx costs, so processor time is
# measured too: all that the server used for a transaction, ckpx's workers
# included, with ckpx and without; and the part of it that these used.
. test/bench/lib.sh

pairs=${BENCH_PAIRS:-16}
seconds=${BENCH_SECONDS:-5}
sync=${BENCH_SYNC:-off}

new_cluster "shared_buffers = '256MB'" "max_wal_size = '4GB'" "checkpoint_timeout = '30min'" \
	"synchronous_commit = $sync" \
	"ckpx.collect_interval = '1s'" "ckpx.min_incremental_interval = '3s'"

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

# Sets tps, and cpu, the server's CPU time in ms for 1000 transactions.
run_pgbench() {
	local before n
	before=$(cpu_of_server)
	read -r n tps <<<"$(pgbench -n -c 2 -j 2 -T "$seconds" |
		awk '/actually processed/ { n = $NF } /^tps/ { print n, $3 }')"
	# The postmaster has the CPU time of a backend only once that has gone.
	until [ "$(ask "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")" = 1 ]; do
		sleep 0.1
	done
	sleep 0.5
	cpu=$(calc %.3f "($(cpu_of_server) - $before) / $n * 1000")
}

run_with() {
	local workers server
	start_server shared_preload_libraries=ckpx
	await_collected
	ask "SELECT ckpx_checkpoint()" >/dev/null
	ask "CHECKPOINT"
	workers=$(cpu_of_workers)
	server=$(cpu_of_server)
	run_pgbench
	share=$(calc %.5f "($(cpu_of_workers) - $workers) / ($(cpu_of_server) - $server) * 100")
	incrementals=$(ask "SELECT incrementals_done FROM ckpx_stat")
	stop_server
	with=$tps cpu_with=$cpu
}

run_without() {
	start_server shared_preload_libraries=
	ask "CHECKPOINT"
	run_pgbench
	stop_server
	without=$tps cpu_without=$cpu
}

start_server shared_preload_libraries=ckpx
ask "CREATE EXTENSION ckpx"
pgbench -i -q -s 20 2>/dev/null
stop_server

ratios=() shares=() all_with=() all_without=() cpu_ratios=()
for ((i = 1; i <= pairs; i++)); do
	if ((i % 2)); then
		run_with
		run_without
	else
		run_without
		run_with
	fi
	say "TPS $with with, $without without; CPU ms for 1000: $cpu_with, $cpu_without; workers $share %; incrementals $incrementals"
	all_with+=("$with")
	all_without+=("$without")
	shares+=("$share")
	ratios+=("$(calc %.4f "$with / $without")")
	cpu_ratios+=("$(calc %.4f "$cpu_with / $cpu_without")")
done
row "TPS with ckpx, synchronous_commit $sync" "$(median_of %.0f "${all_with[@]}")" "$(spread_of %.0f "${all_with[@]}")"
row "TPS without" "$(median_of %.0f "${all_without[@]}")" "$(spread_of %.0f "${all_without[@]}")"
row "TPS with / without, pair by pair" "$(median_of %.3f "${ratios[@]}")" "$(spread_of %.3f "${ratios[@]}")" ">= 0.98"
row "server's CPU for a transaction, with / without" "$(median_of %.3f "${cpu_ratios[@]}")" "$(spread_of %.3f "${cpu_ratios[@]}")"
row "ckpx's workers, % of the server's CPU" "$(median_of %.2f "${shares[@]}")" "$(spread_of %.2f "${shares[@]}")"
