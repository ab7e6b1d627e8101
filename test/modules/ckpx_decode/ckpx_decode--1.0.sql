/* test/modules/ckpx_decode/ckpx_decode--1.0.sql */

\echo Use "CREATE EXTENSION ckpx_decode" to load this file. \quit

CREATE FUNCTION ckpx_decode(start_lsn pg_lsn, end_lsn pg_lsn,
	OUT tablespace oid, OUT database oid, OUT relfilenode oid, OUT fork text,
	OUT limit_block bigint, OUT blocks text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ckpx_decode'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION ckpx_decode(pg_lsn, pg_lsn) IS
'what the decoder of ckpx makes of the WAL of exactly this range, whose start is that of a record';

CREATE FUNCTION ckpx_compare_readers(start_lsn pg_lsn, end_lsn pg_lsn,
	stretches int, seed bigint, OUT nrecords bigint, OUT walked bigint,
	OUT changed bigint, OUT broken bigint)
AS 'MODULE_PATHNAME', 'ckpx_compare_readers'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION ckpx_compare_readers(pg_lsn, pg_lsn, int, bigint) IS
'reads this range, and so many stretches of it with changed bytes, with the walk and without; an error where anything differs';
