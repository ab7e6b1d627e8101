#!/usr/bin/env bash
# Build, install into the private server tree, run the tests, count.
# Called through test/private.sh; the arguments choose:
#
#	(none)                     everything
#	house unit regress isolation tap
#	                           that part
#	test/t/NNN_topic.pl        that TAP file (test/sql/x.sql and
#	                           test/specs/x.spec work the same way)
#
# Every part runs even if an earlier one failed.  The last line is
# "N passed, N failed", where a test is a cmocka test, a pg_regress test, an
# isolation spec or one "ok" of a TAP file; what did not come to a result (no
# build, a program that died, a file that stopped in the middle) counts as one
# failure.  A skipped test is neither; above the last line stands what was
# skipped and why, as "skipped: N of FILE: REASON" or "skipped: all of FILE:
# REASON".  The exit status is 0 if something passed and nothing failed.
set -u

parts=() tap_files=() regress=() specs=()
for arg in "$@"; do
	case $arg in
	house | unit | regress | isolation | tap) parts+=("$arg") ;;
	*.pl) tap_files+=("$arg") ;;
	*.sql) regress+=("$(basename "$arg" .sql)") ;;
	*.spec) specs+=("$(basename "$arg" .spec)") ;;
	*)
		echo "run: unknown part \"$arg\"" >&2
		exit 2
		;;
	esac
