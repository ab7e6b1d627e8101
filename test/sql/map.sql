--
-- The map of small, known changes; before and after a checkpoint.
--
CREATE EXTENSION ckpx;

-- A finished checkpoint is read whole: without one in between, ranges begin
-- and end where the calls below made the runner cut.
SELECT ckpx_checkpoint() IS NOT NULL AS reached;
SELECT ckpx_disable();

CREATE FUNCTION block_of(t tid) RETURNS bigint LANGUAGE sql
    AS $$ SELECT (t::text::point)[0]::bigint $$;

-- 100 rows of a page each
CREATE TABLE ckpx_t (a int, b text) WITH (fillfactor = 100, autovacuum_enabled = off);
ALTER TABLE ckpx_t ALTER b SET STORAGE PLAIN;
INSERT INTO ckpx_t SELECT i, repeat('x', 5000) FROM generate_series(1, 100) i;
SELECT max(block_of(ctid)) FROM ckpx_t;

-- from its creation on everything counts as changed
SELECT pg_current_wal_insert_lsn() AS before_create \gset
CREATE TABLE ckpx_new AS SELECT 1 AS a;
SELECT fork, limit_block, nblocks, blocks
FROM ckpx_changed_blocks(:'before_create', NULL, 'ckpx_new');

SELECT whole, blocks FROM ckpx_changed_files(:'before_create')
WHERE path = pg_relation_filepath('ckpx_new');

-- one row: its page; and the page of the visibility map
SELECT pg_current_wal_insert_lsn() AS s \gset
UPDATE ckpx_t SET a = -a WHERE a = 42;
SELECT pg_current_wal_insert_lsn() AS e \gset
SELECT fork, limit_block, blocks @> 41::bigint AS old_row, blocks @> 100::bigint AS new_row, covered_to = :'e' AS to_end
FROM ckpx_changed_blocks(:'s', :'e', 'ckpx_t');
SELECT count(*) FROM ckpx_changed_blocks(:'s', :'e')
WHERE relfilenode = pg_relation_filenode('ckpx_t');
SELECT whole, blocks @> 41::bigint AS old_row FROM ckpx_changed_files(:'s', :'e')
WHERE path = pg_relation_filepath('ckpx_t');
SELECT records >= 1 AS records, wal_bytes > 0 AS wal_bytes, tuples_inserted >= 1 AS inserted, tuples_deleted >= 1 AS deleted
FROM ckpx_wal_by_relation(:'s', :'e') WHERE relation = 'ckpx_t'::regclass;
-- nothing more is collected in between, so the next range has none of it
SELECT relfilenode, blocks, covered_to = :'e' AS to_end FROM ckpx_changed_blocks(:'e', :'e', 'ckpx_t');

-- a truncation
SELECT pg_current_wal_insert_lsn() AS before_cut \gset
DELETE FROM ckpx_t WHERE abs(a) > 10;
VACUUM ckpx_t;
SELECT pg_relation_size('ckpx_t') / current_setting('block_size')::int AS length;
SELECT fork, limit_block FROM ckpx_changed_blocks(:'before_cut', NULL, 'ckpx_t') WHERE fork = 'main';
-- the file's rest from the limit on
SELECT path = pg_relation_filepath('ckpx_t') AS path, whole, upper(blocks)
FROM ckpx_changed_files(:'before_cut') WHERE path LIKE pg_relation_filepath('ckpx_t') || '%' AND path NOT LIKE '%\_%';

-- blocks that go and come again within one range are listed
SELECT pg_current_wal_insert_lsn() AS s \gset
INSERT INTO ckpx_t SELECT i, repeat('x', 5000) FROM generate_series(1, 3) i RETURNING block_of(ctid);
DELETE FROM ckpx_t WHERE block_of(ctid) >= 10;
VACUUM ckpx_t;
INSERT INTO ckpx_t SELECT i, repeat('x', 5000) FROM generate_series(1, 2) i RETURNING block_of(ctid);
SELECT limit_block, blocks @> 10::bigint AS one, blocks @> 11::bigint AS two, blocks @> 12::bigint AS three
FROM ckpx_changed_blocks(:'s', NULL, 'ckpx_t') WHERE fork = 'main';

