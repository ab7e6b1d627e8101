# Backups: full and incremental beside pg_basebackup, combined beside
# pg_combinebackup where the server has it (17 and later), and what an increment
# costs a running load.
. test/bench/lib.sh
. test/bench/backup_lib.sh

scale=${BENCH_BACKUP_SCALE:-70}			# 1 GB

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
