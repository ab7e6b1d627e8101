# Objects that turn out to be damaged while the server runs, or that nothing
# can replace any more: the range that only they knew is a gap at once, both
# sides answer, the chain goes on, and globals are made again behind it.

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
	'main', on_demand => 1, quick_restart => 1, conf => <<'EOC');
max_slot_wal_keep_size = '2GB'
EOC

sub path_of
{
	my ($kind, $end) = @_;
	return store_dir($node) . '/'
	  . sql("SELECT location FROM ckpx_checkpoints WHERE kind = '$kind'"
		  . " AND end_lsn = '$end'");
}

# Within a section: header, table of contents and footer stay as they are.
sub damage_body   { change_byte($_[0], int((-s $_[0]) * 0.4)); }
sub damage_header { change_byte($_[0], 20); }

sub damage_rows
{
	return sql("SELECT string_agg(from_lsn || ' ' || to_lsn, ', ' ORDER BY from_lsn)"
		  . " FROM ckpx_gaps WHERE reason ~ 'damaged'"
		  . ' AND epoch = (SELECT epoch FROM ckpx_runner)');
}

sub global_range
{
	return sql("SELECT start_lsn, end_lsn FROM ckpx_checkpoints WHERE kind = 'global'"
		  . " AND state = 'finished' ORDER BY end_lsn DESC LIMIT 1");
}

sub epoch { return sql('SELECT epoch FROM ckpx_runner'); }

# ---- a global's body, found by a reader, when its incrementals are gone

my ($start, $a) = incremental();
my (undef, $b) = incremental();
is(sql('SELECT ckpx_global_checkpoint()'), $b, 'a global');
is(sql('SELECT ckpx_gc()'), 2, 'its incrementals go');
my (undef, $c) = incremental();
my (undef, $d) = incremental();
my $behind = answer($node, $b, $d);
my $path = path_of('global', $b);
my ($file) = $path =~ m{([^/]+)$};
my $offset = -s $node->logfile;
damage_body($path);

like(error_of("SELECT * FROM ckpx_changed_blocks('$start', '$d')"),
	qr/ERROR:  XX001: .*\Q$file\E/,
	'body of a global: the reader gets an error that names the file');
wait_for_sql($node, "SELECT count(*) = 1 FROM ckpx_gaps WHERE reason ~ 'damaged'");
is( sql("SELECT from_lsn, to_lsn, reason FROM ckpx_gaps WHERE reason ~ 'damaged'"),
	"$start|$b|object $file is missing or damaged",
	'its range is a gap at once');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'global'"),
	0, 'it is no checkpoint any more');
sql_becomes($node, "SELECT last_error FROM ckpx_workers WHERE name = 'checkpointer'",
	qr/\Q$file\E/, 'the worker shows the file');
ok(-e "$path.damaged", 'the file is kept under another name');
is(answer($node, $b, $d), $behind, 'what is behind it is answered as before');
is(has_no_answer($node, $start, $d, 'no answer over it'),
	$start, 'the first missing LSN is its start');
is(has_no_answer($node, $a, $b, 'nor within it'), $a, 'nor a part of it');
is( sql("SELECT locations, complete, missing_from FROM ckpx_collect_range('$start', '$d')"),
	"|f|$start",
	'no object is listed for it');
my $log = log_since($node, $offset);
is(scalar(() = $log =~ /WARNING:  ckpx checkpoint object "\Q$file\E" is missing or damaged/g),
	1, 'one warning names it');

# The chain goes on, and so do globals and garbage collection.
my (undef, $e) = incremental();
is(sql('SELECT ckpx_global_checkpoint()'), $e, 'a new global');
is(global_range(), "$b|$e", 'begins behind the gap');
$behind = answer($node, $b, $e);
is(sql('SELECT ckpx_gc()'), 3, 'what it covers goes');
is(answer($node, $b, $e), $behind, 'and it answers alone');
covers_all_oracles($node, $b, wal_position($node), 'behind a lost global');
wait_until(sub { !-e $path }, 'the file goes when no manifest names it')
  if sql('SELECT ckpx_checkpoint(), ckpx_gc()');
ok(-e "$path.damaged", 'what was kept stays');
is_deeply([ epoch(), sql('SELECT ckpx_low_water_mark()') ],
	[ 1, $b ], 'all in one epoch');
$node->restart;
await_tracking($node);
is(damage_rows(), "$start $b", 'the gap is known after a restart');
is(answer($node, $b, $e), $behind, 'and so is what is behind it');
has_no_answer($node, $start, $e, 'still no answer over it');
store_is_sound($node, 'after a lost global');

