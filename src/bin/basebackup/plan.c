/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Which files a backup consists of, and what is copied of each.
 *
 * A segment of a relation becomes an increment if the map knows its changes
 * and the parent has it.  Beside the blocks of the map it gets every block
 * at or beyond the parent's length: a relation may have grown by zeros,
 * without WAL, and a restore must not find an older backup's blocks there.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/plan.h"

#include "bin/basebackup/run.h"
#include "bin/common/increment.h"
#include "bin/common/paths.h"
#include "bin/common/tar.h"
#include "common/hashfn.h"

/* More files than any cluster has: bounds what a server can make us keep. */
#define PLAN_MAX_FILES		(256 * 1024 * 1024)
#define SEGMENT_BYTES		((uint64) RELSEG_SIZE * BLCKSZ)

/* Columns of files_query. */
enum
{
	COLUMN_PATH,
	COLUMN_KIND,
	COLUMN_LINK,
	COLUMN_SIZE,
	COLUMN_MODIFIED,
	COLUMN_BLOCKS,
	COLUMN_COVERED
};

static const char *const files_query =
"SELECT path, kind, link, size, floor(extract(epoch FROM modified))::bigint,"
" blocks, covered_to FROM %s.ckpx_backup_files($1, $2::pg_lsn, $3::pg_lsn)";

/* What one listing is made into. */
typedef struct Listing
{
	Plan	   *plan;
	const Parent *parent;
	int			reread;
	PlanRow		function;
	void	   *arg;
} Listing;

/* A name out of bytea's hex form, checked; NULL after run_fail(). */
static char *
parse_name(const char *text, const char *what, bool is_path)
{
	size_t		length;
	unsigned char *bytes = PQunescapeBytea((const unsigned char *) text,
										   &length);
	const char *problem;
	char	   *name;

	if (bytes == NULL)
		pg_fatal("out of memory");
	name = pg_malloc(length + 1);
	memcpy(name, bytes, length);
	name[length] = '\0';
	PQfreemem(bytes);
	if (strlen(name) != length || length == 0 || length >= MAXPGPATH)
		problem = "its length is wrong";
	else
		problem = is_path ? path_check(name) : NULL;
	if (problem == NULL)
		return name;
	run_fail("the server listed %s \"%.200s\": %s", what, name, problem);
	pfree(name);
	return NULL;
}

static bool
parse_kind(const char *text, PlanKind *kind)
{
	static const char *const names[] = {
		[PLAN_DIRECTORY] = "directory",
		[PLAN_TABLESPACE] = "tablespace",
		[PLAN_RELATION] = "relation",
		[PLAN_FSM] = "fsm",
		[PLAN_FILE] = "file",
		[PLAN_CONTROL] = "control",
	};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(text, names[i]) == 0)
		{
			*kind = i;
			return true;
		}
	}
	run_fail("the server listed a file of kind \"%.100s\"", text);
	return false;
}

/* Add the blocks from 'start' up to 'end', which is not beyond the file's. */
static void
add_blocks(PlanFile *file, BlockNumber start, BlockNumber end)
{
	if (file->blocks == NULL && start < end)
		file->blocks = pg_malloc0(file->size / BLCKSZ / 8 + 1);
	for (BlockNumber block = start; block < end; block++)
	{
		uint8		bit = 1 << block % 8;

		file->nblocks += (file->blocks[block / 8] & bit) == 0;
		file->blocks[block / 8] |= bit;
	}
}

/*
 * The text of an int8multirange: {[1,3),[7,)}.  Ranges must ascend; they are
 * cut to 'limit'.
 */
static bool
parse_ranges(PlanFile *file, const char *text, uint32 limit)
{
	const char *at = text;
	uint64		last = 0;		/* end of the range before */

	if (*at++ != '{')
		return false;
	while (*at == '[')
	{
		char	   *end;
		uint64		from;
		uint64		to = PG_UINT64_MAX;

		from = strtoull(at + 1, &end, 10);
		if (end == at + 1 || *end != ',')
			return false;
		at = end + 1;
		if (*at != ')')
		{
			to = strtoull(at, &end, 10);
			if (end == at || *end != ')')
				return false;
			at = end;
		}
		if (from < last || from >= to)
			return false;
		last = to;
		add_blocks(file, Min(from, limit), Min(to, limit));
		at++;
		if (*at == ',')
			at++;
	}
	return at[0] == '}' && at[1] == '\0';
}

