/* sql/ckpx--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION ckpx" to load this file. \quit

-- Nobody but superusers may do anything at first.  What reads goes to
-- pg_monitor, what acts to pg_checkpoint.  What shows the state of ckpx goes to
-- both: a role that acts must see what its call waits for.  A view's functions
-- are called with the rights of the reading user, so both are granted.

--
-- Ranges: which finished checkpoints answer them
--

CREATE FUNCTION ckpx_collect_range(
    start_lsn pg_lsn DEFAULT NULL,
    end_lsn pg_lsn DEFAULT NULL,
    OUT locations text,
    OUT checkpointed pg_lsn,
    OUT complete boolean,
    OUT missing_from pg_lsn)
RETURNS record
AS 'MODULE_PATHNAME', 'ckpx_collect_range'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_collect_range(pg_lsn, pg_lsn) IS
'objects of finished checkpoints that answer [start_lsn, end_lsn), as location;version;...;[from_to]';
REVOKE ALL ON FUNCTION ckpx_collect_range(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_collect_range(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_low_water_mark()
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_low_water_mark'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_low_water_mark() IS
'lowest LSN that finished checkpoints of the present epoch answer from';
REVOKE ALL ON FUNCTION ckpx_low_water_mark() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_low_water_mark() TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_pending_count()
RETURNS integer
AS 'MODULE_PATHNAME', 'ckpx_pending_count'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_pending_count() IS
'number of finished incremental checkpoints that are in no global one yet';
REVOKE ALL ON FUNCTION ckpx_pending_count() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_pending_count() TO pg_monitor, pg_checkpoint;

--
-- The map
--

CREATE FUNCTION ckpx_changed_blocks(
    start_lsn pg_lsn,
    end_lsn pg_lsn DEFAULT NULL,
    rel regclass DEFAULT NULL)
RETURNS TABLE (
    tablespace oid,
    database oid,
    relfilenode oid,
    fork text,
    limit_block bigint,
    nblocks bigint,
    blocks int8multirange,
    covered_to pg_lsn)
AS 'MODULE_PATHNAME', 'ckpx_changed_blocks'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_changed_blocks(pg_lsn, pg_lsn, regclass) IS
'blocks that changed in [start_lsn, end_lsn), perhaps more, never fewer: those listed and all from limit_block on; relfilenode 0 means every relation of that database and tablespace; covered_to is the next start_lsn';
REVOKE ALL ON FUNCTION ckpx_changed_blocks(pg_lsn, pg_lsn, regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_changed_blocks(pg_lsn, pg_lsn, regclass) TO pg_monitor;

CREATE FUNCTION ckpx_changed_files(
    start_lsn pg_lsn,
    end_lsn pg_lsn DEFAULT NULL)
RETURNS TABLE (
    path text,
    whole boolean,
    blocks int8multirange,
    link_target text,
    covered_to pg_lsn)
AS 'MODULE_PATHNAME', 'ckpx_changed_files'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_changed_files(pg_lsn, pg_lsn) IS
'files that changed in [start_lsn, end_lsn), relative to the data directory, with their changed blocks or whole, and what must always be copied whole; a row with a link_target is a tablespace, a symbolic link to be made in a copy and never copied, where it is empty a directory, and a tablespace of the copy without a row is to be removed; a path that ends in / is a directory with all that is in it, * stands for any part of a name, a file that does not exist is to be removed, each file is to be cut or extended with zeros to its present length, and global/pg_control is to be copied last';
REVOKE ALL ON FUNCTION ckpx_changed_files(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_changed_files(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_dirty_tree(
    start_lsn pg_lsn DEFAULT NULL,
    end_lsn pg_lsn DEFAULT NULL)
RETURNS TABLE (
    tablespace oid,
    database oid,
    relfilenode oid,
    fork text,
    limit_block bigint,
    nblocks bigint,
    blocks int8multirange,
    covered_to pg_lsn,
    records bigint,
    wal_bytes bigint,
    fpi bigint,
    tuples_inserted bigint,
    tuples_deleted bigint,
    dirty_blocks bigint)
AS 'MODULE_PATHNAME', 'ckpx_dirty_tree'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_dirty_tree(pg_lsn, pg_lsn) IS
'changed blocks of the part of WAL that is in no finished checkpoint yet; dirty_blocks are those that are dirty in shared buffers now';
REVOKE ALL ON FUNCTION ckpx_dirty_tree(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_dirty_tree(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_wal_by_relation(
    start_lsn pg_lsn,
    end_lsn pg_lsn DEFAULT NULL)
RETURNS TABLE (
    tablespace oid,
    database oid,
    relfilenode oid,
    relation regclass,
    records bigint,
    wal_bytes bigint,
    fpi bigint,
    tuples_inserted bigint,
    tuples_deleted bigint)
AS 'MODULE_PATHNAME', 'ckpx_wal_by_relation'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) IS
'what each relation added to WAL in [start_lsn, end_lsn), rounded up to whole checkpoints and rounds; relation is NULL for those of other databases and dropped ones';
REVOKE ALL ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_sync_point()
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_sync_point'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_sync_point() IS
'LSN from which changed blocks hold every row version that the present snapshot does not see';
REVOKE ALL ON FUNCTION ckpx_sync_point() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_sync_point() TO pg_monitor;

--
-- Waiting
--

CREATE FUNCTION ckpx_wait(
    lsn pg_lsn,
    timeout interval DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ckpx_wait'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_wait(pg_lsn, interval) IS
'wait until finished checkpoints reach lsn; false when the timeout has passed';
REVOKE ALL ON FUNCTION ckpx_wait(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wait(pg_lsn, interval) TO pg_monitor;

CREATE FUNCTION ckpx_wait_collected(
    lsn pg_lsn,
    timeout interval DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ckpx_wait_collected'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_wait_collected(pg_lsn, interval) IS
'wait until WAL is followed up to lsn; false when the timeout has passed';
REVOKE ALL ON FUNCTION ckpx_wait_collected(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wait_collected(pg_lsn, interval) TO pg_monitor;

CREATE FUNCTION ckpx_is_flushed(
    start_lsn pg_lsn,
    end_lsn pg_lsn)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ckpx_is_flushed'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_is_flushed(pg_lsn, pg_lsn) IS
'is every change in [start_lsn, end_lsn) known to be on disk?';
REVOKE ALL ON FUNCTION ckpx_is_flushed(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_is_flushed(pg_lsn, pg_lsn) TO pg_monitor;

--
-- Objects
--

CREATE FUNCTION ckpx_read_object(
    location text,
    "offset" bigint DEFAULT 0,
    length bigint DEFAULT NULL)
RETURNS bytea
AS 'MODULE_PATHNAME', 'ckpx_read_object'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_read_object(text, bigint, bigint) IS
'bytes of a checkpoint object, or of one of its further parts';
REVOKE ALL ON FUNCTION ckpx_read_object(text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_read_object(text, bigint, bigint) TO pg_read_server_files;

--
-- Views
--

CREATE FUNCTION ckpx_get_checkpoints()
RETURNS TABLE (
    kind text,
    state text,
    start_lsn pg_lsn,
    end_lsn pg_lsn,
    timeline bigint,
    epoch bigint,
    location text,
    version integer,
    size_bytes bigint,
    nrelations bigint,
    nblocks bigint,
    nxacts bigint,
    open_xacts integer,
    truncate_lsn pg_lsn,
    undurable integer,
    created_at timestamptz,
    finished_at timestamptz,
    pending_ms bigint,
    write_ms bigint,
    waiting_for text,
    attempts integer,
    failed_phase text,
    last_error text)
AS 'MODULE_PATHNAME', 'ckpx_get_checkpoints'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_get_checkpoints() IS
'rows of the view ckpx_checkpoints';
REVOKE ALL ON FUNCTION ckpx_get_checkpoints() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_checkpoints() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_checkpoints AS
    SELECT kind, state, start_lsn, end_lsn, timeline, epoch, location, version,
           size_bytes, nrelations, nblocks, nxacts, open_xacts, truncate_lsn,
           undurable, created_at, finished_at, pending_ms, write_ms,
           waiting_for, attempts, failed_phase, last_error
    FROM ckpx_get_checkpoints();
COMMENT ON VIEW ckpx_checkpoints IS
'every checkpoint known: incremental, global and backup; pending, running and finished';
REVOKE ALL ON ckpx_checkpoints FROM PUBLIC;
GRANT SELECT ON ckpx_checkpoints TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_checkpoints_after(
    lsn pg_lsn,
    count integer)
RETURNS SETOF ckpx_checkpoints
AS 'MODULE_PATHNAME', 'ckpx_checkpoints_after'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_checkpoints_after(pg_lsn, integer) IS
'finished incremental checkpoints that start at or after lsn, in order, at most count, up to the first unfinished one';
REVOKE ALL ON FUNCTION ckpx_checkpoints_after(pg_lsn, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_checkpoints_after(pg_lsn, integer) TO pg_monitor;

CREATE FUNCTION ckpx_get_queues()
RETURNS TABLE (
    name text,
    capacity integer,
    depth integer,
    high_water integer,
    enqueued bigint,
    handled bigint,
    rejected bigint,
    largest_batch integer,
    running_since timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_queues'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 6;
COMMENT ON FUNCTION ckpx_get_queues() IS
'rows of the view ckpx_queues';
REVOKE ALL ON FUNCTION ckpx_get_queues() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_queues() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_queues AS
    SELECT name, capacity, depth, high_water, enqueued, handled, rejected,
           largest_batch, running_since
    FROM ckpx_get_queues();
COMMENT ON VIEW ckpx_queues IS
'the queues between the workers';
REVOKE ALL ON ckpx_queues FROM PUBLIC;
GRANT SELECT ON ckpx_queues TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_workers()
RETURNS TABLE (
    name text,
    pid integer,
    state text,
    activity text,
    since timestamptz,
    restarts bigint,
    last_error text,
    last_error_at timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_workers'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION ckpx_get_workers() IS
'rows of the view ckpx_workers';
REVOKE ALL ON FUNCTION ckpx_get_workers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_workers() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_workers AS
    SELECT name, pid, state, activity, since, restarts, last_error,
           last_error_at
    FROM ckpx_get_workers();
COMMENT ON VIEW ckpx_workers IS
'the background workers: what they do and how they failed last';
REVOKE ALL ON ckpx_workers FROM PUBLIC;
GRANT SELECT ON ckpx_workers TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_runner()
RETURNS TABLE (
    enabled boolean,
    problem text,
    epoch bigint,
    timeline bigint,
    flushed_lsn pg_lsn,
    collected_lsn pg_lsn,
    checkpointed_lsn pg_lsn,
    durable_lsn pg_lsn,
    released_lsn pg_lsn,
    retained_bytes bigint,
    lag_bytes bigint,
    logtail_bytes bigint,
    segments integer,
    directory_bytes bigint,
    pressure double precision,
    custom_rmgrs integer[],
    next_tick_in interval)
AS 'MODULE_PATHNAME', 'ckpx_get_runner'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION ckpx_get_runner() IS
'the row of the view ckpx_runner';
REVOKE ALL ON FUNCTION ckpx_get_runner() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_runner() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_runner AS
    SELECT enabled, problem, epoch, timeline, flushed_lsn, collected_lsn,
           checkpointed_lsn, durable_lsn, released_lsn, retained_bytes,
           lag_bytes, logtail_bytes, segments, directory_bytes, pressure,
           custom_rmgrs, next_tick_in
    FROM ckpx_get_runner();
COMMENT ON VIEW ckpx_runner IS
'how far everything has come, and why nothing goes on if it does not; relations of the resource managers in custom_rmgrs may be missing in the map';
REVOKE ALL ON ckpx_runner FROM PUBLIC;
GRANT SELECT ON ckpx_runner TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_gaps()
RETURNS TABLE (
    epoch bigint,
    timeline bigint,
    from_lsn pg_lsn,
    to_lsn pg_lsn,
    reason text,
    detected_at timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_gaps'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION ckpx_get_gaps() IS
'rows of the view ckpx_gaps';
REVOKE ALL ON FUNCTION ckpx_get_gaps() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_gaps() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_gaps AS
    SELECT epoch, timeline, from_lsn, to_lsn, reason, detected_at
    FROM ckpx_get_gaps();
COMMENT ON VIEW ckpx_gaps IS
'ranges of WAL that no map holds, and why; no answer crosses one';
REVOKE ALL ON ckpx_gaps FROM PUBLIC;
GRANT SELECT ON ckpx_gaps TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_pins()
RETURNS TABLE (
    name text,
    lsn pg_lsn,
    created_at timestamptz,
    expires_at timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_pins'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION ckpx_get_pins() IS
'rows of the view ckpx_pins';
REVOKE ALL ON FUNCTION ckpx_get_pins() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_pins() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_pins AS
    SELECT name, lsn, created_at, expires_at
    FROM ckpx_get_pins();
COMMENT ON VIEW ckpx_pins IS
'what garbage collection must not pass, and until when';
REVOKE ALL ON ckpx_pins FROM PUBLIC;
GRANT SELECT ON ckpx_pins TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_stat()
RETURNS TABLE (
    incrementals_done bigint,
    globals_done bigint,
    backups_done bigint,
    segments_spilled bigint,
    incrementals_removed bigint,
    globals_removed bigint,
    backups_removed bigint,
    jobs_failed bigint,
    commands_done bigint,
    commands_failed bigint,
    commands_overridden bigint,
    caps_reached bigint,
    pending_ms_total bigint,
    pending_ms_max bigint,
    pending_ms_histogram bigint[],
    write_ms_total bigint,
    wal_bytes_read bigint,
    records_read bigint,
    flush_passes bigint,
    blocks_written bigint,
    fsyncs bigint,
    flush_ms bigint,
    gaps bigint,
    stats_reset timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_stat'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION ckpx_get_stat() IS
'the row of the view ckpx_stat';
REVOKE ALL ON FUNCTION ckpx_get_stat() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_stat() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_stat AS
    SELECT incrementals_done, globals_done, backups_done, segments_spilled,
           incrementals_removed, globals_removed, backups_removed, jobs_failed,
           commands_done, commands_failed, commands_overridden, caps_reached,
           pending_ms_total, pending_ms_max, pending_ms_histogram,
           write_ms_total, wal_bytes_read, records_read, flush_passes,
           blocks_written, fsyncs, flush_ms, gaps, stats_reset
    FROM ckpx_get_stat();
COMMENT ON VIEW ckpx_stat IS
'counters since stats_reset; pending_ms_* are about incremental checkpoints, pending_ms_histogram counts those that waited less than 10 ms, 100 ms, 1 s, 10 s, 100 s, 1000 s, and longer';
REVOKE ALL ON ckpx_stat FROM PUBLIC;
GRANT SELECT ON ckpx_stat TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_dirty_tables()
RETURNS TABLE (
    database oid,
    tablespace oid,
    relfilenode oid,
    relation regclass,
    dirty_blocks bigint,
    append_bytes bigint,
    delete_bytes bigint,
    deadline timestamptz,
    flushed_lsn pg_lsn,
    ready boolean,
    reason text,
    last_error text)
AS 'MODULE_PATHNAME', 'ckpx_get_dirty_tables'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_get_dirty_tables() IS
'rows of the view ckpx_dirty_tables';
REVOKE ALL ON FUNCTION ckpx_get_dirty_tables() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_dirty_tables() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_dirty_tables AS
    SELECT database, tablespace, relfilenode, relation, dirty_blocks,
           append_bytes, delete_bytes, deadline, flushed_lsn, ready, reason,
           last_error
    FROM ckpx_get_dirty_tables();
COMMENT ON VIEW ckpx_dirty_tables IS
'relations with dirty buffers at the flusher''s last look, and whether and why they are to be flushed; relation is NULL for those of other databases';
REVOKE ALL ON ckpx_dirty_tables FROM PUBLIC;
GRANT SELECT ON ckpx_dirty_tables TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_progress()
RETURNS TABLE (
    pid integer,
    job text,
    phase text,
    done bigint,
    total bigint,
    started_at timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_progress'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 2;
COMMENT ON FUNCTION ckpx_get_progress() IS
'rows of the view ckpx_progress';
REVOKE ALL ON FUNCTION ckpx_get_progress() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_progress() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_progress AS
    SELECT pid, job, phase, done, total, started_at
    FROM ckpx_get_progress();
COMMENT ON VIEW ckpx_progress IS
'what the workers are doing now: job incremental, global, backup, spill, gc or flush; its phase, and how much of what that phase counts (segments, objects, relation forks, blocks, entries, files) is done; a global checkpoint goes on between other jobs';
REVOKE ALL ON ckpx_progress FROM PUBLIC;
GRANT SELECT ON ckpx_progress TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_history()
RETURNS TABLE (
    source text,
    kind text,
    timeline bigint,
    epoch bigint,
    start_lsn pg_lsn,
    end_lsn pg_lsn,
    redo_lsn pg_lsn,
    checkpoint_lsn pg_lsn,
    started_at timestamptz,
    seen_at timestamptz,
    size_bytes bigint)
AS 'MODULE_PATHNAME', 'ckpx_get_history'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_get_history() IS
'rows of the view ckpx_history';
REVOKE ALL ON FUNCTION ckpx_get_history() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_history() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_history AS
    SELECT source, kind, timeline, epoch, start_lsn, end_lsn, redo_lsn,
           checkpoint_lsn, started_at, seen_at, size_bytes
    FROM ckpx_get_history();
COMMENT ON VIEW ckpx_history IS
'the newest 1000 checkpoints seen since the server started, newest first';
COMMENT ON COLUMN ckpx_history.source IS
'ckpx, or postgresql';
COMMENT ON COLUMN ckpx_history.kind IS
'of ckpx: incremental, global, backup; of postgresql: online, shutdown (also at the end of crash recovery), end of recovery (which is no checkpoint), and on a standby its own restartpoint, the others being the primary''s';
COMMENT ON COLUMN ckpx_history.epoch IS
'of ckpx';
COMMENT ON COLUMN ckpx_history.start_lsn IS
'of ckpx: the range begins here';
COMMENT ON COLUMN ckpx_history.end_lsn IS
'of ckpx: and ends before this';
COMMENT ON COLUMN ckpx_history.redo_lsn IS
'of postgresql: where recovery would begin';
COMMENT ON COLUMN ckpx_history.checkpoint_lsn IS
'of postgresql: the checkpoint''s record';
COMMENT ON COLUMN ckpx_history.started_at IS
'of ckpx: when WAL was followed up to end_lsn; of postgresql: the time in the record, which is when the checkpoint began';
COMMENT ON COLUMN ckpx_history.seen_at IS
'of ckpx: when it was finished; of postgresql: when ckpx saw that it was complete';
COMMENT ON COLUMN ckpx_history.size_bytes IS
'of ckpx: size of its files';
REVOKE ALL ON ckpx_history FROM PUBLIC;
GRANT SELECT ON ckpx_history TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_flush_stat()
RETURNS TABLE (
    reason text,
    passes bigint,
    failures bigint,
    blocks_written bigint,
    bytes_written bigint,
    fsyncs bigint,
    flush_ms bigint)
AS 'MODULE_PATHNAME', 'ckpx_get_flush_stat'
LANGUAGE C VOLATILE PARALLEL SAFE ROWS 6;
COMMENT ON FUNCTION ckpx_get_flush_stat() IS
'rows of the view ckpx_flush_stat';
REVOKE ALL ON FUNCTION ckpx_get_flush_stat() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_flush_stat() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_flush_stat AS
    SELECT reason, passes, failures, blocks_written, bytes_written, fsyncs,
           flush_ms
    FROM ckpx_get_flush_stat();
COMMENT ON VIEW ckpx_flush_stat IS
'what flush passes did since stats_reset, by reason';
REVOKE ALL ON ckpx_flush_stat FROM PUBLIC;
GRANT SELECT ON ckpx_flush_stat TO pg_monitor, pg_checkpoint;

--
-- Acting
--

CREATE FUNCTION ckpx_checkpoint(
    end_lsn pg_lsn DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_checkpoint(pg_lsn, interval) IS
'finish an incremental checkpoint that reaches end_lsn, or the present end of WAL; returns the LSN reached';
REVOKE ALL ON FUNCTION ckpx_checkpoint(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_checkpoint(pg_lsn, interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_flush_table(
    rel regclass,
    upto pg_lsn DEFAULT NULL,
    timeout interval DEFAULT NULL,
    OUT flushed boolean,
    OUT blocks_written bigint,
    OUT blocks_remaining bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ckpx_flush_table'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_flush_table(regclass, pg_lsn, interval) IS
'write the changes before upto, or the present end of WAL, of a relation with its indexes and TOAST to disk; flushed is false when the timeout has passed';
REVOKE ALL ON FUNCTION ckpx_flush_table(regclass, pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_flush_table(regclass, pg_lsn, interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_flush(
    upto pg_lsn DEFAULT NULL,
    timeout interval DEFAULT NULL,
    OUT flushed boolean,
    OUT blocks_written bigint,
    OUT blocks_remaining bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ckpx_flush'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_flush(pg_lsn, interval) IS
'write all changes before upto, or the present end of WAL, to disk; flushed is false when the timeout has passed';
REVOKE ALL ON FUNCTION ckpx_flush(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_flush(pg_lsn, interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_global_checkpoint(
    timeout interval DEFAULT NULL)
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_global_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_global_checkpoint(interval) IS
'finish a global checkpoint of all that incremental ones hold, with a new one of these if there is none to take in; returns the LSN reached';
REVOKE ALL ON FUNCTION ckpx_global_checkpoint(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_global_checkpoint(interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_enable()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_enable'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_enable() IS
'make checkpoints again after ckpx_disable()';
REVOKE ALL ON FUNCTION ckpx_enable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_enable() TO pg_checkpoint;

CREATE FUNCTION ckpx_disable()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_disable'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_disable() IS
'make no new checkpoints until ckpx_enable() or a restart; waits for the one being written';
REVOKE ALL ON FUNCTION ckpx_disable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_disable() TO pg_checkpoint;

CREATE FUNCTION ckpx_backup_checkpoint()
RETURNS text
AS 'MODULE_PATHNAME', 'ckpx_backup_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_backup_checkpoint() IS
'make a checkpoint up to the present that a copied data directory continues from; returns location:version:end:tail_location:start';
REVOKE ALL ON FUNCTION ckpx_backup_checkpoint() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_backup_checkpoint() TO pg_checkpoint;

CREATE FUNCTION ckpx_gc(
    upto pg_lsn DEFAULT NULL,
    dry_run boolean DEFAULT false)
RETURNS integer
AS 'MODULE_PATHNAME', 'ckpx_gc'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_gc(pg_lsn, boolean) IS
'remove checkpoints that end at or before upto and that a global one covers, whatever their age, but none that a pin or an unfinished post command holds; returns how many went or, in a dry run, would go';
REVOKE ALL ON FUNCTION ckpx_gc(pg_lsn, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_gc(pg_lsn, boolean) TO pg_checkpoint;

CREATE FUNCTION ckpx_pin(
    name text,
    lsn pg_lsn,
    ttl interval DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_pin'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_pin(text, pg_lsn, interval) IS
'keep every checkpoint that ends after lsn until ckpx_unpin() or until ttl is over';
REVOKE ALL ON FUNCTION ckpx_pin(text, pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_pin(text, pg_lsn, interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_unpin(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_unpin'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_unpin(text) IS
'remove a pin';
REVOKE ALL ON FUNCTION ckpx_unpin(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_unpin(text) TO pg_checkpoint;

CREATE FUNCTION ckpx_cancel_pending()
RETURNS integer
AS 'MODULE_PATHNAME', 'ckpx_cancel_pending'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_cancel_pending() IS
'take away unfinished checkpoints, and end the calls that wait for one; returns how many went';
REVOKE ALL ON FUNCTION ckpx_cancel_pending() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_cancel_pending() TO pg_checkpoint;

CREATE FUNCTION ckpx_stat_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_stat_reset'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_stat_reset() IS
'set the counters of the views ckpx_stat and ckpx_flush_stat to zero';
REVOKE ALL ON FUNCTION ckpx_stat_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_stat_reset() TO pg_checkpoint;

--
-- The end; superusers only
--

CREATE FUNCTION ckpx_uninstall(really boolean DEFAULT false)
RETURNS text
AS 'MODULE_PATHNAME', 'ckpx_uninstall'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_uninstall(boolean) IS
'with really => true: drop the replication slot, remove the files of ckpx and stop its workers for good; otherwise only say so; returns what else is to be done';
REVOKE ALL ON FUNCTION ckpx_uninstall(boolean) FROM PUBLIC;

--
-- Faults, for tests; superusers only
--

CREATE FUNCTION ckpx_fault_add(
    name text,
    action text,
    frequency text DEFAULT NULL,
    argument text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_fault_add'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_fault_add(text, text, text, text) IS
'make something go wrong at a named place: error, sleep, wait, crash or exit; frequency is start:end:skip:probability';
REVOKE ALL ON FUNCTION ckpx_fault_add(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION ckpx_fault_wakeup(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_fault_wakeup'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_fault_wakeup(text) IS
'let those go on who wait in a fault';
REVOKE ALL ON FUNCTION ckpx_fault_wakeup(text) FROM PUBLIC;

CREATE FUNCTION ckpx_fault_remove(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_fault_remove'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_fault_remove(text) IS
'remove a fault; those who wait in it go on';
REVOKE ALL ON FUNCTION ckpx_fault_remove(text) FROM PUBLIC;

CREATE FUNCTION ckpx_fault_list()
RETURNS TABLE (
    name text,
    description text,
    action text,
    frequency text,
    argument text,
    passed bigint,
    fired bigint,
    waiting integer)
AS 'MODULE_PATHNAME', 'ckpx_fault_list'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_fault_list() IS
'every place at which a fault can be set, and the faults that are set';
REVOKE ALL ON FUNCTION ckpx_fault_list() FROM PUBLIC;

--
-- A warning where the library does not run; the function is for this only
--

CREATE FUNCTION ckpx_check_preload()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_check_preload'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
SELECT ckpx_check_preload();
DROP FUNCTION ckpx_check_preload();