# ---- an incremental's body, found by a merge

my (undef, $f) = incremental();
my (undef, $g) = incremental();
my (undef, $h) = incremental();
my $left = answer($node, $b, $f);
my $right = answer($node, $g, $h);
$path = path_of('incremental', $g);
($file) = $path =~ m{([^/]+)$};
damage_body($path);
$offset = -s $node->logfile;

# Whether the caller sees the failure or the success of the next attempt
# depends on which comes first.
$node->psql('postgres', 'SELECT ckpx_global_checkpoint()');
comes_true(
	sub {
		log_since($node, $offset) =~ /ckpx checkpoint failed in phase \w+: checkpoint object "\Q$file\E" is damaged/;
	},
	'body of an incremental: a merge finds it, and the log tells');
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_gaps WHERE from_lsn = '$f' AND to_lsn = '$g'");
my $failed = sql('SELECT jobs_failed FROM ckpx_stat');
# It may take in what has changed since, where its next attempt came first.
my $end = sql('SELECT ckpx_global_checkpoint()');
is(sql("SELECT '$end'::pg_lsn >= '$h'"), 't', 'the next one succeeds');
is(global_range(), "$g|$end", 'and begins behind the gap');
is(sql('SELECT jobs_failed FROM ckpx_stat'), $failed, 'without a failure');
is(answer($node, $b, $f), $left, 'the left side is answered as before');
is(answer($node, $g, $h), $right, 'and the right side');
is(has_no_answer($node, $b, $h, 'no answer over the gap'),
	$f, 'which begins with it');
$log = log_since($node, $offset);
is(scalar(() = $log =~ /"\Q$file\E" is missing or damaged/g), 1,
	'one line tells of the loss');
is(scalar(() = $log =~ /ckpx checkpoint failed/g), 1, 'one of the failure');

# A global that covers it heals it: nothing is missing.
my (undef, $i) = incremental();
sql('SELECT ckpx_global_checkpoint()');
$right = answer($node, $g, $i);
my $rows = damage_rows();
damage_body(path_of('incremental', $i));
like(error_of("SELECT * FROM ckpx_changed_blocks('$h', '$i')"),
	qr/XX001/, 'an incremental that a global covers');
wait_for_sql($node,
	"SELECT count(*) = 0 FROM ckpx_checkpoints WHERE kind = 'incremental' AND end_lsn = '$i'");
is(damage_rows(), $rows, 'leaves no gap');
is(answer($node, $g, $i), $right, 'its global answers');

# ---- the newest incremental: a start decodes its range again

my (undef, $j) = incremental();
my $newest = answer($node, $i, $j);
damage_body(path_of('incremental', $j));
like(error_of("SELECT * FROM ckpx_changed_blocks('$i', '$j')"),
	qr/XX001/, 'the newest incremental');
wait_for_sql($node, "SELECT count(*) = 1 FROM ckpx_gaps WHERE to_lsn = '$j'");
is(sql('SELECT checkpointed_lsn FROM ckpx_runner'),
	$j, 'the next one begins where it ended');
$node->restart;
await_tracking($node);
is(damage_rows(), $rows, 'after a restart its gap is gone');
my $now = sql('SELECT ckpx_checkpoint()');
is(epoch(), 1, 'in the same epoch');
like(answer($node, $i, $now), qr/\|/, 'its range is decoded again');
covers_all_oracles($node, $i, $now, 'decoded again');

# The same when the start finds it, in the body too.
my ($from, $to) = incremental();
$newest = answer($node, $from, $to);
$path = path_of('incremental', $to);
$node->stop;
damage_body($path);
$node->start;
await_tracking($node);
is(sql('SELECT problem, epoch FROM ckpx_runner'),
	'|1', 'a body that a start needs: tracking goes on');
is(damage_rows(), $rows, 'without a gap');
covers_all_oracles($node, $from, $to, 'decoded again after a start');

# ---- a global's header, found at a start

$now = sql('SELECT ckpx_global_checkpoint()');
sql('SELECT ckpx_gc()');
($from, $to) = incremental();
$right = answer($node, $from, $to);
my ($base) = split /\|/, global_range();
$path = path_of('global', $now);
$node->stop;
damage_header($path);
$node->start;
await_tracking($node);
is(epoch(), 1, 'header of a global: one epoch');
is(damage_rows(), "$rows, $base $now", 'its range is a gap');
is(answer($node, $from, $to), $right, 'what is behind it is answered');
is(has_no_answer($node, $base, $to, 'no answer over it'),
	$base, 'what is missing begins with it');
