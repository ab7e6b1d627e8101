/*-------------------------------------------------------------------------
 *
 * relation_names.h
 *		Names of relations that are known by their files, of every database.
 *
 * The map names files.  A relation of the present database is found in its
 * catalogs; one of another database in that database's pg_class, which is read
 * page by page as CREATE DATABASE reads it, since no session can connect to a
 * second database.  Such a database is locked against DROP DATABASE while it
 * is read.
 *
 * A name may be missing: of a file that was dropped or replaced, of one in a
 * database to which the user may not connect, and of one whose row of pg_class
 * cannot be read.
 *
 * All wanted files are added first, so that each database is read once.
 * Everything lives in the memory context of _create.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_RELATION_NAMES_H
#define CKPX_RELATION_NAMES_H

#include "postgres.h"

#include "api/api.h"

typedef struct CkpxNames CkpxNames;

extern CkpxNames *ckpx_names_create(void);

/* Say that the name of a file is wanted; its fork does not matter. */
extern void ckpx_names_want(CkpxNames *names, const CkpxRelKey *key);

/*
 * Find the names of all wanted files.  Takes locks on the databases and on
 * their pg_class and pg_namespace.  If something of another database is
 * damaged or gone, that is a WARNING, one for each database.
 */
extern void ckpx_names_find(CkpxNames *names);

/*
 * Add two columns, the database's name as pg_database has it, and the
 * relation's with its schema, quoted where they must be; each NULL where it is
 * not known or, as the database of a shared catalog, does not exist.
 */
extern void ckpx_row_names(CkpxRow *row, const CkpxNames *names,
						   const CkpxRelKey *key);

#endif							/* CKPX_RELATION_NAMES_H */
