/*-------------------------------------------------------------------------
 *
 * object_output.c
 *		Checkpoint objects as files: writing one, part after part.
 *
 * If we die in between, a temporary file is left, or parts that no manifest
 * names; the next sweep removes both.
 *
 * All parts have the same header but for the part's number, so that a reader
 * can tell parts of one writing from what an earlier attempt left.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/store/files.h"
#include "server/store/object_output.h"
#include "utils/timestamp.h"

/* Bytes of a section of an object before it is compressed, about. */
#define SECTION_BYTES		(64 * 1024)

struct CkpxObjectOutput
{
	CkpxEntry  *entry;
	const char *what;
	CkpxObjectHeader header;	/* of the present part */
	CkpxOutput *file;			/* of that part; NULL: none is begun */
	CkpxObjectWriter *writer;
	CkpxRelKey	last_key;		/* added to it */
};

/*
 * Begin the object of 'entry', with what 'rest' says of open transactions
 * and layers.  Its first file is made when something is written.
 */
CkpxObjectOutput *
ckpx_object_output_begin(CkpxEntry *entry, const CkpxObjectHeader *rest,
						 const char *what)
{
	CkpxObjectOutput *output = palloc0(sizeof(CkpxObjectOutput));

	output->entry = entry;
	output->what = what;
	output->header = *rest;
	output->header.version = CKPX_OBJECT_VERSION;
	output->header.kind = entry->kind;
	output->header.range = entry->range;
	output->header.written_at = GetCurrentTimestamp();
	output->header.part = 0;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	output->header.identity = CkpxShared->identity;
	LWLockRelease(CkpxShared->lock);

	entry->version = CKPX_OBJECT_VERSION;
	entry->nrelations = 0;
	entry->nblocks = 0;
	entry->undurable = 0;
	entry->size_bytes = 0;
	return output;
}

static void
begin_part(CkpxObjectOutput *output)
{
	CkpxObjectOptions options;
	char		name[CKPX_NAME_MAX];
	char		path[MAXPGPATH];

	options.section_rows = ckpx_checkpoint_block_rows;
	options.section_bytes = SECTION_BYTES;
	options.compression = ckpx_compression;

	ckpx_entry_object_name(name, output->entry, output->header.part);
	ckpx_store_path(path, name);
	output->file = ckpx_output_create(path, output->what);
	output->writer = ckpx_object_begin(CurrentMemoryContext, &output->header,
									   &options, ckpx_output_write,
									   output->file);
}

static void
end_part(CkpxObjectOutput *output, CkpxObjectTotals *totals)
{
	CkpxEntry  *entry = output->entry;

	ckpx_object_end(output->writer, totals);
	entry->size_bytes += ckpx_output_bytes(output->file);
	ckpx_output_publish(output->file);
	output->file = NULL;

	entry->nrelations += totals->nrelations;
	entry->nblocks += totals->nblocks;
	entry->undurable += totals->undurable;
	output->header.part++;
	entry->nparts = output->header.part;
}

/*
 * Add one layer of one relation, 0 where the object is no global.
 */
void
ckpx_object_output_add(CkpxObjectOutput *output, const CkpxRelation *relation,
					   uint32 layer)
{
	if (output->file != NULL &&
		!ckpx_rel_key_equal(&output->last_key, &relation->key) &&
		ckpx_object_written(output->writer) >=
		(uint64) ckpx_checkpoint_size * 1024)
	{
		CkpxObjectTotals totals = {0};

		end_part(output, &totals);
	}
	if (output->file == NULL)
		begin_part(output);
	ckpx_object_add(output->writer, relation, layer);
	output->last_key = relation->key;
}

/*
 * Write the last part.
 */
void
ckpx_object_output_end(CkpxObjectOutput *output, XLogRecPtr tombstones_from)
{
	CkpxObjectTotals totals = {0};

	totals.last_part = true;
	totals.tombstones_from = tombstones_from;
	if (output->file == NULL)
		begin_part(output);
	end_part(output, &totals);
}

/*
 * Remove the files of an object that is not needed; what cannot be removed is
 * a WARNING.
 */
void
ckpx_object_remove_quietly(const CkpxEntry *entry, uint32 nparts)
{
	for (uint32 part = 0; part < nparts; part++)
	{
		char		name[CKPX_NAME_MAX];

		ckpx_entry_object_name(name, entry, part);
		ckpx_remove_file(name, WARNING);
	}
}

/*
 * Remove the file that has only its temporary name.  The parts before it stay:
 * an earlier attempt, also one of a process that has ended, may have written
 * some of the same names and failed behind the rename of the manifest that
 * names them.  The sweep reads the manifests, and removes what none names.
 */
void
ckpx_object_output_abort(CkpxObjectOutput *output, bool closed)
{
	if (output != NULL)
		ckpx_output_abort(output->file, closed);
}
