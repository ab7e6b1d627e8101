/*-------------------------------------------------------------------------
 *
 * resume.c
 *		DIRECTORY.partial: its lock, what is in it, and going on with it.
 *
 * The progress is lines of text.  Files count only if an "at" line follows,
 * which is written after they were synced, and after the server told how far
 * its WAL is flushed: no page of them is newer than that.
 *
 *	start X/X TIMELINE SYSTEM X/X		of the run, its parent's start
 *	mark X/X X/X CRC TIME				of its checkpoint, when it is known
 *	file I|W SIZE STORED TYPE CHECKSUM PATH
 *	at X/X TIMELINE
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/resume.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/hold.h"
#include "bin/basebackup/mark.h"
#include "bin/basebackup/run.h"
#include "bin/common/files.h"
#include "bin/common/paths.h"

#define PROGRESS_FILE	"progress"
#define MANIFEST_FILE	"backup_manifest"
#define PROGRESS_MAX_BYTES	((off_t) 4 * 1024 * 1024 * 1024)

/* Smaller files are copied sooner than they are synced one by one. */
#define KEEP_BYTES		(256 * 1024)

/* What an earlier run has left. */
typedef struct Progress
{
	XLogRecPtr	start_lsn;
	TimeLineID	timeline;
	uint64		system_identifier;
	XLogRecPtr	parent_start;
	XLogRecPtr	at_lsn;			/* the highest */
	TimeLineID	at_timeline;
	Manifest   *files;			/* by live path; 'modified' 1: an increment */
	Manifest   *sizes;			/* by live path: the size on the server */
	CheckpointMark mark;
} Progress;

static void
partial_fail(Job *job, const char *what, const char *name)
{
	run_fail("could not %s \"%s%s%s\": %m", what, job->partial,
			 name[0] ? "/" : "", name);
}

/*
 * Lock the directory.  One that is being published has no progress any more:
 * its manifest is locked, and no other file is made in it.
 */
static bool
lock_partial(Job *job)
{
	int			manifest = -1;
	bool		locked;

	if (lock_file(job->dir, PROGRESS_FILE, job->made_partial ? O_CREAT : 0,
				  &job->progress_fd))
		return true;
	if (errno != ENOENT ||
		(!lock_file(job->dir, MANIFEST_FILE, 0, &manifest) &&
		 errno != ENOENT))
		return false;
	locked = !job->options->resume ||
		lock_file(job->dir, PROGRESS_FILE, O_CREAT, &job->progress_fd);
	if (manifest >= 0)
		close(manifest);
	return locked;
}

/* What was opened and locked may have been published meanwhile. */
static bool
is_still_there(Job *job)
{
	struct stat opened;
	struct stat named;

	return fstat(job->dir, &opened) == 0 &&
		lstat(job->partial, &named) == 0 &&
		opened.st_dev == named.st_dev && opened.st_ino == named.st_ino &&
		(job->progress_fd < 0 || (fstat(job->progress_fd, &opened) == 0 &&
								  opened.st_nlink > 0));
}

