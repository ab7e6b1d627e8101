# Everything that can be asked of ckpx, at random: from several sessions, with
# load, faults, dying workers and restarts in between.  After each step what is
# there is compared with a model, and now and then the map with the oracles.
#
# CKPX_RANDOM_SEED repeats a run, CKPX_RANDOM_SECONDS (45) makes it longer.
# The same seed makes the same plan: each step has a seed of its own, so what
# one step finds does not change the next.  How far each session has come when
# another one strikes is the machine's choice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxModel;
use CkpxOracle;
use CkpxTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{CKPX_RANDOM_SEED} // (time() * 1000) % 1000000;
my $seconds = $ENV{CKPX_RANDOM_SECONDS} // 45;
note("CKPX_RANDOM_SEED=$seed CKPX_RANDOM_SECONDS=$seconds");

my $node = loaded_node('main', conf => <<'EOC');
checkpoint_timeout = '1h'
ckpx.min_incremental_interval = '1h'
ckpx.max_incremental_interval = 0
ckpx.global_min_count = 1000
ckpx.gc_keep_time = '1d'
ckpx.commit_wait = '500ms'
ckpx.max_flush_interval = '500ms'
EOC

my $model = CkpxModel->new($node);
my @saved = (wal_position($node)) x 3;    # the oracles look at what came after
my %setting = (
	gc_keep_time => '1d',
	min_incremental_interval => '1h',
	global_min_count => '1000');
my $disabled = 0;                     # as the model knows it
my $nsteps = 0;
my $nproblems = 0;
my @log;                              # what was done and came of it
my %done;                             # how often an operation has succeeded

# An end for the oracles: they must have something to look at, wherever the
# range starts.  And right behind a switch of WAL the position is the start of a
# segment, with which pg_waldump as an end has its trouble.
sub position
{
	sql('UPDATE load_row SET n = n + 1 WHERE id = 1');
	return wal_position($node);
}

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

# ---------------------------------------------------------------------------
# Operations
# ---------------------------------------------------------------------------

# Each makes a statement and what its success means: a hash of name, sql,
# expect => an error that is right by itself, and after => called with the
# output, or undef where the answer was lost.

my $ntables = 0;
my $nprepared = 0;

sub load_statement
{
	my $t = 'random_' . int rand 4;
	my $n = 1 + int rand 300;
	my $k = 2 + int rand 40;

	return pick(
		"UPDATE load_row SET n = n + 1 WHERE id % $k = 0",
		"UPDATE load_row SET t = md5(t) WHERE id < $n; VACUUM load_row",
		"INSERT INTO load_log (t) SELECT repeat(md5(g::text), 8) FROM generate_series(1, $n) g",
		"DELETE FROM load_log WHERE id % $k = 1",
		"DELETE FROM load_log; VACUUM load_log",
		"SELECT count(nextval('load_seq')) FROM generate_series(1, $n)",
		"DROP TABLE IF EXISTS $t; CREATE TABLE $t AS SELECT g AS id, md5(g::text) AS t FROM generate_series(1, $n * 10) g; CREATE INDEX ON $t (id)",
		"DROP TABLE IF EXISTS $t",
		"CREATE TABLE IF NOT EXISTS $t (id int, t text); INSERT INTO $t SELECT g, 'x' FROM generate_series(1, $n) g",
		"CREATE TABLE IF NOT EXISTS $t (id int, t text); TRUNCATE $t; INSERT INTO $t VALUES (1, 'y')",
		"CREATE TABLE IF NOT EXISTS $t (id int, t text); BEGIN; ALTER TABLE $t ADD COLUMN c$n int DEFAULT 1; ROLLBACK",
		"CLUSTER load_row USING load_row_pkey",
		"CHECKPOINT",
		"SELECT pg_switch_wal()",
		"DO \$\$ BEGIN FOR i IN 1 .. $n LOOP BEGIN INSERT INTO load_log (t) VALUES (i::text); EXCEPTION WHEN OTHERS THEN END; END LOOP; END \$\$");
}

sub op_load
{
	my $statement = load_statement();
	return {
		name => 'load',
		sql => $statement,
		expect => qr/ERROR:  (40P01|55P03|23505|42P07|XX000: tuple concurrently|XX000: could not open relation|42P01|42701|54011)/
	};
}

