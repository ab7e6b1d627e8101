/*-------------------------------------------------------------------------
 *
 * manifest.c
 *		backup_manifest in memory, and written.
 *
 * The hash table has pointers, so that a ManifestFile does not move when the
 * table grows.  Files are many and small: each takes what its checksum and its
 * path need, and they lie in pieces of memory that are freed together.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/manifest.h"

#include <time.h>

#include "bin/common/files.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/logging.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

typedef struct ManifestSlot
{
	ManifestFile *file;			/* the key is its path */
	uint32		hash;
	char		status;
} ManifestSlot;

#define SH_PREFIX manifest_files
#define SH_ELEMENT_TYPE ManifestSlot
#define SH_KEY_TYPE ManifestFile *
#define SH_KEY file
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key)->path, strlen((key)->path))
#define SH_EQUAL(table, a, b) (strcmp((a)->path, (b)->path) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, slot) ((slot)->hash)
#define SH_SCOPE static inline
#define SH_RAW_ALLOCATOR pg_malloc0
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Files are put into pieces of this size, each far smaller. */
#define CHUNK_BYTES		(64 * 1024)

struct manifest_chunk
{
	struct manifest_chunk *next;
	size_t		used;
	char		bytes[CHUNK_BYTES];
};

/* Text goes to the file in pieces of about this size. */
#define WRITE_BYTES		(64 * 1024)

Manifest *
manifest_create(int version, uint64 system_identifier)
{
	Manifest   *manifest = pg_malloc0(sizeof(Manifest));

	manifest->version = version;
	manifest->system_identifier = system_identifier;
	manifest->files = manifest_files_create(256, NULL);
	return manifest;
}

void
manifest_free(Manifest *manifest)
{
	while (manifest->chunks != NULL)
	{
		struct manifest_chunk *chunk = manifest->chunks;

		manifest->chunks = chunk->next;
		pg_free(chunk);
	}
	manifest_files_destroy(manifest->files);
	pg_free(manifest->ranges);
	pg_free(manifest);
}

/* Bytes of a checksum of this type. */
int
manifest_checksum_length(pg_checksum_type type)
{
	switch (type)
	{
		case CHECKSUM_TYPE_NONE:
			return 0;
		case CHECKSUM_TYPE_CRC32C:
			return sizeof(uint32);
		case CHECKSUM_TYPE_SHA224:
			return PG_SHA224_DIGEST_LENGTH;
		case CHECKSUM_TYPE_SHA256:
			return PG_SHA256_DIGEST_LENGTH;
		case CHECKSUM_TYPE_SHA384:
			return PG_SHA384_DIGEST_LENGTH;
		case CHECKSUM_TYPE_SHA512:
			return PG_SHA512_DIGEST_LENGTH;
	}
	return 0;
}

/* Copy a file with its path, no longer than it has to be. */
static ManifestFile *
copy_of(Manifest *manifest, const ManifestFile *file)
{
	size_t		fixed = offsetof(ManifestFile, checksum) +
		file->checksum_length;
	size_t		path = strlen(file->path) + 1;
	size_t		length = MAXALIGN(fixed + path);
	struct manifest_chunk *chunk = manifest->chunks;
	char	   *copy;

	if (chunk == NULL || chunk->used + length > CHUNK_BYTES)
	{
		chunk = pg_malloc(offsetof(struct manifest_chunk, bytes) +
						  Max(CHUNK_BYTES, length));
		chunk->next = manifest->chunks;
		chunk->used = 0;
		manifest->chunks = chunk;
	}
	copy = chunk->bytes + chunk->used;
	chunk->used += length;
	memcpy(copy, file, fixed);
	memcpy(copy + fixed, file->path, path);
	((ManifestFile *) copy)->path = copy + fixed;
	return (ManifestFile *) copy;
}