bool
partial_open(Job *job)
{
	struct stat st;
	char	   *message;

	job->partial = psprintf("%s.partial", job->options->directory);
	job->made_partial = mkdir(job->partial, job->dir_mode) == 0;
	if (!job->made_partial && errno != EEXIST)
	{
		partial_fail(job, "create directory", "");
		return false;
	}
	job->dir = open(job->partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (job->dir < 0)
	{
		partial_fail(job, "open directory", "");
		return false;
	}
	errno = 0;
	if (!lock_partial(job) || !is_still_there(job))
	{
		if (errno == EAGAIN || errno == ENOENT || errno == 0)
			run_fail("another process is making \"%s\"", job->partial);
		else
			partial_fail(job, "lock", PROGRESS_FILE);
		return false;
	}

	/* not before: a process that had the lock may have given it the name */
	if (lstat(job->options->directory, &st) == 0)
	{
		run_fail("directory \"%s\" exists already", job->options->directory);
		return false;
	}
	if (job->made_partial || job->options->resume)
		return true;
	message = psprintf("directory \"%s\" of an earlier backup exists",
					   job->partial);
	run_fail_with(message, NULL, job->options->tar ?
				  "Remove it: only a plain backup can be resumed." :
				  "Use --resume to go on with it, or remove it.");
	pfree(message);
	return false;
}

void
partial_remove(Job *job)
{
	if (!job->made_partial || job->progress_fd < 0)
		return;
	unlinkat(job->dir, "backup_label", 0);
	unlinkat(job->dir, PROGRESS_FILE, 0);
	rmdir(job->partial);
}

bool
partial_describe(Job *job)
{
	Backup	   *parent = job->parent ? job->parent->backup : NULL;
	char	   *label = label_argument(job->id, parent && parent->label.id[0] ?
									   parent->label.id : NULL);
	char	   *text;
	int			fd;
	bool		good;

	if (parent)
		text = psprintf("INCREMENTAL FROM LSN: %X/%X\n"
						"INCREMENTAL FROM TLI: %u\nLABEL: %s\n",
						LSN_FORMAT_ARGS(parent->label.start_lsn),
						parent->label.start_tli, label);
	else
		text = psprintf("LABEL: %s\n", label);
	fd = openat(job->dir, "backup_label",
				O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
				job->dir_mode & 0666);
	good = fd >= 0 && write_all(fd, text, strlen(text)) &&
		(!job->options->sync || fsync(fd) == 0);
	if (!good)
		partial_fail(job, "write", "backup_label");
	if (fd >= 0)
		close(fd);
	pfree(text);
	pfree(label);
	return good;
}

static bool
append_progress(Job *job, PQExpBuffer text)
{
	bool		good = !PQExpBufferBroken(text) &&
		lseek(job->progress_fd, 0, SEEK_END) >= 0 &&
		write_all(job->progress_fd, text->data, text->len) &&
		(!job->options->sync || fdatasync(job->progress_fd) == 0);

	if (!good)
		partial_fail(job, "write", PROGRESS_FILE);
	return good;
}

bool
progress_begin(Job *job)
{
	PQExpBufferData text;
	bool		good;
	XLogRecPtr	parent_start = job->parent ?
		job->parent->backup->label.start_lsn : InvalidXLogRecPtr;

	initPQExpBuffer(&text);
	appendPQExpBuffer(&text, "start %X/%X %u %llu %X/%X\n",
					  LSN_FORMAT_ARGS(job->start_lsn), job->timeline,
					  (unsigned long long) job->control.system_identifier,
					  LSN_FORMAT_ARGS(parent_start));
	if (job->mark.lsn != InvalidXLogRecPtr)
		appendPQExpBuffer(&text, "mark %X/%X %X/%X %u %lld\n",
						  LSN_FORMAT_ARGS(job->mark.lsn),
						  LSN_FORMAT_ARGS(job->mark.redo), job->mark.crc,
						  (long long) job->mark.time);
	good = append_progress(job, &text);
	termPQExpBuffer(&text);
	return good;
}

static bool
is_worth_keeping(const PlanFile *file)
{
	return file->kind == PLAN_RELATION &&
		(file->state == PLAN_COPIED || file->state == PLAN_KEPT) &&
		file->stored >= KEEP_BYTES;
}

/* Sync one file of the output. */
static bool
sync_file(Job *job, const char *name)
{
	const char *rest;
	const OutputRoot *root = &job->output->roots[output_root(job->output, name,
															 &rest)];
	int			fd = path_open(root->fd, rest, O_RDONLY, 0, 0);
	bool		good = fd >= 0 && (!job->options->sync || fdatasync(fd) == 0);

	if (!good)
		run_fail("could not sync file \"%s/%s\": %m", root->path, rest);
	if (fd >= 0)
		close(fd);
	return good;
}

/*
 * The lines of all files of a list that are worth it, each synced unless it is
 * known to be, and the line that makes them count.
 */
static bool
format_files(Job *job, const FileList *lists, PQExpBuffer text, bool sync)
{
	uint64		lsn;
	bool		good = true;

	for (const FileList *list = lists; good && list; list = list->next)
	{
		for (uint32 i = 0; good && i < list->nfiles; i++)
		{
			const PlanFile *file = list->files[i];
			char		name[MAXPGPATH];

			if (!is_worth_keeping(file))
				continue;
			plan_name(file, name);
			good = !sync || sync_file(job, name);
			appendPQExpBuffer(text, "file %c %llu %llu %d ",
							  file->incremental ? 'I' : 'W',
							  (unsigned long long) file->size,
							  (unsigned long long) file->stored,
							  (int) job->options->checksum_type);
			for (int b = 0; b < file->checksum_length; b++)
				appendPQExpBuffer(text, "%02x", file->checksum[b]);
			appendPQExpBuffer(text, "- %s\n", file->path);
		}
	}
	if (!good || text->len == 0)
		return good;
	good = hold_position(job, &lsn);
	appendPQExpBuffer(text, "at %X/%X %u\n", LSN_FORMAT_ARGS(lsn),
					  job->timeline);
	return good;
}

bool
progress_note(Job *job, const FileList *done)
{
	PQExpBufferData text;
	bool		good;

	initPQExpBuffer(&text);
	good = format_files(job, done, &text, true) &&
		(text.len == 0 || append_progress(job, &text));
	termPQExpBuffer(&text);
	return good;
}

/* One "file" line; *complete if it could be read. */
static bool
parse_file(Progress *progress, const char *line, int checksum_type)
{
	ManifestFile file = {0};
	ManifestFile live = {0};
	char		kind;
	unsigned long long size;
	unsigned long long stored;
	int			type;
	int			at = 0;

	if (sscanf(line, "file %c %llu %llu %d %n", &kind, &size, &stored, &type,
			   &at) != 4 || at == 0 || type != checksum_type)
		return false;
	for (line += at; *line && *line != '-'; line += 2)
	{
		unsigned int byte;

		if (file.checksum_length == PG_CHECKSUM_MAX_LENGTH ||
			sscanf(line, "%2x", &byte) != 1 || line[1] == '\0')
			return false;
		file.checksum[file.checksum_length++] = byte;
	}
	if (strncmp(line, "- ", 2) != 0 || path_check(line + 2) != NULL)
		return false;
	file.path = unconstify(char *, line + 2);
	file.size = stored;
	file.modified = kind == 'I';
	file.checksum_type = type;
	live.path = file.path;
	live.size = size;
	manifest_remove(progress->files, file.path);
	manifest_remove(progress->sizes, file.path);
	return manifest_add(progress->files, &file) &&
		manifest_add(progress->sizes, &live);
}

static bool
parse_lsn_words(const char *line, const char *format, uint64 *first,
				uint32 *timeline)
{
	unsigned int high;
	unsigned int low;

	if (sscanf(line, format, &high, &low, timeline) != 3)
		return false;
	*first = ((uint64) high << 32) | low;
	return true;
}

static void
parse_start(Progress *progress, const char *line)
{
	unsigned int words[4];
	unsigned long long system;

	if (sscanf(line, "start %X/%X %u %llu %X/%X", &words[0], &words[1],
			   &progress->timeline, &system, &words[2], &words[3]) != 6)
		return;
	progress->start_lsn = ((uint64) words[0] << 32) | words[1];
	progress->system_identifier = system;
	progress->parent_start = ((uint64) words[2] << 32) | words[3];
}

static void
parse_mark(Progress *progress, const char *line)
{
	unsigned int words[4];
	unsigned int crc;
	long long	time;

	if (sscanf(line, "mark %X/%X %X/%X %u %lld", &words[0], &words[1],
			   &words[2], &words[3], &crc, &time) != 6)
		return;
	progress->mark.lsn = ((uint64) words[0] << 32) | words[1];
	progress->mark.redo = ((uint64) words[2] << 32) | words[3];
	progress->mark.crc = crc;
	progress->mark.has_crc = true;
	progress->mark.time = time;
}

/*
 * Read the progress.  Only what an "at" line follows counts, so the text is
 * cut behind the last one first.
 */
static Progress *
progress_read(Job *job)
{
	Progress   *progress = pg_malloc0(sizeof(Progress));
	struct stat st;
	char	   *text;
	char	   *save = NULL;
	char	   *last = NULL;

	progress->files = manifest_create(1, 0);
	progress->sizes = manifest_create(1, 0);
	if (fstat(job->progress_fd, &st) != 0 || st.st_size > PROGRESS_MAX_BYTES)
		return progress;
	text = pg_malloc0(st.st_size + 1);
	if (pread(job->progress_fd, text, st.st_size, 0) != st.st_size)
		return progress;
	for (char *at = text; (at = strstr(at, "\nat ")) != NULL; at++)
	{
		if (strchr(at + 1, '\n'))
			last = strchr(at + 1, '\n') + 1;
	}
	if (last == NULL)
		return progress;
	*last = '\0';
	for (char *line = strtok_r(text, "\n", &save); line;
		 line = strtok_r(NULL, "\n", &save))
	{
		XLogRecPtr	lsn;

		if (strncmp(line, "start ", 6) == 0)
			parse_start(progress, line);
		else if (strncmp(line, "mark ", 5) == 0)
			parse_mark(progress, line);
		else if (strncmp(line, "file ", 5) == 0)
			parse_file(progress, line, job->options->checksum_type);
		else if (parse_lsn_words(line, "at %X/%X %u", &lsn,
								 &progress->at_timeline))
			progress->at_lsn = Max(progress->at_lsn, lsn);
	}
	pfree(text);
	return progress;
}

/* Why nothing of the earlier run can be kept; NULL if it can. */
static char *
check_progress(Job *job, const Progress *progress)
{
	uint64		position;
	char	   *problem = NULL;
	XLogRecPtr	parent_start = job->parent ?
		job->parent->backup->label.start_lsn : InvalidXLogRecPtr;

	if (progress->at_lsn == InvalidXLogRecPtr ||
		progress->start_lsn == InvalidXLogRecPtr)
		return pg_strdup("no file of it is known to be on disk");
	if (progress->system_identifier != job->control.system_identifier)
		return pg_strdup("it was of another cluster");
	if (progress->parent_start != parent_start)
		return pg_strdup("it had another parent");
	if (progress->mark.lsn == InvalidXLogRecPtr)
		return pg_strdup("its checkpoint record is not known");
	if (progress->start_lsn > job->start_lsn)
		return pg_strdup("it began later");
	if (!hold_position(job, &position))
		return pg_strdup("");
	if (progress->at_lsn > position)
		return psprintf("the server was at %X/%X and is at %X/%X now",
						LSN_FORMAT_ARGS(progress->at_lsn),
						LSN_FORMAT_ARGS(position));
	if (timelines_contain(job->timelines, progress->timeline,
						  progress->start_lsn, progress->start_lsn,
						  &problem) &&
		timelines_contain(job->timelines, progress->at_timeline,
						  progress->at_lsn, progress->at_lsn, &problem) &&
		mark_prove(job->holder, &progress->mark, &problem))
		return NULL;
	return problem ? problem : pg_strdup("");
}

/* A row of what the server has, seen from the earlier run's START. */
static bool
note_unchanged(void *arg, PlanFile *file, bool changed)
{
	Manifest   *unchanged = arg;
	ManifestFile entry = {.path = file->path,.size = file->size};

	if (file->kind == PLAN_RELATION && !changed)
		manifest_add(unchanged, &entry);
	free(file->path);
	return true;
}

/* Is the file on disk what it was when it was noted? */
static bool
is_intact(Job *job, const char *name, const ManifestFile *noted)
{
	const char *rest;
	const OutputRoot *root = &job->output->roots[output_root(job->output, name,
															 &rest)];
	int			fd = path_open(root->fd, rest, O_RDONLY, 0, 0);
	size_t		length = 1024 * 1024;
	char	   *buffer;
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];
	pg_checksum_context context;
	uint64		size = 0;
	ssize_t		n;

	if (fd < 0 || pg_checksum_init(&context, noted->checksum_type) < 0)
		return false;
	buffer = pg_malloc(length);
	while ((n = read(fd, buffer, length)) > 0)
	{
		size += n;
		if (pg_checksum_update(&context, (uint8 *) buffer, n) < 0)
			n = -1;
	}
	pfree(buffer);
	close(fd);
	return pg_checksum_final(&context, checksum) == noted->checksum_length &&
		n == 0 && size == noted->size &&
		memcmp(checksum, noted->checksum, noted->checksum_length) == 0;
}