sub op_prepared
{
	my $open = eval { sql('SELECT gid FROM pg_prepared_xacts LIMIT 1') } // '';
	return { name => 'commit prepared', sql => "COMMIT PREPARED '$open'", expect => qr/42704/ }
	  if $open ne '';
	$nprepared++;
	return {
		name => 'prepare',
		sql => "BEGIN; INSERT INTO load_log (t) VALUES ('p'); PREPARE TRANSACTION 'p$nprepared'"
	};
}

sub op_checkpoint
{
	my $end = chance(0.2) ? "'" . pick(@saved) . "'" : 'NULL';
	return { name => 'short checkpoint', sql => "SELECT ckpx_checkpoint($end, '10ms')", expect => qr/55000.*not finished in time/ }
	  if chance(0.15);
	return { name => 'checkpoint', sql => "SELECT ckpx_checkpoint($end)" };
}

sub op_global
{
	return { name => 'short global', sql => "SELECT ckpx_global_checkpoint('10ms')", expect => qr/55000.*not finished in time/ }
	  if chance(0.1);
	return { name => 'global', sql => 'SELECT ckpx_global_checkpoint()' };
}

my @collected;    # limits of the collections of this step

sub op_gc
{
	my $upto = chance(0.3) ? pick(@saved) : undef;
	my $limit = defined $upto ? "'$upto'" : 'NULL';
	my $dry = chance(0.3) ? 'true' : 'false';

	push @collected, defined $upto ? lsn_to_int($upto) : undef
	  if $dry eq 'false';
	return {
		name => $dry eq 'true' ? 'dry gc' : 'gc',
		sql => "SELECT ckpx_gc($limit, $dry)",
		limit => defined $upto ? lsn_to_int($upto) : undef,
		dry => $dry eq 'true'
	};
}

sub op_pin
{
	my $name = 'pin' . int rand 3;
	my $ttl = 'NULL';
	my $lsn = "'" . pick(@saved[ -3 .. -1 ]) . "'";

	if (chance(0.3))
	{
		$name = 'ttl' . int rand 3;
		$ttl = "'" . pick('50ms', '2s', '1h') . "'";
	}
	$lsn = 'ckpx_low_water_mark()' if chance(0.1);
	return {
		name => 'pin',
		sql => "SELECT ckpx_pin('$name', $lsn, $ttl)",
		expect => qr/42710/,
		after => sub { $model->pinned($name, defined $_[0]) }
	};
}

sub op_unpin
{
	my @names = $model->pin_names;
	my $name = @names && chance(0.9) ? pick(@names) : 'none';

	return {
		name => 'unpin',
		sql => "SELECT ckpx_unpin('$name')",
		expect => qr/42704/,
		after => sub { $model->unpinned($name, defined $_[0]) }
	};
}

sub op_backup
{
	return {
		name => 'backup',
		sql => chance(0.5)
		? 'SELECT ckpx_backup_checkpoint()'
		: "SELECT ckpx_fault_add('backup-incremental', 'sleep', '1:1', '30'); SELECT ckpx_backup_checkpoint()"
	};
}

sub op_flush
{
	# With ckpx.flush off an open transaction's files wait for PostgreSQL.
	my $what = pick('ckpx_flush(NULL, ', "ckpx_flush_table('load_row', NULL, ");
	return { name => 'flush', sql => "SELECT flushed FROM $what'5s')" };
}

sub op_switch
{
	my $off = chance(0.4);
	return {
		name => $off ? 'disable' : 'enable',
		sql => $off ? 'SELECT ckpx_disable()' : 'SELECT ckpx_enable()',
		switch => 1
	};
}

sub op_cancel { return { name => 'cancel', sql => 'SELECT ckpx_cancel_pending()', cancel => 1 }; }
sub op_reset { return { name => 'stat reset', sql => 'SELECT ckpx_stat_reset()' }; }

sub op_read
{
	return {
		name => 'read',
		sql => pick(
			'SELECT count(*) FROM ckpx_changed_blocks(ckpx_low_water_mark())',
			'BEGIN; SELECT count(*) FROM load_row; SELECT ckpx_sync_point(); COMMIT',
			'SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())',
			'SELECT count(*) FROM ckpx_dirty_tree()',
			'SELECT count(*) FROM ckpx_history, ckpx_progress, ckpx_stat, ckpx_runner, ckpx_queues, ckpx_workers, ckpx_dirty_tables, ckpx_flush_stat')
	};
}

