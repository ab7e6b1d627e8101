--
-- The extension's objects: what there is, who may use it, and that it can be
-- moved and dropped.
--
CREATE EXTENSION ckpx;

-- everything has a comment
SELECT d.refobjid::regclass, pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend d
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
      AND obj_description(d.objid, d.classid::regclass::text) IS NULL;

-- functions: result, volatility, strictness, parallel safety, who may call
SELECT p.oid::regprocedure AS function,
       CASE WHEN p.proretset THEN 'setof ' ELSE '' END || p.prorettype::regtype AS result,
       p.provolatile AS v, p.proisstrict AS strict, p.proparallel AS p,
       (SELECT string_agg(CASE a.grantee WHEN 0 THEN 'public' ELSE a.grantee::regrole::text END, ',' ORDER BY a.grantee)
        FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner) AS granted_to
FROM pg_proc p
     JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
ORDER BY p.proname COLLATE "C";

-- named arguments
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments
FROM pg_proc p
     JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
WHERE p.pronargs > 0
ORDER BY p.proname COLLATE "C";

-- views: columns, and who may read
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_class c
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
ORDER BY c.relname COLLATE "C", a.attnum;
SELECT c.relname,
       (SELECT string_agg(CASE a.grantee WHEN 0 THEN 'public' ELSE a.grantee::regrole::text END || '=' || a.privilege_type, ',' ORDER BY a.grantee, a.privilege_type)
        FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner) AS granted
FROM pg_class c
     JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
ORDER BY c.relname COLLATE "C";

-- the roles can do what they are granted, and nothing else
CREATE ROLE regress_ckpx_nobody;
CREATE ROLE regress_ckpx_monitor IN ROLE pg_monitor;
CREATE ROLE regress_ckpx_actor IN ROLE pg_checkpoint;
CREATE ROLE regress_ckpx_reader IN ROLE pg_read_server_files;
SET ROLE regress_ckpx_nobody;
SELECT * FROM ckpx_runner;
SELECT ckpx_low_water_mark();
SELECT ckpx_checkpoint();
SET ROLE regress_ckpx_monitor;
SELECT count(*) FROM ckpx_runner;
SELECT count(*) > 0 AS ok FROM ckpx_changed_blocks(pg_current_wal_lsn());
SELECT ckpx_checkpoint();
SELECT ckpx_read_object('x');
SELECT ckpx_fault_list();
SELECT ckpx_read_files();
SELECT length(ckpx_read_control());
SET ROLE regress_ckpx_actor;
SELECT ckpx_checkpoint() IS NOT NULL AS ok;
SELECT count(*) FROM ckpx_runner;
SELECT ckpx_fault_add('cut-before', 'error');
SELECT ckpx_read_list('s', '0/0', '{}', '{}');
SELECT ckpx_backup_files('s', '0/0');
SELECT ckpx_read_wal('000000010000000000000001');
SET ROLE regress_ckpx_reader;
SELECT length(ckpx_read_control()) AS control;
SELECT length(ckpx_read_wal(pg_walfile_name(pg_current_wal_lsn()), 8, 100)) AS wal;
SELECT ckpx_read_files();
SELECT ckpx_backup_files('no_such_slot', '0/0');
SELECT ckpx_read_list('no_such_slot', '0/0', '{}', '{}');
SELECT ckpx_changed_files('0/0');
RESET ROLE;
DROP ROLE regress_ckpx_nobody;
DROP ROLE regress_ckpx_monitor;
DROP ROLE regress_ckpx_actor;
DROP ROLE regress_ckpx_reader;

-- any schema, and a search_path without it
CREATE SCHEMA regress_ckpx;
ALTER EXTENSION ckpx SET SCHEMA regress_ckpx;
SELECT count(*) FROM regress_ckpx.ckpx_runner;
SELECT count(*) >= 0 AS ok FROM regress_ckpx.ckpx_checkpoints_after('0/0', 1);
DROP EXTENSION ckpx;
CREATE EXTENSION ckpx SCHEMA regress_ckpx;
SELECT count(*) FROM regress_ckpx.ckpx_workers;
DROP EXTENSION ckpx;
DROP SCHEMA regress_ckpx;
