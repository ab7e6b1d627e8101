
=head1 NAME

CkpxMatrix - ways to make a server pass its fault points

=head1 SYNOPSIS

  my $node = matrix_node('main');
  my @reached = count_passed($node, 'work', fault_points($node));

The ways:

  work    changes, checkpoints and everything else that SQL can ask for
  spill   so much WAL held back that the logtail is written to disk
  cancel  a checkpoint canceled while it is written
  cycle   checkpoints of PostgreSQL, each of which begins a cycle

and, with restart_runner():

  start   a new runner process, in a data directory that takes itself for a copy
  fresh   a new runner process without a slot: a new epoch

=cut

package CkpxMatrix;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use Time::HiRes qw(time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use CkpxHistory;
use CkpxTest;

our @EXPORT = qw(
  matrix_node fault_points epochs server_start
  begin_counting end_counting count_passed
  restart_runner provoke provoke_until settle
);

# What backends can ask for; names that do not exist (yet) are left out.
my @calls = (
	[ ckpx_checkpoint => "NULL, '10s'" ],
	[ ckpx_global_checkpoint => "'10s'" ],
	[ ckpx_backup_checkpoint => '' ],
	[ ckpx_flush => "NULL, '10s'" ],
	[ ckpx_gc => '' ]);

=head2 matrix_node($name)

A running server that follows WAL, with tables for the load.

=cut

sub matrix_node
{
	my ($name) = @_;
	my $node = history_node($name, quick_restart => 1);

	$node->append_conf('postgresql.conf', <<'EOC');
max_slot_wal_keep_size = '2GB'
checkpoint_timeout = '1h'
# A cycle begins with the few seconds in which files are swept.
checkpoint_completion_target = 0.003
ckpx.gc_keep_time = 0
ckpx.post_checkpoint_command = 'true'
ckpx.flush = on
EOC
	$node->start;
	create_load($node);
	await_tracking($node);
	return $node;
}

sub fault_points
{
	return split /\n/,
	  $_[0]->safe_psql('postgres', 'SELECT name FROM ckpx_fault_list()');
}

sub epochs
{
	return $_[0]->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');
}

=head2 server_start($node)

What is different after the server has started its processes anew; dies while
it does so.

=cut

sub server_start
{
	my $pid = $_[0]->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
	);
	croak 'starting' if $pid eq '';
	return $pid;
}

=head2 begin_counting($node, @points), end_counting($node),
count_passed($node, $way, @points)

Count how often points (default: all) are passed; end the counting and return
the names of those that were; both, with a way in between.

=cut

sub begin_counting
{
	my ($node, @points) = @_;
	my $names = join ', ', map { "'$_'" } @points ? @points : fault_points($node);

	# No more than the number of faults that can be set at a time.
	$node->safe_psql('postgres',
		# A moment between a backup's incremental and its tail, so that the load
		# makes a tail.
		"SELECT ckpx_fault_add(name, 'sleep', NULL, CASE name WHEN 'backup-incremental' THEN '200' ELSE '0' END) FROM ckpx_fault_list() WHERE name IN ($names) LIMIT 128"
	);
	return;
}

sub end_counting
{
	my $node = shift;
	my $names = $node->safe_psql('postgres',
		'SELECT name FROM ckpx_fault_list() WHERE passed > 0');

	$node->safe_psql('postgres',
		'SELECT ckpx_fault_remove(name) FROM ckpx_fault_list() WHERE passed IS NOT NULL'
	);
	return split /\n/, $names;
}

sub count_passed
{
	my ($node, $way, @points) = @_;
	my $deadline = time() + ($way eq 'cycle' ? 20 : 4);
	my $spilled = 'SELECT segments_spilled FROM ckpx_stat';
	my $spilled_before = $node->safe_psql('postgres', $spilled);

	begin_counting($node, @points);
	my $load = start_load($node);

	# Twice through, and not for ever: what does not come is not reached.
	my $rounds = 0;
	provoke_until(
		$node, $way,
		sub {
			return 0 if ++$rounds <= 2;
			return time() > $deadline && $node->safe_psql('postgres', $spilled) > $spilled_before
			  if $way eq 'spill';
			return 1 if $way ne 'cycle' || time() > $deadline;
			return $node->safe_psql('postgres',
				'SELECT bool_and(passed > 0) FROM ckpx_fault_list() WHERE passed IS NOT NULL') eq 't';
		});
	stop_load($load);
	settle($node);
	return end_counting($node);
}

=head2 restart_runner($node, $way)

End the runner; its next process starts at once and finds what the way says.

=cut

sub restart_runner
{
	my ($node, $way) = @_;

	unlink $node->data_dir . '/ckpx_node' if $way eq 'start';

	# A slot can be dropped while no runner uses it.
	add_fault($node, 'worker-back-off', 'wait') if $way eq 'fresh';
	end_worker($node, 'runner');
	if ($way eq 'fresh')
	{
		$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('ckpx')");
		remove_fault($node, 'worker-back-off');
	}
	return;
}

