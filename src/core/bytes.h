/*-------------------------------------------------------------------------
 *
 * bytes.h
 *		Fixed-width integers in little-endian bytes, at any alignment; and the
 *		checksum of bytes.
 *
 * Everything that ckpx writes to disk goes through these, so a file reads the
 * same on every machine.  The caller makes sure that the bytes are there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BYTES_H
#define CKPX_BYTES_H

#include "core/types.h"
#include "port/pg_crc32c.h"

static inline void
ckpx_put_u16(char *bytes, uint16 value)
{
	bytes[0] = (char) (value & 0xff);
	bytes[1] = (char) (value >> 8);
}

static inline void
ckpx_put_u32(char *bytes, uint32 value)
{
	ckpx_put_u16(bytes, (uint16) (value & 0xffff));
	ckpx_put_u16(bytes + 2, (uint16) (value >> 16));
}

static inline void
ckpx_put_u64(char *bytes, uint64 value)
{
	ckpx_put_u32(bytes, (uint32) (value & 0xffffffff));
	ckpx_put_u32(bytes + 4, (uint32) (value >> 32));
}

static inline uint16
ckpx_get_u16(const char *bytes)
{
	return (uint16) ((uint8) bytes[0] | ((uint8) bytes[1] << 8));
}

static inline uint32
ckpx_get_u32(const char *bytes)
{
	return (uint32) ckpx_get_u16(bytes) |
		((uint32) ckpx_get_u16(bytes + 2) << 16);
}

static inline uint64
ckpx_get_u64(const char *bytes)
{
	return (uint64) ckpx_get_u32(bytes) |
		((uint64) ckpx_get_u32(bytes + 4) << 32);
}

/* Put the bytes of a string; returns the place behind them. */
static inline char *
ckpx_put_text(char *bytes, const char *text)
{
	Size		length = strlen(text);	/* mostly of a constant */

	memcpy(bytes, text, length);
	return bytes + length;
}

/* CRC-32C */
static inline pg_crc32c
ckpx_crc(const char *bytes, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, length);
	FIN_CRC32C(crc);
	return crc;
}

#endif							/* CKPX_BYTES_H */
