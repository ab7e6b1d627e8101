/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between the PostgreSQL versions that this is built for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_COMPAT_H
#define CKPX_BASEBACKUP_COMPAT_H

#include "fe_utils/recovery_gen.h"

/* 17 takes a database name as well, for slot synchronization. */
#if PG_VERSION_NUM >= 170000
#define recovery_settings(conn)	GenerateRecoveryConfig(conn, NULL, NULL)
#else
#define recovery_settings(conn)	GenerateRecoveryConfig(conn, NULL)
#endif

/* Manifests have the system identifier since 17. */
#if PG_VERSION_NUM >= 170000
#define MANIFEST_VERSION	2
#else
#define MANIFEST_VERSION	1
#endif

#endif							/* CKPX_BASEBACKUP_COMPAT_H */
