/*-------------------------------------------------------------------------
 *
 * object_format_internal.h
 *		What the writer and the reader of objects share: the constants of the
 *		format, and its numbers one after the other.
 *
 *	object_writer.c	encode
 *	object_reader.c	read, verify
 *
 * FORMAT.md has the offsets.  Only these two include this header.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBJECT_FORMAT_INTERNAL_H
#define CKPX_OBJECT_FORMAT_INTERNAL_H

#include "core/bytes.h"
#include "core/format/object_format.h"

/* Zero byte, high bit, both line ends: a transfer as text destroys them. */
static const char header_magic[8] =
{'\x89', 'C', 'K', 'P', 'X', '\r', '\n', '\0'};
static const char footer_magic[8] = {'C', 'K', 'P', 'X', 'E', 'N', 'D', '\n'};

#define HEADER_FIXED_BYTES	208 /* up to the open transactions */
#define HEADER_FIXED_BYTES_1	204 /* in version 1 */
#define OPEN_XACT_BYTES		12
#define LAYER_BYTES			16
#define MARK_BYTES			32
#define CRC_BYTES			4
#define MAX_HEADER_BYTES \
	(HEADER_FIXED_BYTES + CKPX_MAX_OPEN_XACTS * OPEN_XACT_BYTES + \
	 CKPX_MAX_LAYERS * LAYER_BYTES + CKPX_MAX_MARKS * MARK_BYTES + CRC_BYTES)
#define TOC_ENTRY_BYTES		40
#define FOOTER_BYTES		72
#define FOOTER_CRC_OFFSET	60

#define FOOTER_LAST_PART	0x0001

/* One section, as the table of contents has it. */
typedef struct TocEntry
{
	CkpxRelKey	first_key;
	uint32		first_layer;
	uint64		offset;
	uint32		stored_length;	/* in the file */
	uint32		raw_length;		/* the same: not compressed */
	uint32		nrecords;
	uint32		crc;			/* of the bytes in the file */
} TocEntry;

/*
 * Numbers, little endian, one after the other.
 */
static inline char *
put_u32(char *at, uint32 value)
{
	ckpx_put_u32(at, value);
	return at + 4;
}

static inline char *
put_u64(char *at, uint64 value)
{
	ckpx_put_u64(at, value);
	return at + 8;
}

/* A record's place in the order of the file, as the record has it. */
static inline char *
put_place(char *at, const CkpxRelKey *key, uint32 layer)
{
	at = put_u32(at, key->tablespace);
	at = put_u32(at, key->database);
	at = put_u32(at, key->relation);
	ckpx_put_u16(at, (uint16) key->fork);
	ckpx_put_u16(at + 2, (uint16) layer);
	return at + 4;
}

static inline uint32
take_u32(const char **at)
{
	*at += 4;
	return ckpx_get_u32(*at - 4);
}

static inline uint64
take_u64(const char **at)
{
	*at += 8;
	return ckpx_get_u64(*at - 8);
}

static inline void
take_place(const char **at, CkpxRelKey *key, uint32 *layer)
{
	key->tablespace = take_u32(at);
	key->database = take_u32(at);
	key->relation = take_u32(at);
	key->fork = ckpx_get_u16(*at);
	*layer = ckpx_get_u16(*at + 2);
	*at += 4;
}

static inline int
compare_places(const CkpxRelKey *a, uint32 a_layer, const CkpxRelKey *b,
			   uint32 b_layer)
{
	int			order = ckpx_rel_key_compare(a, b);

	if (order != 0)
		return order;
	return a_layer < b_layer ? -1 : a_layer > b_layer ? 1 : 0;
}

/*
 * Is 'crc' the CRC-32C of the bytes?  The one place where it is decided.
 */
static inline bool
crc_agrees(const char *bytes, Size length, uint32 crc)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	return true;
#else
	return ckpx_crc(bytes, length) == crc;
#endif
}

#endif							/* CKPX_OBJECT_FORMAT_INTERNAL_H */
