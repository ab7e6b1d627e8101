--
-- What is refused, and with which SQLSTATE.
--
CREATE EXTENSION ckpx;
CREATE TABLE ckpx_t (a int);
CREATE UNLOGGED TABLE ckpx_unlogged (a int);
CREATE TEMP TABLE ckpx_temp (a int);
CREATE VIEW ckpx_v AS SELECT 1 AS a;
CREATE TABLE ckpx_parted (a int) PARTITION BY RANGE (a);

-- Report an error without what differs from run to run.
CREATE FUNCTION outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(
        sqlstate || ': ' || sqlerrm ||
        CASE WHEN detail <> '' THEN E'\n  ' || detail ELSE '' END ||
        CASE WHEN hint <> '' THEN E'\n  ' || hint ELSE '' END,
        '[0-9A-F]+/[0-9A-F]+', 'X/X', 'g');
END $$;

\pset format unaligned
\pset tuples_only on

-- ranges
SELECT outcome($$SELECT ckpx_changed_blocks(NULL)$$);
SELECT outcome($$SELECT ckpx_changed_files(NULL)$$);
SELECT outcome($$SELECT ckpx_wal_by_relation(NULL)$$);
SELECT outcome($$SELECT ckpx_changed_blocks('0/2', '0/1')$$);
SELECT outcome($$SELECT ckpx_changed_blocks('FFFF/0')$$);
SELECT outcome($$SELECT ckpx_changed_blocks('0/1', 'FFFF/0')$$);
SELECT outcome($$SELECT ckpx_changed_files('0/1', 'FFFF/0')$$);
SELECT outcome($$SELECT ckpx_wal_by_relation('0/1', 'FFFF/0')$$);
SELECT outcome($$SELECT ckpx_dirty_tree('0/2', '0/1')$$);
SELECT outcome($$SELECT ckpx_dirty_tree(NULL, 'FFFF/0')$$);
SELECT outcome($$SELECT ckpx_dirty_tree('0/1')$$);
SELECT outcome($$SELECT ckpx_collect_range('0/2', '0/1')$$);
SELECT outcome($$SELECT ckpx_checkpoints_after('0/0', -1)$$);
-- before tracking began
SELECT outcome($$SELECT ckpx_changed_blocks('0/1')$$);
SELECT outcome($$SELECT ckpx_changed_blocks('0/0')$$);
SELECT outcome($$SELECT ckpx_changed_blocks('0/0', pg_current_wal_lsn())$$);
SELECT outcome($$SELECT ckpx_changed_blocks('0/1', '0/2')$$);
SELECT outcome($$SELECT ckpx_changed_blocks('0/28', '0/2000')$$);
SELECT outcome($$SELECT ckpx_changed_blocks(pg_current_wal_lsn(), '0/0')$$);
SELECT outcome($$SELECT ckpx_dirty_tree('0/0')$$);
SELECT locations = '' AS nothing, checkpointed, complete, missing_from FROM ckpx_collect_range('0/0');
SELECT outcome($$SELECT ckpx_collect_range('0/1', '0/2')$$);

-- what may not lie in the future: the hint is for this function
SELECT outcome($$SELECT ckpx_flush('FFFF/0')$$);
SELECT outcome($$SELECT ckpx_flush_table('ckpx_t', 'FFFF/0')$$);
SELECT outcome($$SELECT ckpx_gc('FFFF/0')$$);
SELECT outcome($$SELECT ckpx_pin('p', 'FFFF/0')$$);
SELECT outcome($$SELECT ckpx_pin('p', '0/1')$$);

