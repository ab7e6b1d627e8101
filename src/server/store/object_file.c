/*-------------------------------------------------------------------------
 *
 * object_file.c
 *		Checkpoint objects as files: the parts of one, read as one.
 *
 * core/format/object_format.h knows the bytes and object_parts.h what makes
 * files an object; here are the descriptors, the names, and what follows when
 * something is wrong.
 *
 * An object has any number of parts and a process few descriptors, so only
 * one part is open at a time.  Header, footer and table of contents of each
 * part are read when the object is opened and stay in memory.  A section that
 * is read later is checked against them, so it does not matter if the file is
 * another one by then.  Garbage collection may remove the file in between:
 * a reader that allows for that makes its choice of objects again.
 *
 * Long reads are cut into pieces of a megabyte with a look at interrupts
 * between them.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/shared_state.h"
#include "server/base/wait_event.h"
#include "server/store/files.h"
#include "server/store/object_file.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define CKPX_LOOKED_AT_AGAIN \
	"The ckpx checkpointer looks at the object again before its range counts as lost; see the view ckpx_workers."

/* One file of an object. */
typedef struct ObjectPart
{
	struct CkpxObjectFile *file;
	char		name[CKPX_NAME_MAX];
} ObjectPart;

struct CkpxObjectFile
{
	MemoryContext context;		/* of everything here */
	CkpxEntryTicket ticket;		/* of its entry */
	bool		missing_ok;
	bool		gone;			/* a part was not there, which is all right */
	bool		again;			/* read from the disk, not from a cache */
	bool		judging;		/* an absence goes to: */
	char	   *absent;			/* the sentence about it, or NULL */
	uint32		nfiles;
	ObjectPart **files;
	CkpxObjectParts parts;		/* the readers of those that are verified */
	int			fd;				/* of 'open_part' */
	ObjectPart *open_part;		/* NULL: none */
};

/* Fill 'path' with the path of a part, for a message. */
static const char *
part_path(const ObjectPart *part, char *path)
{
	ckpx_store_path(path, part->name);
	return path;
}

/* May what is told by this error be over in a moment, or be a loss? */
static bool
is_absence(int error)
{
	/* A directory in the place of the file is found by reading it. */
	return error == ENOENT || error == EIO || error == EISDIR;
}

/*
 * A part cannot be opened or read, as errno says.  An absence is left in
 * file->absent where the caller judges it, and where the object may have been
 * collected, it is no error at all; the rest is raised.
 */
static void
part_unreadable(const ObjectPart *part, bool opening)
{
	CkpxObjectFile *file = part->file;
	int			save_errno = errno;
	char		path[MAXPGPATH];

	(void) part_path(part, path);
	if (save_errno == ENOENT && file->missing_ok)
	{
		file->gone = true;
		return;
	}
	if (is_absence(save_errno) && file->judging)
	{
		file->absent = opening ?
			psprintf("Could not open file \"%s\": %s.", path,
					 strerror(save_errno)) :
			psprintf("Could not read file \"%s\": %s.", path,
					 strerror(save_errno));
		return;
	}

	if (is_absence(save_errno))
		ckpx_suspect(&file->ticket);
	errno = save_errno;
	ereport(ERROR,
			(errcode_for_file_access(),
			 opening ?
			 errmsg("could not open file \"%s\": %m", path) :
			 errmsg("could not read file \"%s\": %m", path),
			 is_absence(save_errno) ? errhint(CKPX_LOOKED_AT_AGAIN) : 0));
}

static void
close_open_part(CkpxObjectFile *file)
{
	if (file->open_part == NULL)
		return;
	file->open_part = NULL;
	(void) CloseTransientFile(file->fd);
}

