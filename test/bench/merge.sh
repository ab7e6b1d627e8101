# A hundred incrementals merged into a global by the code that the checkpointer
# uses, in a program of its own, compression included.
#
# Random places in 1 TB are the hard case: nothing lies together, and half of
# the union's blocks are set, which a bitmap holds in two bits each, while a
# layer that lists a twentieth of them takes two bytes each.  In 10 TB the union
# is made of numbers as well.
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
	row "  bytes of the global / of the union in Roaring bitmaps" "$(calc %.2f "$bytes / $plain")" "" "< 1.3 and"
	row "    of that the heads of $records records in $layers layers" "$(calc %.2f "$records * 96 / $plain")" "" "the layers"
	row "  bytes for each distinct block" "$(calc %.2f "$bytes / $distinct")"
}

memory() {						# memory TITLE RELATION-MB
	measure "$1" 1048576 "$2" 0
	row "  growth of peak RSS, MB" "$(median_of %.1f "${peaks[@]}")" "$(spread_of %.1f "${peaks[@]}")" "< 128"
}

measure "100 x 1,000,000 blocks in 10,000 relations, 1 TB" 1048576 104 1000000
compare
measure "100 x 1,000,000 blocks in 10,000 relations, 10 TB" 10485760 1048 1000000
compare
memory "1 TB, every block changed, 1,024 relations of 1 GB" 1024
memory "1 TB, every block changed, one relation" 1048576