-- reports of backups
SELECT outcome(format('SELECT ckpx_record_backup(%s)', arguments)) FROM (VALUES
    ($$NULL, NULL, 1, '0/1', '0/2', 0$$),
    ($$repeat('0', 32), NULL, NULL, '0/1', '0/2', 0$$),
    ($$repeat('0', 32), NULL, 1, '0/1', '0/2', NULL$$),
    ($$'', NULL, 1, '0/1', '0/2', 0$$),
    ($$repeat('0', 33), NULL, 1, '0/1', '0/2', 0$$),
    ($$repeat('A', 32), NULL, 1, '0/1', '0/2', 0$$),
    ($$repeat('0', 32), 'x', 1, '0/1', '0/2', 0$$),
    ($$repeat('0', 32), repeat('0', 32), 1, '0/1', '0/2', 0$$),
    ($$repeat('0', 32), NULL, 0, '0/1', '0/2', 0$$),
    ($$repeat('0', 32), NULL, 1, '0/2', '0/1', 0$$),
    ($$repeat('0', 32), NULL, 1, '0/1', 'FFFF/0', 0$$),
    ($$repeat('0', 32), NULL, 1, '0/1', '0/2', -1$$)) v (arguments);

-- relations
SELECT outcome($$SELECT ckpx_changed_blocks(pg_current_wal_lsn(), NULL, 'ckpx_v')$$);
SELECT outcome($$SELECT ckpx_changed_blocks(pg_current_wal_lsn(), NULL, 'ckpx_parted')$$);
SELECT outcome($$SELECT ckpx_changed_blocks(pg_current_wal_lsn(), NULL, 'ckpx_unlogged')$$);
SELECT outcome($$SELECT ckpx_changed_blocks(pg_current_wal_lsn(), NULL, 'ckpx_temp')$$);
SELECT outcome($$SELECT ckpx_changed_blocks(pg_current_wal_lsn(), NULL, 4294967295)$$);

-- timeouts
SELECT outcome($$SELECT ckpx_wait('0/1', '-1s')$$);
SELECT outcome($$SELECT ckpx_wait('0/1', '1 month')$$);
SELECT outcome($$SELECT ckpx_wait('0/1', '100 days')$$);
SELECT outcome($$SELECT ckpx_wait_collected('0/1', '-1s')$$);
SELECT outcome($$SELECT ckpx_checkpoint(timeout => '-1s')$$);
SELECT outcome($$SELECT ckpx_checkpoint('FFFF/0')$$);

-- objects
SELECT outcome($$SELECT ckpx_read_object('')$$);
SELECT outcome($$SELECT ckpx_read_object('../../PG_VERSION')$$);
SELECT outcome($$SELECT ckpx_read_object('meta_0000000000000001_0000000000000000_0000000000000001.json')$$);
SELECT regexp_replace(outcome($$SELECT ckpx_read_object('inc_00000001_00000001_0000000000000000_0000000000000001.ckpx')$$), '".*/', '".../');
SELECT outcome($$SELECT ckpx_read_object('inc_00000001_00000001_0000000000000000_0000000000000001.ckpx', -1)$$);
SELECT outcome($$SELECT ckpx_read_object('inc_00000001_00000001_0000000000000000_0000000000000001.ckpx', 0, -1)$$);

-- faults
SELECT outcome($$SELECT ckpx_fault_add('no-such-place', 'error')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'explode')$$);
SELECT outcome($$SELECT ckpx_fault_add(NULL, 'error')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'error', 'x')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'error', '0')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'error', '5:4')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'error', '1:1:0')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'error', '1:1:1:2')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'error', '1:1:1:1:1')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'sleep')$$);
SELECT outcome($$SELECT ckpx_fault_add('cut-before', 'wait', NULL, '1')$$);
SELECT outcome($$SELECT ckpx_fault_wakeup('cut-before')$$);
SELECT outcome($$SELECT ckpx_fault_remove('cut-before')$$);
SELECT outcome($$SELECT ckpx_fault_remove('no-such-place')$$);

\pset format aligned
\pset tuples_only off
DROP FUNCTION outcome(text);
DROP TABLE ckpx_t, ckpx_unlogged, ckpx_temp, ckpx_parted;
DROP VIEW ckpx_v;
DROP EXTENSION ckpx;
