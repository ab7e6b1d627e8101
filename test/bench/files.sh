# Backups of many files: one row changed beside pg_basebackup -i (17 and later),
# and the memory of the programs.
. test/bench/lib.sh
. test/bench/backup_lib.sh

tables=${BENCH_TABLES:-16000}	# each a file of a page
files=${BENCH_FILES:-200000}	# empty, in the folder of a database

on_disk() { du -s --block-size=1 "$1" | cut -f1; }

allowed=$((64 + files * 300 / 1000000))

new_cluster "shared_preload_libraries = 'ckpx'" "max_wal_size = 16GB" "checkpoint_timeout = 1h" \
	"autovacuum = off" "wal_keep_size = 512MB" "$([ $stock = yes ] && echo 'summarize_wal = on')"
start_server
ask "CREATE EXTENSION ckpx"

full_ours() { fresh ours; ckpx_basebackup -D "$backups/ours" -c fast -N --no-pin; }
increment_ours() { fresh inc; ckpx_basebackup -D "$backups/inc" -i "$backups/ours" -c fast -N --no-pin "$@"; }

if [ $stock = yes ]; then
	say "$tables tables"
	for ((i = 0; i < tables; i += 500)); do
		ask "DO \$\$ BEGIN FOR i IN $((i + 1)) .. $((i + 500)) LOOP
			EXECUTE format('CREATE TABLE many_%s AS SELECT 1 AS a', i); END LOOP; END \$\$"
	done
	checkpoint
	full_stock() { fresh stock; pg_basebackup -D "$backups/stock" -c fast -N -X fetch; }
	increment_stock() { fresh stockinc; pg_basebackup -D "$backups/stockinc" -c fast -N -X fetch -i "$backups/stock/backup_manifest"; }
	quietly full_ours && quietly full_stock
	ask "INSERT INTO many_1 VALUES (1)"
	pair "one row in $tables files / pg_basebackup -i, plain" increment_ours increment_stock "<= 0.3"
	row "the same, bytes on disk" "$(calc %.3f "$(on_disk "$backups/inc") / $(on_disk "$backups/stockinc")")" "" "<= 0.06"
	fresh stockinc
	fresh stock
fi

say "$files files"
cd "$data/base/1"
seq 1000000 $((1000000 + files - 1)) | xargs touch
cd - >/dev/null
for format in p t; do
	fresh ours
	fresh inc
	memory "ckpx_basebackup with $files files, full, -F $format" $allowed \
		ckpx_basebackup -D "$backups/ours" -c fast -N --no-pin -F $format
	memory "the same, increment" $allowed \
		ckpx_basebackup -D "$backups/inc" -c fast -N --no-pin -F $format -i "$backups/ours"
	memory "ckpx_combinebackup --verify" $allowed ckpx_combinebackup --verify "$backups/inc"
	fresh combined
	memory "ckpx_combinebackup -o of both" $allowed ckpx_combinebackup "$backups/inc" -o "$backups/combined" -N
done
fresh combined
stop_server
