/*-------------------------------------------------------------------------
 *
 * copy.c
 *		Copying the files of a plan with several connections.
 *
 * A Copier is at most one connection.  Its reading thread pulls a list, tells
 * the server and hands every message of the COPY over in the Channel, which
 * bounds the bytes in between; the writing thread makes files out of them.
 * The reader goes on with the next list while the writer is busy with the
 * end of the one before.  The writer alone decides about a list: done, or put
 * back.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/copy.h"

#include "bin/basebackup/receive.h"
#include "bin/basebackup/run.h"

#define CHANNEL_BYTES	((size_t) 8 * 1024 * 1024)
#define CHANNEL_TOTAL	((size_t) 32 * 1024 * 1024)
#define CHANNEL_ITEMS	1024
#define BLOCKED_MS		10000

typedef enum ItemType
{
	ITEM_BEGIN,					/* of 'list' */
	ITEM_MESSAGE,
	ITEM_UNCHANGED,				/* 'list' needs no messages */
	ITEM_END,					/* the COPY ended well */
	ITEM_ABORT,					/* it was canceled: the list comes again */
	ITEM_HALVE,					/* the same, by the server */
	ITEM_STOP
} ItemType;

typedef struct Item
{
	ItemType	type;
	FileList   *list;
	char	   *bytes;			/* of PQgetCopyData() */
	size_t		length;
} Item;

typedef struct Channel
{
	pthread_mutex_t lock;
	pthread_cond_t changed;
	Item		items[CHANNEL_ITEMS];
	uint32		first;
	uint32		count;
	size_t		bytes;
	size_t		max_bytes;
} Channel;

typedef struct Copier
{
	CopyStart  *start;
	Session    *session;
	Channel		channel;
	pthread_t	reader;
	pthread_t	writer;
} Copier;

struct Copiers
{
	Copier	   *copiers;
	int			count;
};

/*
 * Hand an item over; false if there was no room for so long, or the run
 * stops.  Without a limit only the run's end makes it false.
 */
static bool
channel_put(Channel *channel, const Item *item, bool limited)
{
	int64		begin = run_clock_ms();
	bool		put = true;

	pthread_mutex_lock(&channel->lock);
	while (put && (channel->count == CHANNEL_ITEMS ||
				   (channel->count > 0 &&
					channel->bytes + item->length > channel->max_bytes)))
	{
		run_wait(&channel->changed, &channel->lock, 200);
		put = !run_stopping() &&
			(!limited || run_clock_ms() - begin < BLOCKED_MS);
	}
	if (put)
	{
		uint32		last = channel->first + channel->count++;

		channel->items[last % CHANNEL_ITEMS] = *item;
		channel->bytes += item->length;
		pthread_cond_broadcast(&channel->changed);
	}
	pthread_mutex_unlock(&channel->lock);
	return put;
}

static bool
channel_get(Channel *channel, Item *item)
{
	bool		got;

	pthread_mutex_lock(&channel->lock);
	while (channel->count == 0 && !run_stopping())
		run_wait(&channel->changed, &channel->lock, 200);
	got = channel->count > 0 && !run_stopping();
	if (got)
	{
		*item = channel->items[channel->first];
		channel->first = (channel->first + 1) % CHANNEL_ITEMS;
		channel->count--;
		channel->bytes -= item->length;
		pthread_cond_broadcast(&channel->changed);
	}
	pthread_mutex_unlock(&channel->lock);
	return got;
}

/* Wait until all items were taken; false if the run stops. */
static bool
channel_await_empty(Channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	while (channel->count > 0 && !run_stopping())
		run_wait(&channel->changed, &channel->lock, 200);
	pthread_mutex_unlock(&channel->lock);
	return !run_stopping();
}

/*
 * Every connection must reach the server that the backup began on: a host
 * name may lead elsewhere now.
 */
bool
copy_check_holder(Session *session, const char *slot, int pid)
{
	char		pid_text[16];
	const char *params[2] = {slot, pid_text};
	char	   *seen;

	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	seen = session_value(session,
						 "SELECT true FROM pg_replication_slots WHERE slot_name = $1"
						 " AND temporary AND active_pid = $2::int", 2, params);
	if (seen == NULL && !run_stopping())
		run_fail("a connection does not see replication slot \"%s\" of the backup: it leads to another server, or the backup has ended there",
				 slot);
	free(seen);
	return !run_stopping();
}

