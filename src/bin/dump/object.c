/*-------------------------------------------------------------------------
 *
 * object.c
 *		Files of a store, opened and read; an object through all its parts.
 *
 * One descriptor is open for an object, that of the part in use: an object may
 * have thousands of parts.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/object.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/logging.h"

static void
set_problem(Problem *problem, const char *path, const char *text)
{
	problem->path = pstrdup(path);
	problem->text = pstrdup(text);
	problem->missing = false;
}

/* The same for what errno says. */
static void
set_errno_problem(Problem *problem, const char *path)
{
	int			save_errno = errno;

	set_problem(problem, path, strerror(save_errno));
	problem->missing = save_errno == ENOENT;
}

void
problem_report(const Problem *problem)
{
	pg_log_error("file \"%s\" cannot be used: %s", problem->path,
				 problem->text);
}

void
problem_warn(const Problem *problem)
{
	pg_log_warning("file \"%s\" cannot be used: %s", problem->path,
				   problem->text);
}

/*
 * Open a regular file; -1 with *problem.  Nothing else is waited for, or
 * read.
 */
static int
open_file(const char *path, uint64 *size, Problem *problem)
{
	struct stat st;
	int			fd = open(path, O_RDONLY | O_NONBLOCK | PG_BINARY, 0);

	if (fd < 0)
	{
		set_errno_problem(problem, path);
		return -1;
	}
	if (fstat(fd, &st) != 0)
		set_errno_problem(problem, path);
	else if (!S_ISREG(st.st_mode))
		set_problem(problem, path, "it is not a regular file");
	else
	{
		*size = st.st_size;
		return fd;
	}
	close(fd);
	return -1;
}