-- a drop leaves its trace
SELECT pg_relation_filenode('ckpx_new') AS dropped, pg_relation_filepath('ckpx_new') AS dropped_path, pg_current_wal_insert_lsn() AS before_drop \gset
DROP TABLE ckpx_new;
SELECT fork, limit_block FROM ckpx_changed_blocks(:'before_drop')
WHERE relfilenode = :dropped AND fork = 'main';
SELECT whole FROM ckpx_changed_files(:'before_drop') WHERE path = :'dropped_path';

-- a mapped catalog is found by its present file
SELECT pg_current_wal_insert_lsn() AS s \gset
CREATE TABLE ckpx_more (a int);
SELECT count(*) > 0 AS found FROM ckpx_changed_blocks(:'s', NULL, 'pg_class') WHERE nblocks > 0;

-- a new database: one row for the whole of it, which every relation there has
SELECT pg_current_wal_insert_lsn() AS s \gset
CREATE DATABASE regress_ckpx_copy STRATEGY file_copy;
SELECT fork, limit_block FROM ckpx_changed_blocks(:'s') c JOIN pg_database d ON d.oid = c.database
WHERE d.datname = 'regress_ckpx_copy' AND relfilenode = 0;
SELECT whole FROM ckpx_changed_files(:'s') f, pg_database d
WHERE d.datname = 'regress_ckpx_copy' AND f.path = 'base/' || d.oid || '/';
DROP DATABASE regress_ckpx_copy;

-- the same answers from a finished checkpoint, or more than before
SELECT ckpx_enable();
SELECT fork, limit_block, blocks FROM ckpx_changed_blocks(:'before_create', NULL, 'ckpx_t') WHERE fork = 'main' \gset logtail_
SELECT ckpx_checkpoint() >= :'s' AS reached;
SELECT pg_current_wal_insert_lsn() AS now \gset
SELECT complete OR missing_from >= :'s' AS covers, locations ~ '^(inc|glo)_.*;3;\[.*\]$' AS locations
FROM ckpx_collect_range(:'before_create', :'now');
SELECT blocks + int8multirange(int8range(limit_block, NULL)) @>
       :'logtail_blocks'::int8multirange + int8multirange(int8range(:logtail_limit_block, NULL)) AS same
FROM ckpx_changed_blocks(:'before_create', NULL, 'ckpx_t') WHERE fork = :'logtail_fork';

-- each location can be read, piece by piece
SELECT count(*) > 0 AS some,
       bool_and(length(ckpx_read_object(location)) = size_bytes) AS whole,
       bool_and(ckpx_read_object(location, 0, 10) || ckpx_read_object(location, 10) = ckpx_read_object(location)) AS pieces,
       bool_and(ckpx_read_object(location, size_bytes + 1) = '') AS behind
FROM ckpx_checkpoints WHERE state = 'finished';
-- they adjoin
SELECT count(*) FROM (
    SELECT start_lsn, lag(end_lsn) OVER (ORDER BY start_lsn) AS previous_end
    FROM ckpx_checkpoints_after(ckpx_low_water_mark(), 1000000)) s
WHERE start_lsn <> previous_end;
SELECT count(*) FROM ckpx_checkpoints_after('0/0', 1);
SELECT count(*) FROM ckpx_checkpoints_after(NULL, 1);

-- what is always copied whole
SELECT path, whole, blocks FROM ckpx_changed_files(:'now', :'now')
WHERE path !~ '^base/[0-9]';

-- a tablespace comes before all that lies below it; one in place has no target
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_ckpx_space LOCATION '';
CREATE TABLE ckpx_inside TABLESPACE regress_ckpx_space AS SELECT 1 AS a;
SELECT least(n, 3) AS n, regexp_replace(path, '[0-9]+', 'N', 'g') AS path, whole, blocks, quote_nullable(link_target) AS link_target
FROM ckpx_changed_files(:'now') WITH ORDINALITY AS f(path, whole, blocks, link_target, covered_to, n)
WHERE path ~ '^pg_tblspc/[0-9]+$' OR path ~ '^pg_tblspc/.*fsm' OR path = pg_relation_filepath('ckpx_inside')
ORDER BY f.n;
DROP TABLE ckpx_inside;
DROP TABLESPACE regress_ckpx_space;
SELECT count(*) FROM ckpx_changed_files(:'now') WHERE link_target IS NOT NULL;

DROP TABLE ckpx_t, ckpx_more;
DROP FUNCTION block_of(tid);
DROP EXTENSION ckpx;