is(sql('SELECT ckpx_global_checkpoint()'), $to, 'a new global');
is(global_range(), "$now|$to", 'begins behind it');
sql('SELECT ckpx_gc()');
is(answer($node, $from, $to), $right, 'and answers');

# It was all that was known of the end: a new epoch.
$path = path_of('global', $to);
$node->stop;
damage_header($path);
$node->start;
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 2 FROM ckpx_runner');
is(sql('SELECT reason FROM ckpx_gaps WHERE epoch = 2'),
	'newest checkpoint objects are missing or damaged, and their WAL is gone',
	'nothing known of the end: a new epoch says why');
has_no_answer($node, $from, $to, 'no answer in the lost range');

# ---- a folder that is away for a while: nothing is lost

(undef, $from) = incremental();
($from, $to) = incremental();
incremental();
$rows = damage_rows();
$right = answer($node, $from, $to);
my $store = store_dir($node);
rename $store, "$store.away" or die "could not rename: $!";
like(error_of("SELECT * FROM ckpx_changed_blocks('$from', '$to')"),
	qr/ERROR:  58P01: could not open file/, 'folder away: an error');
wait_for_sql($node,
	"SELECT last_error ~ 'Directory .* is not there' FROM ckpx_workers WHERE name = 'checkpointer'");
rename "$store.away", $store or die "could not rename: $!";
is(answer($node, $from, $to), $right, 'back again: the same answer');
is(damage_rows(), $rows, 'no gap');

# ---- an object that cannot be read for a while: nothing is lost

sub is_in_doubt
{
	wait_for_sql($node,
		"SELECT activity = 'will look at unreadable objects again: 1' FROM ckpx_workers WHERE name = 'checkpointer'");
	return;
}

sub doubt_is_settled
{
	wait_for_sql($node,
		"SELECT state = 'idle' AND activity IS NULL FROM ckpx_workers WHERE name = 'checkpointer'");
	return;
}

# The same, and nothing is known to be missing.
sub nothing_is_lost
{
	my ($what, $offset) = @_;

	is(answer($node, $from, $to), $right, "$what: back again, the same answer");
	doubt_is_settled();
	is(damage_rows(), $rows, "$what: no gap");
	unlike(log_since($node, $offset), qr/missing or damaged/,
		"$what: no warning of a loss");
	return;
}

doubt_is_settled();
my $question = "SELECT * FROM ckpx_changed_blocks('$from', '$to')";
$path = path_of('incremental', $to);
($file) = $path =~ m{([^/]+)$};
$offset = -s $node->logfile;
rename $path, "$path.away" or die "could not rename: $!";
like(error_of($question),
	qr/ERROR:  58P01: could not open file .*\Q$file\E.*\nHINT:  .*looks at the object again/,
	'file away: an error that says what happens');
is_in_doubt();
like(sql("SELECT last_error FROM ckpx_workers WHERE name = 'checkpointer'"),
	qr/^Could not open file ".*\Q$file\E": No such file/,
	'file away: the worker shows it');

# The next process goes on with it.
end_worker($node, 'checkpointer');
is_in_doubt();
like(error_of($question), qr/58P01/, 'file away: still an error');
rename "$path.away", $path or die "could not rename: $!";
nothing_is_lost('file away', $offset);
like(log_since($node, $offset),
	qr/LOG:  ckpx cannot read a checkpoint object and looks at it again\n.*\Q$file\E.*LOG:  ckpx can read a checkpoint object again/s,
	'file away: the log has the beginning and the end');

$offset = -s $node->logfile;
rename $path, "$path.away" or die "could not rename: $!";
mkdir $path;
like(error_of($question), qr/42809: could not read file .*Is a directory/,
	'a directory in its place: an error');
is_in_doubt();
rmdir $path;
rename "$path.away", $path or die "could not rename: $!";
nothing_is_lost('a directory in its place', $offset);

$offset = -s $node->logfile;
add_fault($node, 'object-read', 'error', undef, 'eio');
like(error_of($question), qr/58030: could not read file .*\Q$file\E": Input\/output error/,
	'bad sectors: an error');
is_in_doubt();
remove_fault($node, 'object-read');
nothing_is_lost('bad sectors', $offset);

# A file that reads wrong once, and right then.
$offset = -s $node->logfile;
add_fault($node, 'object-read', 'error', '3:3', 'eio');
like(error_of($question), qr/58030/, 'one bad read: an error');
nothing_is_lost('one bad read', $offset);
remove_fault($node, 'object-read');

