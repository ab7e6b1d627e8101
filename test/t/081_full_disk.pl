# A disk that is really full: ckpx's folder is a small file system of its own.
#
# Mounting needs no rights in a mount namespace of one's own, where the kernel
# allows that to ordinary users.  The whole test runs in one.

use strict;
use warnings;

my $why_not;

BEGIN
{
	my @own = ('unshare', '--map-current-user', '--mount', '--keep-caps');

	if (!$ENV{CKPX_OWN_MOUNTS})
	{
		$why_not = `@own mount -t tmpfs none /tmp 2>&1` if !$why_not;
		$why_not = $? == 0 ? '' : $why_not || 'unshare does not work';
		if ($why_not eq '')
		{
			$ENV{CKPX_OWN_MOUNTS} = 1;
			exec @own, $^X, (map { "-I$_" } @INC), $0, @ARGV;
		}
	}
}

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => "no file system can be mounted here: $why_not" if $why_not;

my $node = history_node(
	'main', conf => <<'EOC');
max_slot_wal_keep_size = '2GB'
checkpoint_timeout = '1h'
max_locks_per_transaction = 512
ckpx.compression = none
ckpx.global_min_count = 10000
EOC
my $folder = $node->data_dir . '/ckpx';
mkdir $folder or die "could not create \"$folder\": $!";
system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=4m,mode=700', 'ckpx', $folder);

# Take what room there is, but for so many bytes.
my $filler = "$folder/filler";
sub fill_disk
{
	my $leave = shift // 0;

	open(my $file, '>>:raw', $filler) or die "could not open \"$filler\": $!";
	foreach my $piece (65536, 4096, 1)
	{
		1 while defined syswrite($file, 'x' x $piece);
	}
	close($file);
	truncate($filler, (-s $filler) - $leave) if $leave > 0;
	return;
}

sub make_room
{
	unlink $filler or die "could not remove \"$filler\": $!";
	return;
}

# So many relations that an object is much larger than a manifest.
sub change_all
{
	my $value = shift;

	sql(qq{DO \$\$
		BEGIN
			FOR i IN 1 .. 700 LOOP
				EXECUTE format('INSERT INTO many_%s VALUES ($value)', i);
			END LOOP;
		END \$\$});
	return;
}

$node->start;
create_load($node);
await_tracking($node);
my $start = wal_position($node);
create_tables('many_%s', 700);
foreach (1 .. 3)
{
	change_all($_);
	sql('UPDATE load_row SET n = n + 1');
	sql('SELECT ckpx_checkpoint()');
}
sql('SELECT ckpx_global_checkpoint()');
my ($from, $to) = finished_range($node);
my $before = answer($node, $from, $to);

# ---- not one byte is left

fill_disk();
my $position = wal_position($node);
sql('INSERT INTO many_' . $_ . ' VALUES (10)') foreach 1 .. 20;
run_load($node, 50);
isnt($node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '2s')"),
	0, 'full disk: a call that waits for a checkpoint fails');
like(
	wait_for_sql(
		$node,
		q{SELECT failed_phase, last_error, attempts > 0 FROM ckpx_checkpoints WHERE state = 'running'},
		qr/\|t$/),
	qr/^write\|could not write file ".*": No space left on device\|t$/,
	'full disk: the checkpoint says why it does not go on');
is(sql('SELECT count(*) FROM ckpx_gaps'), 1, 'full disk: no history is given up');
my $stderr;
$node->psql('postgres', 'SELECT ckpx_gc()', stderr => \$stderr);
like($stderr, qr/No space left on device/,
	'full disk: nor can anything be removed, which takes a manifest');
is(answer($node, $from, $to), $before, 'full disk: old ranges are answered');
covers_all_oracles($node, $position, wal_position($node),
	'full disk: changes are followed');
# But for a moment, while it is tried again.
comes_true(sub { !store_files($node, qr/\.tmp$/) },
	'full disk: nothing half written is left');

# ---- room for a manifest, but not for the checkpoint: removal makes it

change_all(4);
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '1s')");
fill_disk(32 * 1024);
wait_for_sql($node, q{SELECT count(*) > 0 FROM ckpx_checkpoints WHERE state = 'running'});
cmp_ok(sql('SELECT ckpx_gc()'), '>', 0, 'a little room: what a global covers can be removed');
is(sql("SELECT ckpx_checkpoint(NULL, '90s') IS NOT NULL"),
	't', 'and with what that sets free checkpoints go on');
covers_all_oracles($node, $start, wal_position($node), 'after a full disk');

# ---- a global does not fit

fill_disk();
sql('UPDATE load_row SET n = n + 1');
isnt($node->psql('postgres', "SELECT ckpx_global_checkpoint('2s')"),
	0, 'full disk: a call that waits for a global fails');
make_room();
is(sql("SELECT ckpx_global_checkpoint('90s') IS NOT NULL"),
	't', 'room again: it goes on by itself');

# ---- a start

fill_disk();
run_load($node, 20);
crash_and_restart($node);
await_tracking($node);
is_one_epoch($node, 'a start with a full disk');
covers_after_crashes($node, $start, wal_position($node),
	'a start with a full disk');
make_room();
is(sql("SELECT ckpx_checkpoint(NULL, '90s') IS NOT NULL"),
	't', 'and checkpoints go on when there is room');
$node->restart;
await_tracking($node);
store_is_sound($node, 'in the end', 1);
is_one_epoch($node, 'in the end');

# ---- the very first start: nothing is there yet, and no room for it

my $late = history_node('late', conf => "max_slot_wal_keep_size = '2GB'\n");
$folder = $late->data_dir . '/ckpx';
$filler = "$folder/filler";
mkdir $folder or die "could not create \"$folder\": $!";
system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=1m,mode=700,nr_inodes=1k', 'ckpx', $folder);
fill_disk();
$late->start;
create_load($late);
await_tracking($late);
my $late_start = wal_position($late);
run_load($late, 20);
covers_all_oracles($late, $late_start, wal_position($late),
	'a first start with a full disk');
make_room();
is($late->safe_psql('postgres', "SELECT ckpx_checkpoint(NULL, '90s') IS NOT NULL"),
	't', 'its first checkpoint comes when there is room');
is_one_epoch($late, 'a first start with a full disk');

# ---- a backup, of which one tablespace goes to a file system without room

my $spaces = PostgreSQL::Test::Utils::tempdir;
mkdir "$spaces/$_" or die "could not create \"$spaces/$_\": $!" foreach qw(live small);
system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=4m,mode=700', 'backups', "$spaces/small");
backup_role($late);
$late->safe_psql('postgres', $_) foreach (
	"CREATE TABLESPACE space LOCATION '$spaces/live'",
	q{CREATE TABLE in_space TABLESPACE space AS SELECT repeat('x', 1000) FROM generate_series(1, 8000)});
take_fails($late, 'no_room', qr/not enough room in "\Q$spaces\E\/small\/to": the backup needs \d+ MB, [34] MB are free/,
	'-T', "$spaces/live=$spaces/small/to");
take_ok($late, 'room', '-T', "$spaces/live=$spaces/to");
system_or_bail('umount', "$spaces/small");

$_->stop('fast') foreach $node, $late;
done_testing();
