/*-------------------------------------------------------------------------
 *
 * tar.h
 *		Streams of tar members, plain or in zstd frames.
 *
 * As pg_basebackup writes them: ustar headers, GNU's base-256 for sizes that
 * octal cannot hold, members padded to 512 bytes, two blocks of zeros at the
 * end.  What is written with zstd consists of frames of at most 4 MB, and each
 * member begins in a new frame or shares one with small members.  A name that
 * a header cannot hold is refused.
 *
 * Reading takes bytes from a callback, so that a file, a pipe and a fuzzer
 * look alike.  Nothing here exits: what is wrong is a problem in *problem, in
 * new memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_TAR_H
#define CKPX_BIN_TAR_H

#include "postgres_fe.h"

#define TAR_FRAME_BYTES		(4 * 1024 * 1024)

typedef enum TarType
{
	TAR_FILE,
	TAR_DIRECTORY,
	TAR_SYMLINK
} TarType;

typedef struct TarMember
{
	TarType		type;
	char		name[MAXPGPATH];	/* path_check()ed, without a '/' at the
									 * end */
	char		link[MAXPGPATH];	/* of a symlink */
	uint64		size;
	mode_t		mode;			/* permission bits */
	int64		modified;		/* seconds since 1970 */
} TarMember;

typedef struct TarReader TarReader;
typedef struct TarWriter TarWriter;

/* Returns the number of bytes read, 0 at the end, -1 with errno set. */
typedef ssize_t (*TarInput) (void *arg, char *buffer, size_t length);

/* Returns false with errno set. */
typedef bool (*TarOutput) (void *arg, const char *bytes, size_t length);

/* 'compressed': zstd; the reader also checks that the last frame is whole. */
extern TarReader *tar_open(TarInput input, void *arg, bool compressed);

/*
 * The next member; what is left of the one before is skipped.  False at the
 * end of the archive with *problem NULL, or with a problem: also where the
 * bytes end before the archive does, other bytes follow its end, or a name was
 * there before.  After a problem nothing more is read.
 */
extern bool tar_next(TarReader *reader, TarMember *member, char **problem);

/*
 * Bytes of the member: 'length' or what is left of it, 0 at its end, -1 with
 * *problem.
 */
extern ssize_t tar_read(TarReader *reader, char *buffer, size_t length,
						char **problem);
extern void tar_close(TarReader *reader);

/*
 * Writing: a member's header, exactly 'size' bytes, its end.  'level' is
 * zstd's, 0: not compressed.  False with errno set where the output failed;
 * ENAMETOOLONG where a header cannot hold a name, which can be asked before.
 */
extern bool tar_holds_name(const char *name);
extern TarWriter *tar_create(TarOutput output, void *arg, int level);
extern bool tar_member(TarWriter *writer, const TarMember *member);
extern bool tar_write(TarWriter *writer, const char *bytes, size_t length);
extern bool tar_member_end(TarWriter *writer);

/*
 * End the frame between two members: what came to the output so far can be
 * appended to an archive by itself.
 */
extern bool tar_flush(TarWriter *writer);

/* The archive's end; frees the writer also if it fails. */
extern bool tar_finish(TarWriter *writer);

#endif							/* CKPX_BIN_TAR_H */