# Rights say nothing about the object.
$offset = -s $node->logfile;
lose_patience($node);
chmod 0000, $path;
like(error_of($question), qr/42501: could not open file/, 'no right to read: an error');
chmod 0600, $path;
nothing_is_lost('no right to read', $offset);

# ---- a start that does not find it

$node->stop;
rename $path, "$path.away" or die "could not rename: $!";
$offset = -s $node->logfile;
$node->start;
like(
	wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/./),
	qr/^ckpx waits up to 5 minutes for files .*Could not open file .*\Q$file\E/,
	'file away at a start: the runner says what it waits for');
rename "$path.away", $path or die "could not rename: $!";
$node->reload;
await_tracking($node);
nothing_is_lost('file away at a start', $offset);

$node->stop;
rename $store, "$store.away" or die "could not rename: $!";
$offset = -s $node->logfile;
$node->start;
like(
	wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/./),
	qr/^ckpx waits up to 5 minutes for files .*Directory .* is not there/,
	'folder away at a start: the runner says what it waits for');
ok(!-e $store, 'folder away at a start: no other one is made');
rename "$store.away", $store or die "could not rename: $!";
$node->reload;
await_tracking($node);
nothing_is_lost('folder away at a start', $offset);
is(epoch(), 2, 'all in one epoch');

# ---- garbage collection while a global is in doubt

$now = sql('SELECT ckpx_global_checkpoint()');
incremental();
$path = path_of('global', $now);
my $covered = sql("SELECT ckpx_gc(NULL, true)");
cmp_ok($covered, '>', 0, 'a global covers incrementals');
rename $path, "$path.away" or die "could not rename: $!";
like(error_of("SELECT ckpx_global_checkpoint('1min')"),
	qr/could not open file/, 'it is away: a reader that needs it gets an error');
is_in_doubt();
is(sql('SELECT ckpx_gc()'), 0, 'what it covers stays');
rename "$path.away", $path or die "could not rename: $!";
doubt_is_settled();
cmp_ok(sql('SELECT ckpx_gc()'), '>=', $covered, 'and goes when it is back');
wait_for_sql($node,
	"SELECT count(*) = 0 FROM ckpx_checkpoints WHERE state <> 'finished'");

# ---- an object that stays away is lost

incremental();
($from, $to) = incremental();
incremental();
lose_patience($node);
$path = path_of('incremental', $to);
unlink $path or die "could not remove: $!";
error_of("SELECT * FROM ckpx_changed_blocks('$from', '$to')");
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_gaps WHERE from_lsn = '$from' AND to_lsn = '$to'");
ok(!-e "$path.damaged", 'an object that stays away is lost');
sql("SELECT ckpx_fault_remove('object-patience')");

# ---- whatever is lost again and again, the folder does not grow

change_settings($node, 'ckpx.gc_keep_time' => '0');
my @sizes;
foreach my $round (1 .. 4)
{
	incremental();
	($from, $to) = incremental();
	my (undef, $last) = incremental();
	damage_body(path_of('incremental', $to));
	error_of("SELECT * FROM ckpx_changed_blocks('$from', '$to')");
	wait_for_sql($node, "SELECT count(*) = 1 FROM ckpx_gaps WHERE to_lsn = '$to'");
	is(sql('SELECT ckpx_global_checkpoint()'),
		$last, "round $round: a global is made");
	sql('SELECT ckpx_gc()');
	my @objects = store_files($node, qr/\.ckpx$/);
	push @sizes, scalar(@objects);
}
is($sizes[3], $sizes[1], 'objects before a gap go with time')
  or diag("@sizes");
cmp_ok($sizes[3], '<', 5, 'few are left');
sql('SELECT ckpx_global_checkpoint()') if incremental();
wait_until(sub { !store_files($node, qr/damaged$/) },
	'what was kept goes with time');
is(epoch(), 2, 'in one epoch');
store_is_sound($node, 'in the end');
$node->restart;
await_tracking($node);
($from, $to) = incremental();
is(sql('SELECT ckpx_global_checkpoint()'), $to, 'after a restart, too');
covers_all_oracles($node, $from, $to, 'in the end');

# The newest one again, and no start that could decode it.
($from, $to) = incremental();
damage_body(path_of('incremental', $to));
error_of("SELECT * FROM ckpx_changed_blocks('$from', '$to')");
wait_for_sql($node, "SELECT count(*) = 1 FROM ckpx_gaps WHERE to_lsn = '$to'");
is(sql('SELECT ckpx_global_checkpoint() IS NOT NULL'),
	't', 'a global checkpoint has nothing to wait for');

$node->stop('fast');
done_testing();