/* Make 'part' the one that is open; false as part_unreadable() leaves it. */
static bool
reach_part(ObjectPart *part)
{
	CkpxObjectFile *file = part->file;
	char		path[MAXPGPATH];

	if (file->open_part == part)
		return true;
	close_open_part(file);
	file->fd = OpenTransientFile(part_path(part, path), O_RDONLY | PG_BINARY);
	if (file->fd < 0)
	{
		part_unreadable(part, true);
		return false;
	}
	file->open_part = part;

#if defined(USE_POSIX_FADVISE) && defined(POSIX_FADV_DONTNEED)
	/* To read twice means nothing if the kernel reads once. */
	if (file->again)
		(void) posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
#endif
	return true;
}

/* CkpxObjectRead callback. */
static bool
read_part(void *arg, uint64 offset, char *bytes, Size length)
{
	ObjectPart *part = arg;

	if (!reach_part(part))
		return false;
	while (length > 0)
	{
		ssize_t		done = -1;

		CHECK_FOR_INTERRUPTS();
		if (!CKPX_FAULT_FAILS("object-read"))
		{
			pgstat_report_wait_start(ckpx_wait_event(CKPX_WAIT_FILE_READ));
			done = pg_pread(part->file->fd, bytes,
							Min(length, CKPX_IO_PIECE_BYTES), (off_t) offset);
			pgstat_report_wait_end();
		}
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
		{
			part_unreadable(part, false);
			return false;
		}
		if (done == 0)
			return false;
		offset += done;
		bytes += done;
		length -= done;
	}
	return true;
}

/* What is wrong with a part, as a palloc'd sentence that names the file. */
static char *
part_problem(const ObjectPart *part, const char *problem)
{
	char		path[MAXPGPATH];

	if (part->file->absent != NULL)
		return part->file->absent;
	return psprintf("File \"%s\": %s.", part_path(part, path),
					problem != NULL ? problem : "unknown problem");
}

/* Is this a file of our cluster?  NULL, or what is wrong. */
static const char *
identity_problem(const CkpxIdentity *found)
{
	CkpxIdentity own;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	own = CkpxShared->identity;
	LWLockRelease(CkpxShared->lock);

	return own.system_identifier == 0 ? NULL :
		ckpx_identity_problem(found, &own);
}

/*
 * Open part 'number' and verify everything but its sections.  False with
 * *problem set, which is NULL where the object has gone.
 */
static bool
part_open(CkpxObjectFile *file, const CkpxEntry *entry, uint32 number,
		  char **problem)
{
	ObjectPart *part;
	CkpxObjectReader *reader = NULL;
	struct stat st;
	const char *text = NULL;

	part = MemoryContextAllocZero(file->context, sizeof(ObjectPart));
	part->file = file;
	ckpx_entry_object_name(part->name, entry, number);
	file->files = repalloc(file->files,
						   sizeof(ObjectPart *) * (file->nfiles + 1));
	file->files[file->nfiles++] = part;

	*problem = NULL;
	if (reach_part(part))
	{
		if (fstat(file->fd, &st) != 0)
		{
			char		path[MAXPGPATH];

			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m",
							part_path(part, path))));
		}
		reader = ckpx_object_open(file->context, read_part, part, st.st_size,
								  &text);
	}
	if (reader != NULL)
	{
		if (ckpx_object_parts_add(&file->parts, reader, st.st_size, entry,
								  &text))
			text = identity_problem(&ckpx_object_header(reader)->identity);
		if (text == NULL)
			return true;
	}
	if (!file->gone)
		*problem = part_problem(part, text);
	return false;
}

/*
 * Open all parts, one after the other.  False with *problem set, NULL where
 * the object has gone.  Where the entry knows how many parts and bytes there
 * are, both must agree.
 */
static bool
parts_open(CkpxObjectFile *file, const CkpxEntry *entry, char **problem)
{
	CkpxObjectParts *parts = &file->parts;

	file->ticket = ckpx_entry_ticket(entry);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (parts->nparts >= CKPX_MAX_PARTS)
		{
			*problem = part_problem(file->files[0], "there is no last part");
			return false;
		}
		if (!part_open(file, entry, parts->nparts, problem))
			return false;
	} while (!ckpx_object_totals(parts->readers[parts->last])->last_part);

	if (entry->nparts != 0 && entry->nparts != parts->nparts)
		*problem = part_problem(file->files[0],
								psprintf("the object has %u parts instead of %u",
										 parts->nparts, entry->nparts));
	else if (entry->size_bytes != 0 && entry->size_bytes != parts->size_bytes)
		*problem = part_problem(file->files[0],
								psprintf("the object has " UINT64_FORMAT " bytes instead of " UINT64_FORMAT,
										 parts->size_bytes,
										 entry->size_bytes));
	return *problem == NULL;
}

