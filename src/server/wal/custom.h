/*-------------------------------------------------------------------------
 *
 * custom.h
 *		Records of custom resource managers, through the decoders of ckpx.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_CUSTOM_H
#define CKPX_WAL_CUSTOM_H

#include "postgres.h"

#include "access/xlogreader.h"
#include "server/wal/changes.h"

/*
 * Let the record's decoder say what it does.  False: it has none, or one that
 * does not vouch for it.
 */
extern bool ckpx_wal_decode_custom(CkpxWalChanges *changes,
								   XLogReaderState *reader);

#endif							/* CKPX_WAL_CUSTOM_H */
