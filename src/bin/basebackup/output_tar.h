/*-------------------------------------------------------------------------
 *
 * output_tar.h
 *		A backup as tar archives; called by output.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_OUTPUT_TAR_H
#define CKPX_BASEBACKUP_OUTPUT_TAR_H

#include "bin/basebackup/output.h"

typedef struct TarSink TarSink;

/* The archives, with the members for directories. */
extern bool tar_output_create(Output *output, const Plan *plan);
extern bool tar_output_finish(Output *output);

extern TarSink *tar_sink_create(Output *output);
extern bool tar_sink_begin(TarSink *sink, const char *path, uint64 size,
						   int64 modified);
extern bool tar_sink_write(TarSink *sink, const char *bytes, size_t length);
extern bool tar_sink_end(TarSink *sink);
extern bool tar_sink_abort(TarSink *sink);
extern bool tar_sink_commit(TarSink *sink);
extern void tar_sink_free(TarSink *sink);

#endif							/* CKPX_BASEBACKUP_OUTPUT_TAR_H */