/* Read all of these bytes; false, with errno 0 at the file's end. */
static bool
read_bytes(int fd, uint64 offset, char *bytes, Size length)
{
	while (length > 0)
	{
		ssize_t		done = pg_pread(fd, bytes, length, (off_t) offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
		{
			errno = done < 0 ? errno : 0;
			return false;
		}
		offset += done;
		bytes += done;
		length -= done;
	}
	return true;
}

/*-------------------------------------------------------------------------
 * Objects
 *-------------------------------------------------------------------------
 */

/* Make 'part' the one that is open. */
static bool
reach_part(ObjectPart *part, uint64 *size, Problem *problem)
{
	Object	   *object = part->object;

	if (object->reached == part)
		return true;
	if (object->reached != NULL)
		close(object->fd);
	object->reached = NULL;
	object->fd = open_file(part->path, size, problem);
	if (object->fd < 0)
		return false;
	object->reached = part;
	return true;
}

/* CkpxObjectRead callback. */
static bool
read_part(void *arg, uint64 offset, char *bytes, Size length)
{
	ObjectPart *part = arg;
	Problem		problem;
	uint64		size;

	if (reach_part(part, &size, &problem))
	{
		if (read_bytes(part->object->fd, offset, bytes, length))
			return true;
		if (errno == 0)
			return false;
		set_errno_problem(&problem, part->path);
	}

	/* Whatever is told of the record after this, here is the cause. */
	problem_report(&problem);
	return false;
}

/* Open the next part; false with *problem. */
static bool
open_part(Object *object, const char *first_path, CkpxEntry *expected,
		  const CkpxIdentity *own, Problem *problem)
{
	uint32		number = object->nfiles;
	ObjectPart *part = palloc0(sizeof(ObjectPart));
	CkpxObjectReader *reader;
	const char *text = NULL;
	uint64		size;

	part->object = object;
	part->path = number == 0 ? pstrdup(first_path) :
		psprintf("%s.%u", first_path, number);
	object->files = repalloc(object->files,
							 sizeof(ObjectPart *) * (number + 1));
	object->files[object->nfiles++] = part;
	if (!reach_part(part, &size, problem))
		return false;

	reader = ckpx_object_open(NULL, read_part, part, size, &text);
	if (reader != NULL && number == 0 && expected->kind == CKPX_KIND_NONE)
	{
		const CkpxObjectHeader *header = ckpx_object_header(reader);

		expected->kind = header->kind;
		expected->range = header->range;
	}
	if (reader != NULL &&
		ckpx_object_parts_add(&object->parts, reader, size, expected, &text) &&
		own != NULL)
		text = ckpx_identity_problem(&ckpx_object_header(reader)->identity,
									 own);
	if (text != NULL)
		set_problem(problem, part->path, text);
	return text == NULL;
}

Object *
object_open(const char *path, const CkpxEntry *expected,
			const CkpxIdentity *own, Problem *problem)
{
	Object	   *object = palloc0(sizeof(Object));
	CkpxObjectParts *parts = &object->parts;
	CkpxEntry	entry = {0};

	if (expected != NULL)
		entry = *expected;
	ckpx_object_parts_init(parts, NULL);
	object->files = palloc(sizeof(ObjectPart *));
	do
	{
		if (parts->nparts >= CKPX_MAX_PARTS)
			set_problem(problem, path, "there is no last part");
		else if (open_part(object, path, &entry, own, problem))
			continue;
		object_close(object);
		return NULL;
	} while (!ckpx_object_totals(parts->readers[parts->last])->last_part);
	return object;
}

void
object_close(Object *object)
{
	ckpx_object_parts_close(&object->parts);
	if (object->reached != NULL)
		close(object->fd);
	for (uint32 i = 0; i < object->nfiles; i++)
	{
		pfree(object->files[i]->path);
		pfree(object->files[i]);
	}
	pfree(object->files);
	pfree(object);
}

void
object_problem(const Object *object, const char *text, Problem *problem)
{
	set_problem(problem, object->files[object->parts.last]->path, text);
}

/*-------------------------------------------------------------------------
 * Other files
 *-------------------------------------------------------------------------
 */

bool
manifest_read(const char *path, CkpxManifest *manifest, Problem *problem)
{
	const char *text = NULL;
	char	   *bytes;
	uint64		size;
	int			fd = open_file(path, &size, problem);

	if (fd < 0)
		return false;
	if (size > CKPX_MANIFEST_MAX_BYTES)
	{
		set_problem(problem, path, "it is too large");
		close(fd);
		return false;
	}
	bytes = palloc(size + 1);
	bytes[size] = '\0';
	if (!read_bytes(fd, 0, bytes, size))
	{
		if (errno == 0)
			set_problem(problem, path, "file is too short");
		else
			set_errno_problem(problem, path);
		pfree(bytes);
		close(fd);
		return false;
	}
	close(fd);
	if (!ckpx_manifest_decode(manifest, bytes, size, &text))
		set_problem(problem, path, text);
	pfree(bytes);
	return text == NULL;
}

FileKind
file_kind(const char *path)
{
	static const char object_magic[] = "\x89" "CKPX";
	static const char manifest_begin[] = "{ \"ckpx_manifest_version\"";
	char		begin[sizeof(manifest_begin)] = "";
	CkpxName	name;
	struct stat st;
	Problem		problem;
	uint64		size;
	int			fd;

	if (stat(path, &st) != 0)
		pg_fatal("could not stat file \"%s\": %m", path);
	if (S_ISDIR(st.st_mode))
		return FILE_DIRECTORY;
	fd = open_file(path, &size, &problem);
	if (fd < 0)
	{
		problem_report(&problem);
		exit(1);
	}
	(void) read_bytes(fd, 0, begin, Min(size, sizeof(begin) - 1));
	close(fd);

	/* The name of a damaged file tells what it was. */
	ckpx_parse_name(last_dir_separator(path) != NULL ?
					last_dir_separator(path) + 1 : path, &name);
	if (name.type == CKPX_NAME_OBJECT)
		return FILE_OBJECT;
	if (name.type == CKPX_NAME_MANIFEST)
		return FILE_MANIFEST;
	if (memcmp(begin, object_magic, strlen(object_magic)) == 0)
		return FILE_OBJECT;
	if (strcmp(begin, manifest_begin) == 0)
		return FILE_MANIFEST;
	pg_log_error("file \"%s\" is neither an object nor a manifest of ckpx",
				 path);
	exit(1);
}
