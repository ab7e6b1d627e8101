#!/usr/bin/env bash
# Write the samples of a version's file formats, for test/data/VERSION.
#
#	test/private.sh test/samples.sh VERSION     (with a release, once)
#
# An incremental, a global, the manifest that names them and a recorded backup,
# and what SQL said: of the incremental's range in contents.txt, of the checkpoint
# records in the global's range in marks.txt.  They come to build/test/data/VERSION.
# test/unit/test_samples.c reads every version's.
set -eu -o pipefail

version=${1:?}
. test/throwaway.sh

# Only what is asked for is made.
show "ALTER SYSTEM SET ckpx.min_incremental_interval = '1h'"
show "ALTER SYSTEM SET ckpx.global_min_count = 100"
show "SELECT pg_reload_conf()" >/dev/null

say "every kind of block set: dense, scattered, cut, dropped"
show "CREATE TABLE passing AS SELECT 1 AS a"
show "CREATE TABLE dense AS SELECT g AS a FROM generate_series(1, 20000) g"
show "CREATE TABLE scattered WITH (fillfactor = 10) AS SELECT g AS a FROM generate_series(1, 20000) g"
show "CREATE TABLE shorter AS SELECT g AS a FROM generate_series(1, 20000) g"
from=$(ask "SELECT ckpx_checkpoint()")
show "UPDATE dense SET a = a + 1"
show "UPDATE scattered SET a = a + 1 WHERE a % 500 = 0"
show "DELETE FROM shorter WHERE a > 5000"
show "VACUUM (INDEX_CLEANUP OFF) shorter"
show "DROP TABLE passing"
show "CREATE DATABASE other STRATEGY file_copy"
ask "SELECT ckpx_checkpoint()" >/dev/null

# CREATE DATABASE made checkpoints, and incrementals end where one begins.
of_range="FROM ckpx_checkpoints WHERE kind = 'incremental' AND start_lsn = '$from'"
to=$(ask "SELECT end_lsn $of_range")
incremental=$(ask "SELECT location $of_range")
ask "SELECT ckpx_global_checkpoint()" >/dev/null
ask "SELECT ckpx_record_backup(md5('sample'), NULL, 1, '$from', '$to', 1234)" >/dev/null
global=$(ask "SELECT location FROM ckpx_checkpoints WHERE kind = 'global'")

out=$CKPX_OUT/data/$version
mkdir -p "$out"
ask "SELECT concat_ws(' ', tablespace, database, relfilenode, fork, min(limit_block), range_agg(blocks))
	FROM ckpx_changed_blocks('$from', '$to') GROUP BY tablespace, database, relfilenode, fork
	ORDER BY tablespace, database, relfilenode, CASE fork WHEN 'main' THEN 0 WHEN 'fsm' THEN 1
		WHEN 'vm' THEN 2 WHEN 'init' THEN 3 END" >"$out/contents.txt"
ask "SELECT concat_ws(' ', checkpoint_lsn, m.redo, m.timeline, m.crc)
	FROM ckpx_history, ckpx_checkpoint_mark(checkpoint_lsn) m,
		(SELECT start_lsn, end_lsn FROM ckpx_checkpoints WHERE kind = 'global') g
	WHERE source = 'postgresql' AND checkpoint_lsn >= g.start_lsn AND checkpoint_lsn < g.end_lsn
	ORDER BY checkpoint_lsn" >"$out/marks.txt"
pg_ctl -s -w -D "$data" stop
cp "$data"/ckpx/*/"$incremental" "$out/incremental.ckpx"
cp "$data"/ckpx/*/"$global" "$out/global.ckpx"
cp "$(find "$data/ckpx" -name 'meta_*.json' | sort | tail -n 1)" "$out/manifest.json"
