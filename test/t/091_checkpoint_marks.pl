# Marks: what was decoded of PostgreSQL's checkpoint records.  They tell whether
# the WAL of this server is the WAL that a backup was made from.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node(
	'main', on_demand => 1, conf => <<'EOC');
checkpoint_timeout = '1h'
max_wal_size = '2GB'
max_slot_wal_keep_size = '2GB'
EOC

# What ckpx knows of the record at an LSN, by numbers; '' where it knows none.
sub mark
{
	my ($lsn, $server) = @_;

	return ($server // $node)->safe_psql('postgres',
		"SELECT redo || ' ' || timeline || ' ' || crc || ' ' || extract(epoch FROM time)::bigint
		FROM ckpx_checkpoint_mark('$lsn')");
}

# The CRC in the record's head, which page headers may divide.
sub record_crc
{
	my ($lsn) = @_;
	my ($file, $offset) = split /\|/,
	  sql("SELECT file_name, file_offset FROM pg_walfile_name_offset('$lsn')");
	my $bytes = slurp_file($node->data_dir . "/pg_wal/$file");
	my $head = '';

	while (length $head < 24)
	{
		my $n = 8192 - $offset % 8192;

		$n = 24 - length $head if $n > 24 - length $head;
		$head .= substr($bytes, $offset, $n);
		$offset += $n;
		$offset += 24 if $offset % 8192 == 0;
	}
	return unpack('V', substr($head, 20, 4));
}

# Make a checkpoint of PostgreSQL; returns the record's LSN and what
# pg_control and WAL say of it.
sub checkpoint
{
	sql('UPDATE load_row SET n = n + 1 WHERE id < 10; CHECKPOINT');
	my ($lsn, $rest) = split /\|/,
	  sql(q{SELECT checkpoint_lsn, redo_lsn || ' ' || timeline_id || ' %s ' ||
		extract(epoch FROM checkpoint_time)::bigint FROM pg_control_checkpoint()});
	return ($lsn, sprintf($rest, record_crc($lsn)));
}

# ---- from the logtail, an incremental, a global; the same every time

my (@lsns, %expected);

sub all_marks
{
	my ($server) = @_;
	return join "\n", map { mark($_, $server) } @lsns;
}

sub are_known
{
	my ($name, $server) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(all_marks($server), join("\n", @expected{@lsns}), $name);
}

sub add_checkpoints
{
	foreach (1 .. 3)
	{
		my ($lsn, $what) = checkpoint();
		push @lsns, $lsn;
		$expected{$lsn} = $what;
	}
	return;
}

add_checkpoints();
are_known('in the logtail');
sql('SELECT ckpx_checkpoint()');
are_known('in an incremental');
add_checkpoints();
are_known('in an incremental and the logtail');
sql('SELECT ckpx_checkpoint(); SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'"),
	0, 'no incremental is left');
are_known('in a global');
add_checkpoints();
sql('SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()');
are_known('in a global of a global');
add_checkpoints();
sql('SELECT ckpx_checkpoint()');
add_checkpoints();

end_worker($node, 'runner');
await_tracking($node);
are_known('after the runner began anew');
$node->restart;
await_tracking($node);
are_known('after a restart');
crash_and_restart($node);
await_tracking($node);
are_known('after a crash');

# The record of a shutdown is a checkpoint as well.
my ($shutdown) = $node->safe_psql('postgres',
	"SELECT checkpoint_lsn FROM ckpx_history WHERE kind = 'shutdown' ORDER BY checkpoint_lsn LIMIT 1");
like(mark($shutdown), qr/^\Q$shutdown\E 1 \d+ \d+$/, 'a shutdown checkpoint');

# ---- what is no checkpoint, or is not there

is(mark('0/0'), '', 'nothing is known of 0/0');
is(mark('FFFF/0'), '', 'nor of the future');
is(mark($lsns[0] =~ s{(.)$}{$1 eq '8' ? '9' : '8'}er), '', 'nor beside a record');
is( sql("SELECT count(*) FROM ckpx_checkpoint_mark(NULL) WHERE redo IS NULL AND crc IS NULL AND timeline IS NULL AND time IS NULL"
	),
	1,
	'one row of NULLs');
is(mark((split / /, $expected{ $lsns[0] })[0]), '', 'a redo point is not its checkpoint');

# ---- without manifests the objects tell

$node->stop('fast');
unlink $_ foreach manifests($node);
$node->start;
await_tracking($node);
are_known('after adoption');

# ---- a copy knows the marks that it brought along, a standby decodes the rest

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
await_tracking($standby);
my $copied = sql("SELECT max(lsn) FROM unnest('{" . join(',', @lsns) . "}'::pg_lsn[]) lsn
	WHERE lsn < (SELECT max(end_lsn) FROM ckpx_checkpoints WHERE kind IN ('incremental', 'global'))");
is(mark($copied, $standby), $expected{$copied}, 'a standby: from before its copy');
@lsns = ();
add_checkpoints();
$node->wait_for_catchup($standby);
are_known('a standby: the same of the same records', $standby);
$standby->promote;
await_tracking($standby);
are_known('promoted: as before', $standby);
$standby->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
are_known('promoted: in its own object', $standby);
$standby->stop('fast');

# ---- a data directory that was put back goes on in the same epoch

my $cold = PostgreSQL::Test::Utils::tempdir();
my $epochs = sql('SELECT count(*) FROM ckpx_gaps');
sql('SELECT ckpx_checkpoint()');
$node->stop('fast');
replace_data($node->data_dir, "$cold/data");
$node->start;
await_tracking($node);
my ($abandoned, $before) = checkpoint();
is(mark($abandoned), $before, 'put back: the mark that is abandoned');
sql('SELECT ckpx_checkpoint()');
is(mark($abandoned), $before, 'put back: in an object, too');
my ($abandoned_crc) = $before =~ /^\S+ \S+ (\d+)/;

$node->stop('fast');
replace_data("$cold/data", $node->data_dir);
$node->start;
await_tracking($node);
is(mark($abandoned), '', 'put back: not known before WAL comes there');

# Within one second the same records would be written again.
sql("SELECT pg_logical_emit_message(false, 'ckpx', 'another history')");
@lsns = ();
add_checkpoints();
sql("SELECT pg_logical_emit_message(false, 'ckpx', repeat('y', 1000000))");
add_checkpoints();
is(sql("SELECT pg_current_wal_lsn() > '$abandoned'"), 't', 'put back: WAL is past it');
is(sql('SELECT count(*) FROM ckpx_gaps'), $epochs, 'put back: the epoch goes on');
are_known('put back: what was done since');
isnt((split / /, mark($abandoned))[2] // '', $abandoned_crc,
	'put back: the other history is not taken for this one');
sql('SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()');
are_known('put back: in a global');
isnt((split / /, mark($abandoned))[2] // '', $abandoned_crc,
	'put back: not even there');

# ---- segments that were written to disk keep theirs

sql('SELECT ckpx_disable()');
add_checkpoints();
change_settings($node, 'ckpx.max_retained_wal' => '64MB');
foreach (1 .. 7)
{
	sql(q{SELECT pg_logical_emit_message(false, 'ckpx', repeat('x', 1024 * 1024))
		FROM generate_series(1, 8)});
	wait_for_sql($node, 'SELECT retained_bytes < 52 * 1024 * 1024 FROM ckpx_runner');
}
wait_for_sql($node, 'SELECT segments_spilled > 0 FROM ckpx_stat');
are_known('spilled');
my $offset = -s $node->logfile;
$node->restart;
await_tracking($node);
like(log_since($node, $offset), qr/ckpx loaded manifest .* [1-9]\d* spilled segments up to/,
	'spilled segments are loaded');
are_known('spilled, after a restart');
sql('SELECT ckpx_enable(); SELECT ckpx_checkpoint()');
are_known('spilled, then in an incremental');

$node->stop;
done_testing();
