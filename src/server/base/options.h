/*-------------------------------------------------------------------------
 *
 * options.h
 *		The settings, ckpx.*: one variable each, in the unit of its GUC.
 *
 * All are SIGHUP settings unless marked (P): those are read once, when the
 * postmaster starts.  Times are milliseconds, sizes kB, unless a name says
 * otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OPTIONS_H
#define CKPX_OPTIONS_H

#include "postgres.h"

extern bool ckpx_enabled;
extern int	ckpx_collect_interval;
extern int	ckpx_collect_lag;
extern int	ckpx_flush_mode;	/* CKPX_FLUSH_MODE_... */
extern int	ckpx_max_flush_interval;
extern int	ckpx_flush_memory_cap;	/* kB, -1: shared_buffers */
extern int	ckpx_table_flush_capacity;	/* kB, -1: 1/8 of shared_buffers */
extern int	ckpx_flush_rate_limit;	/* kB per second, 0: none */
extern int	ckpx_min_incremental_interval;
extern int	ckpx_min_count;		/* transactions */
extern int	ckpx_max_incremental_interval;	/* 0: off */
extern int	ckpx_max_incremental_wal;	/* kB, 0: off */
extern int	ckpx_global_min_count;
extern int	ckpx_global_version_interval;
extern int	ckpx_gc_keep_time;	/* seconds */
extern int	ckpx_commit_wait;	/* 0: do not wait */
extern int	ckpx_force_flush_timeout;
extern int	ckpx_force_flush_check_interval;
extern int	ckpx_dirty_queue_size;	/* (P) tickets */
extern int	ckpx_wait_queue_size;	/* (P) */
extern int	ckpx_checkpoint_queue_size; /* (P) */
extern int	ckpx_checkpoint_block_rows;
extern int	ckpx_checkpoint_size;	/* kB */
extern int	ckpx_reserved_wal;	/* kB */
extern int	ckpx_max_retained_wal;	/* kB */
extern int	ckpx_logtail_memory;	/* (P) kB */
extern int	ckpx_max_entries;	/* (P) */
#define CKPX_DEFAULT_DIRECTORY "ckpx"
extern char *ckpx_directory;	/* (P) */
extern int	ckpx_max_directory_size;	/* kB, 0: no limit */
extern int	ckpx_compression;	/* CKPX_COMPRESSION_... */
extern bool ckpx_log_checkpoints;
extern char *ckpx_post_checkpoint_command;

/* What the flusher does. */
#define CKPX_FLUSH_MODE_OFF		0	/* only what ckpx_flush...() ask for */
#define CKPX_FLUSH_MODE_DEMAND	1	/* and what checkpoints of ckpx need */
#define CKPX_FLUSH_MODE_ON		2	/* and what policy says */

#define CKPX_GC_QUEUE_SIZE		100
#define CKPX_POST_QUEUE_SIZE	1000
#define CKPX_QUEUE_BATCH		100
#define CKPX_POST_BATCH			1

/* Define every setting; called once, from _PG_init(). */
extern void ckpx_options_define(void);

/* Is there a command that a checkpoint's object has to wait for? */
extern bool ckpx_post_command_is_set(void);

/* Log all settings at LOG, one line; the runner calls it at its start. */
extern void ckpx_options_log(void);

#endif							/* CKPX_OPTIONS_H */
