/*-------------------------------------------------------------------------
 *
 * relation_names.c
 *		Names of relations that are known by their files, of every database.
 *
 * A foreign pg_class is read through shared buffers, without a relcache entry.
 * The locks on that database, its pg_class and its pg_namespace keep DROP
 * DATABASE, VACUUM FULL and the truncation by VACUUM away.  SnapshotSelf sees
 * what is committed at the moment of the look: a row that is updated meanwhile
 * may be met twice or not at all, which costs a name and nothing else.
 *
 * A database that is damaged costs names as well: of a page that cannot be
 * read those of its rows, of a file all.  On a standby, replay of DROP
 * DATABASE removes the files before the row of pg_database goes.  Such an
 * error is caught where it arises, without a subtransaction, which a parallel
 * query would not allow: what is called there takes nothing but buffer pins,
 * of which a resource owner of its own knows, and LWLocks, and no other LWLock
 * is held.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "api/relation_names.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_tablespace_d.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* The columns of pg_namespace that every row has; see CLASS_TUPLE_SIZE. */
#define NAMESPACE_TUPLE_SIZE \
	(offsetof(FormData_pg_namespace, nspowner) + sizeof(Oid))

/* A wanted file; the key's fork is MAIN. */
typedef struct NamedFile
{
	CkpxRelKey	key;
	Oid			schema;			/* of a relation of another database */
	char	   *name;			/* or NULL */
} NamedFile;

/* A database or a schema. */
typedef struct NamedObject
{
	Oid			oid;
	char	   *name;			/* or NULL */
} NamedObject;

struct CkpxNames
{
	HTAB	   *files;
	HTAB	   *databases;
};

/* A foreign database while it is read. */
typedef struct ForeignDatabase
{
	CkpxNames  *names;
	Oid			oid;
	const char *name;
	Oid			tablespace;
	char	   *path;
	bool		warned;			/* that something of it cannot be read */
	RelFileNumber namespace_file;	/* of its pg_namespace */
	HTAB	   *schemas;
} ForeignDatabase;

/* What is read of its directory: the file of a mapped relation. */
typedef struct MapLook
{
	char	   *path;
	Oid			relid;
	RelFileNumber number;		/* found */
} MapLook;

/* One of its heaps, and of that the page in work. */
typedef struct HeapLook
{
	Oid			catalog;
	Size		row_size;		/* of the columns that every row has */
	RelFileLocator locator;
	BufferAccessStrategy strategy;
	BlockNumber nblocks;
	BlockNumber block;
	PGAlignedBlock page;		/* a copy */
	int			nvisible;
	OffsetNumber visible[MaxHeapTuplesPerPage];
} HeapLook;

typedef void (*RowCallback) (ForeignDatabase *db, const void *row);

static HTAB *
make_table(const char *title, Size key_size, Size entry_size)
{
	HASHCTL		control = {0};

	control.keysize = key_size;
	control.entrysize = entry_size;
	control.hcxt = CurrentMemoryContext;
	return hash_create(title, 64, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

CkpxNames *
ckpx_names_create(void)
{
	CkpxNames  *names = palloc(sizeof(CkpxNames));

	names->files = make_table("ckpx file names", sizeof(CkpxRelKey),
							  sizeof(NamedFile));
	names->databases = make_table("ckpx database names", sizeof(Oid),
								  sizeof(NamedObject));
	return names;
}

void
ckpx_names_want(CkpxNames *names, const CkpxRelKey *key)
{
	CkpxRelKey	wanted = *key;
	NamedFile  *file;
	NamedObject *db;
	bool		found;

	wanted.fork = MAIN_FORKNUM;
	file = hash_search(names->files, &wanted, HASH_ENTER, &found);
	if (!found)
	{
		file->schema = InvalidOid;
		file->name = NULL;
	}
	db = hash_search(names->databases, &wanted.database, HASH_ENTER, &found);
	if (!found)
		db->name = NULL;
}

/* The name of a file of the present database, or of a shared catalog. */
static char *
local_name(const CkpxRelKey *key)
{
	Oid			relid = ckpx_relid_of_file(key->tablespace, key->relation);
	char	   *name = OidIsValid(relid) ? get_rel_name(relid) : NULL;
	char	   *schema;

	if (name == NULL)
		return NULL;
	schema = get_namespace_name(get_rel_namespace(relid));
	return schema == NULL ? NULL : quote_qualified_identifier(schema, name);
}

/* Give up what a call that ended with an error had taken. */
static void
clean_up(ResourceOwner owner)
{
	HOLD_INTERRUPTS();
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	ckpx_abort_buffer_io();
	RESUME_INTERRUPTS();
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, false, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
}

/*
 * Read something of the database; false, with a warning the first time, if it
 * is damaged or gone.
 */
static bool
read_guarded(ForeignDatabase *db, void (*reader) (void *look), void *look)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	ResourceOwner owner = ResourceOwnerCreate(old_owner, "ckpx names");
	volatile bool done = false;

	PG_TRY();
	{
		CurrentResourceOwner = owner;
		reader(look);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;
		int			category;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
		CurrentResourceOwner = old_owner;
		if (category != ERRCODE_INTERNAL_ERROR &&
			category != ERRCODE_SYSTEM_ERROR)
			PG_RE_THROW();
		FlushErrorState();
		clean_up(owner);
		if (!db->warned)
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("could not read all names of relations in database \"%s\"",
							db->name),
					 errdetail("%s.", error->message)));
		db->warned = true;
		FreeErrorData(error);
	}
	PG_END_TRY();
	CurrentResourceOwner = old_owner;
	ResourceOwnerDelete(owner);
	return done;
}