# Not the interval of globals: when tombstones go, an older global may have to
# answer, and dropped relations are not in the map any more.
my %choices = (
	flush => [qw(demand on off)],
	gc_keep_time => [qw(0 1d 1d)],
	global_min_count => [qw(2 5 1000)],
	checkpoint_size => [qw(64kB 512MB)],
	checkpoint_block_rows => [qw(1 50 10000)],
	compression => [qw(none zstd)],
	commit_wait => [qw(0 500ms)],
	collect_interval => [qw(10ms 50ms 1s)],
	reserved_wal => [qw(0 16MB)],
	min_incremental_interval => [qw(100ms 1h 1h)],
	log_checkpoints => [qw(on off)]);

sub op_setting
{
	my $name = pick(sort keys %choices);
	my $value = pick(@{ $choices{$name} });

	$setting{$name} = $value;
	return {
		name => 'setting',
		sql => "ALTER SYSTEM SET ckpx.$name = '$value'; SELECT pg_reload_conf()",
		expect => qr/22023.*compression|XX000: could not parse contents/
	};
}

my @operations = (
	[ 30, \&op_load ], [ 12, \&op_checkpoint ], [ 8, \&op_global ],
	[ 7, \&op_gc ], [ 5, \&op_pin ], [ 6, \&op_unpin ],
	[ 4, \&op_backup ], [ 4, \&op_flush ], [ 4, \&op_switch ],
	[ 4, \&op_cancel ], [ 1, \&op_reset ], [ 4, \&op_read ],
	[ 4, \&op_setting ], [ 3, \&op_prepared ]);

sub operation
{
	my $total = 0;
	$total += $_->[0] foreach @operations;
	my $n = rand $total;

	foreach my $operation (@operations)
	{
		$n -= $operation->[0];
		return $operation->[1]->() if $n < 0;
	}
	return op_load();
}

# ---------------------------------------------------------------------------
# Sessions
# ---------------------------------------------------------------------------

my $nfiles = 0;

# What was done, for the report; what came of it is appended later.
sub note_done
{
	push @log, "step $nsteps: $_[0]";
	shift @log if @log > 40;
	return \$log[-1];
}

sub start_operation
{
	my $op = shift;

	$op->{log} = note_done("$op->{name}: $op->{sql}");

	# A pipe would break where there is no connection.
	my $file = $node->basedir . '/operation' . ++$nfiles % 20 . '.sql';
	unlink $file;
	append_to_file($file, "SET client_min_messages = error; SET statement_timeout = '60s'; SET lock_timeout = '20s';\n$op->{sql};\n");
	($op->{out}, $op->{err}) = ('', '');
	$op->{handle} = IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $node->connstr('postgres'),
			'-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-f', $file
		],
		'<', '/dev/null', '>', \$op->{out}, '2>', \$op->{err},
		IPC::Run::timeout(100));
	return $op;
}

# What an error may be, given what else went on in the step.
sub is_expected
{
	my ($op, %step) = @_;
	my $err = $op->{err};

	return 1 if defined $op->{expect} && $err =~ $op->{expect};
	return 1 if $step{may_be_disabled} && $err =~ /checkpoints of ckpx are disabled/;
	return 1 if $step{cancels} && $err =~ /checkpoint (of ckpx )?was canceled/;

	# A checkpoint that another session's global has covered and collected.
	return 1
	  if $step{concurrent}
	  && $err =~ /22023: .* lies in the past|chain of ckpx broke|55000: .*stale/;
	return 0 if !$step{violent};
	return 0 if $err =~ /statement timeout|lock timeout/;
	return $err =~
	  /connection|server closed|starting up|shutting down|shutdown|recovery mode|57P0|ckpx \w+ failed|cannot go on|not loaded|not started|could not|No space left|injected|fault|failed/;
}

# Wait for operations; returns the problems.
sub finish_operations
{
	my ($ops, %step) = @_;
	my @problems;

	foreach my $op (@$ops)
	{
		my $ok = eval { $op->{handle}->finish; 1 };
		if (!$ok)
		{
			push @problems, "$op->{name} hangs: $@\n  $op->{sql}";
			${ $op->{log} } .= ' -> hangs';
			eval { $op->{handle}->kill_kill };
			next;
		}
		my $status = $op->{handle}->result(0);
		my $lost = $op->{err} =~ /server closed the connection|connection to server|terminating connection|57P0/;

		${ $op->{log} } .= ' -> '
		  . ($status == 0 ? 'ok' : $op->{err} =~ /((?:ERROR|FATAL|PANIC): .*)/ ? $1 : $op->{err});
		if ($status == 0)
		{
			$done{ $op->{name} }++;
			$op->{after}->($op->{out}) if $op->{after};
		}
		else
		{
			push @problems, "$op->{sql}\n  failed: $op->{err}" if !is_expected($op, %step);
			$op->{after}->(undef) if $op->{after} && $lost;
		}
	}
	return @problems;
}

