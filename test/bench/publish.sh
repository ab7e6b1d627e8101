# What a manifest costs in a history of 1,000 and 10,000 entries, and of nearly
# as many as the largest ckpx.max_entries leaves alone: a pin and its removal
# write one each.  And what planning garbage collection takes.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}

build_program make_history

# Elapsed ms of a statement in a session of its own, as psql counts it.
elapsed() {						# elapsed STATEMENT
	psql -XAtq -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" | awk '/^Time:/ { print $2 }'
}

publish() {						# publish COUNT
	local folder i pid before pins=() cpus=() plans=() size start

	new_cluster "shared_preload_libraries = 'ckpx'" "ckpx.max_entries = 100000" \
		"ckpx.collect_interval = '1h'" "ckpx.min_incremental_interval = '1h'" "ckpx.max_incremental_interval = 0" \
		"ckpx.gc_keep_time = '1d'"
	start_server
	ask "CREATE EXTENSION ckpx"
	ask "CREATE TABLE one AS SELECT i FROM generate_series(1, 20000) i"
	ask "SELECT ckpx_checkpoint()" >/dev/null
	stop_server
	folder=$(echo "$data"/ckpx/*-*)
	"$TMPDIR/make_history" "$folder" "$1" 1 1 >"$TMPDIR/history"
	start_server "ckpx.enabled=off"
	ask "SELECT ckpx_low_water_mark()" >/dev/null
	start=$(awk '{ print $1 }' "$TMPDIR/history")
	pid=$(worker_pid checkpointer)
	say "$1 entries"
	for ((i = 1; i <= rounds; i++)); do
		before=$(cpu_of_pid "$pid")
		pins+=("$(elapsed "SELECT ckpx_pin('bench', '$start')")")
		ask "SELECT ckpx_unpin('bench')" >/dev/null
		cpus+=("$(calc %.1f "($(cpu_of_pid "$pid") - $before) / 2")")
		plans+=("$(elapsed "SELECT ckpx_gc(dry_run => true)")")
	done
	size=$(find "$folder" -name 'meta_*' -printf '%s\n' | sort -g | tail -1)
	row "$1 entries: a manifest, MB" "$(calc %.2f "$size / 1e6")"
	row "  writing it, ms" "$(median_of %.1f "${pins[@]}")" "$(spread_of %.1f "${pins[@]}")"
	row "    processor ms" "$(median_of %.1f "${cpus[@]}")" "$(spread_of %.1f "${cpus[@]}")"
	row "  planning garbage collection, ms" "$(median_of %.1f "${plans[@]}")" "$(spread_of %.1f "${plans[@]}")"
	row "  memory of the checkpointer at most, MB" "$(memory_of_pid "$pid" VmHWM)"
	stop_server
}

for count in 1000 10000 89000; do
	publish "$count"
done
