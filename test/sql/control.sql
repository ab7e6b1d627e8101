--
-- Checkpoints on demand, waiting, enable and disable, faults, counters.
--
CREATE EXTENSION ckpx;
CREATE TABLE ckpx_t AS SELECT 1 AS a;

SELECT pg_current_wal_insert_lsn() AS here \gset
SELECT ckpx_wait_collected(:'here', '60s');
SELECT ckpx_checkpoint(:'here', '60s') >= :'here' AS reached;
SELECT ckpx_wait(:'here');
-- already covered: at once, whatever the timeout
SELECT ckpx_checkpoint('0/1', '0s') >= :'here' AS reached;
SELECT ckpx_wait('0/1', '0s'), ckpx_wait_collected('0/1', '0s');
-- in the future
SELECT ckpx_wait('FFFF/0', '10ms'), ckpx_wait_collected('FFFF/0', '10ms');
SELECT ckpx_wait(NULL), ckpx_wait_collected(NULL);
-- every call can be cancelled
SET statement_timeout = '100ms';
SELECT ckpx_wait('FFFF/0');
SELECT ckpx_wait_collected('FFFF/0');
RESET statement_timeout;

-- a snapshot's sync point lies before its transaction's end
BEGIN;
INSERT INTO ckpx_t VALUES (2);
SELECT ckpx_sync_point() <= pg_current_wal_insert_lsn() AS before;
COMMIT;

-- off: an error, not a wait
SELECT ckpx_disable();
SELECT enabled FROM ckpx_runner;
INSERT INTO ckpx_t VALUES (3);
SELECT ckpx_checkpoint(timeout => '60s');
-- collecting goes on
SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '60s');
SELECT ckpx_enable();
SELECT enabled FROM ckpx_runner;
SELECT ckpx_checkpoint(timeout => '60s') IS NOT NULL AS reached;

-- counters
SELECT incrementals_done > 0 AS done, wal_bytes_read > 0 AS bytes, records_read > 0 AS records, jobs_failed FROM ckpx_stat;
SELECT ckpx_disable();
SELECT ckpx_stat_reset();
SELECT incrementals_done, stats_reset > now() - interval '1 minute' AS reset FROM ckpx_stat;
SELECT ckpx_enable();
SELECT name, capacity, rejected FROM ckpx_queues;
SELECT name, pid IS NOT NULL AS runs, last_error FROM ckpx_workers;
SELECT problem, epoch, timeline, checkpointed_lsn <= collected_lsn AS in_order, collected_lsn <= flushed_lsn AS behind, custom_rmgrs FROM ckpx_runner;
SELECT epoch, from_lsn, reason FROM ckpx_gaps;

-- faults
SELECT count(*) = count(description) AS described FROM ckpx_fault_list();
SELECT ckpx_fault_add('remove-file', 'error', '2:10:3:0.5', 'enospc');
SELECT ckpx_fault_add('slot-create', 'sleep', argument => '5');
SELECT name, action, frequency, argument, passed, fired, waiting FROM ckpx_fault_list() WHERE action IS NOT NULL;
-- again: replaced
SELECT ckpx_fault_add('remove-file', 'crash');
SELECT name, action, frequency, argument, passed, fired, waiting FROM ckpx_fault_list() WHERE action IS NOT NULL;
SELECT ckpx_fault_wakeup('remove-file');
SELECT ckpx_fault_remove('remove-file');
SELECT ckpx_fault_remove('slot-create');
SELECT count(*) FROM ckpx_fault_list() WHERE action IS NOT NULL;

-- a job that waits: the call's time runs out, and says how far it came
SELECT ckpx_fault_add('job-start', 'wait');
INSERT INTO ckpx_t VALUES (4);
DO $$
BEGIN
    PERFORM ckpx_checkpoint(timeout => '300ms');
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RAISE NOTICE '%', regexp_replace(sqlerrm, '[0-9A-F]+/[0-9A-F]+', 'X/X');
END $$;
SELECT ckpx_fault_remove('job-start');
SELECT ckpx_checkpoint(timeout => '60s') IS NOT NULL AS reached;

-- a call by chance destroys nothing
\pset format unaligned
\pset tuples_only on
SELECT regexp_replace(ckpx_uninstall(), '"[^"]*/[^"]*" \([^)]*\)', '"..." (...)');
\pset format aligned
\pset tuples_only off
SELECT left(ckpx_uninstall(false), 16) AS off, left(ckpx_uninstall(NULL), 16) AS none;
SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'ckpx';
SELECT problem FROM ckpx_runner;
SELECT ckpx_checkpoint() IS NOT NULL AS reached;

DROP TABLE ckpx_t;
DROP EXTENSION ckpx;