done
everything=no
[ $# -eq 0 ] && everything=yes

# wants PART NUMBER-OF-ITS-FILES-CHOSEN
wants() {
	[ $everything = yes ] || [ "$2" -gt 0 ] || [[ " ${parts[*]-} " == *" $1 "* ]]
}

passed=0
failed=0
summary=()
skips=
logs=$CKPX_OUT

# Take over the counts of a part.
count() {						# count PART PASSED FAILED [SKIPPED]
	passed=$((passed + $2))
	failed=$((failed + $3))
	summary+=("$(printf '%-10s %5d passed, %5d failed, %5d skipped' "$1" "$2" "$3" "${4:-0}")")
}

# Write what a command says to the terminal and to a log; keep its status.
logged() {						# logged LOG COMMAND...
	local log=$1
	shift
	"$@" 2>&1 | tee "$log"
	return "${PIPESTATUS[0]}"
}

jobs=$(nproc 2>/dev/null || echo 2)

# ---- house: what breaks a rule, one a line

run_house() {
	echo "== house"
	logged "$logs/house.log" tools/check_house
	local status=$?
	bad=$(wc -l <"$logs/house.log")
	[ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	count house $((status == 0)) "$bad"
}

# ---- unit: "# program", then cmocka's own lines

run_unit() {
	echo "== unit"
	logged "$logs/unit.log" make --no-print-directory -s -C test/unit -k "-j$jobs" \
		PG_CONFIG="$CKPX_BUILD_PG_CONFIG" check
	local status=$?
	read -r ok bad <<<"$(awk '
		function close_program() {
			# A program that never came to its summary was killed.
			if (program != "" && !summed) bad++
		}
		/^# test_/ { close_program(); program = $2; summed = 0 }
		/^\[  PASSED  \] [0-9]+ test/ { ok += $4; summed = 1 }
		/^\[  FAILED  \] [0-9]+ test/ { bad += $4 }
		END { close_program(); print ok + 0, bad + 0 }' "$logs/unit.log")"
	[ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	count unit "$ok" "$bad"
}

# ---- pg_regress and isolation: "test x ... ok" (15), "ok 1 - x" (16 and later)

run_regress() {					# run_regress PART LOG EXPECTED-NUMBER MAKE-ARGUMENT...
	local part=$1 log=$2 number=$3
	shift 3
	echo "== $part"
	logged "$log" make --no-print-directory -s installcheck TAP_TESTS= "$@"
	local status=$?
	read -r ok bad <<<"$(awk '
		/^(test|     |ok|not ok|# parallel)/ {
			if (/^(test|    ) .*\.\.\. ok( |$)/ || /^ok [0-9]+ /) ok++
			else if (/^(test|    ) .*\.\.\. FAILED/ || /^not ok [0-9]+ /) bad++
		}
		END { print ok + 0, bad + 0 }' "$log")"
	# A server that did not start, or a run that broke off.
	[ $((ok + bad)) -lt "$number" ] && bad=$((number - ok))
	[ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	[ $status -ne 0 ] && keep_server_log "$part"
	count "$part" "$ok" "$bad"
}

keep_server_log() {
	local file
	for file in regression.diffs regression.out tmp_check/log tmp_check_iso/log log; do
		[ -e "$file" ] && cp -r "$file" "$logs/$1-$(echo "$file" | tr / -)"
	done
	if [ -s regression.diffs ]; then
		head -n 200 regression.diffs
	elif [ -s log/postmaster.log ]; then
		tail -n 30 log/postmaster.log
	fi
}

# ---- TAP: the tests wait most of the time, so one file more than there are cores

# The longest come first, so that at the end no core is left with one of them.
longest=(080 029 083 022 045 025 031 082 033 070)

run_tap() {
	echo "== tap"
	local files=("${tap_files[@]}") number file
	if [ ${#files[@]} -eq 0 ]; then
		for number in "${longest[@]}"; do
			files+=("test/t/${number}_"*.pl)
		done
		for file in test/t/*.pl; do
			[[ " ${files[*]} " == *" $file "* ]] || files+=("$file")
		done
	fi
	logged "$logs/tap.log" make --no-print-directory -s installcheck REGRESS= ISOLATION= \
		PROVE_TESTS="${files[*]}" PROVE_FLAGS="--timer --jobs=$((jobs + 1))"
	local status=$?
	# Each file's own log has all its results, each with the time before it; of
	# a file that died or broke off without a failed test only prove tells.
	read -r ok bad <<<"$(cat tmp_check/log/regress_log_* "$logs/tap.log" 2>/dev/null | awk '
		/^\[[0-9:.]+\]\([0-9.]+s\) ok [0-9]+/ && !/ # skip / { ok++ }
		/^\[[0-9:.]+\]\([0-9.]+s\) not ok [0-9]+/ && !/# TODO/ { bad++ }
		/^test\/.*\(Wstat: .* Failed: 0\)/ { bad++ }
		END { print ok + 0, bad + 0 }')"
	[ "$status" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	[ "$status" -ne 0 ] && [ -d tmp_check/log ] && cp -r tmp_check/log "$logs/tap-log"
	skips=$(skipped_tap)
	count tap "$ok" "$bad" "$(awk '{ n += $2 == "all" ? 1 : $2 } END { print n + 0 }' <<<"$skips")"
}

# A skipped test is "ok N # skip REASON", a skipped file "1..0 # SKIP REASON".
skipped_tap() {
	awk '
		/^\[[0-9:.]+\]\([0-9.]+s\) (1\.\.0|ok [0-9]+.*) # (skip|SKIP) / {
			all = / 1\.\.0 /
			file = FILENAME
			sub(/.*\/regress_log_/, "", file)
			sub(/.* # (skip|SKIP) /, "")
			n[file ": " $0] = all ? "all" : n[file ": " $0] + 1
		}
		END { for (what in n) print "skipped: " n[what] " of " what }' \
		tmp_check/log/regress_log_* 2>/dev/null | sort -k 4
}

# ---- all of it

wants unit 0 && run_unit

server_parts=$((${#tap_files[@]} + ${#regress[@]} + ${#specs[@]}))
if wants house 0 || wants regress "$server_parts" || wants isolation 0 || wants tap 0; then
	echo "== build"
	if logged "$logs/build.log" test/build.sh; then
		wants house 0 && run_house
		n=$(ls test/sql/*.sql 2>/dev/null | wc -l)
		[ ${#regress[@]} -gt 0 ] && n=${#regress[@]}
		if wants regress ${#regress[@]} && [ "$n" -gt 0 ]; then
			run_regress regress "$logs/regress.log" "$n" ISOLATION= ${regress[*]:+REGRESS="${regress[*]}"}
		fi
		n=$(ls test/specs/*.spec 2>/dev/null | wc -l)
		[ ${#specs[@]} -gt 0 ] && n=${#specs[@]}
		if wants isolation ${#specs[@]} && [ "$n" -gt 0 ]; then
			run_regress isolation "$logs/isolation.log" "$n" REGRESS= ${specs[*]:+ISOLATION="${specs[*]}"}
		fi
		wants tap ${#tap_files[@]} && run_tap
	else
		count build 0 1
	fi
fi

echo
printf '%s\n' "${summary[@]-}"
# Logs are worth keeping only where something went wrong.
if [ $failed -eq 0 ]; then
	find "$logs" -mindepth 1 -delete
else
	echo "logs: build/test"
fi
[ -n "$skips" ] && echo "$skips"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