static void
read_map(void *arg)
{
	MapLook    *look = arg;

	look->number = ckpx_mapped_file_of(look->path, look->relid);
}

/* The file of a mapped relation of the database; or InvalidOid. */
static RelFileNumber
mapped_file(ForeignDatabase *db, Oid relid)
{
	MapLook		look = {.path = db->path,.relid = relid};

	return read_guarded(db, read_map, &look) ? look.number : InvalidOid;
}

static void
read_length(void *arg)
{
	HeapLook   *look = arg;
	SMgrRelation smgr = smgropen(look->locator, CKPX_NO_BACKEND);

	look->nblocks = smgrnblocks(smgr, MAIN_FORKNUM);
	smgrclose(smgr);
}

/* A row on the page has all its columns there, unless the page is damaged. */
static bool
is_whole(Page page, ItemId item, Size row_size)
{
	Size		length = ItemIdGetLength(item);
	HeapTupleHeader row;

	if (!ItemIdIsNormal(item) || ItemIdGetOffset(item) + length > BLCKSZ ||
		length < SizeofHeapTupleHeader)
		return false;
	row = (HeapTupleHeader) PageGetItem(page, item);
	return row->t_hoff + row_size <= length;
}

/* Copy a page, and note its visible rows. */
static void
read_page(void *arg)
{
	HeapLook   *look = arg;
	Buffer		buffer = ReadBufferWithoutRelcache(look->locator, MAIN_FORKNUM,
												   look->block, RBM_NORMAL,
												   look->strategy, true);
	Page		page = BufferGetPage(buffer);

	look->nvisible = 0;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	for (OffsetNumber i = FirstOffsetNumber;
		 !PageIsNew(page) && i <= PageGetMaxOffsetNumber(page) &&
		 look->nvisible < MaxHeapTuplesPerPage; i++)
	{
		ItemId		item = PageGetItemId(page, i);
		HeapTupleData tuple = {0};

		if (!is_whole(page, item, look->row_size))
			continue;
		ItemPointerSet(&tuple.t_self, look->block, i);
		tuple.t_tableOid = look->catalog;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		if (HeapTupleSatisfiesVisibility(&tuple, SnapshotSelf, buffer))
			look->visible[look->nvisible++] = i;
	}
	memcpy(look->page.data, page, BLCKSZ);
	UnlockReleaseBuffer(buffer);
}

/* Visit the rows of a heap of another database; its relation is locked. */
static void
visit_heap(ForeignDatabase *db, Oid catalog, Size row_size,
		   RelFileNumber number, RowCallback visit)
{
	HeapLook	look = {.catalog = catalog,.row_size = row_size};
	Page		page = (Page) look.page.data;

	if (!OidIsValid(number))
		return;
	look.locator = ckpx_locator(db->tablespace, db->oid, number);
	if (!read_guarded(db, read_length, &look))
		return;
	look.strategy = GetAccessStrategy(BAS_BULKREAD);
	for (look.block = 0; look.block < look.nblocks; look.block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!read_guarded(db, read_page, &look))
			continue;
		for (int i = 0; i < look.nvisible; i++)
		{
			HeapTupleHeader row = (HeapTupleHeader)
				PageGetItem(page, PageGetItemId(page, look.visible[i]));

			visit(db, (char *) row + row->t_hoff);
		}
	}
	FreeAccessStrategy(look.strategy);
}

/* A row of pg_class. */
static void
visit_class(ForeignDatabase *db, const void *row)
{
	const FormData_pg_class *form = row;
	CkpxRelKey	key;
	NamedFile  *file;

	if (!RELKIND_HAS_STORAGE(form->relkind) || form->relisshared ||
		form->relpersistence == RELPERSISTENCE_TEMP)
		return;
	key.tablespace = OidIsValid(form->reltablespace) ? form->reltablespace :
		db->tablespace;
	key.database = db->oid;
	key.relation = OidIsValid(form->relfilenode) ? form->relfilenode :
		mapped_file(db, form->oid);
	key.fork = MAIN_FORKNUM;
	if (form->oid == NamespaceRelationId)
		db->namespace_file = key.relation;

	file = hash_search(db->names->files, &key, HASH_FIND, NULL);
	if (file != NULL)
	{
		file->name = pnstrdup(NameStr(form->relname), NAMEDATALEN - 1);
		file->schema = form->relnamespace;
	}
}

