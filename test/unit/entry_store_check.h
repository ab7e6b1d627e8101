/*-------------------------------------------------------------------------
 *
 * entry_store_check.h
 *		The invariants of the entry store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENTRY_STORE_CHECK_H
#define ENTRY_STORE_CHECK_H

#include "core/history/entry_store.h"

/*
 * Check every invariant; NULL, or what is wrong (a static text).  Holes
 * between the incrementals of the open epoch are wrong unless a finished
 * global or damage explains them.
 */
extern const char *ckpx_entry_store_check(const CkpxEntryStore *store);

#endif							/* ENTRY_STORE_CHECK_H */
