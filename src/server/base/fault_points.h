/*-------------------------------------------------------------------------
 *
 * fault_points.h
 *		Every place at which a fault can be set: its name, and what has just
 *		happened or is about to happen there.
 *
 * No include guard: the includer defines CKPX_FAULT_POINT(name, description)
 * and gets one use of it for each place.  A check in test/ compares this list
 * with the names found in the sources, both ways.  CKPX_OUTPUT_POINTS(what)
 * stands for the five places that every published file passes, see files.h.
 *
 *-------------------------------------------------------------------------
 */

#define CKPX_OUTPUT_POINTS(what) \
	CKPX_FAULT_POINT(what "-create", "before the temporary file is created") \
	CKPX_FAULT_POINT(what "-write", "before bytes are written to the file") \
	CKPX_FAULT_POINT(what "-fsync", "before the file is synced") \
	CKPX_FAULT_POINT(what "-rename", "the file is synced, not renamed yet") \
	CKPX_FAULT_POINT(what "-renamed", "the file has its final name and is durable")

/* boot */
CKPX_FAULT_POINT("boot-start", "a manifest is looked for")
CKPX_FAULT_POINT("boot-loaded", "the history is loaded, nothing is decoded yet")
CKPX_FAULT_POINT("epoch-begin", "a new epoch is about to begin")

/* every worker */
CKPX_FAULT_POINT("worker-back-off", "how many milliseconds a worker waits after failures is looked up")

/* following WAL */
CKPX_FAULT_POINT("wal-read", "before a piece of WAL is read from its file")
CKPX_FAULT_POINT("cut-before", "WAL is decoded, the cut is not taken yet")
CKPX_FAULT_POINT("cut-added", "the cut is a segment of the logtail")
CKPX_FAULT_POINT("logtail-trim", "before segments of a finished range are forgotten")

/* entries and their jobs */
CKPX_FAULT_POINT("entry-created", "a pending entry was inserted")
CKPX_FAULT_POINT("entry-started", "an entry is running, its ticket not queued yet")
CKPX_FAULT_POINT("job-start", "the job took its ticket")
CKPX_FAULT_POINT("job-published", "the object and a manifest with it are durable, the entry is still running")
CKPX_FAULT_POINT("global-start", "the job of a global took its entry")
CKPX_FAULT_POINT("global-relation", "before a relation is merged into a global")
CKPX_FAULT_POINT("global-published", "a global's object and a manifest with it are durable, the entry is still running")
CKPX_FAULT_POINT("spill-published", "a spilled segment is in a manifest, still in memory too")
CKPX_FAULT_POINT("cancel-removed", "a cancelled running entry is gone from memory, its files are not")
CKPX_FAULT_POINT("gc-chosen", "it is decided what goes, every manifest names it yet")
CKPX_FAULT_POINT("gc-published", "the newest manifest does not name what goes, memory does")
CKPX_FAULT_POINT("gc-forgotten", "neither manifest names what goes, the files are there")
CKPX_FAULT_POINT("publish-memory", "the manifest is durable, memory does not show it yet")

CKPX_FAULT_POINT("backup-incremental", "the backup's incremental is finished, its tail is not asked for yet")
CKPX_FAULT_POINT("backup-start", "the backup's tail has its entry, nothing is written yet")
CKPX_FAULT_POINT("backup-published", "the tail and a manifest with it are durable, the entry is still running")
CKPX_FAULT_POINT("command-started", "the post command runs")

/* flushing */
CKPX_FAULT_POINT("flush-begin", "a durable pass begins")
CKPX_FAULT_POINT("flush-scan", "changes half made are through, before the buffer headers are looked at")
CKPX_FAULT_POINT("flush-write", "before a buffer is looked at to be written")
CKPX_FAULT_POINT("flush-pin", "a buffer is pinned, not locked yet")
CKPX_FAULT_POINT("flush-written", "all blocks of a durable pass are written, none is synced yet")
CKPX_FAULT_POINT("flush-fsync", "before a data file is synced")
CKPX_FAULT_POINT("flush-writeback", "before the kernel is asked to write back a part of a data file")

/* WAL release */
CKPX_FAULT_POINT("release-ticket", "the release ticket was taken")
CKPX_FAULT_POINT("slot-create", "before the slot is created")
CKPX_FAULT_POINT("slot-created", "the slot exists, reserves WAL and is saved")
CKPX_FAULT_POINT("slot-advance", "before the slot is moved")
CKPX_FAULT_POINT("slot-saved", "the slot is moved and saved")

/* reading objects */
CKPX_FAULT_POINT("object-read", "a piece of an object is read from its file")
CKPX_FAULT_POINT("object-patience", "how many milliseconds an object may be absent is looked up")

/* reading a map */
CKPX_FAULT_POINT("chosen-turn", "some of the entries that answer a range are copied, the lock is let go")
CKPX_FAULT_POINT("map-chosen", "objects and segments of a range are chosen, none is read yet")

/* the end */
CKPX_FAULT_POINT("uninstall-slot", "before the slot is dropped for good")
CKPX_FAULT_POINT("uninstall-files", "the slot is gone, the files are not")

/* files */
CKPX_FAULT_POINT("remove-file", "before a file is removed")
CKPX_OUTPUT_POINTS("object")
CKPX_OUTPUT_POINTS("global")
CKPX_OUTPUT_POINTS("manifest")
CKPX_OUTPUT_POINTS("segment")
CKPX_OUTPUT_POINTS("backup")
CKPX_OUTPUT_POINTS("identity")

#undef CKPX_OUTPUT_POINTS