/* A row of pg_namespace. */
static void
visit_namespace(ForeignDatabase *db, const void *row)
{
	const FormData_pg_namespace *form = row;
	NamedObject *schema = hash_search(db->schemas, &form->oid, HASH_ENTER,
									  NULL);

	schema->name = pnstrdup(NameStr(form->nspname), NAMEDATALEN - 1);
}

/* Put the schemas before the names; without its schema a name is none. */
static void
qualify_names(ForeignDatabase *db)
{
	HASH_SEQ_STATUS seq;
	NamedFile  *file;

	hash_seq_init(&seq, db->names->files);
	while ((file = hash_seq_search(&seq)) != NULL)
	{
		const NamedObject *schema;

		if (file->key.database != db->oid || file->name == NULL)
			continue;
		schema = hash_search(db->schemas, &file->schema, HASH_FIND, NULL);
		file->name = schema == NULL ? NULL :
			quote_qualified_identifier(schema->name, file->name);
	}
}

/* Read the names of another database; it is locked. */
static void
read_names(ForeignDatabase *db)
{
	LockRelId	pg_class = {.relId = RelationRelationId,.dbId = db->oid};
	LockRelId	pg_namespace = {.relId = NamespaceRelationId,.dbId = db->oid};

	db->path = GetDatabasePath(db->oid, db->tablespace);
	db->namespace_file = InvalidOid;
	db->schemas = make_table("ckpx schema names", sizeof(Oid),
							 sizeof(NamedObject));
	LockRelationId(&pg_class, AccessShareLock);
	LockRelationId(&pg_namespace, AccessShareLock);
	visit_heap(db, RelationRelationId, CLASS_TUPLE_SIZE,
			   mapped_file(db, RelationRelationId), visit_class);
	visit_heap(db, NamespaceRelationId, NAMESPACE_TUPLE_SIZE,
			   db->namespace_file, visit_namespace);
	qualify_names(db);
	hash_destroy(db->schemas);
	UnlockRelationId(&pg_namespace, AccessShareLock);
	UnlockRelationId(&pg_class, AccessShareLock);
}

/* May the user see the names of this database, and is it whole? */
static bool
is_readable(ForeignDatabase *db)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID,
										ObjectIdGetDatum(db->oid));
	bool		readable = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		db->tablespace = form->dattablespace;
		/* A DROP DATABASE that broke off leaves -2. */
		readable = form->datconnlimit >= -1 &&
			ckpx_may_connect(db->oid, GetUserId());
		ReleaseSysCache(tuple);
	}
	return readable;
}

/* Find the names of one database's files. */
static void
find_in_database(CkpxNames *names, const NamedObject *database)
{
	ForeignDatabase db = {.names = names,.oid = database->oid};

	db.name = database->name;
	LockSharedObject(DatabaseRelationId, db.oid, 0, AccessShareLock);
	if (is_readable(&db))
		read_names(&db);
	UnlockSharedObject(DatabaseRelationId, db.oid, 0, AccessShareLock);
}

void
ckpx_names_find(CkpxNames *names)
{
	HASH_SEQ_STATUS seq;
	NamedFile  *file;
	NamedObject *db;

	hash_seq_init(&seq, names->files);
	while ((file = hash_seq_search(&seq)) != NULL)
	{
		if (file->key.relation != CKPX_DATABASE_WIDE &&
			(file->key.database == MyDatabaseId ||
			 file->key.database == InvalidOid))
			file->name = local_name(&file->key);
	}

	hash_seq_init(&seq, names->databases);
	while ((db = hash_seq_search(&seq)) != NULL)
	{
		char	   *name = get_database_name(db->oid);

		if (name == NULL)
			continue;
		db->name = name;
		if (db->oid != MyDatabaseId)
			find_in_database(names, db);
	}
}

void
ckpx_row_names(CkpxRow *row, const CkpxNames *names, const CkpxRelKey *key)
{
	CkpxRelKey	wanted = *key;
	const NamedFile *file;
	const NamedObject *db;

	wanted.fork = MAIN_FORKNUM;
	file = hash_search(names->files, &wanted, HASH_FIND, NULL);
	db = hash_search(names->databases, &wanted.database, HASH_FIND, NULL);
	ckpx_row_text(row, db == NULL ? NULL : db->name);
	ckpx_row_text(row, file == NULL ? NULL : file->name);
}