static void
keep_file(Job *job, PlanFile *file, const Progress *progress,
		  const Manifest *unchanged)
{
	ManifestFile *noted = manifest_find(progress->files, file->path);
	ManifestFile *size = manifest_find(progress->sizes, file->path);
	ManifestFile *live = manifest_find(unchanged, file->path);
	char		name[MAXPGPATH];

	if (noted == NULL || size == NULL || live == NULL ||
		file->kind != PLAN_RELATION || size->size != file->size ||
		live->size != file->size ||
		file->incremental != (noted->modified == 1))
		return;
	plan_name(file, name);
	if (!is_intact(job, name, noted))
		return;
	file->state = PLAN_KEPT;
	file->stored = noted->size;
	file->checksum_length = noted->checksum_length;
	file->checksum = pg_malloc(Max(1, noted->checksum_length));
	memcpy(file->checksum, noted->checksum, noted->checksum_length);
	job->kept++;
}

/* Is this the directory of a tablespace, with a slash behind it? */
static bool
is_tablespace(const Output *output, const char *path)
{
	for (int i = 1; i < output->nroots; i++)
	{
		if (strcmp(path, output->roots[i].prefix) == 0)
			return true;
	}
	return false;
}

/*
 * Remove all files below a directory but those in 'kept', whose names are
 * relative to the first root; directories without anything in them, too.  A
 * tablespace that lies inside is a root by itself, and is open.
 */
