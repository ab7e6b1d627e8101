/*-------------------------------------------------------------------------
 *
 * wal.c
 *		Fetching the WAL of a backup, from START to STOP.
 *
 * While files are copied, only segments of START's timeline that are finished
 * are fetched.  Where a standby changes to another timeline the old one's last
 * segment may be missing; what is in it begins the new one's, so that is no
 * loss, and fetching waits for STOP, when the history is known.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/wal.h"

#include "access/xlog_internal.h"
#include "bin/basebackup/run.h"

#define CHUNK_BYTES		((uint64) 4 * 1024 * 1024)
#define LOOK_MS			500

struct Wal
{
	const CopyStart *start;
	const ControlFileData *control;
	Session    *session;
	Sink	   *sink;
	bool		standby;
	uint32		segment_bytes;
	TimeLineID	timeline;		/* of START */
	XLogSegNo	next;			/* to be fetched */
	pthread_t	thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool		ahead;			/* may go on before STOP is known */

	/* given by wal_end() */
	bool		ending;
	const Timelines *timelines;
	XLogRecPtr	stop_lsn;
};

/* Where finished WAL ends now. */
static bool
finished_lsn(Wal *wal, uint64 *lsn)
{
	char	   *text = session_value(wal->session, wal->standby ?
									 "SELECT pg_last_wal_replay_lsn()" :
									 "SELECT pg_current_wal_flush_lsn()", 0, NULL);
	bool		good = !run_stopping() && session_lsn(text, lsn);

	free(text);
	return good;
}

/* Is this the first page of the segment that was asked for? */
static bool
check_first_page(Wal *wal, const char *name, XLogSegNo segno,
				 const char *bytes, size_t length)
{
	XLogLongPageHeaderData header;
	XLogRecPtr	begin;

	XLogSegNoOffsetToRecPtr(segno, 0, wal->segment_bytes, begin);
	if (length >= sizeof(header))
	{
		memcpy(&header, bytes, sizeof(header));
		if (header.xlp_sysid == wal->control->system_identifier &&
			header.xlp_seg_size == wal->segment_bytes &&
			header.std.xlp_pageaddr == begin)
			return true;
	}
	run_fail("the server sent other WAL for file \"%s\"", name);
	return false;
}

/*
 * Bytes of a file in pg_wal.  NULL with *missing where there is none; else
 * after run_fail().
 */
static PGresult *
read_file(Wal *wal, const char *name, uint64 offset, uint64 length,
		  bool *missing)
{
	char		offset_text[32];
	char		length_text[32];
	const char *params[3] = {name, offset_text, NULL};
	PGresult   *result;

	snprintf(offset_text, sizeof(offset_text), UINT64_FORMAT, offset);
	snprintf(length_text, sizeof(length_text), UINT64_FORMAT, length);
	if (length > 0)
		params[2] = length_text;
	result = session_try(wal->session,
						 "SELECT %s.ckpx_read_wal($1, $2::bigint, $3::bigint)",
						 3, params, true);
	*missing = result == NULL && strcmp(wal->session->sqlstate, "58P01") == 0;
	if (result == NULL && !*missing)
		session_fail(wal->session, NULL);
	if (result != NULL && (PQntuples(result) != 1 ||
						   PQgetlength(result, 0, 0) > CHUNK_BYTES * 4))
	{
		run_fail("the server sent no bytes of file \"%s\"", name);
		PQclear(result);
		return NULL;
	}
	return result;
}

/* As PostgreSQL does: no copy of this server is to archive it again. */
static bool
put_done_file(Wal *wal, const char *name)
{
	char		path[MAXPGPATH];

	snprintf(path, sizeof(path), "pg_wal/archive_status/%s.done", name);
	return sink_put(wal->sink, path, "", 0, time(NULL), NULL);
}

/*
 * Fetch one segment; of the last one only 'length' bytes, and zeros behind.
 * Zeros that the server left out are put back.  *missing where the server does
 * not have it.
 */
static bool
fetch_segment(Wal *wal, TimeLineID timeline, XLogSegNo segno, uint32 length,
			  bool *missing)
{
	char		name[MAXFNAMELEN];
	char		path[MAXPGPATH];
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];
	int			checksum_length;

	XLogFileName(name, timeline, segno, wal->segment_bytes);
	snprintf(path, sizeof(path), "pg_wal/%s", name);
	*missing = false;
	for (uint32 offset = 0; offset < length;)
	{
		size_t		wanted = Min(CHUNK_BYTES, length - offset);
		PGresult   *result = read_file(wal, name, offset, wanted, missing);
		const char *bytes;
		size_t		n;
		bool		good;

		if (result == NULL)
		{
			if (offset > 0 && *missing)
				run_fail("WAL file \"%s\" was removed while it was fetched", name);
			return false;
		}
		bytes = PQgetvalue(result, 0, 0);
		n = Min(PQgetlength(result, 0, 0), wanted);
		good = offset > 0 ||
			(check_first_page(wal, name, segno, bytes, n) &&
			 sink_begin(wal->sink, path, wal->segment_bytes, time(NULL)));
		good = good && sink_write(wal->sink, bytes, n) &&
			sink_fill(wal->sink, offset + wanted);
		PQclear(result);
		if (!good)
			return false;
		offset += wanted;
		run_throttle(wal->start->options->rate, n);
	}
	return sink_end(wal->sink, checksum, &checksum_length) &&
		put_done_file(wal, name) && sink_commit(wal->sink);
}

/* A segment is gone that the slot should have kept. */
static void
fail_missing(TimeLineID timeline, XLogSegNo segno, uint32 segment_bytes)
{
	char		name[MAXFNAMELEN];
	char	   *message;

	XLogFileName(name, timeline, segno, segment_bytes);
	message = psprintf("WAL file \"%s\" is not on the server any more", name);
	run_fail_with(message, NULL,
				  "Raise max_slot_wal_keep_size, or use -X none with a WAL archive.");
	pfree(message);
}