/* Add a copy of a file; false if its path is there already. */
bool
manifest_add(Manifest *manifest, const ManifestFile *file)
{
	ManifestSlot *slot;
	bool		found;

	slot = manifest_files_insert(manifest->files,
								 unconstify(ManifestFile *, file), &found);
	if (found)
		return false;
	slot->file = copy_of(manifest, file);
	manifest->nfiles++;
	return true;
}

void
manifest_remove(Manifest *manifest, const char *path)
{
	ManifestFile *file = manifest_find(manifest, path);

	if (file == NULL)
		return;
	manifest_files_delete(manifest->files, file);
	manifest->nfiles--;
}

void
manifest_add_range(Manifest *manifest, TimeLineID timeline,
				   XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	ManifestWalRange *range;

	manifest->ranges = pg_realloc(manifest->ranges, (manifest->nranges + 1) *
								  sizeof(ManifestWalRange));
	range = &manifest->ranges[manifest->nranges++];
	range->timeline = timeline;
	range->start_lsn = start_lsn;
	range->end_lsn = end_lsn;
}

ManifestFile *
manifest_find(const Manifest *manifest, const char *path)
{
	ManifestFile key = {.path = unconstify(char *, path)};
	ManifestSlot *slot = manifest_files_lookup(manifest->files, &key);

	return slot == NULL ? NULL : slot->file;
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp((*(ManifestFile *const *) a)->path,
				  (*(ManifestFile *const *) b)->path);
}

/* The files sorted by path, in new memory. */
ManifestFile **
manifest_sorted(const Manifest *manifest)
{
	ManifestFile **files = pg_malloc(Max(manifest->nfiles, 1) *
									 sizeof(ManifestFile *));
	manifest_files_iterator iterator;
	ManifestSlot *slot;
	uint32		n = 0;

	manifest_files_start_iterate(manifest->files, &iterator);
	while ((slot = manifest_files_iterate(manifest->files, &iterator)) != NULL)
		files[n++] = slot->file;
	qsort(files, n, sizeof(ManifestFile *), compare_paths);
	return files;
}

/* Text on its way to the file and into the manifest's own checksum. */
struct ManifestOutput
{
	int			fd;
	int			error;			/* errno of the first write that failed */
	uint32		nfiles;
	pg_cryptohash_ctx *sha256;
	StringInfoData text;
};

static void
flush_text(ManifestOutput *output)
{
	if (pg_cryptohash_update(output->sha256, (uint8 *) output->text.data,
							 output->text.len) < 0)
		pg_fatal("could not update checksum of backup manifest");
	if (output->error == 0 &&
		!write_all(output->fd, output->text.data, output->text.len))
		output->error = errno;
	resetStringInfo(&output->text);
}

static void
append_hex(StringInfo text, const uint8 *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++)
	{
		appendStringInfoChar(text, digits[bytes[i] >> 4]);
		appendStringInfoChar(text, digits[bytes[i] & 0xF]);
	}
}

/* A path has no control characters; JSON wants UTF-8. */
static void
append_path(StringInfo text, const char *path)
{
	size_t		length = strlen(path);

	if (pg_encoding_verifymbstr(PG_UTF8, path, length) != length)
	{
		appendStringInfoString(text, "{ \"Encoded-Path\": \"");
		append_hex(text, (const uint8 *) path, length);
	}
	else
	{
		appendStringInfoString(text, "{ \"Path\": \"");
		for (; *path != '\0'; path++)
		{
			if (*path == '"' || *path == '\\')
				appendStringInfoChar(text, '\\');
			appendStringInfoChar(text, *path);
		}
	}
	appendStringInfoString(text, "\", ");
}

