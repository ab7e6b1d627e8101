# Globals: when they are made, what they answer, how they fail and start again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main',
	quick_restart => 1,
	conf => "ckpx.min_incremental_interval = '1h'\n"
	  . "ckpx.min_count = 1000000\n"
	  . "ckpx.max_incremental_interval = 0\n"
	  . "ckpx.global_min_count = 3\n"
	  . "restart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');

# The newest finished global's end, or an empty text.
sub global_end
{
	return sql("SELECT coalesce(max(end_lsn)::text, '') FROM ckpx_checkpoints"
		  . " WHERE kind = 'global' AND state = 'finished'");
}

# What changed since an LSN and before another, as one text; counters aside.
sub answer
{
	my ($start, $end, $rel) = @_;
	$rel = defined $rel ? "'$rel'" : 'NULL';
	return sql(
		"SELECT tablespace, database, relfilenode, fork, limit_block, blocks"
		  . " FROM ckpx_changed_blocks('$start', '$end', $rel)"
		  . ' WHERE relfilenode IS NOT NULL ORDER BY 1, 2, 3, 4');
}

# Some work, and an incremental that ends behind it; returns its end.
my $round = 0;

sub work_and_checkpoint
{
	$round++;
	sql("UPDATE t SET x = x + 1 WHERE id % 7 = $round % 7;"
		  . " CREATE TABLE made_$round AS SELECT generate_series(1, 500) AS y;"
		  . ($round > 2
			? ' DROP TABLE made_' . ($round - 2) . ';'
			: '')
		  . ($round % 3 == 0
			? ' DELETE FROM t WHERE id > 2900; VACUUM t;'
			: ''));
	return sql('SELECT ckpx_checkpoint()');
}

#
# After enough incrementals, by itself
#

sql('CREATE TABLE t (id int PRIMARY KEY, x int);'
	  . ' INSERT INTO t SELECT i, 0 FROM generate_series(1, 3000) i');
my @ends = (work_and_checkpoint());
push @ends, work_and_checkpoint();
is(global_end(), '', 'no global before there are enough incrementals');
push @ends, work_and_checkpoint();
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_checkpoints"
	  . " WHERE kind = 'global' AND state = 'finished'");
is(global_end(), $ends[2], 'a global ends where its newest incremental does');
is( sql("SELECT g.start_lsn = min(i.start_lsn) FROM ckpx_checkpoints g, ckpx_checkpoints i"
		  . " WHERE g.kind = 'global' AND i.kind = 'incremental' GROUP BY g.start_lsn"),
	't',
	'and begins where the epoch does');
is(sql('SELECT ckpx_pending_count()'), '0', 'nothing is left over');
is(sql('SELECT globals_done FROM ckpx_stat'), '1', 'counted');

#
# By force
#

push @ends, work_and_checkpoint();
is(sql('SELECT ckpx_global_checkpoint()'),
	$ends[3], 'a forced one takes what there is');
is(global_end(), $ends[3], 'and is finished then');

sql('UPDATE t SET x = 0 WHERE id = 5');
my $forced = sql('SELECT ckpx_global_checkpoint()');
push @ends, $forced;
is(sql("SELECT '$forced'::pg_lsn > '$ends[3]'::pg_lsn"),
	't', 'with nothing to take in it makes an incremental first');
is( sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental' AND end_lsn = '$forced'"
	),
	'1',
	'which is there');

# With nothing to take in and nothing changed there is nothing to do.
# Reading catalogs may prune their pages, which is a change.
comes_true(
	sub {
		my $done = 'SELECT globals_done FROM ckpx_stat';
		my ($end, $count) = ($forced, sql($done));

		$forced = sql('SELECT ckpx_global_checkpoint()');
		return $forced eq $end && sql($done) == $count;
	},
	'nothing changed: the same end, and no other global');

# The timeout holds for the decoding of WAL as well.
add_fault($node, 'cut-before', 'wait');
sql('UPDATE t SET x = 0 WHERE id = 6');
await_held($node, 'cut-before');
like(error_of("SET statement_timeout = '20s'; SELECT ckpx_global_checkpoint('100ms')"),
	qr{ERROR:  55000: global checkpoint of ckpx up to \S+ was not finished in time\nDETAIL:  Finished global checkpoints reach \Q$forced\E},
	'the timeout holds while WAL is decoded');
remove_fault($node, 'cut-before');

# Several at once are one.
my $before = sql('SELECT globals_done FROM ckpx_stat');
push @ends, work_and_checkpoint();
add_fault($node, 'global-start', 'wait');
my @sessions = map { background('SELECT ckpx_global_checkpoint()') } 1 .. 3;
wait_for_sql($node, q{SELECT count(*) FROM pg_stat_activity
	WHERE query = 'SELECT ckpx_global_checkpoint()' AND wait_event_type = 'Extension'}, 3);
