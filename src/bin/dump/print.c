/*-------------------------------------------------------------------------
 *
 * print.c
 *		Prints what manifests and objects hold, one row for each thing.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/print.h"

#include "bin/dump/output.h"

static const char *const fork_names[] = {"main", "fsm", "vm", "init"};

void
print_entry(const CkpxEntry *entry)
{
	output_text("kind", ckpx_kind_name(entry->kind));
	output_number("epoch", entry->range.epoch);
	output_number("timeline", entry->range.timeline);
	output_lsn("start_lsn", entry->range.start_lsn);
	output_lsn("end_lsn", entry->range.end_lsn);
	output_number("relations", entry->nrelations);
	output_number("blocks", entry->nblocks);
	output_number("bytes", entry->size_bytes);
	output_number("parts", entry->nparts);
	output_time("created", entry->range.created_at);
}

void
print_gap(const CkpxGap *gap)
{
	output_number("epoch", gap->epoch);
	output_number("timeline", gap->timeline);
	output_lsn("from_lsn", gap->from_lsn);
	output_lsn("to_lsn", gap->to_lsn);
	output_time("detected", gap->detected_at);
	output_bool("damaged", gap->damaged);
	output_text("reason", gap->reason);
}

void
print_pin(const CkpxPin *pin)
{
	output_text("name", pin->name);
	output_lsn("lsn", pin->lsn);
	output_number("epoch", pin->epoch);
	output_lsn("global_lsn", pin->global_lsn);
	output_time("created", pin->created_at);
	output_time("expires", pin->expires_at);
}

void
print_backup(const CkpxBackupRecord *backup)
{
	output_text("id", backup->id);
	if (backup->parent[0] != '\0')
		output_text("parent", backup->parent);
	else
		output_null("parent");
	output_number("timeline", backup->timeline);
	output_lsn("start_lsn", backup->start_lsn);
	output_lsn("stop_lsn", backup->stop_lsn);
	output_number("bytes", backup->bytes);
	output_time("finished", backup->finished_at);
}

void
print_mark(const CkpxMark *mark)
{
	output_lsn("lsn", mark->lsn);
	output_lsn("redo_lsn", mark->redo);
	output_number("timeline", mark->timeline);
	output_number("crc", mark->crc);
	output_time("time", mark->time);
}

void
print_identity(const CkpxIdentity *identity)
{
	char		text[32];

	/* Not a number: many readers of JSON round those of 64 bits. */
	snprintf(text, sizeof(text), UINT64_FORMAT, identity->system_identifier);
	output_text("system_identifier", text);
	output_hex("node_id", identity->node_id, 16);
	output_number("pg_major", identity->pg_major);
	output_number("block_size", identity->block_size);
	output_number("segment_blocks", identity->segment_blocks);
	output_number("wal_segment_size", identity->wal_segment_size);
	output_number("checksum_version", identity->checksum_version);
}

void
print_key(const CkpxRelKey *key)
{
	output_number("tablespace", key->tablespace);
	output_number("database", key->database);
	output_number("relfilenode", key->relation);
	output_text("fork", CKPX_NAME_OF(fork_names, key->fork));
}

void
print_manifest(const CkpxManifest *manifest, const char *file)
{
	output_one("manifest");
	output_text("file", file);
	output_number("version", manifest->version);
	output_number("sequence", manifest->sequence);
	output_time("written", manifest->written_at);
	print_identity(&manifest->identity);
	output_number("epoch", manifest->epoch);
	output_number("timeline", manifest->timeline);
	output_lsn("epoch_start", manifest->epoch_start);
	output_number("known_xid", manifest->known_xid);
	output_number("global_version_interval_s",
				  manifest->global_version_interval_s);
	output_number("entries", manifest->nentries);
	output_number("gaps", manifest->ngaps);
	output_number("pins", manifest->npins);
	output_number("backups", manifest->nbackups);
	output_row();
}

void
print_entries(const CkpxManifest *manifest)
{
	output_many("entries");
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		print_entry(&manifest->entries[i]);
		output_row();
	}
}

void
print_gaps(const CkpxManifest *manifest)
{
	output_many("gaps");
	for (uint32 i = 0; i < manifest->ngaps; i++)
	{
		print_gap(&manifest->gaps[i]);
		output_row();
	}
}

void
print_pins(const CkpxManifest *manifest)
{
	output_many("pins");
	for (uint32 i = 0; i < manifest->npins; i++)
	{
		print_pin(&manifest->pins[i]);
		output_row();
	}
}

void
print_backups(const CkpxManifest *manifest)
{
	output_many("backups");
	for (uint32 i = 0; i < manifest->nbackups; i++)
	{
		print_backup(&manifest->backups[i]);
		output_row();
	}
}

void
print_marks(const CkpxMark *marks, uint32 nmarks)
{
	output_many("marks");
	for (uint32 i = 0; i < nmarks; i++)
	{
		print_mark(&marks[i]);
		output_row();
	}
}