static void
append_file(StringInfo text, const ManifestFile *file)
{
	time_t		modified = (time_t) file->modified;
	struct tm	tm;

	append_path(text, file->path);
	if (gmtime_r(&modified, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	appendStringInfo(text, "\"Size\": " UINT64_FORMAT ", \"Last-Modified\": "
					 "\"%04d-%02d-%02d %02d:%02d:%02d GMT\"", file->size,
					 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (file->checksum_type != CHECKSUM_TYPE_NONE)
	{
		appendStringInfo(text, ", \"Checksum-Algorithm\": \"%s\", "
						 "\"Checksum\": \"",
						 pg_checksum_type_name(file->checksum_type));
		append_hex(text, file->checksum, file->checksum_length);
		appendStringInfoChar(text, '"');
	}
	appendStringInfoString(text, " }");
}

ManifestOutput *
manifest_output_begin(int fd, int version, uint64 system_identifier)
{
	ManifestOutput *output = pg_malloc0(sizeof(ManifestOutput));

	output->fd = fd;
	output->sha256 = pg_cryptohash_create(PG_SHA256);
	if (output->sha256 == NULL || pg_cryptohash_init(output->sha256) < 0)
		pg_fatal("could not initialize checksum of backup manifest");
	initStringInfo(&output->text);
	appendStringInfo(&output->text, "{ \"PostgreSQL-Backup-Manifest-Version\": "
					 "%d,\n", version);
	if (version >= 2)
		appendStringInfo(&output->text, "\"System-Identifier\": "
						 UINT64_FORMAT ",\n", system_identifier);
	appendStringInfoString(&output->text, "\"Files\": [\n");
	return output;
}

void
manifest_output_file(ManifestOutput *output, const ManifestFile *file)
{
	if (output->nfiles++ > 0)
		appendStringInfoString(&output->text, ",\n");
	append_file(&output->text, file);
	if (output->text.len >= WRITE_BYTES)
		flush_text(output);
}

static void
append_ranges(StringInfo text, const ManifestWalRange *ranges, uint32 nranges)
{
	appendStringInfoString(text, "\"WAL-Ranges\": [\n");
	for (uint32 i = 0; i < nranges; i++)
	{
		const ManifestWalRange *range = &ranges[i];

		appendStringInfo(text, "{ \"Timeline\": %u, \"Start-LSN\": \"%X/%X\", "
						 "\"End-LSN\": \"%X/%X\" }%s\n", range->timeline,
						 LSN_FORMAT_ARGS(range->start_lsn),
						 LSN_FORMAT_ARGS(range->end_lsn),
						 i + 1 < nranges ? "," : "");
	}
	appendStringInfoString(text, "],\n");
}

/* The last line, which the checksum does not cover. */
static void
append_checksum(ManifestOutput *output)
{
	uint8		checksum[PG_SHA256_DIGEST_LENGTH];

	if (pg_cryptohash_final(output->sha256, checksum, sizeof(checksum)) < 0)
		pg_fatal("could not finish checksum of backup manifest");
	pg_cryptohash_free(output->sha256);
	appendStringInfoString(&output->text, "\"Manifest-Checksum\": \"");
	append_hex(&output->text, checksum, sizeof(checksum));
	appendStringInfoString(&output->text, "\"}\n");
}

bool
manifest_output_end(ManifestOutput *output, const ManifestWalRange *ranges,
					uint32 nranges)
{
	int			error;

	appendStringInfoString(&output->text, output->nfiles > 0 ? "\n],\n" :
						   "],\n");
	append_ranges(&output->text, ranges, nranges);
	flush_text(output);
	append_checksum(output);
	if (output->error == 0 &&
		!write_all(output->fd, output->text.data, output->text.len))
		output->error = errno;
	error = output->error;
	pg_free(output->text.data);
	pg_free(output);
	errno = error;
	return error == 0;
}

/* Write the text to a file. */
bool
manifest_write(const Manifest *manifest, int fd)
{
	ManifestFile **files = manifest_sorted(manifest);
	ManifestOutput *output;

	output = manifest_output_begin(fd, manifest->version,
								   manifest->system_identifier);
	for (uint32 i = 0; i < manifest->nfiles; i++)
		manifest_output_file(output, files[i]);
	pg_free(files);
	return manifest_output_end(output, manifest->ranges, manifest->nranges);
}