/* The two arrays that name a list. */
static void
format_list(const FileList *list, PQExpBuffer paths, PQExpBuffer blocks)
{
	appendPQExpBufferChar(paths, '{');
	appendPQExpBufferChar(blocks, '{');
	for (uint32 i = 0; i < list->nfiles; i++)
	{
		const PlanFile *file = list->files[i];
		BlockNumber start;
		BlockNumber end = 0;

		appendPQExpBufferStr(paths, i > 0 ? ",\"\\\\x" : "\"\\\\x");
		for (const char *c = file->path; *c; c++)
			appendPQExpBuffer(paths, "%02x", (unsigned char) *c);
		appendPQExpBufferChar(paths, '"');
		if (i > 0)
			appendPQExpBufferChar(blocks, ',');
		if (!file->incremental)
		{
			appendPQExpBufferStr(blocks, "NULL");
			continue;
		}
		appendPQExpBufferStr(blocks, "\"{");
		for (const char *comma = ""; plan_next_run(file, &start, &end);
			 comma = ",")
			appendPQExpBuffer(blocks, "%s[%u,%u)", comma, start, end);
		appendPQExpBufferStr(blocks, "}\"");
	}
	appendPQExpBufferChar(paths, '}');
	appendPQExpBufferChar(blocks, '}');
}

static bool
send_list(Copier *copier, const FileList *list)
{
	PQExpBuffer paths = createPQExpBuffer();
	PQExpBuffer blocks = createPQExpBuffer();
	const char *params[5];
	char		lsn[32];
	PGresult   *result;

	format_list(list, paths, blocks);
	if (PQExpBufferBroken(paths) || PQExpBufferBroken(blocks))
		pg_fatal("out of memory");
	snprintf(lsn, sizeof(lsn), "%X/%X",
			 LSN_FORMAT_ARGS(copier->start->start_lsn));
	params[0] = copier->start->slot;
	params[1] = lsn;
	params[2] = paths->data;
	params[3] = blocks->data;
	params[4] = copier->start->options->verify_checksums ? "true" : "false";
	result = session_try(copier->session,
						 "SELECT %s.ckpx_read_list($1, $2::pg_lsn, $3::bytea[],"
						 " $4::int8multirange[], $5::boolean)", 5, params, false);
	destroyPQExpBuffer(paths);
	destroyPQExpBuffer(blocks);
	PQclear(result);
	return result != NULL;
}

/* Begin the COPY; false after an error, which the session has. */
static bool
begin_copy(Session *session)
{
	char	   *query = psprintf("COPY (SELECT %s.ckpx_read_files()) TO STDOUT (FORMAT binary)",
								 session_schema());
	PGresult   *result = NULL;
	bool		good = false;

	session->cancel_sent = false;
	if (PQsendQuery(session->conn, query))
	{
		while (PQisBusy(session->conn) && session_poll(session))
			;
		result = PQisBusy(session->conn) ? NULL : PQgetResult(session->conn);
		good = PQresultStatus(result) == PGRES_COPY_OUT;
	}
	if (!good)
	{
		session_note_error(session, result);
		/* the query's end, if it failed by itself */
		while (result != NULL)
		{
			PQclear(result);
			result = PQgetResult(session->conn);
		}
	}
	PQclear(result);
	pfree(query);
	return good;
}

/*
 * Hand over all messages of the COPY.  Returns ITEM_END, or ITEM_ABORT if it
 * was canceled by us; ITEM_HALVE after an error, which the session has.
 */
static ItemType
drain_copy(Copier *copier)
{
	CopyStart  *start = copier->start;
	Session    *session = copier->session;
	ItemType	outcome = ITEM_END;
	PGresult   *result;
	Item		item = {.type = ITEM_MESSAGE};
	int			length;

	while ((length = PQgetCopyData(session->conn, &item.bytes, true)) >= 0)
	{
		if (length == 0)
		{
			if (!session_poll(session))
				break;
			continue;
		}
		item.length = length;
		if (outcome == ITEM_END && channel_put(&copier->channel, &item, true))
		{
			__atomic_fetch_add(&start->bytes, length, __ATOMIC_RELAXED);
			run_throttle(start->options->rate, length);
			continue;
		}
		PQfreemem(item.bytes);
		if (!session->cancel_sent)
			session_cancel(session);
		outcome = ITEM_ABORT;
	}
	while ((result = PQgetResult(session->conn)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK && outcome == ITEM_END)
		{
			session_note_error(session, result);
			outcome = ITEM_HALVE;
		}
		PQclear(result);
	}
	if (PQstatus(session->conn) != CONNECTION_OK && outcome != ITEM_HALVE)
	{
		session_note_error(session, NULL);
		outcome = ITEM_HALVE;
	}
	return outcome;
}

static bool
connect_copier(Copier *copier)
{
	copier->session = session_open(copier->start->options);
	return copier->session != NULL &&
		copy_check_holder(copier->session, copier->start->slot,
						  copier->start->holder_pid);
}

