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

run_with() {
	local lsn server bytes name before after
	start_server shared_preload_libraries=ckpx
	await_collected
	ask "SELECT ckpx_checkpoint()" >/dev/null
	ask "CHECKPOINT"
	lsn=$(ask "SELECT pg_current_wal_insert_lsn()")
	cpu_of_workers >"$TMPDIR/before"
	server=$(cpu_of_server)
	run_pgbench "$seconds"
	bytes=$(ask "SELECT pg_current_wal_insert_lsn() - '$lsn'")
	cpu_of_workers | join "$TMPDIR/before" - >"$TMPDIR/workers"
	share=$(calc %.5f "$(awk '{ ms += $3 - $2 } END { print ms }' "$TMPDIR/workers") / ($(cpu_of_server) - $server) * 100")
	while read -r name before after; do
		note "$name" "$(core_share "($after - $before)" "$bytes")"
	done <"$TMPDIR/workers"
	incrementals=$(ask "SELECT incrementals_done FROM ckpx_stat")
	stop_server
	with=$tps cpu_with=$cpu
}

run_without() {
	start_server shared_preload_libraries=
	ask "CHECKPOINT"
	run_pgbench "$seconds"
	stop_server
	without=$tps cpu_without=$cpu
}

start_server shared_preload_libraries=ckpx
ask "CREATE EXTENSION ckpx"
pgbench -i -q -s 20 2>/dev/null
stop_server

forget_notes
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
for worker in runner flusher checkpointer observer; do
	row_of "  $worker, % of a core at 100 MB of WAL per second" %.1f "$worker"
done
