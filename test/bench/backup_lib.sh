# What the parts about backups share; sourced after lib.sh.  Both of a pair take
# turns.

runs=${BENCH_BACKUP_RUNS:-5}
major=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
stock=no						# is there a pg_basebackup -i?
[ "$major" -ge 17 ] && stock=yes
backups=$TMPDIR/backups
mkdir -p "$backups"

# Processor time in ms of all backends that have ended.
server_cpu() {
	sed 's/.*) //' "/proc/$(head -n 1 "$data/postmaster.pid")/stat" |
		awk -v hz="$(getconf CLK_TCK)" '{ printf "%d\n", ($14 + $15) * 1000 / hz }'
}

# Wall and processor time of a command in ms, those of the server's backends
# included: "wall cpu".
timed() {
	local TIMEFORMAT='%R %U %S' before after out
	before=$(server_cpu)
	out=$({ time "$@" >>"$TMPDIR/command.log" 2>&1 || echo failed >&2; } 2>&1) || true
	case $out in *failed*)
		tail -n 5 "$TMPDIR/command.log" >&2
		return 1
		;;
	esac
	after=$(server_cpu)
	echo "$out" | awk -v server=$((after - before)) '{ printf "%d %d\n", $1 * 1000, ($2 + $3) * 1000 + server }'
}

bytes() { du -sb "$1" | cut -f1; }

# pair NAME FUNCTION-A FUNCTION-B: wall and processor time of A by B's.
pair() {						# pair LABEL A B TARGET-OF-WALL [TARGET-OF-CPU]
	local label=$1 a=$2 b=$3 walls=() cpus=() i one other
	for ((i = 0; i <= runs; i++)); do
		one=$(timed "$a")
		other=$(timed "$b")
		[ "$i" -eq 0 ] && continue		# warm
		read -r wa ca <<<"$one"
		read -r wb cb <<<"$other"
		walls+=("$(calc %.3f "$wa / $wb")")
		cpus+=("$(calc %.3f "$ca / ($cb > 0 ? $cb : 1)")")
	done
	row "$label, wall" "$(median_of %.2f "${walls[@]}")" "$(spread_of %.2f "${walls[@]}")" "${4-}"
	row "$label, processor" "$(median_of %.2f "${cpus[@]}")" "$(spread_of %.2f "${cpus[@]}")" "${5-}"
}

# Peak memory of a command in MB, looked at while it runs.
peak_of() {
	local pid now peak=
	"$@" >>"$TMPDIR/command.log" 2>&1 &
	pid=$!
	while now=$(memory_of_pid "$pid" VmHWM 2>/dev/null) && [ -n "$now" ]; do
		peak=$now
		sleep 0.02
	done
	wait "$pid" && echo "$peak"
}

# memory LABEL MOST COMMAND...: the row, against the MB that it may take
memory() {
	local peak
	peak=$(peak_of "${@:3}")
	row "$1, MB" "$peak" "" "<= $2"
}

quietly() { "$@" >>"$TMPDIR/command.log" 2>&1; }
fresh() { rm -rf "$backups/$1" "$backups/$1.partial"; }
checkpoint() { ask CHECKPOINT; }
