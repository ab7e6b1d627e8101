#!/usr/bin/env bash
# Run the benchmarks and print their results as one table.
# Called through test/private.sh; the arguments choose parts, by default all:
#
#	collect tps range memory ...		test/bench/PART.sh
#
# The table goes to stdout, and as JSON with what is known of the machine to
# bench.json in $CKPX_OUT; everything else goes to stderr.  Nothing here passes or
# fails by time: the exit status tells only whether every part ran to its end.
set -u

parts=("$@")
if [ ${#parts[@]} -eq 0 ]; then
	parts=($(sed -n 's/^| `\([a-z_]*\)` .*/\1/p' test/bench/README.md))
fi

status=0
echo "== build" >&2
test/build.sh >&2 || exit 1

# A bare chroot has no /proc: then these stay empty.
memory_kb=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo 2>/dev/null)
memory_gb=$(((memory_kb + 524288) / 1048576))
server=$(postgres --version | sed 's/^postgres (PostgreSQL) /PostgreSQL /')
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" ckpx.control)
cpu=$(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo 2>/dev/null)
load=$(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null)
printf '%s, %s, %d cores, %d GB, Linux %s\n' "$server" "$cpu" "$(nproc)" "$memory_gb" "$(uname -r)"
printf 'load average before the first part: %s\n' "$load"

json=$CKPX_OUT/bench.json
printf '{"server": "%s", "ckpx": "%s", "cpu": "%s", "cores": %d, "memory_gb": %d, "kernel": "%s", "load": "%s", "rows": [' \
	"$server" "$version" "$cpu" "$(nproc)" "$memory_gb" "$(uname -r)" "$load" >"$json"
separator=

# Rows that are indented belong to the one above that is not.
rows_as_json() {				# rows_as_json PART
	awk -F '\t' -v part="$1" -v separator="$separator" '
		function text(s) { gsub(/["\\]/, "\\\\&", s); return "\"" s "\"" }
		function value(s) { return s == "" ? "null" : s ~ /^-?[0-9]+(\.[0-9]+)?$/ ? s : text(s) }
		{
			split($3, range, " - ")
			indented = sub(/^ +/, "", $1)
			if (!indented)
				above = $1
			printf "%s\n{\"part\": %s, \"of\": %s, \"measure\": %s, \"median\": %s, \"smallest\": %s, \"largest\": %s, \"target\": %s}",
				separator, text(part), indented ? text(above) : "null", text($1), value($2), value(range[1]), value(range[2]), value($4)
			separator = ","
		}' "$TMPDIR/rows"
}

for part in "${parts[@]}"; do
	echo "== $part" >&2
	if [ ! -r "test/bench/$part.sh" ]; then
		echo "bench: there is no part \"$part\"" >&2
		status=2
		continue
	fi
	if ! bash "test/bench/$part.sh" >"$TMPDIR/rows"; then
		echo "bench: part \"$part\" did not come to its end" >&2
		tail -n 30 "$TMPDIR/server.log" >&2
		cp "$TMPDIR/server.log" "$CKPX_OUT/bench-$part.log"
		printf '(broken off)\t\t\t\n' >>"$TMPDIR/rows"
		status=1
	fi
	if [ -e "$TMPDIR/data/postmaster.pid" ]; then
		pg_ctl -s -D "$TMPDIR/data" -m immediate stop >&2
	fi
	printf '\n%s\n' "$part"
	awk -F '\t' -v head="$(printf 'measure\tmedian\tsmallest - largest\ttarget')" '
		BEGIN { n = 0; add(head) }
		function add(line,   i, f) {
			split(line, f, "\t")
			n++
			for (i = 1; i <= 4; i++) {
				cell[n, i] = f[i]
				if (length(f[i]) > width[i]) width[i] = length(f[i])
			}
		}
		{ add($0) }
		END {
			for (r = 1; r <= n; r++) {
				line = sprintf("  %-*s  %*s  %*s  %-*s", width[1], cell[r, 1], width[2], cell[r, 2],
					width[3], cell[r, 3], width[4], cell[r, 4])
				sub(/ +$/, "", line)
				print line
			}
		}' "$TMPDIR/rows"
	rows_as_json "$part" >>"$json"
	separator=,
done
printf '\n]}\n' >>"$json"
exit $status
