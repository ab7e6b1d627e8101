--
-- Every function with arguments that it was not made for: a clear error, or an
-- answer that the reference tells.  The functions come from the catalog, so one
-- that is new has a line here.
--
CREATE EXTENSION ckpx;
CREATE ROLE regress_ckpx_nobody;

CREATE VIEW ckpx_functions AS
    SELECT p.proname, p.pronargs, p.proisstrict,
           (SELECT string_agg(CASE type WHEN 'anyelement'::regtype THEN 'NULL::pg_class' ELSE 'NULL::' || type::regtype END, ', ' ORDER BY n)
            FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, n)) AS nulls
    FROM pg_proc p
         JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
         JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx';

-- The error of a command, without what differs from run to run.
CREATE FUNCTION outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN regexp_replace(sqlstate || ': ' || sqlerrm, '[0-9A-F]+/[0-9A-F]+', 'X/X', 'g');
END $$;

\pset format unaligned
\pset tuples_only on

-- NULLs alone
SELECT proname, outcome(format('SELECT * FROM %I(%s)', proname, nulls))
FROM ckpx_functions WHERE pronargs > 0 ORDER BY proname COLLATE "C";

-- relations that have no map, where a relation is asked for
CREATE VIEW ckpx_v AS SELECT 1 AS a;
CREATE UNLOGGED TABLE ckpx_u (a int);
CREATE TEMP TABLE ckpx_temp (a int);
CREATE TABLE ckpx_p (a int) PARTITION BY RANGE (a);
CREATE FOREIGN DATA WRAPPER ckpx_fdw;
CREATE SERVER ckpx_server FOREIGN DATA WRAPPER ckpx_fdw;
CREATE FOREIGN TABLE ckpx_f (a int) SERVER ckpx_server;
CREATE TYPE ckpx_type AS (a int);
SELECT call, rel, outcome(format(call, rel))
FROM (VALUES ('SELECT * FROM ckpx_changed_blocks(pg_current_wal_lsn(), NULL, ''%s'')'),
             ('SELECT * FROM ckpx_wal_history(''%s'')'),
             ('SELECT * FROM ckpx_changed_rows(NULL::%s, pg_current_wal_lsn())'),
             ('SELECT * FROM ckpx_flush_table(''%s'')')) c (call),
     (VALUES ('ckpx_v'), ('ckpx_u'), ('ckpx_temp'), ('ckpx_p'), ('ckpx_f'), ('ckpx_type'), ('no_such')) r (rel)
ORDER BY call, rel;
SELECT outcome(format('SELECT * FROM %s', call))
FROM (VALUES ('ckpx_changed_blocks(pg_current_wal_lsn(), NULL, 4294967295)'),
             ('ckpx_wal_history(4294967295)'), ('ckpx_flush_table(4294967295)'),
             ('ckpx_changed_rows(1, pg_current_wal_lsn())'),
             ('ckpx_changed_rows(NULL::pg_class[], pg_current_wal_lsn())'),
             ('ckpx_changed_rows(NULL::record, pg_current_wal_lsn())'),
             ('ckpx_changed_rows(NULL, pg_current_wal_lsn())'),
             ('ckpx_changed_rows(NULL::pg_class, ''FFFF/0'')'),
             ('ckpx_collect_objects(''0/2'', ''0/1'')'),
             ('ckpx_wal_history(NULL, ''-1 hour'')'),
             ('ckpx_wal_history(NULL, ''1 month'')')) c (call);

-- in a read-only transaction: what reads
BEGIN READ ONLY;
SELECT proname, outcome(format('SELECT * FROM %s', call))
FROM (VALUES ('ckpx_changed_blocks', 'ckpx_changed_blocks(pg_current_wal_lsn())'),
             ('ckpx_changed_rows', 'ckpx_changed_rows(NULL::pg_class, pg_current_wal_lsn())'),
             ('ckpx_collect_objects', 'ckpx_collect_objects()'),
             ('ckpx_status', 'ckpx_status'),
             ('ckpx_sync_point', 'ckpx_sync_point()'),
             ('ckpx_wal_by_relation', 'ckpx_wal_by_relation(pg_current_wal_lsn())'),
             ('ckpx_wal_history', 'ckpx_wal_history()')) c (proname, call);
ROLLBACK;

-- without privileges: every function and every view (a strict function is not
-- even called for a NULL)
GRANT SELECT ON ckpx_functions TO regress_ckpx_nobody;
SET ROLE regress_ckpx_nobody;
SELECT outcome, count(*) > 40 AS many
FROM (SELECT regexp_replace(outcome(format('SELECT * FROM %I(%s)', proname, nulls)), proname || '$', 'NAME') AS outcome
      FROM ckpx_functions WHERE NOT proisstrict) o
GROUP BY outcome;
SELECT DISTINCT regexp_replace(outcome(format('SELECT * FROM %I', viewname)), viewname || '$', 'NAME')
FROM pg_views WHERE viewname ~ '^ckpx_' AND viewname NOT IN ('ckpx_functions', 'ckpx_v');
RESET ROLE;

\pset format aligned
\pset tuples_only off
SET client_min_messages = warning;
DROP SERVER ckpx_server CASCADE;
DROP FOREIGN DATA WRAPPER ckpx_fdw;
DROP VIEW ckpx_functions, ckpx_v;
DROP TABLE ckpx_u, ckpx_temp, ckpx_p;
DROP TYPE ckpx_type;
DROP FUNCTION outcome(text);
DROP ROLE regress_ckpx_nobody;
DROP EXTENSION ckpx;