static CkpxObjectFile *
object_file_create(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "ckpx object",
												  ALLOCSET_DEFAULT_SIZES);
	CkpxObjectFile *file = MemoryContextAllocZero(context,
												  sizeof(CkpxObjectFile));

	file->context = context;
	file->files = MemoryContextAlloc(context, sizeof(ObjectPart *));
	ckpx_object_parts_init(&file->parts, context);
	return file;
}

/*
 * Let everything go.  The descriptor may have been closed by the end of a
 * transaction, but then nothing calls this any more.
 */
void
ckpx_object_file_close(CkpxObjectFile *file)
{
	close_open_part(file);
	MemoryContextDelete(file->context);
}

/*
 * Write the reason of the gap that the loss of the entry's object leaves.
 */
void
ckpx_object_file_loss(char *reason, const CkpxEntry *entry)
{
	char		name[CKPX_NAME_MAX];

	ckpx_entry_object_name(name, entry, 0);
	snprintf(reason, CKPX_GAP_REASON_MAX, "object %s is missing or damaged",
			 name);
}

/*
 * Give the files of an object their second name.
 */
void
ckpx_object_file_keep(const CkpxEntry *entry)
{
	for (uint32 part = 0; part < Max(entry->nparts, 1); part++)
	{
		char		name[CKPX_NAME_MAX];
		char		path[MAXPGPATH];
		char		kept[MAXPGPATH];

		CHECK_FOR_INTERRUPTS();
		ckpx_entry_object_name(name, entry, part);
		ckpx_store_path(path, name);
		ckpx_damaged_name(name);
		ckpx_store_path(kept, name);

		/* It may be away, or kept already. */
		if (link(path, kept) != 0 && errno != ENOENT && errno != EEXIST)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not link file \"%s\" to \"%s\": %m",
							path, kept)));
	}
}

/*
 * A part cannot be used.  The checkpointer hears of it, looks for itself and
 * draws the consequences: jobs/damage.c.
 */
static void
damaged(const ObjectPart *part, const char *sentence)
{
	ckpx_suspect(&part->file->ticket);
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("checkpoint object \"%s\" is damaged", part->name),
			 errdetail("%s", sentence),
			 errhint(CKPX_LOOKED_AT_AGAIN)));
}

/*
 * Raise an error about the record that _next has visited last, or did not find
 * where _peek had seen one.
 */
void
ckpx_object_file_damaged(CkpxObjectFile *file, const char *problem)
{
	const ObjectPart *part = file->files[file->parts.last];

	damaged(part, part_problem(part, problem));
}

/*
 * Open the object of 'entry' and verify everything but its sections; NULL
 * where it is not there and 'missing_ok'.
 */
CkpxObjectFile *
ckpx_object_file_open(const CkpxEntry *entry, bool missing_ok)
{
	CkpxObjectFile *file = object_file_create();
	char	   *problem;

	file->missing_ok = missing_ok;
	if (parts_open(file, entry, &problem))
		return file;
	if (problem != NULL)
		damaged(file->files[0], problem);
	ckpx_object_file_close(file);
	return NULL;
}

/*
 * Copy the marks in the header of an object; false where it is not there and
 * 'missing_ok'.
 */
