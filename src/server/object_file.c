/*-------------------------------------------------------------------------
 *
 * object_file.c
 *		Checkpoint objects as files: the parts of one, opened together and
 *		read as one.
 *
 * core/object_format.h knows the bytes; here are the descriptors, the names,
 * and the question whether a file is the one that its entry means: of this
 * cluster, of this range, and with the same header in all parts, so that
 * parts left by an earlier attempt are not taken for parts of this one.
 *
 * An object keeps the descriptors of all its parts while it is read: it then
 * stays readable when the files are removed meanwhile.
 *
 * Long reads are cut into pieces of a megabyte with a look at interrupts
 * between them.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "server/files.h"
#include "server/object_file.h"
#include "server/shared_state.h"
#include "storage/fd.h"
#include "utils/memutils.h"

/* More parts than any object has; a bound for a damaged one. */
#define MAX_PARTS			65536

/* One file of an object. */
typedef struct ObjectPart
{
	int			fd;				/* -1: not open */
	int			read_errno;		/* of a read that failed */
	uint64		size;
	CkpxObjectReader *reader;	/* NULL: not opened */
	char		name[CKPX_NAME_MAX];
	char		path[MAXPGPATH];
} ObjectPart;

struct CkpxObjectFile
{
	MemoryContext context;
	uint32		nparts;
	ObjectPart **parts;
	uint32		current;		/* the part that _next is in */
	bool		part_begun;		/* a record of it was returned */
	bool		any_key;
	CkpxRelKey	last_key;
};

