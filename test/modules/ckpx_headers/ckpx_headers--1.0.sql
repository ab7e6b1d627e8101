/* test/modules/ckpx_headers/ckpx_headers--1.0.sql */

\echo Use "CREATE EXTENSION ckpx_headers" to load this file. \quit

CREATE FUNCTION ckpx_headers_count()
RETURNS bigint
AS 'MODULE_PATHNAME', 'ckpx_headers_count'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION ckpx_headers_count() IS
'count the dirty buffers of permanent relations, in one walk over all headers';

CREATE FUNCTION ckpx_headers_find()
RETURNS bigint
AS 'MODULE_PATHNAME', 'ckpx_headers_find'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION ckpx_headers_find() IS
'find all dirty buffers, in the order in which a durable pass would write them; how many there are';