=head2 provoke($node, $way), provoke_until($node, $way, $done), settle($node)

Go a way once, or again and again until $done returns true, ten times at least
and for 20 s; false if it never did.  Errors count as news for $done.  settle() undoes what the way
has set, when the server is back.

=cut

sub provoke_until
{
	my ($node, $way, $done) = @_;
	my $deadline = time() + 20;
	my $rounds = 0;

	while (!$done->())
	{
		# On a busy machine 20 s hold few rounds.
		return 0 if ++$rounds > 10 && time() > $deadline;

		# psql that finds no server may be gone before it is written to.
		eval { provoke($node, $way) };
	}
	return 1;
}

sub provoke
{
	my ($node, $way) = @_;

	return
		$way eq 'work' ? work($node)
	  : $way eq 'spill' ? hold_wal($node)
	  : $way eq 'cycle' ? begin_cycle($node)
	  : cancel($node);
}

sub work
{
	my $node = shift;
	my $calls = '';
	my $names = '';

	$node->psql(
		'postgres', q{SELECT string_agg(DISTINCT proname, ' ') FROM pg_proc WHERE proname ~ '^ckpx_'},
		stdout => \$names);
	foreach my $call (@calls)
	{
		my ($name, $arguments) = @$call;
		$calls .= "SELECT $name($arguments);\n" if $names && $names =~ /\b$name\b/;
	}
	# Unless that point is what is tested: the load makes a tail for a backup.
	$node->psql(
		'postgres', qq{
		SELECT ckpx_fault_add('backup-incremental', 'sleep', NULL, '100')
			WHERE NOT EXISTS (SELECT FROM ckpx_fault_list()
				WHERE name = 'backup-incremental' AND passed IS NOT NULL);
		SET statement_timeout = '10s';
		UPDATE load_row SET n = n + 1 WHERE id % 10 = 0;
		$calls
		SELECT count(*) FROM ckpx_changed_blocks(ckpx_low_water_mark());},
		on_error_stop => 0);
	return;
}

# The flusher looks every second where it is in the cycle; here it is woken when
# there is something to sweep.  One row: much WAL, as of a table that has grown,
# would end the cycle's first seconds at once.
sub begin_cycle
{
	my $node = shift;

	$node->psql(
		'postgres', q{
		CHECKPOINT;
		UPDATE load_row SET n = n + 1 WHERE id = 1;
		SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '2s');
		SELECT ckpx_flush_table('load_row', NULL, '2s')}, on_error_stop => 0);
	return;
}

# Cancel a checkpoint while it is written: that is slow, and the call that asked
# for it does not wait long.
sub cancel
{
	my $node = shift;

	$node->psql(
		'postgres', q{
		UPDATE load_row SET n = n + 1 WHERE id % 10 = 0;
		SELECT ckpx_fault_add('object-rename', 'sleep', NULL, '700');
		SET statement_timeout = '400ms';
		SELECT ckpx_checkpoint();
		RESET statement_timeout;
		DO $$BEGIN
			FOR i IN 1 .. 500 LOOP
				EXIT WHEN EXISTS (SELECT FROM ckpx_checkpoints WHERE state = 'running');
				PERFORM pg_sleep(0.01);
			END LOOP;
		END$$;
		SELECT ckpx_cancel_pending();
		SELECT ckpx_fault_remove('object-rename')}, on_error_stop => 0);
	return;
}

# Hold back WAL, without checkpoints and with a low limit, until 85 % of the
# limit are reached.
sub hold_wal
{
	my $node = shift;
	my $megabytes;

	$node->psql(
		'postgres', q{
		SELECT ckpx_checkpoint(NULL, '10s');
		SELECT ckpx_checkpoint(NULL, '10s');
		ALTER SYSTEM SET ckpx.enabled = off;
		ALTER SYSTEM SET ckpx.max_retained_wal = '32MB';
		SELECT pg_reload_conf();}) == 0
	  or return;
	$node->psql(
		'postgres', q{
		UPDATE load_row SET n = n + 1 WHERE id % 50 = 0;
		SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '2s');
		SELECT greatest(0, 27 - retained_bytes / 1048576) FROM ckpx_runner},
		stdout => \$megabytes) == 0
	  or return;
	($megabytes) = $megabytes =~ /(\d+)\s*\z/;
	$node->psql(
		'postgres', qq{
		SELECT pg_logical_emit_message(false, 'ckpx', repeat('x', 1024 * 1024))
		FROM generate_series(1, $megabytes);
		SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '2s');});
	return;
}

sub settle
{
	my $node = shift;

	wait_for_sql($node, 'SELECT 1', '1');
	$node->safe_psql(
		'postgres', q{
		ALTER SYSTEM RESET ckpx.enabled;
		ALTER SYSTEM RESET ckpx.max_retained_wal;
		SELECT pg_reload_conf();});
	return;
}

1;
