#!/usr/bin/env bash
# make demo: a throw-away server that records its changed blocks.
# Called through test/private.sh, which removes everything at the end.
set -eu -o pipefail

seconds=${DEMO_SECONDS:-20}
. test/throwaway.sh

# A range that starts where a checkpoint ends names nothing from before it.
from=$(ask 'SELECT ckpx_checkpoint()')
say "$seconds s of pgbench and some DDL, from $from on"
pgbench -i -q -s 5 2>/dev/null
pgbench -n -c 2 -T "$seconds" >"$TMPDIR/pgbench.log" 2>&1 &
bench=$!
show "CREATE TABLE notes (id serial PRIMARY KEY, t text)"
show "INSERT INTO notes (t) SELECT repeat('x', 200) FROM generate_series(1, 20000)"
show "CREATE INDEX ON notes (t)"
show "DELETE FROM notes WHERE id > 5000"
show "VACUUM notes"
show "CREATE TABLE passing AS SELECT * FROM notes"
show "DROP TABLE passing"
wait $bench || fail "pgbench failed: $(cat "$TMPDIR/pgbench.log")"
grep -E '^(number of transactions actually|tps)' "$TMPDIR/pgbench.log"

say "a checkpoint closes the range"
to=$(ask 'SELECT ckpx_checkpoint()')
echo "[$from, $to)"

say "checkpoints that appeared by themselves meanwhile"
show "SELECT kind, state, start_lsn, end_lsn, nrelations, nblocks, nxacts, size_bytes
	FROM ckpx_checkpoints ORDER BY end_lsn, kind DESC LIMIT 12"

# A global that came between the two answers would give the second one from its
# layers.  It may reach further than the range, so only the range is asked.
ask "SELECT ckpx_global_checkpoint()" >/dev/null
collect="SELECT complete, checkpointed >= '$to' FROM ckpx_collect_range('$from', '$to')"
# Rows in a fixed order and blocks in one multirange each: the same blocks give
# the same text, however the answer was put together.
blocks="SELECT tablespace, database, relfilenode, fork, min(limit_block), range_agg(blocks)
	FROM ckpx_changed_blocks('$from', '$to') WHERE relfilenode IS NOT NULL
	GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"

say "ckpx_collect_range('$from', '$to')"
show "SELECT * FROM ckpx_collect_range('$from', '$to')"
say "ckpx_changed_blocks('$from', '$to'), the most changed relations of this database"
show "SELECT coalesce(c.oid::regclass::text, b.relfilenode::text) AS relation, b.fork,
		b.limit_block, sum(b.nblocks) AS nblocks
	FROM ckpx_changed_blocks('$from', '$to') b
	LEFT JOIN pg_class c ON pg_relation_filenode(c.oid) = b.relfilenode
	WHERE b.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2 LIMIT 10"
ask "$collect" >"$TMPDIR/collect.before"
ask "$blocks" >"$TMPDIR/blocks.before"
[ -s "$TMPDIR/blocks.before" ] || fail "nothing has changed?"

say "kill -9 while it works, and start again"
pgbench -n -c 2 -T 60 >/dev/null 2>&1 &
bench=$!
ask "SELECT ckpx_checkpoint()" >/dev/null
postmaster=$(head -n 1 "$data/postmaster.pid")
children=$(ask "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
kill -KILL "$postmaster"
wait $bench || true
# The children notice by themselves; until then the memory is in use.
for pid in $postmaster $children; do
	timeout 60 tail --pid="$pid" -f /dev/null || fail "process $pid did not end"
done
start
ask "$collect" >"$TMPDIR/collect.after"
ask "$blocks" >"$TMPDIR/blocks.after"
# What ckpx itself said, and not the folder that is called after it.
grep ckpx "$TMPDIR/server.log" | grep -vF "$TMPDIR" | tail -n 5 || true

diff "$TMPDIR/collect.before" "$TMPDIR/collect.after" || fail "ckpx_collect_range answers differently"
diff "$TMPDIR/blocks.before" "$TMPDIR/blocks.after" || fail "ckpx_changed_blocks answers differently"
say "the same answers: $(wc -l <"$TMPDIR/blocks.after") relation forks, byte for byte"

say "a full backup, ten changed rows, and a backup of what changed since"
backups=$TMPDIR/backups
mkdir "$backups"
ask VACUUM				# what autovacuum would do in between
ckpx_basebackup -D "$backups/full" -c fast
ask "UPDATE pgbench_accounts SET abalance = 42 WHERE aid % 50000 = 7" >/dev/null
ckpx_basebackup -D "$backups/increment" -c fast -i auto
size() { du -sk "$1" | cut -f1; }
echo "full: $(size "$backups/full") kB, increment: $(size "$backups/increment") kB"
digest="SELECT md5(string_agg(a::text, ' ' ORDER BY aid)) FROM pgbench_accounts a"
ask "$digest" >"$TMPDIR/digest.before"

say "both combined, and the restored server asked"
ckpx_combinebackup "$backups/increment" -o "$backups/restored"
pg_ctl -s -w -D "$data" -m fast stop || fail "the server did not stop"
data=$backups/restored
start
ask "$digest" >"$TMPDIR/digest.after"
diff "$TMPDIR/digest.before" "$TMPDIR/digest.after" || fail "the restored server answers differently"
echo "the same rows: $(cat "$TMPDIR/digest.after")"

pg_ctl -s -w -D "$data" -m fast stop || fail "the server did not stop"
say "stopped; everything is removed"
