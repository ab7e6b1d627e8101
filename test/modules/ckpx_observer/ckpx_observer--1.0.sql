/* test/modules/ckpx_observer/ckpx_observer--1.0.sql */

\echo Use "CREATE EXTENSION ckpx_observer" to load this file. \quit

CREATE FUNCTION ckpx_observer_map(start_lsn pg_lsn, end_lsn pg_lsn, rel regclass DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'ckpx_observer_map'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION ckpx_observer_map(pg_lsn, pg_lsn, regclass) IS
'the map of a range, read without SPI: relation/fork:from-to,... for each fork';

CREATE FUNCTION ckpx_observer_write(what text, tablespace oid DEFAULT 0, database oid DEFAULT 0, relfilenode oid DEFAULT 0, block bigint DEFAULT 0)
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'ckpx_observer_write'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION ckpx_observer_write(text, oid, oid, oid, bigint) IS
'write a record of the resource manager: harmless, block, truncate, create, drop, special, unknown or special unknown; or one of the resource manager without a decoder: undeclared or special undeclared';
