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

#include "server/wal/changes.h"
#include "server/wal/record.h"

/*
 * Let the record's decoder say what it does; record->reader has the record,
 * too.  False: it has none, or one that does not vouch for it.
 */
extern bool ckpx_wal_decode_custom(CkpxWalChanges *changes,
								   const CkpxWalRecord *record);

#endif							/* CKPX_WAL_CUSTOM_H */
