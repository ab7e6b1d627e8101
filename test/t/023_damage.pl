# Damaged, missing and foreign files: what was known stays known as far as it
# can, what is not known is not answered, and the log names the file.

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
	'main', conf => <<'EOC');
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
EOC
my $start = wal_position($node);

sub checkpoints
{
	return map { [ split /\|/ ] } split /\n/,
	  $node->safe_psql('postgres', q{
		SELECT start_lsn, end_lsn, location FROM ckpx_checkpoints
		WHERE kind = 'incremental' AND state = 'finished'
			AND epoch = (SELECT epoch FROM ckpx_runner) ORDER BY start_lsn});
}

sub cut
{
	my ($path, $part) = @_;
	truncate($path, int((-s $path) * $part)) or die "could not cut \"$path\": $!";
}

# Stop, damage, start; returns what the server logged.
sub restart_with
{
	my $damage = shift;

	$node->stop('fast');
	$damage->();
	my $offset = -s $node->logfile;
	$node->start;
	lose_patience($node);
	await_tracking($node);
	return log_since($node, $offset);
}

# ---- the newest manifest

my %manifest_damage = (
	'cut short' => sub { cut($_[0], 0.7) },
	'empty' => sub { cut($_[0], 0) },
	'with a flipped bit' => sub { change_byte($_[0], 300) },
	'missing' => sub { unlink $_[0] });

foreach my $what (sort keys %manifest_damage)
{
	my ($from, $to, $before, $name);
	some_history($node, 3);
	($from, $to) = finished_range($node);
	$before = answer($node, $from, $to);
	my $log = restart_with(
		sub {
			my ($path) = manifests($node);
			$name = $path =~ s{.*/}{}r;
			$manifest_damage{$what}->($path);
		});

	is_one_epoch($node, "newest manifest $what");
	my ($now_from, $now_to) = finished_range($node);
	if ($what eq 'missing')
	{
		# Nobody can know that it was there; WAL has what it knew.
		is($now_from, $from, "newest manifest $what: known from the beginning");
	}
	else
	{
		like($log, qr/WARNING: .* manifest ".*\Q$name\E" cannot be used/,
			"newest manifest $what: a warning names it");
		like($log, qr/ckpx adopted 1 checkpoint object/,
			"newest manifest $what: what it named is adopted");
		is(answer($node, $from, $to), $before,
			"newest manifest $what: the same answer");
	}
}
covers_all_oracles($node, $start, wal_position($node),
	'after damaged manifests');

# ---- both manifests: the objects alone are enough

some_history($node, 3);
my ($from, $to) = finished_range($node);
my $before = answer($node, $from, $to);
my @damaged;
my $log = restart_with(
	sub { change_byte($_, 200) foreach @damaged = manifests($node) });
is(scalar(() = $log =~ /WARNING: .* manifest ".*" cannot be used/g),
	@damaged, 'both manifests damaged: a warning for each');
is($node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner'),
	1, 'both manifests damaged: still the first epoch');
is(answer($node, $from, $to), $before,
	'both manifests damaged: the same answer');
covers_all_oracles($node, $start, wal_position($node),
	'after both manifests were damaged');

# ---- a manifest of somebody else, and foreign files

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init(allows_streaming => 1);
$other->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
$other->start;
wait_until(sub { eval { manifests($other) } }, 'the other server has a manifest');
$other->stop('fast');

some_history($node, 3);
my $foreign = 'meta_00000000000F0000_0000000000000000_0000000000000000.json';
my @foreign = ('notes.txt', 'inc_1_2_3_4.ckpx', 'META.json', 'folder');
my $stranger = $node->data_dir . '/ckpx/someone';
$log = restart_with(
	sub {
		my $store = store_dir($node);
		my ($manifest) = manifests($other);
		system_or_bail('cp', $manifest, "$store/$foreign");
		append_to_file("$store/$_", 'x') foreach @foreign[ 0 .. 2 ];
		mkdir "$store/folder";
		mkdir $stranger;
	});
like($log, qr/WARNING: .* manifest ".*\Q$foreign\E" cannot be used/,
	'a manifest of another cluster is not used');
$node->restart;
some_history($node, 3);
is_one_epoch_after_loss('foreign files');
is(scalar(grep { -e store_dir($node) . "/$_" } @foreign),
	4, 'files that are not ours are left alone');
ok(-d $stranger, 'a folder that is not ours is left alone');
unlink store_dir($node) . "/$_" foreach @foreign;
rmdir store_dir($node) . '/folder';
rmdir $stranger;

# Where both manifests were lost, so was the row of the first epoch's gap.
sub is_one_epoch_after_loss
{
	is($node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner'),
		1, "$_[0]: still the first epoch");
}

# ---- the newest object: WAL still has its range

