/*-------------------------------------------------------------------------
 *
 * json_compat.h
 *		One face for PostgreSQL's JSON parser, whose interface differs between
 *		majors.  The only place in src/core that asks for the version.
 *
 * Callbacks are declared as "static CKPX_JSON_RESULT name(...)" and leave with
 * CKPX_JSON_RETURN.  They cannot stop the parser (in 15 there is no way to),
 * so they note trouble in their state and ignore what follows.
 *
 * The parser does not free the names and tokens that it hands out; callbacks
 * free them: a scalar's token at once, a field's name in object_field_end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_JSON_COMPAT_H
#define CKPX_JSON_COMPAT_H

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#if PG_VERSION_NUM >= 160000
#define CKPX_JSON_RESULT	JsonParseErrorType
#define CKPX_JSON_RETURN	return JSON_SUCCESS
#else
#define CKPX_JSON_RESULT	void
#define CKPX_JSON_RETURN	return
#endif

/*
 * Parse 'length' bytes of 'text' with the callbacks of 'sem'; true if they
 * are JSON.  Bytes from 0x80 on are taken as they are, whatever the encoding.
 */
static inline bool
ckpx_json_parse(const char *text, Size length, JsonSemAction *sem)
{
	JsonLexContext *lex;
	bool		ok;

#if PG_VERSION_NUM >= 170000
	lex = makeJsonLexContextCstringLen(NULL, text, length, PG_SQL_ASCII, true);
#else
	lex = makeJsonLexContextCstringLen(unconstify(char *, text), (int) length,
									   PG_SQL_ASCII, true);
#endif
	ok = (pg_parse_json(lex, sem) == JSON_SUCCESS);
#if PG_VERSION_NUM >= 170000
	freeJsonLexContext(lex);
#else
	pfree(lex->strval->data);
	pfree(lex->strval);
	pfree(lex);
#endif
	return ok;
}

#endif							/* CKPX_JSON_COMPAT_H */
