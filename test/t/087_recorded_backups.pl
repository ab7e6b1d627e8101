# ckpx_record_backup() and ckpx_backups: which backups of this server a client
# program has reported.

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
max_slot_wal_keep_size = '2GB'
EOC

my $end = wal_position($node);

sub id { return sprintf '%032x', shift; }

sub record
{
	my ($number, $parent, $bytes) = @_;
	my $quoted = defined $parent ? "'" . id($parent) . "'" : 'NULL';

	return 'SELECT ckpx_record_backup(\'' . id($number) . "', $quoted, 1, '0/28', '$end', $bytes)";
}

# Numbers and sizes of all, in the order of the view.
sub backups
{
	my ($server) = @_;
	return ($server // $node)->safe_psql('postgres',
		q{SELECT string_agg(ltrim(id, '0') || ':' || bytes, ' ') FROM ckpx_backups});
}

# ---- rows are there, durably

sql(record(1, undef, 10));
sql(record(2, 1, 20));
sql(record(3, 2, 0));
is(backups(), '1:10 2:20 3:0', 'recorded');
is( sql(q{SELECT parent IS NULL, timeline, start_lsn, finished_at <= now() FROM ckpx_backups LIMIT 1}),
	't|1|0/28|t', 'a full backup');
is(sql("SELECT parent = '" . id(1) . "', stop_lsn = '$end' FROM ckpx_backups OFFSET 1 LIMIT 1"),
	't|t', 'one that continues it');
end_worker($node, 'checkpointer');
end_worker($node, 'runner');
await_tracking($node);
is(backups(), '1:10 2:20 3:0', 'after workers began anew');
crash_and_restart($node);
await_tracking($node);
is(backups(), '1:10 2:20 3:0', 'after a crash');
sql(record(2, 1, 22));
is(backups(), '1:10 3:0 2:22', 'recorded again: in the place of the other');
sql('SELECT ckpx_checkpoint()');
$node->restart;
await_tracking($node);
is(backups(), '1:10 3:0 2:22', 'after a restart');

# ---- what cannot be made durable is not there

add_fault($node, 'manifest-fsync', 'error', undef, 'enospc');
like(error_of(record(4, undef, 1)), qr/could not write a manifest/, 'no room for a new one');
like(error_of(record(3, 2, 33)), qr/could not write a manifest/, 'nor for one again');
is(backups(), '1:10 3:0 2:22', 'all is as before');
remove_fault($node, 'manifest-fsync');
sql(record(4, 2, 1));
is(backups(), '1:10 3:0 2:22 4:1', 'room again');

# ---- a standby has its own, and keeps them when it is promoted

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
await_tracking($standby);
is(backups($standby), '', 'a standby: none of its own');
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', record(5, undef, 5));
is(backups($standby), '5:5', 'a standby: recorded there');
is(backups(), '1:10 3:0 2:22 4:1', 'and not here');
$standby->promote;
await_tracking($standby);
$standby->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$standby->restart;
await_tracking($standby);
is(backups($standby), '5:5', 'promoted: the same');
$standby->stop;

# ---- the newest 1,000

sql("DO \$\$ BEGIN FOR i IN 1 .. 1000 LOOP
	PERFORM ckpx_record_backup(md5(i::text), NULL, 1, '0/28', '$end', i);
	END LOOP; END \$\$");
is(sql('SELECT count(*), min(bytes), max(bytes) FROM ckpx_backups'),
	'1000|1|1000', 'the oldest are gone');
add_fault($node, 'manifest-fsync', 'error', undef, 'enospc');
like(error_of(record(6, undef, 2000)), qr/could not write a manifest/, 'no room for one more');
remove_fault($node, 'manifest-fsync');
is(sql('SELECT bytes FROM ckpx_backups LIMIT 1'), 1, 'the oldest is in its place');
sql(record(6, undef, 2000));
$node->restart;
await_tracking($node);
is(sql('SELECT count(*), min(bytes), max(bytes) FROM ckpx_backups'),
	'1000|2|2000', 'after a restart');
store_is_sound($node, 'in the end', 1);
is_one_epoch($node, 'in the end');

$node->stop;
done_testing();
