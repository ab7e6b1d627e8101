# DROP DATABASE and DROP TABLESPACE wait until every process has closed its
# files of them.  The workers of ckpx close theirs in the middle of
# whatever they do, on a primary and on a standby: what they did is not over
# yet when the database is gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = loaded_node(
	'primary', conf => <<'EOC');
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
checkpoint_timeout = '1h'
shared_buffers = '64MB'
bgwriter_lru_maxpages = 0
allow_in_place_tablespaces = on
EOC
$primary->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
await_tracking($standby);

# A database and a tablespace come and go; both servers have seen it.
sub remove_database_and_tablespace
{
	foreach my $strategy ('wal_log', 'file_copy')
	{
		$primary->safe_psql('postgres',
			"CREATE DATABASE dropped STRATEGY $strategy");
		$primary->safe_psql('dropped', 'CREATE TABLE t AS SELECT 1 AS a');
		$primary->safe_psql('postgres', 'DROP DATABASE dropped');
	}
	$primary->safe_psql('postgres', "CREATE TABLESPACE dropped LOCATION ''");
	$primary->safe_psql('postgres',
		'CREATE TABLE t TABLESPACE dropped AS SELECT 1 AS a; DROP TABLE t');
	$primary->safe_psql('postgres', 'DROP TABLESPACE dropped');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	return;
}

foreach my $node ($primary, $standby)
{
	my $name = $node->name;

	# ---- the flusher: a page in eight seconds, so that a pass takes minutes

	change_settings($node, 'ckpx.flush_rate_limit' => 1);
	$primary->safe_psql('postgres', 'UPDATE load_row SET n = n + 1');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	my $flush = start_query($node, "SELECT flushed FROM ckpx_flush(NULL, '1h')");
	my $pass = wait_for_sql(
		$node, q{
		SELECT started_at FROM ckpx_progress
		WHERE phase = 'writing blocks' AND total > 50}, qr/./);

	# A primary's checkpoint when the database goes leaves the flusher nothing
	# to write.  By now it waits for what it has written: ten pages.
	wait_for_sql($node,
		"SELECT clock_timestamp() - started_at > '9s' FROM ckpx_progress")
	  if $node == $primary;
	remove_database_and_tablespace();
	is( $node->safe_psql('postgres',
			"SELECT started_at FROM ckpx_progress WHERE phase = 'writing blocks'"),
		$pass,
		"$name: the flusher is still at work when the database is gone");
	change_settings($node, 'ckpx.flush_rate_limit' => 0);
	$flush->{handle}->finish;
	is(${ $flush->{out} } . ${ $flush->{err} }, "t\n", "$name: the flush goes on with another rate");

	# ---- the checkpointer writes a checkpoint, the runner reads WAL

	add_fault($node, 'object-rename', 'wait');
	$primary->safe_psql('postgres', 'UPDATE load_row SET n = n + 1; CHECKPOINT');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	$standby->safe_psql('postgres', 'CHECKPOINT');
	await_held($node, 'object-rename');
	add_fault($node, 'wal-read', 'wait');
	$primary->safe_psql('postgres',
		"SELECT pg_logical_emit_message(true, 'ckpx', repeat('x', 1024 * 1024))");
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	await_held($node, 'wal-read');
	remove_database_and_tablespace();
	is( $node->safe_psql('postgres',
			"SELECT string_agg(name, ' ' ORDER BY name) FROM ckpx_fault_list() WHERE waiting = 1"),
		'object-rename wal-read',
		"$name: runner and checkpointer are still where they were when the database is gone");
	remove_fault($node, 'wal-read');
	remove_fault($node, 'object-rename');
	await_tracking($node);
	is($node->safe_psql('postgres', 'SELECT epoch - (SELECT min(epoch) FROM ckpx_gaps) FROM ckpx_runner'),
		$node == $primary ? 0 : 1, "$name: no epoch is lost");
}

$standby->stop('fast');
$primary->stop('fast');
done_testing();