static bool
remove_others(Job *job, int parent, const char *name, const char *prefix,
			  const Manifest *kept)
{
	int			fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR		   *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	bool		good = dir != NULL;

	while (good && (entry = readdir(dir)) != NULL)
	{
		char		path[MAXPGPATH * 2];
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s%s", prefix, entry->d_name);
		if (manifest_find(kept, path) || strcmp(path, PROGRESS_FILE) == 0 ||
			strcmp(path, "backup_label") == 0)
			continue;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			good = false;
		else if (S_ISLNK(st.st_mode))
			continue;			/* output_create() made it anew */
		else if (!S_ISDIR(st.st_mode))
			good = unlinkat(fd, entry->d_name, 0) == 0;
		else
		{
			strlcat(path, "/", sizeof(path));
			if (is_tablespace(job->output, path))
				continue;
			good = remove_others(job, fd, entry->d_name, path, kept);
			if (good && unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0 &&
				errno != ENOTEMPTY && errno != EEXIST)
				good = false;
		}
	}
	if (!good)
		partial_fail(job, "clear directory", prefix);
	if (dir)
		closedir(dir);
	return good;
}

/* The progress of this run begins with what was kept. */
static bool
rewrite_progress(Job *job)
{
	FileList	list = {0};
	PQExpBufferData text;
	bool		good;

	if (ftruncate(job->progress_fd, 0) != 0)
	{
		partial_fail(job, "truncate", PROGRESS_FILE);
		return false;
	}
	if (!progress_begin(job))
		return false;
	if (job->kept == 0)
		return true;
	list.files = pg_malloc(sizeof(PlanFile *) * job->kept);
	for (uint32 i = 0; i < job->plan->nfiles; i++)
	{
		if (job->plan->files[i].state == PLAN_KEPT)
			list.files[list.nfiles++] = &job->plan->files[i];
	}
	initPQExpBuffer(&text);
	good = format_files(job, &list, &text, false) &&
		append_progress(job, &text);
	termPQExpBuffer(&text);
	pfree(list.files);
	return good;
}