# ---------------------------------------------------------------------------
# Steps
# ---------------------------------------------------------------------------

sub settle
{
	my $deadline = time() + 150;

	while (1)
	{
		return if eval { come_to_rest(); 1 };
		my $error = $@;

		# A crash may still be on its way.
		return "does not settle: $error"
		  if time() > $deadline
		  || $error !~ /connection|starting up|shutting down|recovery mode/;
		select(undef, undef, undef, 0.2);
	}
}

sub come_to_rest
{
	wait_for_sql($node, 'SELECT 1', '1', 60);
	sql("SELECT count(ckpx_fault_remove(name)) FROM ckpx_fault_list() WHERE action IS NOT NULL");
	await_tracking($node);

	# What is not finished must get there by itself, unless it may not.
	return if sql('SELECT enabled FROM ckpx_runner') eq 'f';

	# With the flusher off PostgreSQL's checkpoints are waited for.
	sql('CHECKPOINT') if sql('SHOW ckpx.flush') eq 'off';
	wait_for_sql($node,
		"SELECT count(*) = 0 FROM ckpx_checkpoints WHERE state <> 'finished'",
		't', 90);
	return;
}

sub look
{
	my (%step) = @_;
	my @problems = eval {
		$model->look(collected => [@collected], ageless => $step{ageless});
	};
	push @problems, $@ if $@;
	return @problems;
}

# Do the settings let checkpoints come and go without being asked for?
sub nothing_by_itself
{
	return $setting{gc_keep_time} ne '0'
	  && $setting{min_incremental_interval} eq '1h'
	  && $setting{global_min_count} eq '1000';
}

