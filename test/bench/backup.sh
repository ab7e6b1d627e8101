# Backups: full and incremental beside pg_basebackup, combined beside
# pg_combinebackup where the server has it (17 and later), memory, and what an
# increment costs a running load.  Both of a pair take turns.
. test/bench/lib.sh

runs=${BENCH_BACKUP_RUNS:-5}
scale=${BENCH_BACKUP_SCALE:-70}			# 1 GB
major=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
stock=no
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

quietly() { "$@" >>"$TMPDIR/command.log" 2>&1; }
fresh() { rm -rf "$backups/$1" "$backups/$1.partial"; }
checkpoint() { ask CHECKPOINT; }

new_cluster "shared_preload_libraries = 'ckpx'" "shared_buffers = 512MB" "max_wal_size = 16GB" \
	"checkpoint_timeout = 1h" "autovacuum = off" "wal_keep_size = 512MB" \
	"$([ $stock = yes ] && echo 'summarize_wal = on')"
start_server
ask "CREATE EXTENSION ckpx"
say "pgbench -i -s $scale"
pgbench -i -q -s "$scale" 2>/dev/null
ask "VACUUM (FREEZE, ANALYZE)"
checkpoint

# ---- a full

full_ours() { fresh ours; checkpoint; ckpx_basebackup -D "$backups/ours" -c fast -N --no-pin -j "${jobs:-1}"; }
full_stock() { fresh stock; checkpoint; pg_basebackup -D "$backups/stock" -c fast -N -X fetch; }
pair "full, plain, -j 1 / pg_basebackup" full_ours full_stock "<= 1.15"
jobs=2 pair "full, plain, -j 2 / pg_basebackup" full_ours full_stock "0.8"

# ---- an increment of 1 %

change_some() { ask "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 6100 = 0"; checkpoint; }
increment_ours() { fresh inc; ckpx_basebackup -D "$backups/inc" -i "$backups/ours" -c fast -N --no-pin "$@"; }
change_some
pair "increment, 1 % of $((scale * 15)) MB / full pg_basebackup" increment_ours full_stock "<= 0.15"
row "increment, bytes / full's" "$(calc %.4f "$(bytes "$backups/inc") / $(bytes "$backups/stock")")"

if [ $stock = yes ]; then
	# Both from a parent of the same moment: the fulls above came later.
	quietly full_ours && quietly full_stock
	change_some
	increment_stock() { fresh stockinc; pg_basebackup -D "$backups/stockinc" -c fast -N -X fetch -Ft -Z client-zstd:3 -i "$backups/stock/backup_manifest"; }
	pair "increment, tar and zstd / pg_basebackup 17 -i" increment_ours increment_stock "<= 1.1" "<= 1.0"
	row "the same, bytes" "$(calc %.3f "$(bytes "$backups/inc") / $(bytes "$backups/stockinc")")" "" "<= 1.0"

	# ---- many files, one row
	ask "SELECT format('CREATE TABLE many_%s (a int);', g) FROM generate_series(1, 16000) g" >"$TMPDIR/many.sql"
	psql -Xq -f "$TMPDIR/many.sql"
	checkpoint
	quietly full_ours && quietly full_stock
	ask "INSERT INTO many_1 VALUES (1)"
	increment_plain() { fresh stockinc; pg_basebackup -D "$backups/stockinc" -c fast -N -X fetch -i "$backups/stock/backup_manifest"; }
	pair "one row in 16,000 files / pg_basebackup 17 -i, plain" increment_ours increment_plain "<= 0.3"
	row "the same, bytes" "$(calc %.3f "$(bytes "$backups/inc") / $(du -s --block-size=1 "$backups/stockinc" | cut -f1)")" "" "<= 0.06"
	ask "SELECT format('DROP TABLE many_%s;', g) FROM generate_series(1, 16000) g" >"$TMPDIR/many.sql"
	psql -Xq -f "$TMPDIR/many.sql"
	checkpoint

	# ---- combine a full and five increments
	quietly full_ours && quietly full_stock
	chain=("$backups/stock")
	mine=("$backups/ours")
	for i in 1 2 3 4 5; do
		change_some >/dev/null
		pg_basebackup -D "$backups/s$i" -c fast -N -X fetch -i "${chain[-1]}/backup_manifest"
		ckpx_basebackup -D "$backups/m$i" -c fast -N --no-pin -F p -i "${mine[-1]}" >>"$TMPDIR/command.log"
		chain+=("$backups/s$i")
		mine+=("$backups/m$i")
	done
	combine_ours() { fresh out; ckpx_combinebackup "${mine[@]}" -o "$backups/out" -N -j "${jobs:-1}"; }
	combine_stock() { fresh stockout; pg_combinebackup "${chain[@]}" -o "$backups/stockout" -N; }
	pair "full and 5 increments combined / pg_combinebackup 17" combine_ours combine_stock "<= 1.2"
	jobs=2 pair "the same, -j 2" combine_ours combine_stock "0.7"
fi

# ---- the full moves forward: a tenth of the files changed, 2.5 % of the blocks

roll=$TMPDIR/roll
prepare_roll() {
	rm -rf "$roll"
	mkdir "$roll"
	cp -a "$backups/ours" "$roll/full"
	cp -a "$backups/inc" "$roll/inc"
}
quietly full_ours
ask "SELECT format('CREATE TABLE part_%s AS SELECT repeat(''x'', 900) AS a FROM generate_series(1, 40000);', g) FROM generate_series(1, 10) g" >"$TMPDIR/parts.sql"
psql -Xq -f "$TMPDIR/parts.sql"
checkpoint
quietly full_ours
ask "UPDATE part_1 SET a = a || 'y' WHERE ctid < '(1300,1)'"
checkpoint
quietly increment_ours
walls=()
for ((i = 0; i <= runs; i++)); do
	prepare_roll
	read -r one _ <<<"$(timed ckpx_combinebackup "$roll/inc" --into "$roll/full")"
	fresh out
	prepare_roll
	read -r other _ <<<"$(timed ckpx_combinebackup "$roll/inc" -o "$backups/out")"
	[ "$i" -gt 0 ] && walls+=("$(calc %.3f "$one / $other")")
done
row "--into / -o of the same" "$(median_of %.2f "${walls[@]}")" "$(spread_of %.2f "${walls[@]}")" "<= 0.5"

# ---- a load while increments are taken

tps() { pgbench -n -c 2 -T "${BENCH_BACKUP_SECONDS:-20}" 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p'; }
meanwhile() {
	sleep $((${BENCH_BACKUP_SECONDS:-20} / 3))
	quietly "$@"
}
ratios=()
beside_checkpoint=()
for ((i = 0; i < 3; i++)); do
	without=$(tps)
	meanwhile checkpoint &
	checkpointed=$(tps)
	wait $!
	meanwhile increment_ours &
	with=$(tps)
	wait $!
	ratios+=("$(calc %.3f "$with / $without")")
	beside_checkpoint+=("$(calc %.3f "$with / $checkpointed")")
done
row "TPS of ${BENCH_BACKUP_SECONDS:-20} s with an increment in them / without" "$(median_of %.3f "${ratios[@]}")" "$(spread_of %.3f "${ratios[@]}")" ">= 0.97"
row "the same / with a CHECKPOINT alone" "$(median_of %.3f "${beside_checkpoint[@]}")" "$(spread_of %.3f "${beside_checkpoint[@]}")"
stop_server
