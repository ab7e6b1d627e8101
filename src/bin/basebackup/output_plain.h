/*-------------------------------------------------------------------------
 *
 * output_plain.h
 *		A backup as plain files; called by output.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_OUTPUT_PLAIN_H
#define CKPX_BASEBACKUP_OUTPUT_PLAIN_H

#include "bin/basebackup/output.h"

typedef struct PlainSink PlainSink;

/* Directories, tablespaces' directories and the links to them. */
extern bool plain_output_create(Output *output, const Plan *plan);
extern bool plain_output_directories(Output *output, const Plan *plan);
extern bool plain_output_finish(Output *output);

extern PlainSink *plain_sink_create(Output *output);
extern bool plain_sink_begin(PlainSink *sink, const char *path);
extern bool plain_sink_write(PlainSink *sink, const char *bytes,
							 size_t length);
extern bool plain_sink_end(PlainSink *sink);
extern bool plain_sink_abort(PlainSink *sink);
extern void plain_sink_free(PlainSink *sink);

#endif							/* CKPX_BASEBACKUP_OUTPUT_PLAIN_H */