bool
resume_keep(Job *job)
{
	Progress   *progress = progress_read(job);
	Manifest   *kept = manifest_create(1, 0);
	Manifest   *unchanged = manifest_create(1, 0);
	char	   *problem;
	bool		good = true;

	problem = check_progress(job, progress);
	if (problem == NULL &&
		!plan_walk(job->holder, job->slot, job->start_lsn,
				   progress->start_lsn, note_unchanged, unchanged))
		problem = pg_strdup(job->holder->message ? job->holder->message : "");
	if (run_stopping())
		return false;
	if (problem != NULL)
		pg_log_warning("nothing of the earlier backup is kept: %s", problem);
	for (uint32 i = 0; i < job->plan->nfiles; i++)
	{
		PlanFile   *file = &job->plan->files[i];
		char		name[MAXPGPATH];
		ManifestFile entry = {.path = name};

		if (problem == NULL)
			keep_file(job, file, progress, unchanged);
		plan_name(file, name);
		if (file->state == PLAN_KEPT)
			manifest_add(kept, &entry);
	}
	for (int i = 0; good && i < job->output->nroots; i++)
		good = remove_others(job, job->output->roots[i].fd, ".",
							 job->output->roots[i].prefix, kept);
	good = good && output_directories(job->output, job->plan) &&
		rewrite_progress(job);
	manifest_free(kept);
	manifest_free(unchanged);
	manifest_free(progress->files);
	manifest_free(progress->sizes);
	free(progress);
	return good;
}
