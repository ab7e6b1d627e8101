# A flush that is asked for before the chain of WAL breaks: the new epoch begins
# behind what is to be flushed, at the redo point of a checkpoint that may not
# be complete, so there is nothing yet to tell that it is on disk.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node('main', conf => <<'EOC');
shared_buffers = '128MB'
checkpoint_timeout = '1h'
max_wal_size = '4GB'
bgwriter_lru_maxpages = 0
ckpx.logtail_memory = '1MB'
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
EOC
$node->start;
sql(q{CREATE EXTENSION ckpx; CREATE EXTENSION pg_buffercache;
	CREATE TABLE t AS SELECT 1 AS id; CREATE TABLE fill (t text); CHECKPOINT});
await_tracking($node);

# The runner is held where it cannot ask for the flush.
add_fault($node, 'wal-read', 'wait');
sql('UPDATE t SET id = 2');
my $upto = sql('SELECT pg_current_wal_insert_lsn()');
wait_for_sql($node, q{SELECT waiting > 0 FROM ckpx_fault_list() WHERE name = 'wal-read'});
my $flush = background("SELECT flushed FROM ckpx_flush('$upto', '10min')");

# More WAL than ckpx may hold, and a checkpoint that takes its time: two pages
# are written in no less than a tenth of a second.
sql(q{ALTER SYSTEM SET ckpx.max_retained_wal = '16MB'});
$node->reload;
sql(q{INSERT INTO fill SELECT repeat('x', 1000) FROM generate_series(1, 40000)});
my $offset = -s $node->logfile;
my $backup = background(q{SELECT pg_backup_start('b', false) IS NOT NULL});
$node->wait_for_log(qr/checkpoint starting:/, $offset);
remove_fault($node, 'wal-read');
wait_for_sql($node, 'SELECT epoch FROM ckpx_runner', 2);
wait_for_sql($node, "SELECT collected_lsn > '$upto' FROM ckpx_runner", 't');

is(sql("SELECT redo_lsn < '$upto', (SELECT max(to_lsn) > '$upto' FROM ckpx_gaps)
		FROM pg_control_checkpoint()"),
	't|t', 'the epoch begins at the redo point of a checkpoint that goes on');
is(sql("SELECT flushed FROM ckpx_flush('$upto', '1s')"), 'f', 'no flush is claimed meanwhile');
sql('CHECKPOINT');
is($flush->(), "t\n", 'with the checkpoint it is done, for the call that has waited');
is(sql("SELECT flushed FROM ckpx_flush('$upto')"), 't', 'and for others');
is(dirty('t'), 0, 'the change is on disk');
is($backup->(), "t\n", 'it was the checkpoint of a backup');

$node->stop;
done_testing();