/* CkpxObjectRead callback. */
static bool
read_part(void *arg, uint64 offset, char *bytes, Size length)
{
	ObjectPart *part = arg;

	while (length > 0)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		done = pg_pread(part->fd, bytes, Min(length, CKPX_IO_PIECE_BYTES),
						(off_t) offset);
		pgstat_report_wait_end();
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
		{
			/* A bad sector is damage like any other. */
			part->read_errno = errno;
			if (errno == EIO)
				return false;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", part->path)));
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
	if (part->read_errno != 0)
		return psprintf("Could not read file \"%s\": %s.", part->path,
						strerror(part->read_errno));
	return psprintf("File \"%s\": %s.", part->path,
					problem != NULL ? problem : "unknown problem");
}

/*
 * Close one part.  Its descriptor may have been closed by the end of a
 * transaction, but then nobody gets here any more.
 */
static void
part_close(ObjectPart *part)
{
	if (part->reader != NULL)
		ckpx_object_close(part->reader);
	part->reader = NULL;
	if (part->fd >= 0)
		(void) CloseTransientFile(part->fd);
	part->fd = -1;
}

/* Is this a file of our cluster?  NULL, or what is wrong. */
static const char *
identity_problem(const CkpxIdentity *found)
{
	CkpxIdentity own;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	own = CkpxShared->identity;
	LWLockRelease(CkpxShared->lock);

	/*
	 * The node identifier is another one in what a copy has taken over, and
	 * what a later epoch changed (checksums, WAL segment size) does not make
	 * an older object wrong.
	 */
	if (own.system_identifier == 0)
		return NULL;
	if (found->system_identifier != own.system_identifier)
		return "it belongs to another cluster";
	if (found->pg_major != own.pg_major)
		return "it belongs to another major version of PostgreSQL";
	if (found->block_size != own.block_size ||
		found->segment_blocks != own.segment_blocks)
		return "it was written with another block or segment size";
	return NULL;
}

/* Does a part's header say what the name says?  NULL, or what is wrong. */
static const char *
header_problem(const CkpxObjectHeader *header, const CkpxEntry *entry,
			   uint32 part)
{
	if (header->kind != entry->kind)
		return "it is an object of another kind";
	if (header->epoch != entry->epoch)
		return "it is of another epoch";
	if (header->timeline != entry->timeline)
		return "it is of another timeline";
	if (header->start_lsn != entry->start_lsn ||
		header->end_lsn != entry->end_lsn)
		return "it is of another range";
	if (header->part != part)
		return "it is another part";
	if (entry->version != 0 && header->version != entry->version)
		return "it has another format version than its entry";
	return identity_problem(&header->identity);
}

/*
 * Parts left by an earlier attempt must not be taken for parts of this
 * object: every header but its part number comes from one writing.
 */
static const char *
siblings_problem(const CkpxObjectHeader *a, const CkpxObjectHeader *b)
{
	if (a->written_at != b->written_at || a->created_at != b->created_at ||
		a->identity.node_id != b->identity.node_id ||
		a->last_record.start != b->last_record.start ||
		a->last_record.crc != b->last_record.crc ||
		a->last_change_lsn != b->last_change_lsn)
		return "it was not written together with the first part";
	return NULL;
}

/*
 * Open part 'number' and verify everything but its sections.  False with
 * *problem set, which is NULL where the file is not there.
 */
static bool
part_open(CkpxObjectFile *file, const CkpxEntry *entry, uint32 number,
		  char **problem)
{
	ObjectPart *part;
	struct stat st;
	const char *text = NULL;

	part = palloc0(sizeof(ObjectPart));
	part->fd = -1;
	ckpx_object_name(part->name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, number);
	ckpx_store_path(part->path, part->name);

	file->parts = file->nparts == 0 ? palloc(sizeof(ObjectPart *)) :
		repalloc(file->parts, sizeof(ObjectPart *) * (file->nparts + 1));
	file->parts[file->nparts++] = part;

	*problem = NULL;
	part->fd = OpenTransientFile(part->path, O_RDONLY | PG_BINARY);
	if (part->fd < 0)
	{
		if (errno == ENOENT)
			return false;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", part->path)));
	}
	if (fstat(part->fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", part->path)));
	if (!S_ISREG(st.st_mode))
		text = "it is not a regular file";
	else
	{
		part->size = st.st_size;
		part->reader = ckpx_object_open(file->context, read_part, part,
										part->size, &text);
		if (part->reader != NULL)
		{
			const CkpxObjectHeader *header = ckpx_object_header(part->reader);

			text = header_problem(header, entry, number);
			if (text == NULL && number > 0)
				text = siblings_problem(ckpx_object_header(file->parts[0]->reader),
										header);
			if (text == NULL)
				return true;
		}
	}
	*problem = part_problem(part, text);
	return false;
}

/*
 * Open all parts.  False with *problem set, NULL where the first part is not
 * there.  Where the entry knows how many parts and bytes there are, both must
 * agree.
 */
static bool
parts_open(CkpxObjectFile *file, const CkpxEntry *entry, char **problem)
{
	uint64		size = 0;

	for (uint32 number = 0;; number++)
	{
		ObjectPart *part;

		CHECK_FOR_INTERRUPTS();
		if (number >= MAX_PARTS)
		{
			*problem = psprintf("File \"%s\": there is no last part.",
								file->parts[0]->path);
			return false;
		}
		if (!part_open(file, entry, number, problem))
		{
			if (*problem == NULL && number > 0)
				*problem = psprintf("File \"%s\" is missing.",
									file->parts[number]->path);
			return false;
		}
		part = file->parts[number];
		size += part->size;
		if (ckpx_object_totals(part->reader)->last_part)
			break;
	}
	if (entry->nparts != 0 && entry->nparts != file->nparts)
	{
		*problem = psprintf("File \"%s\": the object has %u parts instead of %u.",
							file->parts[0]->path, file->nparts, entry->nparts);
		return false;
	}
	if (entry->size_bytes != 0 && entry->size_bytes != size)
	{
		*problem = psprintf("File \"%s\": the object has " UINT64_FORMAT " bytes instead of " UINT64_FORMAT ".",
							file->parts[0]->path, size, entry->size_bytes);
		return false;
	}
	return true;
}

static CkpxObjectFile *
object_file_create(void)
{
	CkpxObjectFile *file = palloc0(sizeof(CkpxObjectFile));

	file->context = CurrentMemoryContext;
	return file;
}

void
ckpx_object_file_close(CkpxObjectFile *file)
{
	for (uint32 i = 0; i < file->nparts; i++)
	{
		part_close(file->parts[i]);
		pfree(file->parts[i]);
	}
	if (file->parts != NULL)
		pfree(file->parts);
	pfree(file);
}

/*
 * Whoever finds damage tells the checkpointer, which looks for itself and
 * draws the consequences: damage_job.c.
 */
void
ckpx_object_file_suspect(const char *name)
{
	CkpxName	parsed;
	CkpxEntryTicket suspect = {0};

	ckpx_parse_name(name, &parsed);
	if (parsed.type != CKPX_NAME_OBJECT)
		return;
	suspect.kind = parsed.kind;
	suspect.epoch = parsed.epoch;
	suspect.start_lsn = parsed.start_lsn;
	suspect.end_lsn = parsed.end_lsn;
	ckpx_suspect(&suspect);
}

void
ckpx_object_file_loss(char *reason, const CkpxEntry *entry)
{
	char		name[CKPX_NAME_MAX];

	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, 0);
	snprintf(reason, CKPX_GAP_REASON_MAX, "object %s is missing or damaged",
			 name);
}

static void
damaged(const char *name, const char *problem)
{
	ckpx_object_file_suspect(name);
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("checkpoint object \"%s\" is damaged", name),
			 errdetail("%s", problem)));
}