bool
ckpx_object_file_marks(const CkpxEntry *entry, bool missing_ok,
					   CkpxMark **marks, uint32 *nmarks)
{
	CkpxObjectFile *file = object_file_create();
	const CkpxObjectHeader *header;
	char	   *problem;
	bool		found;

	file->missing_ok = missing_ok;
	file->ticket = ckpx_entry_ticket(entry);
	found = part_open(file, entry, 0, &problem);
	if (problem != NULL)
		damaged(file->files[0], problem);
	if (found)
	{
		header = ckpx_object_file_header(file);
		*nmarks = header->nmarks;
		*marks = palloc(sizeof(CkpxMark) * header->nmarks + 1);
		memcpy(*marks, header->marks, sizeof(CkpxMark) * header->nmarks);
	}
	ckpx_object_file_close(file);
	return found;
}

/*
 * Copy the layers in the header of a global; none where it cannot be read.
 */
uint32
ckpx_object_file_layers(const CkpxEntry *entry, CkpxLayer *layers)
{
	CkpxObjectFile *file = object_file_create();
	uint32		nlayers = 0;
	char	   *problem;

	file->missing_ok = true;
	file->judging = true;
	file->ticket = ckpx_entry_ticket(entry);
	if (part_open(file, entry, 0, &problem))
	{
		const CkpxObjectHeader *header = ckpx_object_file_header(file);

		nlayers = header->nlayers;
		memcpy(layers, header->layers, sizeof(CkpxLayer) * nlayers);
	}
	else if (problem != NULL)
		ckpx_suspect(&file->ticket);
	ckpx_object_file_close(file);
	return nlayers;
}

bool
ckpx_object_file_gone(const CkpxObjectFile *file)
{
	return file->gone;
}

const CkpxObjectHeader *
ckpx_object_file_header(CkpxObjectFile *file)
{
	return ckpx_object_parts_header(&file->parts);
}

const CkpxObjectParts *
ckpx_object_file_parts(CkpxObjectFile *file)
{
	return &file->parts;
}

/*
 * Visit the next record.  False at the end, where the object has gone, or with
 * *problem, a palloc'd sentence about the present part.
 */
static bool
next_record(CkpxObjectFile *file, CkpxRelationView *view, char **problem)
{
	const char *text;

	*problem = NULL;
	if (ckpx_object_parts_next(&file->parts, view, &text))
		return true;
	if (text != NULL && !file->gone)
		*problem = part_problem(file->files[file->parts.last], text);
	return false;
}

/*
 * Visit the next record; false at the end, or where the object has gone.
 */
bool
ckpx_object_file_next(CkpxObjectFile *file, CkpxRelationView *view)
{
	char	   *problem;

	if (next_record(file, view, &problem))
		return true;
	if (problem != NULL)
		damaged(file->files[file->parts.last], problem);
	return false;
}

/*
 * Append what the object says of changes since 'lsn' to 'tree'.
 */
void
ckpx_object_file_merge(CkpxObjectFile *file, XLogRecPtr lsn,
					   CkpxDirtyTree *tree)
{
	CkpxRelationView view;
	const char *problem;

	while (ckpx_object_file_next(file, &view))
	{
		CHECK_FOR_INTERRUPTS();
		if (!ckpx_object_parts_append(&file->parts, &view, lsn, tree,
									  &problem))
			ckpx_object_file_damaged(file, problem);
	}
}

/*
 * Append the whole object of 'entry' to 'tree'; false where it has gone and
 * 'missing_ok'.
 */
bool
ckpx_object_merge(const CkpxEntry *entry, bool missing_ok, CkpxDirtyTree *tree)
{
	CkpxObjectFile *file = ckpx_object_file_open(entry, missing_ok);
	bool		gone;

	if (file == NULL)
		return false;
	ckpx_object_file_merge(file, InvalidXLogRecPtr, tree);
	gone = file->gone;
	ckpx_object_file_close(file);
	return !gone;
}

/*
 * Append what the object has of one key to 'relation'; true if it has any.
 */
bool
ckpx_object_file_find(CkpxObjectFile *file, const CkpxRelKey *key,
					  XLogRecPtr lsn, CkpxRelation *relation)
{
	const char *problem;
	bool		found;

	if (ckpx_object_parts_find(&file->parts, key, lsn, relation, &found,
							   &problem))
		return found;
	if (!file->gone)
		ckpx_object_file_damaged(file, problem);
	return false;
}