/* Is the error one after which the list may be tried again? */
static bool
is_conflict(Copier *copier)
{
	Session    *session = copier->session;

	if (strcmp(session->sqlstate, "40001") != 0 &&
		strcmp(session->sqlstate, "40P01") != 0 &&
		strcmp(session->sqlstate, "57P04") != 0)
	{
		session_fail(session, NULL);
		return false;
	}
	if (PQstatus(session->conn) == CONNECTION_OK)
		return true;
	session_close(session);
	copier->session = NULL;
	return connect_copier(copier);
}

/*
 * After a COPY that was canceled: while nothing can be written, no backend may
 * wait for us.  One whose statement was canceled may have lost sight of a
 * barrier that came before; its end is all that lets DROP DATABASE go on.
 */
static bool
begin_again(Copier *copier)
{
	pg_log_debug("a list was canceled because nothing was written");
	session_close(copier->session);
	copier->session = NULL;
	return channel_await_empty(&copier->channel) && connect_copier(copier);
}

static void *
read_lists(void *arg)
{
	Copier	   *copier = arg;
	Channel    *channel = &copier->channel;
	Item		item = {0};
	bool		good = true;

	while (good && (item.list = lists_take(copier->start->lists)) != NULL)
	{
		if (item.list->unchanged)
		{
			/* leave the next one to a writer that has nothing to do */
			item.type = ITEM_UNCHANGED;
			good = channel_put(channel, &item, false) &&
				channel_await_empty(channel);
			continue;
		}
		item.type = ITEM_BEGIN;
		good = (copier->session != NULL || connect_copier(copier)) &&
			channel_put(channel, &item, false);
		if (!good)
			break;
		if (send_list(copier, item.list) && begin_copy(copier->session))
			item.type = drain_copy(copier);
		else
			item.type = ITEM_HALVE;
		if (item.type == ITEM_HALVE && !run_stopping())
			good = is_conflict(copier);
		good = good && channel_put(channel, &item, false) &&
			(item.type != ITEM_ABORT || begin_again(copier));
	}
	item.type = ITEM_STOP;
	channel_put(channel, &item, false);
	return NULL;
}

/* What one item means for the list in work; false after run_fail(). */
static bool
write_item(Copier *copier, Receiver *receiver, Sink *sink, Item *item)
{
	bool		good;

	switch (item->type)
	{
		case ITEM_BEGIN:
			receive_begin(receiver, item->list);
			return true;
		case ITEM_MESSAGE:
			good = receive_message(receiver, item->bytes, item->length);
			PQfreemem(item->bytes);
			return good;
		case ITEM_UNCHANGED:
			if (!receive_unchanged(receiver, item->list) ||
				!sink_commit(sink))
				return false;
			lists_done(copier->start->lists, item->list);
			return true;
		case ITEM_END:
			if (!receive_end(receiver) || !sink_commit(sink))
				return false;
			lists_done(copier->start->lists, item->list);
			return true;
		default:
			if (!receive_abort(receiver))
				return false;
			lists_put_back(copier->start->lists, item->list,
						   item->type == ITEM_HALVE);
			return true;
	}
}

static void *
write_files(void *arg)
{
	Copier	   *copier = arg;
	Sink	   *sink = sink_create(copier->start->output);
	Receiver   *receiver = receive_create(sink, copier->start->parent,
										  copier->start->recovery_conf);
	Item		item;

	while (channel_get(&copier->channel, &item) && item.type != ITEM_STOP)
	{
		if (!write_item(copier, receiver, sink, &item))
			break;
	}
	if (!run_stopping())
		sink_commit(sink);
	__atomic_fetch_add(&copier->start->bad_checksums,
					   receive_bad_checksums(receiver), __ATOMIC_RELAXED);
	sink_free(sink);
	return NULL;
}

Copiers *
copy_begin(CopyStart *start)
{
	Copiers    *copiers = pg_malloc0(sizeof(Copiers));

	copiers->copiers = pg_malloc0(sizeof(Copier) * start->options->jobs);
	for (int i = 0; i < start->options->jobs; i++)
	{
		Copier	   *copier = &copiers->copiers[i];

		copier->start = start;
		copier->channel.max_bytes = Min(CHANNEL_BYTES,
										CHANNEL_TOTAL / start->options->jobs);
		pthread_mutex_init(&copier->channel.lock, NULL);
		pthread_cond_init(&copier->channel.changed, NULL);
		run_thread(&copier->reader, read_lists, copier);
		run_thread(&copier->writer, write_files, copier);
		copiers->count++;
	}
	return copiers;
}

bool
copy_end(Copiers *copiers)
{
	for (int i = 0; i < copiers->count; i++)
	{
		pthread_join(copiers->copiers[i].reader, NULL);
		pthread_join(copiers->copiers[i].writer, NULL);
		session_close(copiers->copiers[i].session);
	}
	free(copiers->copiers);
	free(copiers);
	return !run_stopping();
}
