# How costs grow: with the entries of a history, 10 to 100,000; with relations,
# 100 to 1,000,000; with the size of a database, 10 GB to 100 TB, of which a
# thousandth of the blocks changed.
#
# A program does what the server does with them, in processor time and memory,
# and the longest that a function takes that the server calls under one hold of
# a lock.  What takes a server is asked of one, whose history is made while it is
# stopped: ckpx_collect_range, a start, a manifest, the plan of a removal.
#
# Each measure is a row: the exponent that fits all points best, and that of the
# last two, which small constant costs do not flatten.  1 is linear.  Pictures of
# all points come to build/growth.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}
entries=${BENCH_GROWTH_ENTRIES:-10 100 1000 10000 100000}
relations=${BENCH_GROWTH_RELATIONS:-100 1000 10000 100000 1000000}
gigabytes=${BENCH_GROWTH_GB:-10 100 1000 10000 100000}

# More than this the largest ckpx.max_entries does not leave alone.
most=89000

build_program growth
build_program make_history
out=$CKPX_OUT/growth
mkdir -p "$out"

# grow KIND POINTS [FOLDER]: the program's measures at these points
grow() {
	local point
	for point in $2; do
		say "$1: $point"
		"$TMPDIR/growth" "$1" "$point" ${3:+"$3"} |
			awk -F '\t' -v x="$point" -v OFS='\t' '{ print $1, x, $2 }'
	done
}

# draw NAME TITLE AXIS PATTERN: the rows of $TMPDIR/points whose measure matches
draw() {
	grep -P "^[^\t]*($4)" "$TMPDIR/points" | perl test/bench/plot.pl "$2" "$3" >"$out/$1.svg"
}

# A row for each measure in $TMPDIR/points.
print_rows() {
	perl test/bench/plot.pl --fit <"$TMPDIR/points" |
		while IFS=$'\t' read -r measure exponent tail first last; do
			row "  $measure: $first to $last" "$exponent" "$tail"
		done
}

# CPU ms of a statement in a session of its own and of its repetitions, the
# shortest of $rounds each: "first later"
calls() {						# calls STATEMENT
	local i j
	for ((i = 0; i < rounds; i++)); do
		echo '\connect'
		echo "SET client_min_messages = log; SET log_executor_stats = on;"
		for ((j = 0; j <= rounds; j++)); do echo "$1;"; done
	done >"$TMPDIR/calls.sql"
	psql -XAtq -v ON_ERROR_STOP=1 -f "$TMPDIR/calls.sql" 2>&1 |
		awk -v n="$((rounds + 1))" '/ s elapsed$/ {
				ms = ($2 + $5) * 1000
				if (++i % n == 1) { if (first == "" || ms < first) first = ms }
				else if (later == "" || ms < later) later = ms
			}
			END { print first, later }'
}

least() { printf '%s\n' "$@" | sort -g | head -n 1; }

elapsed() { psql -XAtq -v ON_ERROR_STOP=1 -c '\timing on' -c "$1" | awk '/^Time:/ { print $2 }'; }

# A server with so many entries.
server() {						# server COUNT
	local folder i pid before cpus=() plans=() start end first later

	say "a server with $1 entries"
	new_cluster "fsync = off" "shared_preload_libraries = 'ckpx'" "ckpx.max_entries = 100000" \
		"ckpx.collect_interval = '1h'" "ckpx.min_incremental_interval = '1h'" "ckpx.max_incremental_interval = 0" \
		"ckpx.gc_keep_time = '1d'"
	start_server
	ask "CREATE EXTENSION ckpx"
	ask "CREATE TABLE one AS SELECT i FROM generate_series(1, 20000) i"
	ask "SELECT ckpx_checkpoint()" >/dev/null
	stop_server
	folder=$(echo "$data"/ckpx/*-*)
	read -r start _ end <<<"$("$TMPDIR/make_history" "$folder" "$1" 1 1)"
	start_server "ckpx.enabled=off"
	ask "SELECT ckpx_low_water_mark()" >/dev/null
	printf 'server: start, ms\t%s\t%s\n' "$1" "$(cpu_of_pid "$(worker_pid runner)")"
	[ "$(ask "SELECT count(*) FROM ckpx_checkpoints")" -ge "$1" ]

	pid=$(worker_pid checkpointer)
	for ((i = 1; i <= rounds; i++)); do
		before=$(cpu_of_pid "$pid")
		ask "SELECT ckpx_pin('bench', '$start')" >/dev/null
		ask "SELECT ckpx_unpin('bench')" >/dev/null
		cpus+=("$(calc %.3f "($(cpu_of_pid "$pid") - $before) / 2")")
		plans+=("$(elapsed "SELECT ckpx_gc(dry_run => true)")")
	done
	printf 'server: publish, ms\t%s\t%s\n' "$1" "$(least "${cpus[@]}")"
	printf 'server: plan of a removal, ms\t%s\t%s\n' "$1" "$(least "${plans[@]}")"
	# what it shares with others is not its own
	printf 'server: memory of the checkpointer, MB\t%s\t%s\n' "$1" \
		"$(calc %.2f "$(memory_of_pid "$pid" VmHWM) - $(memory_of_pid "$pid" RssShmem)")"
	read -r first later <<<"$(calls "SELECT checkpointed FROM ckpx_collect_range('$start', '$end')")"
	printf 'server: ckpx_collect_range, first call, ms\t%s\t%s\n' "$1" "$first"
	printf 'server: ckpx_collect_range, later calls, ms\t%s\t%s\n' "$1" "$later"
	stop_server
}

row "entries of a history: ${entries// /, }" "exponent" "of the last two" "<= 1"
grow entries "$entries" >"$TMPDIR/points"
print_rows
longest=$(awk -F '\t' -v x="${entries##* }" '/^lock: / && $2 == x && $3 > m { m = $3 } END { print m }' "$TMPDIR/points")
row "longest under a lock with ${entries##* }, ms" "$(calc %.2f "$longest")" "" "< 1"
draw locks "Under one hold of a lock" "entries of the history; processor ms" '^lock: .*ms'
draw entries "What is done with all entries" "entries of the history; processor ms" '^(?!lock).*ms'

: >"$TMPDIR/points"
for count in $entries; do
	server $((count > most ? most : count)) >>"$TMPDIR/points"
done
row "the same in a server, at most $most" "exponent" "of the last two" "<= 1"
print_rows
draw server "A history in a server" "entries of the history; ms, MB" .

mkdir -p "$TMPDIR/objects"
for kind in relations blocks; do
	points=$relations axis="relations with ten changed blocks each" title="Relations"
	if [ $kind = blocks ]; then
		points=$gigabytes axis="size of the database in GB; a thousandth of the blocks changed" title="Changed blocks"
	fi
	row "$axis: ${points// /, }" "exponent" "of the last two" "<= 1"
	grow $kind "$points" "$TMPDIR/objects" >"$TMPDIR/points"
	print_rows
	draw $kind "$title" "$axis; processor ms, MB" .
done
rm -rf "$TMPDIR/objects"