/*
 * Tell the key of the record that _next will visit.
 */
bool
ckpx_object_file_peek(CkpxObjectFile *file, CkpxRelKey *key)
{
	const char *problem;

	if (ckpx_object_parts_peek(&file->parts, key, &problem))
		return true;
	if (problem != NULL && !file->gone)
		ckpx_object_file_damaged(file, problem);
	return false;
}

XLogRecPtr
ckpx_object_file_tombstones_from(CkpxObjectFile *file)
{
	return ckpx_object_parts_tombstones_from(&file->parts);
}

/*
 * Read everything in an object; NULL, or what is wrong with it.
 */
static char *
body_problem(CkpxObjectFile *file)
{
	CkpxRelationView view;
	char	   *sentence;

	while (next_record(file, &view, &sentence))
	{
		CkpxRelation relation;
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		ckpx_relation_init(&relation, &view.key, file->context);
		if (!ckpx_relation_merge_view(&relation, &view, &problem))
			return part_problem(file->files[file->parts.last], problem);
		ckpx_block_set_reset(&relation.blocks);
	}
	return sentence;
}

/*
 * Open an object and close it again.  What it says goes to *found and
 * *identity (NULL: not wanted); 'body': it must be readable to its end.
 */
static CkpxObjectState
examine_once(const CkpxEntry *expected, bool body, bool again,
			 CkpxEntry *found, CkpxIdentity *identity, char **problem)
{
	CkpxObjectFile *file = object_file_create();
	MemoryContext old = MemoryContextSwitchTo(file->context);
	CkpxObjectState state = CKPX_OBJECT_GOOD;
	char	   *text = NULL;

	file->judging = true;
	file->again = again;
	if (parts_open(file, expected, &text))
	{
		if (body)
			text = body_problem(file);
		if (found != NULL)
			ckpx_object_parts_describe(&file->parts, found);
		if (identity != NULL)
			*identity = ckpx_object_file_header(file)->identity;
	}
	if (text != NULL)
		state = file->absent != NULL ? CKPX_OBJECT_ABSENT :
			CKPX_OBJECT_DAMAGED;

	MemoryContextSwitchTo(old);
	if (text != NULL)
		*problem = pstrdup(text);
	ckpx_object_file_close(file);
	return state;
}

/*
 * The same, and damage is believed only if it is there a second time.
 */
static CkpxObjectState
examine(const CkpxEntry *expected, bool body, CkpxEntry *found,
		CkpxIdentity *identity, char **problem)
{
	CkpxObjectState state;
	char	   *before;

	state = examine_once(expected, body, false, found, identity, problem);
	if (state != CKPX_OBJECT_DAMAGED)
		return state;
	before = *problem;
	state = examine_once(expected, body, true, found, identity, problem);

	/* What reads differently each time cannot be read now. */
	if (state == CKPX_OBJECT_DAMAGED && strcmp(before, *problem) != 0)
		state = CKPX_OBJECT_ABSENT;
	return state;
}

/*
 * Check an object, with 'body' to its last byte, and learn
 * entry->tombstones_from.
 */
CkpxObjectState
ckpx_object_file_verify(CkpxEntry *entry, bool body, char **problem)
{
	CkpxEntry	found;
	CkpxObjectState state = examine(entry, body, &found, NULL, problem);

	if (state == CKPX_OBJECT_GOOD)
		entry->tombstones_from = found.tombstones_from;
	return state;
}

/*
 * Check an object of which only the name of its first file is known.
 */
CkpxObjectState
ckpx_object_file_probe(const CkpxName *name, CkpxEntry *entry,
					   CkpxIdentity *identity, char **problem)
{
	CkpxEntry	expected;

	memset(&expected, 0, sizeof(expected));
	expected.kind = name->kind;
	expected.range.epoch = name->epoch;
	expected.range.timeline = name->timeline;
	expected.range.start_lsn = name->start_lsn;
	expected.range.end_lsn = name->end_lsn;
	return examine(&expected, false, entry, identity, problem);
}