CkpxObjectFile *
ckpx_object_file_open(const CkpxEntry *entry, bool missing_ok)
{
	CkpxObjectFile *file = object_file_create();
	char	   *problem;

	if (parts_open(file, entry, &problem))
		return file;

	if (problem == NULL && missing_ok)
	{
		ckpx_object_file_close(file);
		return NULL;
	}
	if (problem == NULL)
	{
		char		path[MAXPGPATH];

		strlcpy(path, file->parts[0]->path, MAXPGPATH);
		ckpx_object_file_suspect(file->parts[0]->name);
		ckpx_object_file_close(file);
		errno = ENOENT;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	}
	else
	{
		char		name[CKPX_NAME_MAX];

		strlcpy(name, file->parts[0]->name, CKPX_NAME_MAX);
		ckpx_object_file_close(file);
		damaged(name, problem);
	}
	return NULL;				/* not reached */
}

const CkpxObjectHeader *
ckpx_object_file_header(CkpxObjectFile *file)
{
	return ckpx_object_header(file->parts[0]->reader);
}

bool
ckpx_object_file_next(CkpxObjectFile *file, CkpxRelationView *view)
{
	while (file->current < file->nparts)
	{
		ObjectPart *part = file->parts[file->current];
		const char *problem = NULL;

		if (ckpx_object_next(part->reader, view, &problem))
		{
			/* Within a part the reader sees to the order. */
			if (!file->part_begun && file->any_key &&
				ckpx_rel_key_compare(&file->last_key, &view->key) >= 0)
				damaged(part->name,
						part_problem(part, "its relations do not continue those of the part before it"));
			file->part_begun = true;
			file->any_key = true;
			file->last_key = view->key;
			return true;
		}
		if (problem != NULL)
			damaged(part->name, part_problem(part, problem));
		file->current++;
		file->part_begun = false;
	}
	return false;
}

/*
 * Every part is asked: that costs no reading where the key lies outside it,
 * and nothing can be missed.
 */
bool
ckpx_object_file_find_since(CkpxObjectFile *file, const CkpxRelKey *key,
							XLogRecPtr lsn, CkpxRelation *relation)
{
	bool		found = false;

	for (uint32 i = 0; i < file->nparts; i++)
	{
		ObjectPart *part = file->parts[i];
		const char *problem = NULL;
		bool		here = false;

		if (!ckpx_object_find_since(part->reader, key, lsn, relation, &here,
									&problem))
			damaged(part->name, part_problem(part, problem));
		found = found || here;
	}
	return found;
}

bool
ckpx_object_file_find(CkpxObjectFile *file, const CkpxRelKey *key,
					  CkpxRelation *relation)
{
	return ckpx_object_file_find_since(file, key, InvalidXLogRecPtr,
									   relation);
}

/*
 * At the end of a part _next is asked all the same: that is where its totals
 * are verified, and it goes on to the next part.
 */
bool
ckpx_object_file_peek(CkpxObjectFile *file, CkpxRelKey *key)
{
	while (file->current < file->nparts)
	{
		ObjectPart *part = file->parts[file->current];
		CkpxRelationView view;
		const char *problem = NULL;

		if (ckpx_object_peek(part->reader, key))
			return true;
		if (ckpx_object_next(part->reader, &view, &problem))
			problem = "a record came from nowhere";
		if (problem != NULL)
			damaged(part->name, part_problem(part, problem));
		file->current++;
		file->part_begun = false;
	}
	return false;
}

XLogRecPtr
ckpx_object_file_tombstones_from(CkpxObjectFile *file)
{
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	for (uint32 i = 0; i < file->nparts; i++)
		lsn = Max(lsn,
				  ckpx_object_totals(file->parts[i]->reader)->tombstones_from);
	return lsn;
}

/*
 * Read everything in an object; NULL, or what is wrong with it.
 */
