#!/usr/bin/env bash
# What 'make test' does: the tests in a private copy of the server, then some
# of them on PostgreSQL 17, in a chroot.
#
#	test/all.sh [PART-OR-FILE...]       as test/run.sh, or major17
#
# major17 is for what can only be shown there: that the map agrees with the WAL
# summaries that the server itself keeps since 17, backups with its tools for
# increments, and the names of wait events.  Where the chroot cannot be made (it takes root, debootstrap, a
# mirror, 2 GB in /var/tmp) one line says so, and nothing has failed.  The last
# lines are what was skipped in all parts, and "N passed, N failed".
set -u

top=$(cd "$(dirname "$0")/.." && pwd -P)
major=17
major_tests=(regress test/t/015_wal_summaries.pl test/t/020_tracking.pl
	test/t/068_activity.pl test/t/099_backup_stock_tools.pl)
make_limit=600			# seconds

parts=()
on_major=no
for arg in "$@"; do
	case $arg in
	major17) on_major=yes ;;
	*) parts+=("$arg") ;;
	esac
done
on_this=yes
if [ $# -eq 0 ]; then
	[ "${PGMAJOR:-15}" -lt $major ] && on_major=yes
elif [ ${#parts[@]} -eq 0 ]; then
	on_this=no
fi

work=$(mktemp -d) || exit 1
mkfifo "$work/pipe" || exit 1
child=

# A signal must reach what runs at once, not when it has ended.
stop() {
	[ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
	exit "$1"
}
trap 'rm -rf "$work"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM HUP

run() {							# run COMMAND...
	"$@" </dev/null &
	child=$!
	wait $child
	local status=$?
	child=
	return $status
}

passed=0
failed=0
skips=()
status=0

# Run tests and add what they counted; no count is a failure.
add() {							# add COMMAND...
	local count tee line
	tee -i "$work/log" <"$work/pipe" &
	tee=$!
	run "$@" >"$work/pipe" 2>&1 || status=1
	wait $tee
	count=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$work/log" | tail -n 1)
	read -r ok bad <<<"${count:-0 1}"
	passed=$((passed + ok))
	failed=$((failed + bad))
	while IFS= read -r line; do
		skips+=("$line")
	done < <(grep '^skipped: ' "$work/log")
}

skip_major() {					# skip_major REASON
	skips+=("skipped: all of major$major: $1")
	echo "${skips[-1]}"
}

[ $on_this = yes ] && add "$top/test/private.sh" test/run.sh ${parts[@]+"${parts[@]}"}

if [ $on_major = yes ]; then
	echo
	echo "== PostgreSQL $major"
	if [ "$(id -u)" -ne 0 ]; then
		skip_major "its chroot needs root"
	else
		run timeout $make_limit "$top/test/major.sh" --make $major >"$work/log" 2>&1
		case $? in
		0) add "$top/test/major.sh" $major "${major_tests[@]}" ;;
		124) skip_major "no chroot within $make_limit s" ;;
		*) skip_major "no chroot: $(grep -v '^ *$' "$work/log" | tail -n 1)" ;;
		esac
	fi
fi

if [ $on_this$on_major = yesyes ]; then
	echo
	[ ${#skips[@]} -gt 0 ] && printf '%s\n' "${skips[@]}"
fi
echo "$passed passed, $failed failed"
[ $status -eq 0 ] && [ $failed -eq 0 ] && [ $passed -gt 0 ]