/* Is it the turn of this file to be copied whole? */
static bool
is_reread(const Listing *listing, const PlanFile *file)
{
	uint32		hash;

	if (listing->reread == 0)
		return false;
	hash = hash_bytes((const unsigned char *) file->path, strlen(file->path));
	return hash % listing->reread ==
		listing->parent->chain_length % listing->reread;
}

/* Choose between an increment and a whole copy of a relation's segment. */
static bool
choose_blocks(const Listing *listing, PlanFile *file, const char *blocks)
{
	uint32		limit = file->size / BLCKSZ;
	BlockNumber parent_blocks;

	file->expected = file->size;
	if (listing->parent == NULL || blocks == NULL ||
		file->size % BLCKSZ != 0 || is_reread(listing, file) ||
		!parent_length(listing->parent, file->path, &parent_blocks))
		return true;
	if (!parse_ranges(file, blocks, limit))
	{
		run_fail("the server sent \"%.100s\" for blocks of file \"%s\"",
				 blocks, file->path);
		return false;
	}
	add_blocks(file, parent_blocks, limit);
	file->incremental = true;
	file->expected = increment_file_length(file->nblocks);
	return true;
}

static bool
add_file(Listing *listing, PlanFile *file, const char *blocks)
{
	Plan	   *plan = listing->plan;

	if (file->kind == PLAN_RELATION && file->size > SEGMENT_BYTES)
	{
		run_fail("the server listed %llu bytes for file \"%s\"",
				 (unsigned long long) file->size, file->path);
		return false;
	}
	if (file->kind == PLAN_RELATION)
	{
		if (!choose_blocks(listing, file, blocks))
			return false;
	}
	else
		file->expected = file->size;
	if (plan->nfiles >= PLAN_MAX_FILES)
	{
		run_fail("the server listed more than %d files", PLAN_MAX_FILES);
		return false;
	}
	if (plan->nfiles == plan->files_allocated)
	{
		plan->files_allocated = Max(1024, plan->files_allocated * 2);
		plan->files = pg_realloc(plan->files, sizeof(PlanFile) *
								 plan->files_allocated);
	}
	plan->files[plan->nfiles++] = *file;
	plan->bytes += file->expected;
	plan->blocks += file->incremental ? file->nblocks : 0;
	return true;
}

static void
add_directory(Plan *plan, char *path)
{
	if (plan->ndirectories % 256 == 0)
		plan->directories = pg_realloc(plan->directories, sizeof(char *) *
									   (plan->ndirectories + 256));
	plan->directories[plan->ndirectories++] = path;
}

static bool
add_link(Plan *plan, char *path, const char *target_text)
{
	char	   *target = parse_name(target_text, "a link to", false);
	Oid			oid;
	int			length = 0;

	if (target == NULL)
		return false;
	if (sscanf(path, "pg_tblspc/%u%n", &oid, &length) != 1 ||
		path[length] != '\0' || !is_absolute_path(target))
	{
		run_fail("the server listed a tablespace \"%s\" in \"%s\"",
				 path, target);
		return false;
	}
	if (plan->nlinks % 16 == 0)
		plan->links = pg_realloc(plan->links, sizeof(PlanLink) *
								 (plan->nlinks + 16));
	plan->links[plan->nlinks].path = path;
	plan->links[plan->nlinks++].target = target;
	return true;
}

/* One row of the list. */
static bool
take_row(Listing *listing, const PGresult *row)
{
	const char *blocks = PQgetisnull(row, 0, COLUMN_BLOCKS) ? NULL :
		PQgetvalue(row, 0, COLUMN_BLOCKS);
	Plan	   *plan = listing->plan;
	PlanFile	file = {0};
	uint64		value;

	file.path = parse_name(PQgetvalue(row, 0, COLUMN_PATH), "a file", true);
	if (file.path == NULL || !parse_kind(PQgetvalue(row, 0, COLUMN_KIND),
										 &file.kind))
		return false;
	if (!PQgetisnull(row, 0, COLUMN_COVERED) && plan)
	{
		if (!session_lsn(PQgetvalue(row, 0, COLUMN_COVERED), &value))
			return false;
		if (plan->covered_to == 0 || value < plan->covered_to)
			plan->covered_to = value;
	}
	if (file.kind >= PLAN_RELATION)
	{
		if (!session_number(PQgetvalue(row, 0, COLUMN_SIZE), PG_INT64_MAX / 2,
							&file.size) ||
			!session_number(PQgetvalue(row, 0, COLUMN_MODIFIED),
							PG_INT32_MAX * INT64CONST(64), &value))
			return false;
		file.modified = value;
	}
	if (listing->function)
		return listing->function(listing->arg, &file,
								 blocks == NULL || strcmp(blocks, "{}") != 0);
	switch (file.kind)
	{
		case PLAN_DIRECTORY:
			add_directory(plan, file.path);
			return true;
		case PLAN_TABLESPACE:
			return add_link(plan, file.path,
							PQgetvalue(row, 0, COLUMN_LINK));
		case PLAN_CONTROL:
			pfree(file.path);
			return true;		/* it comes last, by other means */
		default:
			return add_file(listing, &file, blocks);
	}
}

