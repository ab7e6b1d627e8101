/*-------------------------------------------------------------------------
 *
 * server_stubs.c
 *		What a file of the server calls, as little of it as the unit tests need:
 *		memory from malloc(), hash tables that are lists, errors that abort.
 *
 * Memory that is freed, and elements that are removed, are gone at once, so
 * that the sanitizer sees what dynahash and memory contexts would hide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define HUGE_ALIGN(size)	MAXALIGN(Max(size, 1))

MemoryContext CurrentMemoryContext = NULL;

/* ------------------------------------------------------------
 * Memory
 * ------------------------------------------------------------
 */

static void *
allocate(Size size, bool zero)
{
	void	   *pointer = malloc(HUGE_ALIGN(size));

	if (pointer == NULL)
		abort();
	/* Not zero by accident. */
	memset(pointer, zero ? 0 : 0x7f, size);
	return pointer;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return allocate(size, false);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return allocate(size, true);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return allocate(size, false);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return allocate(size, (flags & MCXT_ALLOC_ZERO) != 0);
}

void
pfree(void *pointer)
{
	free(pointer);
}

/* ------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------
 */

#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *type,
					 const char *file, int line)
#endif
{
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, condition);
	abort();
}

bool
errstart(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

void
errfinish(const char *file, int line, const char *function)
{
	fprintf(stderr, "%s:%d: an error was raised\n", file, line);
	abort();
}

int
errmsg_internal(const char *format,...)
{
	return 0;
}

/* ------------------------------------------------------------
 * Transaction ids, as in transam.c
 * ------------------------------------------------------------
 */

bool
TransactionIdPrecedes(TransactionId a, TransactionId b)
{
	if (!TransactionIdIsNormal(a) || !TransactionIdIsNormal(b))
		return a < b;
	return (int32) (a - b) < 0;
}

bool
TransactionIdFollowsOrEquals(TransactionId a, TransactionId b)
{
	return !TransactionIdPrecedes(a, b);
}

/* ------------------------------------------------------------
 * Hash tables: a list, of which a scan may remove the element it is at
 * ------------------------------------------------------------
 */

struct HTAB
{
	Size		keysize;
	Size		entrysize;
	HASHELEMENT *first;			/* the entry lies behind it */
};

#define ENTRY(element)	((char *) (element) + MAXALIGN(sizeof(HASHELEMENT)))

HTAB *
hash_create(const char *name, long nelem, const HASHCTL *info, int flags)
{
	HTAB	   *table = allocate(sizeof(HTAB), true);

	table->keysize = info->keysize;
	table->entrysize = info->entrysize;
	return table;
}

void *
hash_search(HTAB *table, const void *key, HASHACTION action, bool *found)
{
	HASHELEMENT **place = &table->first;
	HASHELEMENT *element;

	while (*place != NULL && memcmp(ENTRY(*place), key, table->keysize) != 0)
		place = &(*place)->link;
	element = *place;
	if (found != NULL)
		*found = element != NULL;

	if (action == HASH_ENTER && element == NULL)
	{
		element = allocate(MAXALIGN(sizeof(HASHELEMENT)) + table->entrysize,
						   false);
		memcpy(ENTRY(element), key, table->keysize);
		element->link = NULL;
		*place = element;
	}
	else if (action == HASH_REMOVE && element != NULL)
	{
		/* The result says no more than that there was one. */
		*place = element->link;
		free(element);
		return table;
	}
	return element == NULL ? NULL : ENTRY(element);
}

void
hash_seq_init(HASH_SEQ_STATUS *scan, HTAB *table)
{
	scan->hashp = table;
	scan->curEntry = table->first;
}

void *
hash_seq_search(HASH_SEQ_STATUS *scan)
{
	HASHELEMENT *element = scan->curEntry;

	if (element == NULL)
		return NULL;
	scan->curEntry = element->link;
	return ENTRY(element);
}
