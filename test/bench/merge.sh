# A hundred incrementals merged into a global by the code that the checkpointer
# uses, in a program of its own, compression included; and what one incremental
# takes for each block.
#
# Random places in 1 TB are the hard case: nothing lies together, and half of
# the union's blocks are set, which a bitmap holds in two bits each.  In 10 TB the
# union is made of numbers as well.
. test/bench/lib.sh

rounds=${BENCH_RUNS:-5}

build_program merge

# measure TITLE DATABASE-MB RELATION-MB BLOCKS: sets the variables below
measure() {
	local i seconds=()
	rm -rf "$TMPDIR/merge.d"
	mkdir "$TMPDIR/merge.d"
	say "$1: making the incrementals"
	"$TMPDIR/merge" make "$TMPDIR/merge.d" 100 "$2" "$3" "$4"
	peaks=()
	for ((i = 1; i <= rounds; i++)); do
		read -r blocks distinct second peak bytes union plain records layers <<<"$("$TMPDIR/merge" run "$TMPDIR/merge.d" 100)"
		say "$blocks blocks, $distinct distinct, $second s, peak $peak MB, $bytes bytes in $records records of $layers layers; union $union bytes, $plain not compressed"
		seconds+=("$second")
		peaks+=("$peak")
	done
	rm -rf "$TMPDIR/merge.d"
	row "$1, processor s" "$(median_of %.2f "${seconds[@]}")" "$(spread_of %.2f "${seconds[@]}")" "< 10"
}

# The global next to the union of all as one Roaring bitmap for each relation.
compare() {
	row "  blocks in the inputs / in the global" "$(calc %.2f "$blocks / $distinct")"
	row "  bytes of the global / of the union in Roaring bitmaps" "$(calc %.2f "$bytes / $plain")" "" "< 1.1"
	row "  bytes of the global / of the union as an object" "$(calc %.2f "$bytes / $union")"
	row "  bytes for each distinct block" "$(calc %.2f "$bytes / $distinct")"
	row "    the union in Roaring bitmaps; as an object" "$(calc "%.2f; %.2f" "$plain / $distinct, $union / $distinct")"
}

# One incremental next to Roaring bitmaps and to a WAL summary of the same.
size() {						# size TITLE RELATIONS RELATION-BLOCKS BLOCKS TARGET
	read -r blocks bytes plain summary <<<"$("$TMPDIR/merge" size "$TMPDIR" "$2" "$3" "$4")"
	say "$1: $blocks blocks, $bytes bytes, $plain in Roaring bitmaps, $summary in a summary"
	row "$1, bytes for each block" "$(calc %.3f "$bytes / $blocks")"
	row "  the same in Roaring bitmaps; in a WAL summary" "$(calc "%.3f; %.3f" "$plain / $blocks, $summary / $blocks")"
	row "  incremental / WAL summary" "$(calc %.2f "$bytes / $summary")" "" "<= 1.0"
}

memory() {						# memory TITLE RELATION-MB
	measure "$1" 1048576 "$2" 0
	row "  growth of peak RSS, MB" "$(median_of %.1f "${peaks[@]}")" "$(spread_of %.1f "${peaks[@]}")" "< 128"
}

size "2,100 of 83,000 blocks" 1 83000 2100
size "61,000 of 83,000 blocks" 1 83000 61000
size "1 % of 1 TB, in 1,024 relations" 1024 131072 1310
size "every block of 1,112 MB, in 10 relations" 10 14233 14233
measure "100 x 1,000,000 blocks in 10,000 relations, 1 TB" 1048576 104 1000000
compare
measure "100 x 1,000,000 blocks in 10,000 relations, 10 TB" 10485760 1048 1000000
compare
memory "1 TB, every block changed, 1,024 relations of 1 GB" 1024
memory "1 TB, every block changed, one relation" 1048576