# One operation alone: what it answers is known.
sub step_alone
{
	my $op = operation();
	my @expected = $op->{name} =~ /gc$/ ? $model->collectable($op->{limit}) : ();
	my $pins_expire = grep { $_->{expires} } values %{ $model->{state}{pins} // {} };
	my @problems = finish_operations([ start_operation($op) ],
		may_be_disabled => $disabled);

	if (   $op->{name} =~ /gc$/
		&& $op->{out} =~ /^(\d+)$/
		&& !$pins_expire
		&& nothing_by_itself())
	{
		push @problems, "$op->{sql} returned $1, the model says "
		  . scalar(@expected) . ": @expected"
		  if $1 != @expected;
	}
	return @problems;
}

sub step_together
{
	my @ops = map { start_operation(operation()) } 1 .. 2 + int rand 4;

	return finish_operations(
		\@ops,
		may_be_disabled => 1,
		concurrent => 1,
		cancels => scalar grep { $_->{cancel} } @ops);
}

# Points in backends and workers; not what is passed only in a new epoch, and
# not those of data files, at which PostgreSQL itself would panic.
my @points = grep { !/^(uninstall|identity|epoch|slot-create|command|flush-fsync|segment|spill)/ }
  split /\n/, sql('SELECT name FROM ckpx_fault_list()');

sub step_fault
{
	my $point = pick(@points);
	my $action = pick(qw(error error error crash exit sleep));
	my $last = 1 + int rand 2;
	my $argument = $action eq 'error' ? pick(qw(enospc enospc eio)) : $action eq 'sleep' ? '100' : undef;

	note_done("fault $point $action");
	add_fault($node, $point, $action, "1:$last", $argument);
	my @ops = map { start_operation(operation()) } 1 .. 1 + int rand 3;
	return finish_operations(\@ops,
		violent => 1, may_be_disabled => 1, concurrent => 1, cancels => 1);
}

sub step_kill
{
	my @ops = map { start_operation(operation()) } 1 .. 1 + int rand 2;
	my $how = pick(qw(TERM TERM TERM KILL restart immediate kill9));
	my $worker = pick(qw(runner flusher checkpointer observer));

	my $log = note_done("kill $how $worker");
	eval {
		if ($how eq 'TERM') { end_worker($node, $worker); }
		elsif ($how eq 'KILL') { crash_worker($node, $worker); }
		elsif ($how eq 'restart') { $node->stop('fast'); $node->start; }
		elsif ($how eq 'immediate') { $node->stop('immediate'); $node->start; }
		else { crash_and_restart($node); }
		1;
	} or $$log .= " -> $@";
	return finish_operations(\@ops,
		violent => 1, may_be_disabled => 1, concurrent => 1, cancels => 1);
}

sub ranges
{
	my $state = $model->{state};
	my @lsns = (
		$state->{epoch_start}, $state->{checkpointed},
		$state->{collected}, (map { ($_->{start}, $_->{end}) } @{ $state->{entries} }));
	my @ranges = ([ undef, $state->{checkpointed} ], [ undef, $state->{flushed} ]);

	foreach (1 .. 4)
	{
		my ($from, $to) = sort { $a <=> $b } map {
			my $lsn = pick(@lsns) + pick(0, 0, -1, 1, -5000, 5000, 100000);
			# Behind a page's header is the page's beginning.
			$lsn += 8 if $lsn % 8192 == 24 || $lsn % 8192 == 40;
			$lsn < 1 ? 1 : $lsn
		} 1, 2;
		push @ranges, [ $from, $to ];
	}
	return @ranges;
}

sub report
{
	my ($what, @problems) = @_;

	return if !@problems;
	fail("step $nsteps: $what");
	diag($_) foreach @problems;
	judge(0);
	return;
}

# A test has passed or not; where not, what was done before it is of interest.
sub judge
{
	my $ok = shift;

	return if $ok;
	$nproblems++;
	diag("CKPX_RANDOM_SEED=$seed CKPX_RANDOM_SECONDS=$seconds; the last operations:");
	diag("  $_") foreach @log > 25 ? @log[ -25 .. -1 ] : @log;
	return;
}

sub check_map
{
	my $from = pick(@saved);
	my $to = position();

	await_tracking($node);
	judge(covers_after_crashes($node, $from, $to, "step $nsteps: $from - $to"));
	return;
}

my $log_offset = -s $node->logfile;
my $end_time = time() + $seconds;
my $next_map = $end_time - $seconds * 0.6;
my $step_seed = $seed;
$model->look;
while ((time() < $end_time || $nsteps <= 5) && $nproblems < 3)
{
	srand($step_seed);
	$step_seed = int rand 2**32;
	my $kind = rand();
	my $before = $setting{gc_keep_time};
	my @problems;

	$nsteps++;
	@collected = ();
	if ($kind < 0.62) { @problems = step_alone(); }
	elsif ($kind < 0.84) { @problems = step_together(); }
	elsif ($kind < 0.94) { @problems = step_fault(); }
	else { @problems = step_kill(); }
	report('operations', @problems);

	# An uncertain switch is made certain; so is a transaction left open.
	report('settling', settle());
	$disabled = sql('SELECT NOT enabled FROM ckpx_runner') eq 't';
	report('the model', look(ageless => $before eq '0' || $setting{gc_keep_time} eq '0'));
	report('ranges', $model->range_problems(ranges()));
	push @saved, wal_position($node) if chance(0.25);
	if (chance(0.1) || time() > $next_map)
	{
		judge(store_is_sound($node, "step $nsteps"));
		check_map() if time() > $next_map;
		$next_map = time() + $seconds * 0.6 if time() > $next_map;
	}
}

# ---------------------------------------------------------------------------
# The end
# ---------------------------------------------------------------------------

sql("ROLLBACK PREPARED '$_'")
  foreach split /\n/, sql('SELECT gid FROM pg_prepared_xacts');
sql('ALTER SYSTEM RESET ALL');
$node->reload;
sql('SELECT ckpx_enable(); SELECT ckpx_checkpoint()');
report('settling', settle());
@collected = (undef);
report('the model', look(ageless => 1));
judge(covers_after_crashes($node, $saved[0], position(), 'in the end'));
judge(store_is_sound($node, 'in the end'));
wait_for_sql($node, 'SELECT sum(depth) = 0 FROM ckpx_queues');
$node->restart;
await_tracking($node);
report('the model', look(ageless => 1));
judge(store_is_sound($node, 'after a restart', 1));

my $text = log_since($node, $log_offset);
my @bad = grep { /PANIC|TRAP|signal (6|11)|logtail (segment|ends)|inputs of a global|could not insert|could not keep|still has pins|leak/ } split /\n/, $text;
is(join("\n", @bad), '', 'nothing in the log that must not be there');
note("$nsteps steps; " . join ', ', map { "$done{$_} $_" } sort keys %done);
is($nproblems, 0, "$nsteps steps with seed $seed");
cmp_ok($nsteps, '>', 5, 'enough steps');

$node->stop;
done_testing();
