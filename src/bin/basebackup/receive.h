/*-------------------------------------------------------------------------
 *
 * receive.h
 *		From the rows of one list to files in a sink.
 *
 * The rows come from a server that may be anything: their order, offsets and
 * lengths are checked against what was asked for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_RECEIVE_H
#define CKPX_BASEBACKUP_RECEIVE_H

#include "postgres_fe.h"

#include "bin/basebackup/lists.h"
#include "bin/basebackup/output.h"

typedef struct Receiver Receiver;

/*
 * 'parent' (NULL: full) decides about free space maps; 'recovery_conf' (or
 * NULL) is appended to postgresql.auto.conf.
 */
extern Receiver *receive_create(Sink *sink, const Parent *parent,
								const char *recovery_conf);

/* A list's rows are to come. */
extern void receive_begin(Receiver *receiver, FileList *list);

/* The bytes of one message of COPY; false after run_fail(). */
extern bool receive_message(Receiver *receiver, const char *bytes,
							size_t length);

/* The COPY ended well: is everything there?  False after run_fail(). */
extern bool receive_end(Receiver *receiver);

/* It ended otherwise: give up the file that is in work. */
extern bool receive_abort(Receiver *receiver);

/* Put a list of unchanged files, of which no rows come; the same. */
extern bool receive_unchanged(Receiver *receiver, FileList *list);

/* Blocks with wrong checksums so far. */
extern uint64 receive_bad_checksums(const Receiver *receiver);

#endif							/* CKPX_BASEBACKUP_RECEIVE_H */
