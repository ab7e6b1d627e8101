/*-------------------------------------------------------------------------
 *
 * decode_internal.h
 *		What wal/decode.c and wal/custom.c share.  Only these include it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_DECODE_INTERNAL_H
#define CKPX_WAL_DECODE_INTERNAL_H

#include "server/wal/decode.h"

/* wal/decode.c: find or make the relation of a block that 'xid' changed. */
extern CkpxRelation *ckpx_wal_decoder_find_relation(CkpxWalDecoder *decoder,
													const CkpxRelKey *key,
													TransactionId xid);

/* The fork's history begins anew: nothing about it may be remembered. */
extern void ckpx_wal_decoder_forget_fork(CkpxWalDecoder *decoder,
										 const CkpxRelKey *key);

/* A database in one tablespace appeared or went. */
extern void ckpx_wal_decoder_change_database(CkpxWalDecoder *decoder,
											 XLogReaderState *reader,
											 Oid tablespace, Oid database,
											 bool dropped);

/*
 * wal/custom.c: a record of a custom resource manager; returns whether it is
 * known.
 */
extern bool ckpx_wal_decoder_custom(CkpxWalDecoder *decoder,
									XLogReaderState *reader);

#endif							/* CKPX_WAL_DECODE_INTERNAL_H */