remove_fault($node, 'global-start');
$_->() foreach @sessions;
is(sql('SELECT globals_done FROM ckpx_stat') - $before,
	1, 'one global for what was there');

#
# Answers: the same from incrementals and, when these are gone, from layers
#

my $path = $node->data_dir . '/'
  . sql("SELECT 'ckpx/' || name FROM pg_ls_dir('ckpx') name WHERE name !~ '[.]'");
my $last = $ends[-1];
my %expected;
foreach my $start (@ends[ 0 .. $#ends - 1 ])
{
	$expected{$start} = answer($start, $last);
	$expected{"$start t"} = answer($start, $last, 't');
}
my $inside = answer($ends[1], $ends[3]);

cmp_ok(sql('SELECT ckpx_gc()'), '>', 4, 'there are incrementals to lose');
is( sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'"),
	'0',
	'only the global is left');
$node->restart;
is(global_end(), $last, 'and is loaded again');
foreach my $start (@ends[ 0 .. $#ends - 1 ])
{
	is(answer($start, $last), $expected{$start},
		"changes since $start are the same by its layers");
	is(answer($start, $last, 't'),
		$expected{"$start t"}, "those of one relation too");
}

# An end within the global: every layer counts, so there may be more.
my %got = map { $_ => 1 } split /\n/, answer($ends[1], $ends[3]);
my @keys = map { join '|', (split /\|/)[ 0 .. 3 ] } split /\n/, $inside;
my $all = answer($ends[1], $ends[3]);
is(scalar(grep { index($all, $_) < 0 } @keys),
	0, 'an end within the global lacks no relation');

# New checkpoints go on from it.
push @ends, work_and_checkpoint();
is(sql('SELECT ckpx_global_checkpoint()'),
	$ends[-1], 'the next global is made of it');
is(answer($ends[-2], $ends[-1]) ne '', 1, 'and answers');

#
# Tombstones
#

sql('CREATE TABLE gone AS SELECT generate_series(1, 100) AS y');
my $alive = sql('SELECT ckpx_checkpoint()');
sql('DROP TABLE gone');
my $dropped = sql('SELECT ckpx_checkpoint()');
change_settings($node, 'ckpx.global_version_interval' => '0');
push @ends, work_and_checkpoint();
sql('SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()');
my ($status, $output, $error) = $node->psql('postgres',
	"SELECT * FROM ckpx_collect_range('$ends[0]', '$alive')");
like($error, qr/is stale.*oldest end that can be answered is/s,
	'no list of objects for an end at which a forgotten relation was there');
is(sql("SELECT complete FROM ckpx_collect_range('$ends[0]', '$dropped')"),
	't', 'for a later end there is');
($status, $output, $error) = $node->psql('postgres',
	"SELECT * FROM ckpx_changed_blocks('$ends[0]', '$alive')");
like($error, qr/is stale/, 'an end at which a forgotten relation was there');
like($error, qr/oldest end that can be answered is/, 'with what can be answered');
isnt(answer($ends[0], $ends[-1]), '', 'a later end is answered');
sql("ALTER SYSTEM RESET ckpx.global_version_interval");
$node->reload;

#
# Failures
#

push @ends, work_and_checkpoint();
sql("SELECT ckpx_fault_add('global-write', 'error', NULL, 'enospc')");
my ($ret, $stdout, $stderr) =
  $node->psql('postgres', 'SELECT ckpx_global_checkpoint()');
isnt($ret, 0, 'a full disk is an error');
like($stderr, qr/global checkpoint of ckpx .* failed/, 'of the caller');
like($stderr, qr/No space left on device/, 'which tells why');
is( sql("SELECT state || ' ' || (attempts > 0) || ' ' || failed_phase FROM ckpx_checkpoints"
		  . " WHERE kind = 'global' AND state <> 'finished'"),
	'running true write',
	'the entry shows it');
# But for a moment, while it is tried again.
comes_true(sub { !(() = glob("$path/glo_*.tmp")) }, 'no temporary file is left');

# Meanwhile incrementals go on.
push @ends, work_and_checkpoint();
sql("SELECT ckpx_fault_remove('global-write')");
is(sql('SELECT ckpx_global_checkpoint()'),
	$ends[-1], 'with room again it succeeds');

# An incremental does not wait for a merge.
push @ends, work_and_checkpoint();
sql("SELECT ckpx_fault_add('global-relation', 'sleep', NULL, '300')");
my $merge = background('SELECT ckpx_global_checkpoint()');
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_checkpoints WHERE kind = 'global' AND state = 'running'"
);
push @ends, work_and_checkpoint();
is( sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'global' AND state = 'running'"
	),
	'1',
	'an incremental is finished while a global is in work');
sql("SELECT ckpx_fault_remove('global-relation')");
is($merge->(), "$ends[-2]\n", 'the global ends where it was to end');

# Deaths in the middle: the next process makes it anew.
my %action = ('global-renamed' => 'crash', 'global-published' => 'crash');
foreach my $point ('global-start', 'global-rename', 'global-renamed',
	'global-published')
{
	my $action = $action{$point} // 'exit';
	push @ends, work_and_checkpoint();
	my $wanted = answer($ends[-2], $ends[-1]);
	sql("SELECT ckpx_fault_add('$point', '$action', '1:1')");
	$node->psql('postgres', 'SELECT ckpx_global_checkpoint()');
	wait_for_sql($node,
		"SELECT ckpx_global_checkpoint() >= '$ends[-1]'::pg_lsn");
	sql("SELECT ckpx_fault_remove('$point')") if $action eq 'exit';
	is(answer($ends[-2], $ends[-1]),
		$wanted, "the same answer after a death at $point");
	my @temporary = glob("$path/glo_*.tmp");
	is(scalar(@temporary), 0, 'and no temporary file is left');
}

# Disabled in the middle: a waiting call fails, and it goes on when enabled.
push @ends, work_and_checkpoint();
sql("SELECT ckpx_fault_add('global-relation', 'sleep', NULL, '300')");
my $waiter = background('SELECT ckpx_global_checkpoint()');
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_checkpoints WHERE kind = 'global' AND state = 'running'"
);
sql('SELECT ckpx_disable()');
like($waiter->(), qr/disabled/, 'disabled while it is made: a waiting call fails');
isnt(global_end(), $ends[-1], 'and it is not finished');
sql("SELECT ckpx_fault_remove('global-relation'); SELECT ckpx_enable()");

# Behind the end that is known there may be more: on a slow machine something
# else has changed meanwhile.
is(sql("SELECT ckpx_global_checkpoint() >= '$ends[-1]'"), 't', 'enabled again it is');

# Garbage collection up to an end that no global reaches takes what is covered.
my $uncovered = work_and_checkpoint();
sql("SELECT ckpx_gc('$uncovered')");
is( sql("SELECT string_agg(end_lsn::text, ' ') FROM ckpx_checkpoints WHERE kind = 'incremental'"),
	$uncovered, 'what is in no global stays');
push @ends, $uncovered;

# What is being built outside shared buffers is listed as long as it is.
change_settings($node, 'ckpx.commit_wait' => '0');
my $builder = session($node);
ask($builder, 'BEGIN; CREATE TABLE built AS SELECT generate_series(1, 1000) AS y; CREATE INDEX ON built (y)');
sql('SELECT ckpx_checkpoint()');
sql('SELECT ckpx_global_checkpoint()');
is( sql("SELECT undurable > 0 FROM ckpx_checkpoints WHERE kind = 'global' ORDER BY end_lsn DESC LIMIT 1"),
	't',
	'a global lists a file under construction');
ask($builder, 'COMMIT');
end_session($builder);
sql('CHECKPOINT');
push @ends, work_and_checkpoint();
is(sql('SELECT ckpx_global_checkpoint()'), $ends[-1], 'when it is built');
is( sql("SELECT undurable FROM ckpx_checkpoints WHERE kind = 'global' ORDER BY end_lsn DESC LIMIT 1"),
	'0',
	'the next global does not');

# Disabled: no global, and no waiting for one.
push @ends, work_and_checkpoint();
sql('SELECT ckpx_disable()');
($ret, $stdout, $stderr) =
  $node->psql('postgres', 'SELECT ckpx_global_checkpoint()');
like($stderr, qr/disabled/, 'disabled is told');
sql('SELECT ckpx_enable()');

# A damaged global is not used, and the incrementals still answer.
push @ends, work_and_checkpoint();
my $damaged = answer($ends[-2], $ends[-1]);
my $began = sql("SELECT min(start_lsn) FROM ckpx_checkpoints WHERE kind = 'global'");
$node->stop;
foreach my $file (glob("$path/glo_*"))
{
	open my $handle, '+<', $file or die $!;
	seek $handle, 100, 0;
	print $handle 'xxxx';
	close $handle;
}
$node->start;
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 1 FROM ckpx_runner');
is( sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'global' AND start_lsn = '$began'"),
	'0',
	'damaged globals are not loaded');
is(answer($ends[-2], $ends[-1]),
	$damaged, 'the incrementals answer in their place');

$node->stop;
done_testing();