static bool
walk(Listing *listing, Session *session, const char *slot,
	 XLogRecPtr start_lsn, XLogRecPtr since)
{
	char		start_text[32];
	char		since_text[32];
	const char *params[3] = {slot, start_text,
	since == InvalidXLogRecPtr ? NULL : since_text};
	PGresult   *row;
	bool		error;
	bool		good = true;

	snprintf(start_text, sizeof(start_text), "%X/%X",
			 LSN_FORMAT_ARGS(start_lsn));
	snprintf(since_text, sizeof(since_text), "%X/%X", LSN_FORMAT_ARGS(since));
	if (!session_begin_rows(session, files_query, 3, params))
		return false;
	while ((row = session_row(session, &error)) != NULL)
	{
		if (good && PQnfields(row) == COLUMN_COVERED + 1)
			good = take_row(listing, row);
		PQclear(row);
	}
	return good && !error;
}

Plan *
plan_list(Session *session, const char *slot, XLogRecPtr start_lsn,
		  const Parent *parent, int reread)
{
	Listing		listing = {.parent = parent,.reread = reread};

	listing.plan = pg_malloc0(sizeof(Plan));
	if (walk(&listing, session, slot, start_lsn, parent ?
			 parent->backup->label.start_lsn : InvalidXLogRecPtr))
		return listing.plan;
	plan_free(listing.plan);
	return NULL;
}

bool
plan_walk(Session *session, const char *slot, XLogRecPtr start_lsn,
		  XLogRecPtr since, PlanRow function, void *arg)
{
	Listing		listing = {.function = function,.arg = arg};

	return walk(&listing, session, slot, start_lsn, since);
}

static bool
has_block(const PlanFile *file, BlockNumber block)
{
	return (file->blocks[block / 8] & (1 << block % 8)) != 0;
}

bool
plan_next_run(const PlanFile *file, BlockNumber *start, BlockNumber *end)
{
	uint32		limit = file->blocks ? file->size / BLCKSZ : 0;

	*start = *end;
	while (*start < limit && !has_block(file, *start))
		(*start)++;
	*end = *start;
	while (*end < limit && has_block(file, *end))
		(*end)++;
	return *start < *end;
}

void
plan_name(const PlanFile *file, char *result)
{
	if (file->incremental)
		path_incremental(file->path, result);
	else
		strlcpy(result, file->path, MAXPGPATH);
}

/* The name within its archive: a tablespace with a link has one of its own. */
static const char *
name_in_archive(const Plan *plan, const char *name)
{
	for (uint32 i = 0; i < plan->nlinks; i++)
	{
		size_t		length = strlen(plan->links[i].path);

		if (strncmp(name, plan->links[i].path, length) == 0 &&
			name[length] == '/')
			return name + length + 1;
	}
	return name;
}

bool
plan_check_tar(const Plan *plan)
{
	for (uint32 i = 0; i < plan->nfiles + plan->ndirectories; i++)
	{
		char		name[MAXPGPATH];
		char	   *message;

		if (i < plan->nfiles)
			plan_name(&plan->files[i], name);
		else
			strlcpy(name, plan->directories[i - plan->nfiles], sizeof(name));
		if (tar_holds_name(name_in_archive(plan, name)))
			continue;
		message = psprintf("file name is too long for the tar format: \"%s\"",
						   name);
		run_fail_with(message, NULL,
					  "Take a plain backup: -F p.  If the file is not PostgreSQL's, move it out of the data directory.");
		pfree(message);
		return false;
	}
	return true;
}

void
plan_free(Plan *plan)
{
	if (plan == NULL)
		return;
	for (uint32 i = 0; i < plan->nfiles; i++)
	{
		free(plan->files[i].path);
		free(plan->files[i].blocks);
		free(plan->files[i].checksum);
	}
	for (uint32 i = 0; i < plan->ndirectories; i++)
		free(plan->directories[i]);
	for (uint32 i = 0; i < plan->nlinks; i++)
	{
		free(plan->links[i].path);
		free(plan->links[i].target);
	}
	free(plan->files);
	free(plan->directories);
	free(plan->links);
	free(plan);
}