/* What is finished now, while files are copied. */
static bool
fetch_ahead(Wal *wal)
{
	uint64		finished;

	if (!finished_lsn(wal, &finished))
		return false;
	while (!run_stopping() &&
		   (wal->next + 1) * wal->segment_bytes <= finished)
	{
		bool		missing;

		if (!fetch_segment(wal, wal->timeline, wal->next, wal->segment_bytes,
						   &missing))
		{
			if (!missing)
				return false;
			if (!wal->standby)
			{
				fail_missing(wal->timeline, wal->next, wal->segment_bytes);
				return false;
			}
			wal->ahead = false;
			return true;
		}
		pthread_mutex_lock(&wal->lock);
		wal->next++;
		pthread_mutex_unlock(&wal->lock);
	}
	return !run_stopping();
}

/* The rest of one timeline's part. */
static bool
fetch_part(Wal *wal, const TimelinePart *part)
{
	XLogRecPtr	begin = Max(part->begin, wal->start->start_lsn);
	XLogRecPtr	end = Min(part->end, wal->stop_lsn);
	XLogSegNo	segno = begin / wal->segment_bytes;

	if (part->timeline == wal->timeline)
		segno = Max(segno, wal->next);
	for (; begin < end && segno <= (end - 1) / wal->segment_bytes; segno++)
	{
		uint32		length = wal->segment_bytes;
		bool		missing;

		/* on a primary STOP has ended its segment */
		if (wal->standby && segno == wal->stop_lsn / wal->segment_bytes)
			length = wal->stop_lsn % wal->segment_bytes;
		if (fetch_segment(wal, part->timeline, segno, length, &missing))
			continue;
		if (missing && end < wal->stop_lsn &&
			segno == (end - 1) / wal->segment_bytes)
			return true;
		if (missing)
			fail_missing(part->timeline, segno, wal->segment_bytes);
		return false;
	}
	return true;
}

static bool
fetch_history_file(Wal *wal, TimeLineID timeline, bool needed)
{
	char		name[MAXFNAMELEN];
	char		path[MAXPGPATH];
	bool		missing;
	bool		good;
	PGresult   *result;

	TLHistoryFileName(name, timeline);
	snprintf(path, sizeof(path), "pg_wal/%s", name);
	result = read_file(wal, name, 0, 0, &missing);
	if (result == NULL)
	{
		if (missing && needed)
			run_fail("file \"pg_wal/%s\" is not on the server any more", name);
		return missing && !needed;
	}
	good = sink_put(wal->sink, path, PQgetvalue(result, 0, 0),
					PQgetlength(result, 0, 0), time(NULL), NULL) &&
		put_done_file(wal, name);
	PQclear(result);
	return good;
}

static bool
fetch_rest(Wal *wal)
{
	int			last = wal->timelines->count - 1;

	for (int i = 0; i <= last; i++)
	{
		if (!fetch_part(wal, &wal->timelines->parts[i]))
			return false;
	}
	for (int i = 0; i <= last; i++)
	{
		if (wal->timelines->parts[i].timeline > 1 &&
			!fetch_history_file(wal, wal->timelines->parts[i].timeline,
								i == last))
			return false;
	}
	return sink_commit(wal->sink);
}

static void *
fetch(void *arg)
{
	Wal		   *wal = arg;
	bool		ending = false;

	wal->session = session_open(wal->start->options);
	if (wal->session == NULL ||
		!copy_check_holder(wal->session, wal->start->slot,
						   wal->start->holder_pid))
		return NULL;
	while (!ending && !run_stopping())
	{
		if (wal->ahead && !fetch_ahead(wal))
			return NULL;
		pthread_mutex_lock(&wal->lock);
		if (!wal->ending)
			run_wait(&wal->changed, &wal->lock, LOOK_MS);
		ending = wal->ending;
		pthread_mutex_unlock(&wal->lock);
	}
	if (!run_stopping())
		fetch_rest(wal);
	return NULL;
}

Wal *
wal_begin(const CopyStart *start, TimeLineID timeline,
		  const ControlFileData *control, bool standby)
{
	Wal		   *wal = pg_malloc0(sizeof(Wal));

	wal->start = start;
	wal->control = control;
	wal->sink = sink_create(start->output);
	wal->standby = standby;
	wal->segment_bytes = control->xlog_seg_size;
	wal->timeline = timeline;
	wal->next = start->start_lsn / wal->segment_bytes;
	wal->ahead = true;
	pthread_mutex_init(&wal->lock, NULL);
	pthread_cond_init(&wal->changed, NULL);
	run_thread(&wal->thread, fetch, wal);
	return wal;
}

XLogRecPtr
wal_fetched(Wal *wal)
{
	XLogRecPtr	fetched;

	pthread_mutex_lock(&wal->lock);
	fetched = wal->next * wal->segment_bytes;
	pthread_mutex_unlock(&wal->lock);
	return fetched;
}

void
wal_abandon(Wal *wal)
{
	if (wal == NULL)
		return;
	pthread_join(wal->thread, NULL);
	session_close(wal->session);
	sink_free(wal->sink);
	free(wal);
}

bool
wal_end(Wal *wal, const Timelines *timelines, XLogRecPtr stop_lsn)
{
	pthread_mutex_lock(&wal->lock);
	wal->timelines = timelines;
	wal->stop_lsn = stop_lsn;
	wal->ending = true;
	pthread_cond_broadcast(&wal->changed);
	pthread_mutex_unlock(&wal->lock);
	wal_abandon(wal);
	return !run_stopping();
}
