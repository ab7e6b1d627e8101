# One walk over the headers of shared buffers of 8 GB, nearly all of them dirty:
# what the flusher does at each tick, and what a durable pass of everything
# begins with, which also sorts what it found.
#
# The walks are called from SQL through a library of the tests.  Processor time
# of the executor, from log_executor_stats; a walk before it has touched the
# memory.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}

if [ "$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -gt 15 ]; then
	row "skipped: from PostgreSQL 16 on libraries hide the functions from each other"
	exit 0
fi

# As much as fits twice into the memory that is left: the buffers, and the file.
available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
megabytes=${BENCH_BUFFERS_MB:-8192}
while [ $((megabytes * 5 / 2)) -gt "$available" ]; do
	megabytes=$((megabytes / 2))
done
pages=$((megabytes * 125))
say "shared buffers of $megabytes MB, a table of $pages pages"

new_cluster "fsync = off" "autovacuum = off" "shared_buffers = '${megabytes}MB'" "max_wal_size = 100GB" \
	"checkpoint_timeout = 1h" "bgwriter_lru_maxpages = 0" "full_page_writes = off" \
	"shared_preload_libraries = 'ckpx'" "ckpx.flush = off" "ckpx.min_incremental_interval = '1h'" \
	"ckpx.max_incremental_interval = 0" "ckpx.max_incremental_wal = 0"
start_server
ask "CREATE EXTENSION ckpx; CREATE EXTENSION ckpx_headers"
# One row on each page.
ask "CREATE TABLE wide (pad text) WITH (fillfactor = 10)"
ask "INSERT INTO wide SELECT repeat('x', 900) FROM generate_series(1, $pages)"
await_collected

# walk FUNCTION: processor time in ms; dirty is what it found
walk() {
	psql -XAtq -v ON_ERROR_STOP=1 -c "SELECT $1()" -c "SET client_min_messages = log" \
		-c "SET log_executor_stats = on" -c "SELECT $1()" 2>"$TMPDIR/stats" >"$TMPDIR/dirty"
	awk '/ s elapsed$/ { print ($2 + $5) * 1000 }' "$TMPDIR/stats"
}

counts=() finds=()
for ((i = 1; i <= rounds * 4; i++)); do
	counts+=("$(walk ckpx_headers_count)")
	dirty=$(tail -n 1 "$TMPDIR/dirty")
	finds+=("$(walk ckpx_headers_find)")
done
say "$dirty dirty buffers"
[ "$dirty" -gt $((pages * 99 / 100)) ]
[ "$megabytes" -eq 8192 ] && target="< 15" || target="(8 GB: < 15)"
row "one walk over $((megabytes * 128)) headers, $dirty of them dirty, processor ms" "$(median_of %.1f "${counts[@]}")" "$(spread_of %.1f "${counts[@]}")" "$target"
row "  the same, found and sorted, processor ms" "$(median_of %.0f "${finds[@]}")" "$(spread_of %.0f "${finds[@]}")"
pg_ctl -s -w -D "$data" -m immediate stop
