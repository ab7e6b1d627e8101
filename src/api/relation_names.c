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
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

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
	Oid			tablespace;
	char	   *path;
	RelFileNumber namespace_file;	/* of its pg_namespace */
	HTAB	   *schemas;
} ForeignDatabase;

typedef void (*TupleCallback) (ForeignDatabase *db, HeapTuple tuple);

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

/* Visit the rows of a heap of another database; its relation is locked. */
static void
visit_heap(ForeignDatabase *db, Oid catalog, RelFileNumber number,
		   TupleCallback visit)
{
	RelFileLocator locator = ckpx_locator(db->tablespace, db->oid, number);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	SMgrRelation smgr = smgropen(locator, CKPX_NO_BACKEND);
	BlockNumber nblocks = smgrnblocks(smgr, MAIN_FORKNUM);

	smgrclose(smgr);
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferWithoutRelcache(locator, MAIN_FORKNUM, block,
										   RBM_NORMAL, strategy, true);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		for (OffsetNumber i = FirstOffsetNumber;
			 !PageIsNew(page) && i <= PageGetMaxOffsetNumber(page); i++)
		{
			ItemId		item = PageGetItemId(page, i);
			HeapTupleData tuple = {0};

			if (!ItemIdIsNormal(item))
				continue;
			ItemPointerSet(&tuple.t_self, block, i);
			tuple.t_tableOid = catalog;
			tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
			tuple.t_len = ItemIdGetLength(item);
			if (HeapTupleSatisfiesVisibility(&tuple, SnapshotSelf, buffer))
				visit(db, &tuple);
		}
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
}

/* A row of pg_class. */
static void
visit_class(ForeignDatabase *db, HeapTuple tuple)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	CkpxRelKey	key;
	NamedFile  *file;

	if (!RELKIND_HAS_STORAGE(form->relkind) || form->relisshared ||
		form->relpersistence == RELPERSISTENCE_TEMP)
		return;
	key.tablespace = OidIsValid(form->reltablespace) ? form->reltablespace :
		db->tablespace;
	key.database = db->oid;
	key.relation = OidIsValid(form->relfilenode) ? form->relfilenode :
		ckpx_mapped_file_of(db->path, form->oid);
	key.fork = MAIN_FORKNUM;
	if (form->oid == NamespaceRelationId)
		db->namespace_file = key.relation;

	file = hash_search(db->names->files, &key, HASH_FIND, NULL);
	if (file != NULL)
	{
		file->name = pstrdup(NameStr(form->relname));
		file->schema = form->relnamespace;
	}
}

/* A row of pg_namespace. */
static void
visit_namespace(ForeignDatabase *db, HeapTuple tuple)
{
	Form_pg_namespace form = (Form_pg_namespace) GETSTRUCT(tuple);
	NamedObject *schema = hash_search(db->schemas, &form->oid, HASH_ENTER,
									  NULL);

	schema->name = pstrdup(NameStr(form->nspname));
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
	visit_heap(db, RelationRelationId,
			   ckpx_mapped_file_of(db->path, RelationRelationId),
			   visit_class);
	if (OidIsValid(db->namespace_file))
		visit_heap(db, NamespaceRelationId, db->namespace_file,
				   visit_namespace);
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
find_in_database(CkpxNames *names, Oid oid)
{
	ForeignDatabase db = {.names = names,.oid = oid};

	LockSharedObject(DatabaseRelationId, oid, 0, AccessShareLock);
	if (is_readable(&db))
		read_names(&db);
	UnlockSharedObject(DatabaseRelationId, oid, 0, AccessShareLock);
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
			find_in_database(names, db->oid);
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
