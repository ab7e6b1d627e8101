/* sql/ckpx--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION ckpx" to load this file. \quit

-- Only superusers may call what is not granted below.  Functions that read are
-- granted to pg_monitor, functions that act to pg_checkpoint.  Views are granted
-- to both: a role that acts must see what its call waits for.  A view calls its
-- function with the rights of the reading user, so view and function are
-- granted together.
--
-- docs/reference.md has the comments' texts, too; test/t/019_reference.pl
-- compares them.

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
'returns the objects of finished checkpoints that cover a range, and how far they reach';
REVOKE ALL ON FUNCTION ckpx_collect_range(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_collect_range(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_low_water_mark()
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_low_water_mark'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_low_water_mark() IS
'returns the lowest LSN that finished checkpoints of the present epoch answer from';
REVOKE ALL ON FUNCTION ckpx_low_water_mark() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_low_water_mark() TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_pending_count()
RETURNS integer
AS 'MODULE_PATHNAME', 'ckpx_pending_count'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_pending_count() IS
'returns the number of finished incrementals that no finished global holds yet';
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
'returns the blocks that changed in a range, perhaps more, never fewer: those in blocks and all from limit_block on';
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
'returns the files that changed in a range, and those that a copy always needs whole';
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
'returns the changed blocks that are in no finished checkpoint yet, with counters';
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
'returns what each relation added to WAL in a range, all forks together';
REVOKE ALL ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_sync_point()
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_sync_point'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_sync_point() IS
'returns an LSN from which changed blocks hold every row version that the present snapshot does not see';
REVOKE ALL ON FUNCTION ckpx_sync_point() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_sync_point() TO pg_monitor;

CREATE FUNCTION ckpx_checkpoint_mark(
    lsn pg_lsn,
    OUT redo pg_lsn,
    OUT timeline integer,
    OUT crc bigint,
    OUT "time" timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_checkpoint_mark'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_checkpoint_mark(pg_lsn) IS
'returns what was decoded of PostgreSQL''s checkpoint record that starts at an LSN; NULLs where none is known';
REVOKE ALL ON FUNCTION ckpx_checkpoint_mark(pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_checkpoint_mark(pg_lsn) TO pg_monitor;

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
'waits until finished checkpoints reach an LSN; false if the timeout has passed';
REVOKE ALL ON FUNCTION ckpx_wait(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wait(pg_lsn, interval) TO pg_monitor;

CREATE FUNCTION ckpx_wait_collected(
    lsn pg_lsn,
    timeout interval DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ckpx_wait_collected'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_wait_collected(pg_lsn, interval) IS
'waits until WAL is decoded up to an LSN; false if the timeout has passed';
REVOKE ALL ON FUNCTION ckpx_wait_collected(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wait_collected(pg_lsn, interval) TO pg_monitor;

CREATE FUNCTION ckpx_is_flushed(
    start_lsn pg_lsn,
    end_lsn pg_lsn)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ckpx_is_flushed'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_is_flushed(pg_lsn, pg_lsn) IS
'returns whether every change in a range is known to be on disk';
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
'returns bytes of a checkpoint''s file';
REVOKE ALL ON FUNCTION ckpx_read_object(text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_read_object(text, bigint, bigint) TO pg_read_server_files;

--
-- Reading for a backup, for ckpx_basebackup
--

CREATE FUNCTION ckpx_backup_files(
    slot name,
    start_lsn pg_lsn,
    parent_start pg_lsn DEFAULT NULL)
RETURNS TABLE (
    path bytea,
    kind text,
    link bytea,
    size bigint,
    modified timestamptz,
    blocks int8multirange,
    covered_to pg_lsn)
AS 'MODULE_PATHNAME', 'ckpx_backup_files'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_backup_files(name, pg_lsn, pg_lsn) IS
'returns the files of a backup, with the blocks that changed since an earlier one';
REVOKE ALL ON FUNCTION ckpx_backup_files(name, pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_backup_files(name, pg_lsn, pg_lsn) TO pg_read_server_files;

CREATE FUNCTION ckpx_read_list(
    slot name,
    start_lsn pg_lsn,
    paths bytea[],
    blocks int8multirange[],
    verify_checksums boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_read_list'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_read_list(name, pg_lsn, bytea[], int8multirange[], boolean) IS
'sets the files and blocks that ckpx_read_files() reads';
REVOKE ALL ON FUNCTION ckpx_read_list(name, pg_lsn, bytea[], int8multirange[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_read_list(name, pg_lsn, bytea[], int8multirange[], boolean) TO pg_read_server_files;

CREATE FUNCTION ckpx_read_files()
RETURNS SETOF bytea
AS 'MODULE_PATHNAME', 'ckpx_read_files'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_read_files() IS
'returns the files and blocks set by ckpx_read_list(), piece by piece';
REVOKE ALL ON FUNCTION ckpx_read_files() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_read_files() TO pg_read_server_files;

CREATE FUNCTION ckpx_read_wal(
    file text,
    "offset" bigint DEFAULT 0,
    length bigint DEFAULT NULL)
RETURNS bytea
AS 'MODULE_PATHNAME', 'ckpx_read_wal'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_read_wal(text, bigint, bigint) IS
'returns bytes of a WAL segment or timeline history file';
REVOKE ALL ON FUNCTION ckpx_read_wal(text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_read_wal(text, bigint, bigint) TO pg_read_server_files;

CREATE FUNCTION ckpx_read_control()
RETURNS bytea
AS 'MODULE_PATHNAME', 'ckpx_read_control'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_read_control() IS
'returns the control file, as no write has left it half done';
REVOKE ALL ON FUNCTION ckpx_read_control() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_read_control() TO pg_read_server_files;

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
'every checkpoint known, in every state';
COMMENT ON COLUMN ckpx_checkpoints.kind IS
'incremental, global or backup';
COMMENT ON COLUMN ckpx_checkpoints.state IS
'pending, running or finished';
COMMENT ON COLUMN ckpx_checkpoints.start_lsn IS
'the range begins here';
COMMENT ON COLUMN ckpx_checkpoints.end_lsn IS
'the range ends before this';
COMMENT ON COLUMN ckpx_checkpoints.timeline IS
'timeline of the end';
COMMENT ON COLUMN ckpx_checkpoints.epoch IS
'epoch: an unbroken chain of checkpoints';
COMMENT ON COLUMN ckpx_checkpoints.location IS
'file name; NULL until it is finished';
COMMENT ON COLUMN ckpx_checkpoints.version IS
'format version of the file; NULL until it is finished';
COMMENT ON COLUMN ckpx_checkpoints.size_bytes IS
'size of its files; NULL until it is finished';
COMMENT ON COLUMN ckpx_checkpoints.nrelations IS
'relation forks that it names';
COMMENT ON COLUMN ckpx_checkpoints.nblocks IS
'blocks that it lists';
COMMENT ON COLUMN ckpx_checkpoints.nxacts IS
'transactions that ended in the range';
COMMENT ON COLUMN ckpx_checkpoints.open_xacts IS
'transactions that wrote in the range and were open when it was written';
COMMENT ON COLUMN ckpx_checkpoints.truncate_lsn IS
'once it is finished, ckpx itself does not need the WAL before this';
COMMENT ON COLUMN ckpx_checkpoints.undurable IS
'relations that an open transaction was building, whose files may not be durable';
COMMENT ON COLUMN ckpx_checkpoints.created_at IS
'when WAL was decoded up to the end; of a global, when it was begun';
COMMENT ON COLUMN ckpx_checkpoints.finished_at IS
'when it was finished';
COMMENT ON COLUMN ckpx_checkpoints.pending_ms IS
'milliseconds from created_at to the start of writing; NULL until it is finished';
COMMENT ON COLUMN ckpx_checkpoints.write_ms IS
'milliseconds that writing took; NULL until it is finished';
COMMENT ON COLUMN ckpx_checkpoints.waiting_for IS
'what a pending one waits for';
COMMENT ON COLUMN ckpx_checkpoints.attempts IS
'failed attempts so far';
COMMENT ON COLUMN ckpx_checkpoints.failed_phase IS
'where the last attempt failed: collect, write or publish; of a finished one command if its post command failed';
COMMENT ON COLUMN ckpx_checkpoints.last_error IS
'error of the last attempt';
REVOKE ALL ON ckpx_checkpoints FROM PUBLIC;
GRANT SELECT ON ckpx_checkpoints TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_checkpoints_after(
    lsn pg_lsn,
    count integer)
RETURNS SETOF ckpx_checkpoints
AS 'MODULE_PATHNAME', 'ckpx_checkpoints_after'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_checkpoints_after(pg_lsn, integer) IS
'returns finished incrementals that start at or after an LSN, in order, at most count, up to the first unfinished one';
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
'the queues between the workers; counters are since the server started';
COMMENT ON COLUMN ckpx_queues.name IS
'dirty (relations to flush), wait (WAL to release), incremental, global, post (events to announce) or gc';
COMMENT ON COLUMN ckpx_queues.capacity IS
'requests that can wait';
COMMENT ON COLUMN ckpx_queues.depth IS
'requests that wait now';
COMMENT ON COLUMN ckpx_queues.high_water IS
'most requests that ever waited';
COMMENT ON COLUMN ckpx_queues.enqueued IS
'requests accepted';
COMMENT ON COLUMN ckpx_queues.handled IS
'requests done';
COMMENT ON COLUMN ckpx_queues.rejected IS
'requests refused because the queue was full';
COMMENT ON COLUMN ckpx_queues.largest_batch IS
'most requests taken at once';
COMMENT ON COLUMN ckpx_queues.running_since IS
'when the present batch was taken; NULL if none is at work';
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
COMMENT ON COLUMN ckpx_workers.name IS
'runner, flusher, checkpointer or observer';
COMMENT ON COLUMN ckpx_workers.pid IS
'process ID; NULL if it does not run';
COMMENT ON COLUMN ckpx_workers.state IS
'stopped, starting, idle, busy, backing off after a failure, or blocked: see problem in ckpx_runner';
COMMENT ON COLUMN ckpx_workers.activity IS
'what it does or waits for';
COMMENT ON COLUMN ckpx_workers.since IS
'when the state began';
COMMENT ON COLUMN ckpx_workers.restarts IS
'times that it was started again since the server started';
COMMENT ON COLUMN ckpx_workers.last_error IS
'its last error';
COMMENT ON COLUMN ckpx_workers.last_error_at IS
'when that happened';
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
'one row: how far everything has come, and why nothing goes on if it does not';
COMMENT ON COLUMN ckpx_runner.enabled IS
'whether checkpoints of ckpx are made';
COMMENT ON COLUMN ckpx_runner.problem IS
'why something does not go on; NULL if all is well';
COMMENT ON COLUMN ckpx_runner.epoch IS
'present epoch; NULL before the first';
COMMENT ON COLUMN ckpx_runner.timeline IS
'timeline that is followed';
COMMENT ON COLUMN ckpx_runner.flushed_lsn IS
'end of WAL that is flushed; on a standby, replayed';
COMMENT ON COLUMN ckpx_runner.collected_lsn IS
'WAL is decoded up to here';
COMMENT ON COLUMN ckpx_runner.checkpointed_lsn IS
'finished checkpoints reach this';
COMMENT ON COLUMN ckpx_runner.durable_lsn IS
'changes of the epoch before this are on disk, except in files that an open transaction builds';
COMMENT ON COLUMN ckpx_runner.released_lsn IS
'ckpx holds WAL from here on: restart_lsn of its slot';
COMMENT ON COLUMN ckpx_runner.retained_bytes IS
'WAL from released_lsn to flushed_lsn';
COMMENT ON COLUMN ckpx_runner.lag_bytes IS
'WAL from collected_lsn to flushed_lsn';
COMMENT ON COLUMN ckpx_runner.logtail_bytes IS
'shared memory in use for changes that are in no checkpoint; see ckpx.logtail_memory';
COMMENT ON COLUMN ckpx_runner.segments IS
'pieces of the map that are in no checkpoint';
COMMENT ON COLUMN ckpx_runner.directory_bytes IS
'size of the files of ckpx';
COMMENT ON COLUMN ckpx_runner.pressure IS
'dirty buffers as a part of ckpx.flush_memory_cap, from 0 to 1; NULL unless ckpx.flush is on';
COMMENT ON COLUMN ckpx_runner.custom_rmgrs IS
'resource managers without a decoder seen in this epoch; their relations may be missing in the map';
COMMENT ON COLUMN ckpx_runner.next_tick_in IS
'time until the runner looks for work again';
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
COMMENT ON COLUMN ckpx_gaps.epoch IS
'epoch that begins at to_lsn; of a lost checkpoint, the epoch that it belonged to';
COMMENT ON COLUMN ckpx_gaps.timeline IS
'timeline of to_lsn';
COMMENT ON COLUMN ckpx_gaps.from_lsn IS
'the gap begins here: the older map is known to belong to this history up to here; NULL if no older map is';
COMMENT ON COLUMN ckpx_gaps.to_lsn IS
'the map goes on here';
COMMENT ON COLUMN ckpx_gaps.reason IS
'why changes are missing';
COMMENT ON COLUMN ckpx_gaps.detected_at IS
'when the gap was found';
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
'what garbage collection must keep, and until when';
COMMENT ON COLUMN ckpx_pins.name IS
'name of the pin';
COMMENT ON COLUMN ckpx_pins.lsn IS
'every checkpoint that ends after this stays';
COMMENT ON COLUMN ckpx_pins.created_at IS
'when the pin was made';
COMMENT ON COLUMN ckpx_pins.expires_at IS
'when the pin ends; NULL if it does not expire';
REVOKE ALL ON ckpx_pins FROM PUBLIC;
GRANT SELECT ON ckpx_pins TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_get_backups()
RETURNS TABLE (
    id text,
    parent text,
    timeline integer,
    start_lsn pg_lsn,
    stop_lsn pg_lsn,
    bytes bigint,
    finished_at timestamptz)
AS 'MODULE_PATHNAME', 'ckpx_get_backups'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_get_backups() IS
'rows of the view ckpx_backups';
REVOKE ALL ON FUNCTION ckpx_get_backups() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_get_backups() TO pg_monitor, pg_checkpoint;

CREATE VIEW ckpx_backups AS
    SELECT id, parent, timeline, start_lsn, stop_lsn, bytes, finished_at
    FROM ckpx_get_backups();
COMMENT ON VIEW ckpx_backups IS
'backups of this server that were recorded with ckpx_record_backup, the newest 1,000, oldest first';
COMMENT ON COLUMN ckpx_backups.id IS
'the backup''s id';
COMMENT ON COLUMN ckpx_backups.parent IS
'id of the backup that it continues; NULL for a full backup';
COMMENT ON COLUMN ckpx_backups.timeline IS
'timeline on which it began';
COMMENT ON COLUMN ckpx_backups.start_lsn IS
'where the WAL that it needs begins';
COMMENT ON COLUMN ckpx_backups.stop_lsn IS
'where the WAL that it needs ends';
COMMENT ON COLUMN ckpx_backups.bytes IS
'its size as it was reported';
COMMENT ON COLUMN ckpx_backups.finished_at IS
'when it was recorded';
REVOKE ALL ON ckpx_backups FROM PUBLIC;
GRANT SELECT ON ckpx_backups TO pg_monitor, pg_checkpoint;

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
'one row: counters since stats_reset';
COMMENT ON COLUMN ckpx_stat.incrementals_done IS
'incrementals finished';
COMMENT ON COLUMN ckpx_stat.globals_done IS
'globals finished';
COMMENT ON COLUMN ckpx_stat.backups_done IS
'backups finished';
COMMENT ON COLUMN ckpx_stat.segments_spilled IS
'pieces of the map written to disk because memory was full';
COMMENT ON COLUMN ckpx_stat.incrementals_removed IS
'incrementals removed by garbage collection';
COMMENT ON COLUMN ckpx_stat.globals_removed IS
'globals removed by garbage collection';
COMMENT ON COLUMN ckpx_stat.backups_removed IS
'backups removed by garbage collection';
COMMENT ON COLUMN ckpx_stat.jobs_failed IS
'failed attempts of the ckpx checkpointer''s jobs';
COMMENT ON COLUMN ckpx_stat.commands_done IS
'post commands that succeeded';
COMMENT ON COLUMN ckpx_stat.commands_failed IS
'post commands that failed';
COMMENT ON COLUMN ckpx_stat.commands_overridden IS
'checkpoints removed although their post command had not succeeded';
COMMENT ON COLUMN ckpx_stat.caps_reached IS
'times that ckpx.max_entries or ckpx.max_directory_size was reached';
COMMENT ON COLUMN ckpx_stat.pending_ms_total IS
'sum of pending_ms of incrementals';
COMMENT ON COLUMN ckpx_stat.pending_ms_max IS
'largest pending_ms of an incremental';
COMMENT ON COLUMN ckpx_stat.pending_ms_histogram IS
'incrementals that waited less than 10 ms, 100 ms, 1 s, 10 s, 100 s, 1000 s, and longer';
COMMENT ON COLUMN ckpx_stat.write_ms_total IS
'sum of write_ms of incrementals';
COMMENT ON COLUMN ckpx_stat.wal_bytes_read IS
'bytes of WAL decoded';
COMMENT ON COLUMN ckpx_stat.records_read IS
'WAL records decoded';
COMMENT ON COLUMN ckpx_stat.flush_passes IS
'passes of the flusher';
COMMENT ON COLUMN ckpx_stat.blocks_written IS
'blocks that the flusher wrote';
COMMENT ON COLUMN ckpx_stat.fsyncs IS
'syncs that the flusher made';
COMMENT ON COLUMN ckpx_stat.flush_ms IS
'milliseconds that the passes took';
COMMENT ON COLUMN ckpx_stat.gaps IS
'gaps found; see ckpx_gaps';
COMMENT ON COLUMN ckpx_stat.stats_reset IS
'when the counters were zero';
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
'relations with dirty buffers, now or, with ckpx.flush on, when the flusher last looked, and why they are to be flushed';
COMMENT ON COLUMN ckpx_dirty_tables.database IS
'database of the relation; 0 for shared catalogs';
COMMENT ON COLUMN ckpx_dirty_tables.tablespace IS
'tablespace of the relation';
COMMENT ON COLUMN ckpx_dirty_tables.relfilenode IS
'file number of the relation';
COMMENT ON COLUMN ckpx_dirty_tables.relation IS
'the relation; NULL if it belongs to another database';
COMMENT ON COLUMN ckpx_dirty_tables.dirty_blocks IS
'dirty buffers of all forks';
COMMENT ON COLUMN ckpx_dirty_tables.append_bytes IS
'bytes of dirty blocks that got rows, or of which nothing is known; NULL unless ckpx.flush is on';
COMMENT ON COLUMN ckpx_dirty_tables.delete_bytes IS
'bytes of dirty blocks that only lost or changed rows; NULL unless ckpx.flush is on';
COMMENT ON COLUMN ckpx_dirty_tables.deadline IS
'when the relation is to be flushed at the latest; NULL if it is clean, or ckpx.flush is not on';
COMMENT ON COLUMN ckpx_dirty_tables.flushed_lsn IS
'changes of the relation before this are on disk';
COMMENT ON COLUMN ckpx_dirty_tables.ready IS
'whether the relation is due; never unless ckpx.flush is on';
COMMENT ON COLUMN ckpx_dirty_tables.reason IS
'why it is due: deadline, capacity, deletes or pressure';
COMMENT ON COLUMN ckpx_dirty_tables.last_error IS
'error of its last flush';
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
'what the workers, and sessions that make a backup, are doing now';
COMMENT ON COLUMN ckpx_progress.pid IS
'process ID';
COMMENT ON COLUMN ckpx_progress.job IS
'incremental, global, backup, spill, gc, flush with its reason; of sessions list files and read files';
COMMENT ON COLUMN ckpx_progress.phase IS
'part of the job';
COMMENT ON COLUMN ckpx_progress.done IS
'how much of the phase is done: segments, objects, relation forks, blocks, entries or files';
COMMENT ON COLUMN ckpx_progress.total IS
'how much there is to do; 0 if that is not known';
COMMENT ON COLUMN ckpx_progress.started_at IS
'when the job began';
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
'ckpx or postgresql';
COMMENT ON COLUMN ckpx_history.kind IS
'of ckpx: incremental, global or backup; of PostgreSQL: online, shutdown (also at the end of crash recovery), end of recovery, which is no checkpoint, or on a standby restartpoint, its own';
COMMENT ON COLUMN ckpx_history.timeline IS
'timeline of the checkpoint';
COMMENT ON COLUMN ckpx_history.epoch IS
'of ckpx: epoch';
COMMENT ON COLUMN ckpx_history.start_lsn IS
'of ckpx: the range begins here';
COMMENT ON COLUMN ckpx_history.end_lsn IS
'of ckpx: the range ends before this';
COMMENT ON COLUMN ckpx_history.redo_lsn IS
'of PostgreSQL: recovery would begin here';
COMMENT ON COLUMN ckpx_history.checkpoint_lsn IS
'of PostgreSQL: start of the checkpoint''s record';
COMMENT ON COLUMN ckpx_history.started_at IS
'of ckpx: created_at in ckpx_checkpoints; of PostgreSQL: the time in the record, which is when the checkpoint began';
COMMENT ON COLUMN ckpx_history.seen_at IS
'of ckpx: when it was finished; of PostgreSQL: when ckpx saw that it was complete';
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
'what flush passes did since stats_reset of ckpx_stat, by reason';
COMMENT ON COLUMN ckpx_flush_stat.reason IS
'forced (ckpx_flush_table), checkpoint (a checkpoint of ckpx, or ckpx_flush), or a reason of ckpx_dirty_tables';
COMMENT ON COLUMN ckpx_flush_stat.passes IS
'passes made';
COMMENT ON COLUMN ckpx_flush_stat.failures IS
'passes that failed';
COMMENT ON COLUMN ckpx_flush_stat.blocks_written IS
'blocks written';
COMMENT ON COLUMN ckpx_flush_stat.bytes_written IS
'the same in bytes';
COMMENT ON COLUMN ckpx_flush_stat.fsyncs IS
'syncs made';
COMMENT ON COLUMN ckpx_flush_stat.flush_ms IS
'milliseconds that the passes took';
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
'finishes an incremental checkpoint that reaches an LSN, or the present end of WAL; returns the LSN reached';
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
'writes the changes of a relation, its indexes and its TOAST table to disk';
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
'writes all changes before an LSN, or before the present end of WAL, to disk';
REVOKE ALL ON FUNCTION ckpx_flush(pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_flush(pg_lsn, interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_global_checkpoint(
    timeout interval DEFAULT NULL)
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_global_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_global_checkpoint(interval) IS
'finishes a global checkpoint of all that the incrementals hold; returns the LSN reached';
REVOKE ALL ON FUNCTION ckpx_global_checkpoint(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_global_checkpoint(interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_enable()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_enable'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_enable() IS
'lets ckpx make checkpoints again after ckpx_disable';
REVOKE ALL ON FUNCTION ckpx_enable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_enable() TO pg_checkpoint;

CREATE FUNCTION ckpx_disable()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_disable'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_disable() IS
'stops new checkpoints of ckpx until ckpx_enable or a restart of the server';
REVOKE ALL ON FUNCTION ckpx_disable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_disable() TO pg_checkpoint;

CREATE FUNCTION ckpx_backup_checkpoint()
RETURNS text
AS 'MODULE_PATHNAME', 'ckpx_backup_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_backup_checkpoint() IS
'makes a checkpoint up to the present from which a copied data directory continues';
REVOKE ALL ON FUNCTION ckpx_backup_checkpoint() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_backup_checkpoint() TO pg_checkpoint;

CREATE FUNCTION ckpx_gc(
    upto pg_lsn DEFAULT NULL,
    dry_run boolean DEFAULT false)
RETURNS integer
AS 'MODULE_PATHNAME', 'ckpx_gc'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_gc(pg_lsn, boolean) IS
'removes checkpoints that a global covers and that end at or before an LSN, whatever their age; returns their number';
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
'keeps every checkpoint that ends after an LSN until ckpx_unpin, or until ttl is over';
REVOKE ALL ON FUNCTION ckpx_pin(text, pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_pin(text, pg_lsn, interval) TO pg_checkpoint;

CREATE FUNCTION ckpx_unpin(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_unpin'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_unpin(text) IS
'removes a pin';
REVOKE ALL ON FUNCTION ckpx_unpin(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_unpin(text) TO pg_checkpoint;

CREATE FUNCTION ckpx_record_backup(
    id text,
    parent text,
    timeline integer,
    start_lsn pg_lsn,
    stop_lsn pg_lsn,
    bytes bigint)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_record_backup'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_record_backup(text, text, integer, pg_lsn, pg_lsn, bigint) IS
'adds a backup that was made of this server to the view ckpx_backups';
REVOKE ALL ON FUNCTION ckpx_record_backup(text, text, integer, pg_lsn, pg_lsn, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_record_backup(text, text, integer, pg_lsn, pg_lsn, bigint) TO pg_checkpoint;

CREATE FUNCTION ckpx_cancel_pending()
RETURNS integer
AS 'MODULE_PATHNAME', 'ckpx_cancel_pending'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_cancel_pending() IS
'removes unfinished checkpoints and ends the calls that wait for one; returns their number';
REVOKE ALL ON FUNCTION ckpx_cancel_pending() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_cancel_pending() TO pg_checkpoint;

CREATE FUNCTION ckpx_stat_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_stat_reset'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_stat_reset() IS
'sets the counters of the views ckpx_stat and ckpx_flush_stat to zero';
REVOKE ALL ON FUNCTION ckpx_stat_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_stat_reset() TO pg_checkpoint;

--
-- Uninstalling; superusers only
--

CREATE FUNCTION ckpx_uninstall(really boolean DEFAULT false)
RETURNS text
AS 'MODULE_PATHNAME', 'ckpx_uninstall'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_uninstall(boolean) IS
'with really true drops the replication slot, removes the files of ckpx and stops its workers for good; otherwise only says so';
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
'makes something go wrong at a named place, for tests';
REVOKE ALL ON FUNCTION ckpx_fault_add(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION ckpx_fault_wakeup(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_fault_wakeup'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_fault_wakeup(text) IS
'lets the processes go on that wait in a fault';
REVOKE ALL ON FUNCTION ckpx_fault_wakeup(text) FROM PUBLIC;

CREATE FUNCTION ckpx_fault_remove(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'ckpx_fault_remove'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ckpx_fault_remove(text) IS
'removes a fault; processes that wait in it go on';
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
'returns every place at which a fault can be set, and the faults that are set';
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
