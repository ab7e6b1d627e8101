/*-------------------------------------------------------------------------
 *
 * resume.h
 *		DIRECTORY.partial: its lock, what is in it, and going on with it.
 *
 * Its file "progress" is locked as long as the program runs, and says which
 * files are on disk, how far the server's WAL was when they had been read, and
 * on which timeline.  A later run keeps a relation's file if the server has
 * come from there, the file has the same length, and the map names no change
 * of it since the first run's START.  Small files and all others are taken
 * anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_RESUME_H
#define CKPX_BASEBACKUP_RESUME_H

#include "bin/basebackup/job.h"

/* Make DIRECTORY.partial, or open the one that is left; lock it. */
extern bool partial_open(Job *job);

/* Remove the one that this run has made, and copied nothing to. */
extern void partial_remove(Job *job);

/*
 * Say in DIRECTORY.partial which backup is made, and from which parent, before
 * anything is copied: a roll-forward must not take the parent away.
 */
extern bool partial_describe(Job *job);

/* After the start: what this run's files are to be compared with. */
extern bool progress_begin(Job *job);

/* Remember what is on disk: these lists' files. */
extern bool progress_note(Job *job, const FileList *done);

/*
 * With --resume, after the plan is made: mark the files that are kept, and
 * remove all other ones.
 */
extern bool resume_keep(Job *job);

#endif							/* CKPX_BASEBACKUP_RESUME_H */
