/* contrib/ptrack_shim/ptrack--2.4.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION ptrack" to load this file. \quit

CREATE FUNCTION ptrack_version()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '2.4'::text;
COMMENT ON FUNCTION ptrack_version() IS
'returns the version of ptrack whose functions these are';

CREATE FUNCTION ptrack_init_lsn()
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_ptrack_init_lsn'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ptrack_init_lsn() IS
'returns the lowest LSN that ckpx answers from, 0/0 if there is none';
REVOKE ALL ON FUNCTION ptrack_init_lsn() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ptrack_init_lsn() TO pg_monitor;

CREATE FUNCTION ptrack_get_pagemapset(start_lsn pg_lsn)
RETURNS TABLE (
    path text,
    pagecount bigint,
    pagemap bytea)
AS 'MODULE_PATHNAME', 'ckpx_ptrack_get_pagemapset'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ptrack_get_pagemapset(pg_lsn) IS
'returns the segment files of main forks that changed since an LSN, with a bitmap of the changed blocks';
REVOKE ALL ON FUNCTION ptrack_get_pagemapset(pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ptrack_get_pagemapset(pg_lsn) TO pg_monitor;
