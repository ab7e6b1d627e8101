# No manifest can be read: what the objects of the newest epoch prove by
# themselves is known again, and nothing else.

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

sub damage
{
	my ($path, $offset) = @_;

	open(my $file, '+<:raw', $path) or die "could not open \"$path\": $!";
	# Unlikely bytes, so that something changes; done twice it does not undo
	# itself.
	seek($file, $offset, 0);
	print $file "\x01\xfe\x01\xfe";
	close($file) or die "could not write \"$path\": $!";
}

# Stop, damage all manifests and do more, start; returns the log.
sub restart_without_manifests
{
	my ($more) = @_;

	$node->stop('fast');
	damage($_, 200) foreach manifests($node);
	$more->() if $more;
	my $offset = -s $node->logfile;
	$node->start;
	await_tracking($node);
	return log_since($node, $offset);
}

# ---- a global, and incrementals before and behind its end

my ($start, $a) = incremental();
incremental();
my $b = sql('SELECT ckpx_global_checkpoint()');
sql('SELECT ckpx_gc()');
incremental();
my $c = sql('SELECT ckpx_global_checkpoint()');
my (undef, $d) = incremental();
my (undef, $e) = incremental();
sql("SELECT ckpx_pin('mine', '$d')");
my $whole = answer($node, $start, $e);
my $part = answer($node, $b, $e);

my $log = restart_without_manifests();
is( sql('SELECT epoch, timeline, from_lsn IS NULL, to_lsn, reason FROM ckpx_gaps'),
	"1|1|t|$start|no manifest could be read",
	'the epoch begins where its oldest object does');
like($log, qr/WARNING:  ckpx finds no manifest that can be read .*\n.*DETAIL:  Pins, and the history before/,
	'the log says what is lost');
is(sql('SELECT count(*) FROM ckpx_pins'), 0, 'pins are');
is( sql("SELECT start_lsn, end_lsn FROM ckpx_checkpoints WHERE kind = 'global' ORDER BY end_lsn DESC LIMIT 1"),
	"$start|$c", 'the global is known again');
is(answer($node, $start, $e), $whole, 'the whole range is answered as before');
is(answer($node, $b, $e), $part, 'and a part of it');
covers_all_oracles($node, $start, wal_position($node), 'without manifests');
my (undef, $f) = incremental();
is(sql('SELECT ckpx_global_checkpoint()'), $f, 'globals go on');
is( sql("SELECT min(start_lsn) FROM ckpx_checkpoints WHERE kind = 'global'"),
	$start, 'from the same start');

# What a start found and did not know stays until the next one, but what is
# made and collected meanwhile does not fill the disk.
sql('SELECT ckpx_gc()');
incremental() foreach 1 .. 3;
is(sql('SELECT ckpx_global_checkpoint(); SELECT ckpx_gc() > 2'),
	sql('SELECT checkpointed_lsn FROM ckpx_runner') . "\nt",
	'garbage collection');
is_deeply(
	[ store_files($node, qr/^(inc|glo)/) ],
	[ split /\n/, sql("SELECT location FROM ckpx_checkpoints WHERE state = 'finished' ORDER BY 1") ],
	'no object is left that is not known');
my @manifests = manifests($node);
is(scalar(@manifests), 4, 'two manifests of the start, and two since');
$node->restart;
await_tracking($node);
store_is_sound($node, 'after the next start', 1);

# ---- an object is lost as well: a gap, and both sides

my (undef, $g) = incremental();
my (undef, $h) = incremental();
my (undef, $i) = incremental();
my $left = answer($node, $start, $g);
my $right = answer($node, $h, $i);
my ($lost) = sql("SELECT location FROM ckpx_checkpoints WHERE kind = 'incremental' AND end_lsn = '$h'");
restart_without_manifests(sub { unlink store_dir($node) . "/$lost" or die $!; });
is( sql("SELECT from_lsn, to_lsn, reason FROM ckpx_gaps WHERE from_lsn IS NOT NULL"),
	"$g|$h|no manifest could be read, and no object has this range",
	'a range that no object has is a gap');
is(answer($node, $start, $g), $left, 'what is before it is answered');
is(answer($node, $h, $i), $right, 'and what is behind it');
is(has_no_answer($node, $start, $i, 'no answer over it'), $g,
	'which begins where it does');
is(sql('SELECT ckpx_global_checkpoint()'), $i, 'a global');
is( sql("SELECT start_lsn FROM ckpx_checkpoints WHERE kind = 'global' AND end_lsn = '$i'"),
	$h, 'begins behind it');

# ---- the newest object's body as well: its range is decoded again

my ($from, $to) = incremental();
my $newest = sql("SELECT location FROM ckpx_checkpoints WHERE kind = 'incremental' AND end_lsn = '$to'");
restart_without_manifests(
	sub {
		my $path = store_dir($node) . "/$newest";
		damage($path, int((-s $path) * 0.4));
	});
is(sql('SELECT epoch, problem FROM ckpx_runner'), '1|', 'newest object damaged: one epoch');
covers_all_oracles($node, $from, $to, 'newest object damaged');

# ---- what was done to the data directory meanwhile is not overlooked

my $epoch = sql('SELECT epoch FROM ckpx_runner');
restart_without_manifests(
	sub { system_or_bail('pg_checksums', '--enable', '-D', $node->data_dir); });
is( sql('SELECT epoch, reason FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1'),
	($epoch + 1)
	  . '|data checksums were switched on or off, which rewrites every page without WAL',
	'checksums were switched on: a new epoch');
has_no_answer($node, $i, sql('SELECT ckpx_checkpoint()'), 'no answer over it');

# ---- older epochs answer nothing without the gap that closed them

($from, $to) = incremental();
restart_without_manifests();
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE epoch < $epoch + 1"),
	0, 'older epochs are not adopted');
has_no_answer($node, $h, $i, 'nor answered');
isnt(answer($node, $from, $to), '', 'the newest is');

# ---- nothing is left of the newest epoch: its number is not used again

$node->stop('fast');
unlink glob(store_dir($node) . sprintf('/inc_%08X_*', $epoch + 1));
damage($_, 200) foreach manifests($node);
append_to_file(
	store_dir($node) . sprintf('/inc_%08X_00000001_0000000000000100_0000000000000200.ckpx', $epoch + 1),
	'x');
$node->start;
sql_becomes($node,
	"SELECT problem IS NULL AND epoch = $epoch + 2 FROM ckpx_runner",
	't', 'the next epoch has another number');
my $here = wal_position($node);
run_load($node, 5);
covers_all_oracles($node, $here, wal_position($node), 'in the end');

$node->stop('fast');
done_testing();
