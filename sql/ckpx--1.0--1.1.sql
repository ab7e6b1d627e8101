/* sql/ckpx--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION ckpx UPDATE TO '1.1'" to load this file. \quit

--
-- Rows where 1.0 has strings
--

CREATE FUNCTION ckpx_collect_objects(
    start_lsn pg_lsn DEFAULT NULL,
    end_lsn pg_lsn DEFAULT NULL)
RETURNS TABLE (
    kind text,
    location text,
    version integer,
    start_lsn pg_lsn,
    end_lsn pg_lsn,
    size_bytes bigint,
    path text,
    parts integer)
AS 'MODULE_PATHNAME', 'ckpx_collect_objects'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION ckpx_collect_objects(pg_lsn, pg_lsn) IS
'returns the objects of finished checkpoints that cover a range, one in a row';
REVOKE ALL ON FUNCTION ckpx_collect_objects(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_collect_objects(pg_lsn, pg_lsn) TO pg_monitor;

CREATE FUNCTION ckpx_backup_checkpoint_row(
    OUT location text,
    OUT version integer,
    OUT end_lsn pg_lsn,
    OUT tail_location text,
    OUT start_lsn pg_lsn)
RETURNS record
LANGUAGE SQL VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT part[1], part[2]::integer, part[3]::pg_lsn, nullif(part[4], ''), part[5]::pg_lsn
    FROM string_to_array(ckpx_backup_checkpoint(), ':') AS part;
END;
COMMENT ON FUNCTION ckpx_backup_checkpoint_row() IS
'makes a checkpoint as ckpx_backup_checkpoint() does, and returns its parts in columns';
REVOKE ALL ON FUNCTION ckpx_backup_checkpoint_row() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_backup_checkpoint_row() TO pg_checkpoint;

--
-- WAL by relation and time
--

-- has got the names at its end
ALTER FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) RENAME TO ckpx_wal_by_relation_old;

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
    tuples_deleted bigint,
    database_name text,
    relation_name text)
AS 'MODULE_PATHNAME', 'ckpx_wal_by_relation'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) IS
'returns what each relation added to WAL in a range, all forks together';
REVOKE ALL ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wal_by_relation(pg_lsn, pg_lsn) TO pg_monitor;

DO $$
DECLARE
    roles text;
BEGIN
    SELECT string_agg(a.grantee::regrole::text, ', ' ORDER BY a.grantee::regrole::text) INTO roles
    FROM pg_proc p, aclexplode(p.proacl) a
    WHERE p.oid = 'ckpx_wal_by_relation_old(pg_lsn, pg_lsn)'::regprocedure
        AND a.grantee NOT IN (p.proowner, 'pg_monitor'::regrole);
    IF roles IS NOT NULL THEN
        RAISE WARNING 'grant EXECUTE on function ckpx_wal_by_relation to % again', roles;
    END IF;
END$$;
DROP FUNCTION ckpx_wal_by_relation_old(pg_lsn, pg_lsn);

CREATE FUNCTION ckpx_wal_history(
    rel regclass DEFAULT NULL,
    bucket interval DEFAULT '1 hour')
RETURNS TABLE (
    bucket_start timestamptz,
    tablespace oid,
    database oid,
    relfilenode oid,
    database_name text,
    relation_name text,
    records bigint,
    wal_bytes bigint,
    fpi bigint,
    tuples_inserted bigint,
    tuples_deleted bigint,
    complete boolean)
AS 'MODULE_PATHNAME', 'ckpx_wal_history'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_wal_history(regclass, interval) IS
'returns what each relation, or one, added to WAL in each bucket of the last day';
REVOKE ALL ON FUNCTION ckpx_wal_history(regclass, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_wal_history(regclass, interval) TO pg_monitor;

--
-- Rows that live in changed blocks
--

CREATE FUNCTION ckpx_changed_rows(
    rel anyelement,
    since pg_lsn)
RETURNS TABLE (
    ctid tid,
    "row" anyelement)
AS 'MODULE_PATHNAME', 'ckpx_changed_rows'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_changed_rows(anyelement, pg_lsn) IS
'returns the visible rows of a table that live in blocks changed since an LSN';
REVOKE ALL ON FUNCTION ckpx_changed_rows(anyelement, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_changed_rows(anyelement, pg_lsn) TO pg_monitor;

--
-- Pictures of the history
--

CREATE FUNCTION ckpx_timeline(width integer DEFAULT 100)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'ckpx_timeline'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_timeline(integer) IS
'returns a picture of the history over LSN, one line in a row';
REVOKE ALL ON FUNCTION ckpx_timeline(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_timeline(integer) TO pg_monitor, pg_checkpoint;

CREATE FUNCTION ckpx_timeline_svg()
RETURNS text
AS 'MODULE_PATHNAME', 'ckpx_timeline_svg'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ckpx_timeline_svg() IS
'returns a picture of the history over LSN as an SVG document';
REVOKE ALL ON FUNCTION ckpx_timeline_svg() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ckpx_timeline_svg() TO pg_monitor, pg_checkpoint;

--
-- One look at everything
--

CREATE VIEW ckpx_status AS
    WITH setting AS (
        SELECT pg_size_bytes(current_setting('ckpx.max_retained_wal')) AS max_retained,
               pg_size_bytes(current_setting('max_slot_wal_keep_size')) AS slot_keep,
               pg_size_bytes(current_setting('wal_segment_size')) AS segment,
               pg_size_bytes(current_setting('ckpx.max_directory_size')) AS max_directory,
               current_setting('ckpx.max_entries')::integer AS max_entries,
               current_setting('ckpx.gc_keep_time')::interval AS gc_keep_time,
               -- twice what an incremental may have to wait for
               greatest(2 * current_setting('ckpx.max_incremental_interval')::interval,
                        2 * current_setting('checkpoint_timeout')::interval, interval '10 minutes') AS patience,
               current_setting('max_worker_processes')::integer AS max_workers,
               current_setting('max_parallel_workers_per_gather')::integer AS per_gather
    ), cap AS (
        -- as ckpx applies it: two segments below max_slot_wal_keep_size
        SELECT CASE WHEN slot_keep < 0 THEN max_retained
                    ELSE least(max_retained, CASE WHEN slot_keep > 4 * segment THEN slot_keep - 2 * segment
                                                  ELSE slot_keep / 2 END) END AS wal_cap
        FROM setting
    ), runner AS (
        SELECT * FROM ckpx_runner
    ), entry AS (
        -- while ckpx starts, that view would wait
        SELECT * FROM ckpx_checkpoints WHERE (SELECT directory_bytes IS NOT NULL FROM runner)
    ), unfinished AS (
        -- one that fails before one that waits
        SELECT kind, start_lsn, created_at, waiting_for, attempts, failed_phase, last_error
        FROM entry WHERE state <> 'finished'
        ORDER BY attempts DESC, created_at LIMIT 1
    ), holder AS (
        -- holds more than ckpx does
        SELECT slot_name, restart_lsn FROM pg_replication_slots, runner
        WHERE restart_lsn < released_lsn ORDER BY restart_lsn LIMIT 1
    ), known_gap AS (
        -- what a damaged checkpoint had may be in a global as well
        SELECT * FROM ckpx_gaps g
        WHERE NOT EXISTS (SELECT FROM entry e
                          WHERE e.kind = 'global' AND e.state = 'finished' AND e.epoch = g.epoch
                                AND e.start_lsn <= g.from_lsn AND g.from_lsn < g.to_lsn AND g.to_lsn <= e.end_lsn)
    ), gap AS (
        -- nothing was lost where tracking began, or where a copy became a server
        SELECT * FROM known_gap
        WHERE NOT (from_lsn IS NULL AND epoch = 1) AND reason <> 'data directory is a copy'
              AND epoch >= (SELECT coalesce(max(epoch), 0) FROM known_gap WHERE reason = 'data directory is a copy')
        ORDER BY detected_at DESC LIMIT 1
    ), pinned AS (
        -- what a global covers and garbage collection would take but for a pin
        SELECT p.name, p.lsn, p.created_at, p.expires_at,
               (SELECT coalesce(sum(e.size_bytes), 0)
                FROM entry e, setting
                WHERE e.state = 'finished' AND e.end_lsn > p.lsn AND e.kind <> 'backup'
                  AND e.finished_at < now() - gc_keep_time
                  AND e.end_lsn < (SELECT max(g.end_lsn) FROM entry g WHERE g.kind = 'global' AND g.state = 'finished')) AS held
        FROM ckpx_pins p
    ), heaviest AS (
        SELECT * FROM pinned ORDER BY held DESC, created_at LIMIT 1
    ), command AS (
        SELECT count(*) AS failed, min(finished_at) AS since, max(last_error) AS last_error
        FROM entry WHERE state = 'finished' AND failed_phase = 'command'
    ), newest_backup AS (
        SELECT * FROM ckpx_backups ORDER BY finished_at DESC LIMIT 1
    ), low AS (
        -- ckpx_low_water_mark() would wait for a start, and fail after ckpx_uninstall()
        SELECT max(to_lsn) AS lsn FROM known_gap JOIN runner USING (epoch)
    ), conflict AS (
        SELECT 1 AS rank, 'max_slot_wal_keep_size is -1: while ckpx does not run, nothing limits the WAL that its slot holds' AS detail,
               'Set max_slot_wal_keep_size somewhat above ckpx.max_retained_wal. It limits every slot, those of standbys, too.' AS hint
        FROM setting WHERE slot_keep < 0
        UNION ALL
        SELECT 2, format('max_slot_wal_keep_size is smaller than ckpx.max_retained_wal: ckpx gives up at %s instead of %s',
                         pg_size_pretty(wal_cap), pg_size_pretty(max_retained)),
               'Raise max_slot_wal_keep_size, or lower ckpx.max_retained_wal.'
        FROM setting, cap WHERE slot_keep >= 0 AND slot_keep < max_retained
        UNION ALL
        SELECT 3, format('max_worker_processes is %s: ckpx and the logical replication launcher leave %s for parallel queries, fewer than max_parallel_workers_per_gather (%s)',
                         max_workers, greatest(max_workers - 5, 0), per_gather),
               'Raise max_worker_processes by 4.'
        FROM setting WHERE max_workers - 5 < per_gather
    )
    SELECT 'tracking'::text AS item,
           CASE WHEN problem IS NOT NULL THEN 'error' WHEN directory_bytes IS NULL OR epoch IS NULL OR NOT enabled THEN 'warning' ELSE 'ok' END AS status,
           CASE WHEN problem IS NOT NULL THEN problem
                WHEN directory_bytes IS NULL THEN 'ckpx starts'
                WHEN epoch IS NULL THEN 'no block map has begun'
                WHEN NOT enabled THEN 'ckpx makes no checkpoints'
                ELSE format('epoch %s, timeline %s, checkpoints reach %s', epoch, timeline, checkpointed_lsn) END AS detail,
           CASE WHEN problem IS NOT NULL THEN 'The server log says more; see also ckpx_workers.'
                WHEN directory_bytes IS NULL THEN 'If this lasts, see the activity of the runner in ckpx_workers.'
                WHEN epoch IS NULL THEN 'Tracking begins with the next checkpoint of PostgreSQL.'
                WHEN NOT enabled THEN 'Set ckpx.enabled, or call ckpx_enable().' END AS hint
    FROM runner
    UNION ALL
    SELECT 'workers',
           CASE WHEN down > 0 THEN 'error' WHEN failed > 0 THEN 'warning' ELSE 'ok' END,
           CASE WHEN down > 0 THEN format('not running: %s', down_names)
                WHEN failed > 0 THEN format('failed within an hour: %s', failures)
                ELSE 'all run' END,
           CASE WHEN down > 0 THEN 'See the server log and max_worker_processes.'
                WHEN failed > 0 THEN 'The workers go on by themselves; see ckpx_workers.' END
    FROM (SELECT count(*) FILTER (WHERE pid IS NULL) AS down,
                 string_agg(name, ', ' ORDER BY name) FILTER (WHERE pid IS NULL) AS down_names,
                 count(*) FILTER (WHERE has_failed) AS failed,
                 string_agg(format('%s (%s)', name, last_error), ', ' ORDER BY name)
                     FILTER (WHERE has_failed) AS failures
          FROM ckpx_workers,
               -- a post command has a row of its own
               LATERAL (SELECT (state = 'backing off' OR last_error_at > now() - interval '1 hour') AND last_error NOT LIKE 'post command %') AS f (has_failed)) w
    UNION ALL
    SELECT 'collecting',
           CASE WHEN lag_bytes > wal_cap / 2 THEN 'error' WHEN lag_bytes > wal_cap / 10 THEN 'warning' ELSE 'ok' END,
           coalesce(pg_size_pretty(lag_bytes) || ' of WAL are not decoded yet', 'nothing is decoded yet'),
           CASE WHEN lag_bytes > wal_cap / 10 THEN 'If this grows, the runner is slower than the writers, or stands still: see its activity in ckpx_workers.' END
    FROM runner, cap
    UNION ALL
    SELECT 'wal',
           CASE WHEN retained_bytes > wal_cap * 0.8 THEN 'error' WHEN retained_bytes > wal_cap * 0.5 THEN 'warning' ELSE 'ok' END,
           format('ckpx holds %s of at most %s%s%s', coalesce(pg_size_pretty(retained_bytes), 'nothing'), pg_size_pretty(wal_cap),
                  (SELECT format('; the %s checkpoint from %s is unfinished since %s', kind, start_lsn, created_at) FROM unfinished),
                  (SELECT format('; the slot %s holds more, from %s', slot_name, restart_lsn) FROM holder)),
           CASE WHEN retained_bytes > wal_cap * 0.5 THEN 'At the limit ckpx gives up its history. See the rows tracking, collecting and checkpoints for what it waits for, or raise ckpx.max_retained_wal.' END
    FROM runner, cap
    UNION ALL
    SELECT 'checkpoints',
           CASE WHEN u.attempts > 2 THEN 'error'
                WHEN u.attempts > 0 OR u.created_at < now() - patience THEN 'warning'
                ELSE 'ok' END,
           CASE WHEN u.kind IS NULL THEN 'none is unfinished'
                ELSE format('%s from %s, since %s%s%s', u.kind, u.start_lsn, u.created_at,
                            ', waits for ' || u.waiting_for,
                            CASE WHEN u.attempts > 0 THEN format(', failed %s times (%s: %s)', u.attempts, u.failed_phase, u.last_error) END) END,
           CASE WHEN u.attempts > 0 THEN 'ckpx tries again by itself; remove the cause, as the error names it.'
                WHEN u.created_at < now() - patience THEN 'It goes on when that is over: see pg_stat_activity for long transactions, ckpx_progress for what is written now.' END
    FROM setting LEFT JOIN unfinished u ON true
    UNION ALL
    SELECT 'gaps',
           CASE WHEN b.start_lsn >= g.to_lsn THEN 'ok'
                WHEN g.detected_at > now() - interval '1 day' THEN 'error'
                WHEN g.detected_at > now() - interval '7 days' THEN 'warning' ELSE 'ok' END,
           CASE WHEN g.epoch IS NULL THEN 'none is known'
                ELSE format('changes before %s are not known: %s, found %s', g.to_lsn, g.reason, g.detected_at) END,
           CASE WHEN g.detected_at > now() - interval '7 days' AND (b.start_lsn >= g.to_lsn) IS NOT TRUE THEN 'What was copied before the gap must be copied in full once.' END
    FROM setting LEFT JOIN gap g ON true LEFT JOIN newest_backup b ON true
    UNION ALL
    SELECT 'disk',
           CASE WHEN max_directory > 0 AND directory_bytes >= max_directory OR n >= max_entries - 2 THEN 'error'
                WHEN max_directory > 0 AND directory_bytes > max_directory * 0.8 OR n > max_entries * 0.8 THEN 'warning' ELSE 'ok' END,
           format('%s in files of ckpx, %s of at most %s checkpoints: %s incremental, %s global, %s backup',
                  coalesce(pg_size_pretty(directory_bytes), 'nothing known'), n, max_entries, incrementals, globals, backups),
           CASE WHEN max_directory > 0 AND directory_bytes > max_directory * 0.8 THEN 'Raise ckpx.max_directory_size, lower ckpx.gc_keep_time, or remove a pin.'
                WHEN n > max_entries * 0.8 THEN 'Raise ckpx.max_entries, lower ckpx.gc_keep_time, or remove a pin.' END
    FROM runner, setting,
         -- the last two of max_entries are not for incrementals
         (SELECT count(*) AS n,
                 count(*) FILTER (WHERE kind = 'incremental') AS incrementals,
                 count(*) FILTER (WHERE kind = 'global') AS globals,
                 count(*) FILTER (WHERE kind = 'backup') AS backups
          FROM entry) e
    UNION ALL
    SELECT 'pins',
           CASE WHEN h.held > much OR EXISTS (SELECT FROM pinned WHERE expires_at IS NULL AND created_at < now() - interval '30 days') THEN 'warning' ELSE 'ok' END,
           CASE WHEN h.name IS NULL THEN 'none'
                ELSE format('%s in all; %s, from %s, made %s, keeps %s that would go otherwise',
                            (SELECT count(*) FROM pinned), quote_ident(h.name), h.lsn, h.created_at, pg_size_pretty(h.held)) END,
           CASE WHEN h.held > much OR EXISTS (SELECT FROM pinned WHERE expires_at IS NULL AND created_at < now() - interval '30 days')
                THEN 'Remove a pin that nobody needs with ckpx_unpin(), or give pins a ttl.' END
    FROM (SELECT coalesce(nullif(max_directory, 0), 2 * 1024::bigint ^ 3) / 2 AS much FROM setting) s LEFT JOIN heaviest h ON true
    UNION ALL
    SELECT 'post_command',
           CASE WHEN failed > 0 AND since < now() - interval '1 hour' THEN 'error' WHEN failed > 0 THEN 'warning' ELSE 'ok' END,
           CASE WHEN failed > 0 THEN format('failed for %s checkpoints, the first finished %s: %s', failed, since, last_error)
                ELSE 'none has failed' END,
           CASE WHEN failed > 0 THEN 'Each is tried again, and its checkpoint is kept until then. See ckpx.post_checkpoint_command.' END
    FROM command
    UNION ALL
    SELECT 'backups',
           CASE WHEN b.start_lsn < low.lsn THEN 'warning' ELSE 'ok' END,
           CASE WHEN b.id IS NULL THEN 'none is recorded'
                ELSE format('newest from %s, finished %s, %s', b.start_lsn, b.finished_at, pg_size_pretty(b.bytes)) END,
           CASE WHEN b.start_lsn < low.lsn THEN 'The map does not reach back to it: the next backup must be a full one.' END
    FROM low LEFT JOIN newest_backup b ON true
    UNION ALL
    SELECT 'resource_managers',
           CASE WHEN cardinality(custom_rmgrs) > 0 THEN 'warning' ELSE 'ok' END,
           CASE WHEN cardinality(custom_rmgrs) > 0 THEN format('records of resource managers without a decoder: %s', array_to_string(custom_rmgrs, ', '))
                ELSE 'all records are understood' END,
           CASE WHEN cardinality(custom_rmgrs) > 0 THEN 'Blocks that only these records name may be missing in the map: copy the relations of their extensions in full.' END
    FROM runner
    UNION ALL
    SELECT 'settings',
           CASE WHEN detail IS NULL THEN 'ok' ELSE 'warning' END,
           coalesce(detail, 'they go together'), hint
    FROM (SELECT string_agg(detail, '; ' ORDER BY rank) AS detail,
                 string_agg(hint, ' ' ORDER BY rank) AS hint FROM conflict) c;
COMMENT ON VIEW ckpx_status IS
'a few rows that say whether all is well, and what to do if not';
COMMENT ON COLUMN ckpx_status.item IS
'what is judged';
COMMENT ON COLUMN ckpx_status.status IS
'ok, warning or error';
COMMENT ON COLUMN ckpx_status.detail IS
'what was found';
COMMENT ON COLUMN ckpx_status.hint IS
'what to do; NULL if nothing is to be done';
REVOKE ALL ON ckpx_status FROM PUBLIC;
GRANT SELECT ON ckpx_status TO pg_monitor, pg_checkpoint;
