# Memory of the map of a database of 1 TB with 1 % of its blocks changed.
#
# A program adds the blocks to a dirty tree, as decoding WAL does.  How they
# are spread over relations matters: many small relations cost most.
. test/bench/lib.sh

build_program memory

measure() {						# measure TITLE RELATION-MB
	local blocks tree encoded peak ns
	read -r blocks tree encoded peak ns <<<"$("$TMPDIR/memory" 1048576 "$2" 10)"
	say "$1: $blocks blocks, tree $tree MB, encoded $encoded MB, peak $peak MB, $ns ns for each block"
	row "$1: tree, MB" "$tree" "" "< 64"
	row "  growth of peak RSS, MB" "$peak" "" "< 64"
	row "  byte form (a logtail segment), MB" "$encoded"
}

measure "one relation of 1 TB" 1048576
measure "1,024 relations of 1 GB" 1024
measure "104,858 relations of 10 MB" 10
