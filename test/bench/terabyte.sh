# The memory of the backup programs with 1 TB: a relation of 1,000 segments that
# are nothing but holes, of which every 500th block has changed.
#
# The blocks are made up: a function that stands before ckpx_backup_files() lists
# them as the map would.  The full is taken while the segments are empty.  As a
# parent, and to be verified, it has the size of the live ones, in its manifest,
# too.  To be combined it is empty again: what the increment does not have becomes
# a hole of the output, and no terabyte is written.  The programs keep a bit for
# such a block in both cases.
#
# The backups are in memory, where a hole is read many times as fast as on disk;
# the mount ends with the namespace, however this script ends.
. test/bench/lib.sh
in_namespace="unshare --map-current-user --mount --keep-caps"
if [ -z "${BENCH_IN_NAMESPACE-}" ]; then
	if $in_namespace mount -t tmpfs none /tmp 2>/dev/null; then
		BENCH_IN_NAMESPACE=yes exec $in_namespace bash "$0"
	fi
	row "skipped: no file system can be mounted here"
	exit 0
fi
. test/bench/backup_lib.sh

segments=${BENCH_TERABYTE_GB:-1000}
allowed=$(calc %.0f "64 + ($segments + 1000) * 300 / 1e6 + 16 * $segments / 1000")

mount -t tmpfs -o size=8g,mode=700 none "$backups"

# resize FOLDER BYTES: all segments
resize() { find "$1/base/1" -name '1000000*' -exec truncate -s "$2" {} +; }

# The same of the full, in its manifest, too.
resize_full() {
	local manifest=$backups/full/backup_manifest
	resize "$backups/full" "$1"
	sed -i "/base\/1\/1000000/s/\"Size\": [0-9]*/\"Size\": $1/; \$d" "$manifest"
	printf '"Manifest-Checksum": "%s"}\n' "$(sha256sum <"$manifest" | cut -d' ' -f1)" >>"$manifest"
}

increment() {					# increment LABEL EVERY [OPTION...]
	fresh inc
	ask "ALTER DATABASE postgres SET bench.every = $2"
	memory "ckpx_basebackup -i, $1" "$allowed" \
		ckpx_basebackup -D "$backups/inc" -i "$backups/full" -c fast -N --no-pin "${@:3}"
}

new_cluster "shared_preload_libraries = 'ckpx'" "autovacuum = off"
start_server
ask "CREATE EXTENSION ckpx"
ask "ALTER FUNCTION ckpx_backup_files RENAME TO listed_files"
ask "CREATE FUNCTION ckpx_backup_files(name, pg_lsn, pg_lsn) RETURNS TABLE
	(path bytea, kind text, link bytea, size bigint, modified timestamptz, blocks int8multirange, covered_to pg_lsn)
	LANGUAGE sql AS \$\$
		SELECT path, kind, link, size, modified, CASE WHEN substr(path, 1, 14) = 'base/1/1000000' THEN
			(SELECT range_agg(int8range(b, b + 1))
				FROM generate_series(0, 131071, current_setting('bench.every')::int) b)
			ELSE blocks END, covered_to
		FROM public.listed_files(\$1, \$2, \$3) \$\$"
ask "ALTER DATABASE postgres SET bench.every = 500"

(cd "$data/base/1" && touch 1000000 && seq -f '1000000.%.0f' 1 $((segments - 1)) | xargs touch)
quietly ckpx_basebackup -D "$backups/full" -c fast -N --no-pin --manifest-checksums NONE
resize "$data" 1073741824
resize_full 1073741824

increment "every tenth block, only planned" 10 -n
increment "every 500th block, plain" 500 -F p
increment "every 500th block, tar" 500 -F t
stop_server
memory "ckpx_combinebackup --verify" "$allowed" ckpx_combinebackup --verify "$backups/inc"
resize_full 0
memory "ckpx_combinebackup -o" "$allowed" \
	ckpx_combinebackup "$backups/inc" -o "$backups/combined" -N --manifest-checksums NONE
fresh combined
memory "ckpx_combinebackup --into" "$allowed" \
	ckpx_combinebackup "$backups/inc" --into "$backups/full" --manifest-checksums NONE