static char *
body_problem(CkpxObjectFile *file)
{
	CkpxRelKey	last = {0};
	bool		any = false;

	for (uint32 i = 0; i < file->nparts; i++)
	{
		ObjectPart *part = file->parts[i];
		CkpxRelationView view;
		CkpxRelation relation;
		const char *problem = NULL;
		bool		begun = false;

		while (ckpx_object_next(part->reader, &view, &problem))
		{
			CHECK_FOR_INTERRUPTS();
			if (any && !begun && ckpx_rel_key_compare(&last, &view.key) >= 0)
				return part_problem(part, "its relations do not continue those of the part before it");
			begun = any = true;
			last = view.key;

			ckpx_relation_init(&relation, &view.key, file->context);
			if (!ckpx_relation_merge_view(&relation, &view, &problem))
				return part_problem(part, problem);
			ckpx_block_set_reset(&relation.blocks);
		}
		if (problem != NULL)
			return part_problem(part, problem);
	}
	return NULL;
}

/* What an object's header and footer say about it. */
static void
describe(CkpxObjectFile *file, CkpxEntry *entry)
{
	const CkpxObjectHeader *header = ckpx_object_file_header(file);

	memset(entry, 0, sizeof(CkpxEntry));
	entry->kind = header->kind;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->epoch = header->epoch;
	entry->timeline = header->timeline;
	entry->start_lsn = header->start_lsn;
	entry->end_lsn = header->end_lsn;
	entry->last_record = header->last_record;
	entry->last_change_lsn = header->last_change_lsn;
	entry->truncate_lsn = header->truncate_lsn;
	entry->nxacts = header->nxacts;
	entry->wal_bytes = header->wal_bytes;
	memcpy(entry->custom_rmgrs, header->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES);
	entry->version = header->version;
	entry->open_xacts = header->nopen_xacts;
	entry->created_at = header->created_at;
	entry->finished_at = header->written_at;
	entry->nparts = file->nparts;
	for (uint32 i = 0; i < file->nparts; i++)
	{
		const CkpxObjectTotals *totals;

		totals = ckpx_object_totals(file->parts[i]->reader);
		entry->nrelations += totals->nrelations;
		entry->nblocks += totals->nblocks;
		entry->undurable += totals->undurable;
		entry->size_bytes += file->parts[i]->size;
	}
	entry->tombstones_from = ckpx_object_file_tombstones_from(file);
}

/*
 * Open an object and close it again.  What it says goes to *found and
 * *identity (NULL: not wanted); 'body': it must be readable to its end.
 */
static bool
examine(const CkpxEntry *expected, bool body, CkpxEntry *found,
		CkpxIdentity *identity, char **problem)
{
	MemoryContext context;
	MemoryContext oldcontext;
	CkpxObjectFile *file;
	char	   *text = NULL;

	context = AllocSetContextCreate(CurrentMemoryContext,
									"ckpx object check",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	file = object_file_create();
	if (parts_open(file, expected, &text))
	{
		if (body)
			text = body_problem(file);
		if (found != NULL)
			describe(file, found);
		if (identity != NULL)
			*identity = ckpx_object_file_header(file)->identity;
	}
	else if (text == NULL)
		text = psprintf("File \"%s\" is missing.", file->parts[0]->path);

	MemoryContextSwitchTo(oldcontext);
	if (text != NULL)
		*problem = pstrdup(text);
	ckpx_object_file_close(file);
	MemoryContextDelete(context);
	return text == NULL;
}

bool
ckpx_object_file_check(CkpxEntry *entry, char **problem)
{
	CkpxEntry	found;

	if (!examine(entry, false, &found, NULL, problem))
		return false;
	entry->tombstones_from = found.tombstones_from;
	return true;
}

bool
ckpx_object_file_verify(const CkpxEntry *entry, char **problem)
{
	return examine(entry, true, NULL, NULL, problem);
}

bool
ckpx_object_file_probe(const char *name, CkpxEntry *entry,
					   CkpxIdentity *identity, char **problem)
{
	CkpxEntry	expected;
	CkpxName	parsed;

	ckpx_parse_name(name, &parsed);
	if (parsed.type != CKPX_NAME_OBJECT || parsed.part != 0)
	{
		*problem = psprintf("\"%s\" is not the name of a checkpoint object.",
							name);
		return false;
	}
	memset(&expected, 0, sizeof(expected));
	expected.kind = parsed.kind;
	expected.epoch = parsed.epoch;
	expected.timeline = parsed.timeline;
	expected.start_lsn = parsed.start_lsn;
	expected.end_lsn = parsed.end_lsn;
	return examine(&expected, false, entry, identity, problem);
}