my %object_damage = (
	'cut short' => sub { cut($_[0], 0.5) },
	'damaged in its header' => sub { change_byte($_[0], 20) },
	'damaged in its footer' => sub { change_byte($_[0], -10) },
	'missing' => sub { unlink $_[0] });

foreach my $what (sort keys %object_damage)
{
	some_history($node, 3);
	my $newest = (checkpoints())[-1];
	$log = restart_with(
		sub { $object_damage{$what}->(store_dir($node) . "/$newest->[2]") });
	like($log, qr/object is missing or damaged.*\n.*\Q$newest->[2]\E/,
		"newest object $what: a warning names it");
	is_one_epoch_after_loss("newest object $what");
}
covers_all_oracles($node, $start, wal_position($node),
	'after damaged newest objects');

# ---- an object in the middle: a gap within the epoch

some_history($node, 3);
my $middle = (checkpoints())[-3];
my $end = $node->safe_psql('postgres', 'SELECT checkpointed_lsn FROM ckpx_runner');
my $left = answer($node, $from, $middle->[0]);
my $right = answer($node, $middle->[1], $end);
$log = restart_with(
	sub { change_byte(store_dir($node) . "/$middle->[2]", 20) });
like($log, qr/object is missing or damaged.*\n.*\Q$middle->[2]\E/,
	'object in the middle: a warning names it');
is( $node->safe_psql(
		'postgres', q{
		SELECT epoch, from_lsn, to_lsn FROM ckpx_gaps WHERE reason ~ 'damaged'}),
	"1|$middle->[0]|$middle->[1]",
	'object in the middle: its range is a gap');
is(answer($node, $from, $middle->[0]),
	$left, 'object in the middle: the range before it is answered');
is(answer($node, $middle->[1], $end),
	$right, 'object in the middle: the range after it is answered');
is( has_no_answer($node, $from, $end, 'object in the middle: no answer over it'),
	$middle->[0],
	'object in the middle: what is missing begins with it');
is( $node->safe_psql(
		'postgres',
		"SELECT complete, missing_from FROM ckpx_collect_range('$from', '$end')"),
	"f|$middle->[0]",
	'object in the middle: its objects are not listed');

# ---- a body: found out when it is read

some_history($node, 3);
my $body = (checkpoints())[-2];
my $path = store_dir($node) . "/$body->[2]";
change_byte($path, int((-s $path) / 2));
my $stderr;
$node->psql(
	'postgres',
	"\\set VERBOSITY verbose\nSELECT * FROM ckpx_changed_blocks('$body->[0]', '$body->[1]')",
	stderr => \$stderr);
like($stderr, qr/ERROR:  XX001: .*\Q$body->[2]\E/,
	'a damaged body is an error that names the file');
unlink $path;
$node->restart;
lose_patience($node);
await_tracking($node);
has_no_answer($node, $middle->[1], $body->[1], 'no answer over a lost object');

# ---- a folder that cannot be written, while the server runs

run_load($node, 20);
chmod 0500, store_dir($node) or die "could not chmod: $!";
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '2s')");
like(
	wait_for_sql(
		$node,
		q{SELECT failed_phase, last_error, attempts > 0 FROM ckpx_checkpoints WHERE state = 'running'},
		qr/\|t$/),
	qr/^write\|could not create file ".*": Permission denied\|t$/,
	'folder not writable: the checkpoint says why it does not go on');
my $position = wal_position($node);
run_load($node, 5);
covers_all_oracles($node, $position, wal_position($node),
	'folder not writable');
chmod 0700, store_dir($node);
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
	't', 'folder writable again: checkpoints go on by themselves');

# ---- the same at a start

$end = $node->safe_psql('postgres', 'SELECT checkpointed_lsn FROM ckpx_runner');
my $store = store_dir($node);
$right = answer($node, $body->[1], $end);
$node->stop('fast');
chmod 0000, $store;
$node->start;
like(
	wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/./),
	qr/^could not .*".*": Permission denied/,
	'folder not readable at a start: the runner says why it idles');
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '5s')",
	stderr => \$stderr);
like($stderr, qr/ckpx cannot go on.*Permission denied/s,
	'folder not readable at a start: a waiting call fails at once');
run_load($node, 5);
chmod 0700, $store;
await_tracking($node);
is($node->safe_psql('postgres', 'SELECT problem, epoch FROM ckpx_runner'),
	'|1', 'folder readable again: tracking goes on by itself');
is(answer($node, $body->[1], $end), $right, 'folder readable again: the history is the same');
covers_all_oracles($node, $position, wal_position($node),
	'folder readable again');
$node->restart;
await_tracking($node);
store_is_sound($node, 'in the end', 1);

$node->stop('fast');
done_testing();
