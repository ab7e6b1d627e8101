# Every function and view in each state of the server in which something that it
# may need is missing: it answers, or its error says what is the matter and what
# to do.  No call hangs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- what is called, and what comes of it

# How answers look: the least row, or "nothing".
my %answers = (
	lsn => qr{^\w+/\w+$},
	mark => qr{^nothing$|^\w+/\w+$},
	number => qr/^\d+$/,
	true => qr/^true$/,
	false => qr/^false$/,
	boolean => qr/^(?:true|false)$/,
	void => qr/^$/,
	text => qr/\S/,
	row => qr/^\(/,
	any => qr/^nothing$|^\(/);

# SQLSTATE, message and hint of errors.
my $failed = qr/has failed \d+ times in a row, the last time with: fault "worker-back-off" was triggered$/;
my $see_workers = 'See the server log and the view ckpx_workers.';
my %errors = (
	runner => [ '55000', qr/^ckpx cannot go on: the ckpx runner $failed/, $see_workers ],
	checkpointer => [ '55000', qr/^ckpx cannot go on: the ckpx checkpointer $failed/, $see_workers ],
	gone => [ '58P01', qr/^could not open file ".*": No such file or directory$/, '' ],
	disabled => [ '55000', qr/^checkpoints of ckpx are disabled$/, 'Call ckpx_enable() first.' ],
	loading => [
		'55000', qr/^ckpx has not loaded its history in time$/,
		'Call the function again later; see the views ckpx_runner and ckpx_workers.' ]);

# After the call and its answer come the states: "." stands for that answer,
# "waits" for a call that waits for the first epoch and answers then, "-" for one
# that is not made; other words are names of %errors or %answers.  START is an
# LSN in the map, END one behind it that was written a moment ago, WAL a WAL file.
# The order matters where one call prepares another.
my @states = qw(standby read_only parallel disabled no_epoch no_checkpointer no_runner);
my @table = map { [ split /\s*\|\s*/ ] } grep { /\S/ } split /\n/, <<'EOT';
ckpx_collect_range('START')                  | row    | . . . . waits . .
ckpx_collect_objects('START')                | any    | . . . . waits . .
ckpx_low_water_mark()                        | mark   | . . . . waits . .
ckpx_pending_count()                         | number | . . . . waits . .
ckpx_changed_blocks('START')                 | row    | . . . . waits . runner
ckpx_changed_files('START')                  | row    | . . . . waits . runner
ckpx_dirty_tree()                            | row    | . . . . waits . .
ckpx_wal_by_relation('START')                | row    | . . . . waits . runner
ckpx_wal_history('t')                        | row    | . . . . waits . runner
ckpx_changed_rows(NULL::t, 'START')          | row    | . . . . waits . runner
ckpx_sync_point()                            | lsn    | . . . . waits . .
ckpx_checkpoint_mark('START')                | row    | . . . . waits . runner
ckpx_wait('END', '10ms')                     | false  | . . . . . checkpointer runner
ckpx_wait_collected('END')                   | true   | . . . . waits . runner
ckpx_is_flushed('START', 'END')              | boolean | . . . . false . false
ckpx_checkpoints_after('START', 9)           | any    | . . . . waits . .
ckpx_read_object('OBJECT', 0, 9)              | text   | . . . . gone . .
ckpx_timeline()                              | text   | . . . . waits . .
ckpx_timeline_svg()                          | text   | . . . . waits . .
ckpx_backup_files('states', BACKUP, BACKUP)  | row    | . . . . waits . runner
ckpx_read_list('states', BACKUP, ARRAY['PG_VERSION']::bytea[], ARRAY[NULL]::int8multirange[]) | void | . . . . . . .
ckpx_read_files()                            | text   | . . . . . . .
ckpx_read_wal('WAL', 0, 9)                   | text   | . . . . . . .
ckpx_read_control()                          | text   | . . . . . . .
ckpx_checkpoints                             | any    | . . . . waits . .
ckpx_get_checkpoints()                       | any    | . . . . waits . .
ckpx_runner                                  | row    | . . . . . . .
ckpx_get_runner()                            | row    | . . . . . . .
ckpx_workers                                 | row    | . . . . . . .
ckpx_get_workers()                           | row    | . . . . . . .
ckpx_queues                                  | row    | . . . . . . .
ckpx_get_queues()                            | row    | . . . . . . .
ckpx_gaps                                    | any    | . . . . . . .
ckpx_get_gaps()                              | any    | . . . . . . .
ckpx_pins                                    | any    | . . . . . . .
ckpx_get_pins()                              | any    | . . . . . . .
ckpx_backups                                 | any    | . . . . . . .
ckpx_get_backups()                           | any    | . . . . . . .
ckpx_progress                                | any    | . . . . . . .
ckpx_get_progress()                          | any    | . . . . . . .
ckpx_history                                 | any    | . . . . . . .
ckpx_get_history()                           | any    | . . . . . . .
ckpx_stat                                    | row    | . . . . . . .
ckpx_get_stat()                              | row    | . . . . . . .
ckpx_dirty_tables                            | any    | . . . . . . .
ckpx_get_dirty_tables()                      | any    | . . . . . . .
ckpx_flush_stat                              | row    | . . . . . . .
ckpx_get_flush_stat()                        | row    | . . . . . . .
ckpx_status                                  | row    | . . . . . . .
ckpx_flush_table('t')                        | row    | . . . . . . .
ckpx_flush(NULL, '10ms')                     | row    | . . . . . . runner
ckpx_cancel_pending()                        | number | . . . . . . .
ckpx_pin('new', 'START')                     | void   | . . . . waits checkpointer .
ckpx_unpin('old')                            | void   | . . . . waits checkpointer .
ckpx_record_backup(repeat('a', 32), NULL, 1, 'START', 'END', 1) | void | . . . . waits checkpointer .
ckpx_gc()                                    | number | . . . . waits checkpointer .
ckpx_checkpoint(NULL, '10ms')                | lsn    | - - - - loading - -
ckpx_global_checkpoint('10ms')               | lsn    | - - - - loading - -
ckpx_checkpoint()                            | lsn    | . . . disabled waits checkpointer runner
ckpx_global_checkpoint()                     | lsn    | . . . disabled waits checkpointer runner
ckpx_backup_checkpoint()                     | text   | . . . disabled waits checkpointer runner
ckpx_backup_checkpoint_row()                 | row    | . . . disabled waits checkpointer runner
ckpx_stat_reset()                            | void   | . . . . . . .
ckpx_fault_add('uninstall-slot', 'sleep', '', '0') | void | . . . . . . .
ckpx_fault_list()                            | row    | . . . . . . .
ckpx_fault_wakeup('uninstall-slot')          | void   | . . . . . . .
ckpx_fault_remove('uninstall-slot')          | void   | . . . . . . .
ckpx_uninstall()                             | text   | . . . . . . .
ckpx_disable()                               | void   | . . . . . . .
ckpx_enable()                                | void   | . . . . . . .
EOT

# ---- the server

my $node = new_node('main', on_demand => 1, quick_restart => 1, conf => <<'EOC');
checkpoint_timeout = '1h'
max_connections = 60
EOC
$node->start;
sql(<<'EOS');
CREATE EXTENSION ckpx;
CREATE TABLE t (i int);
CREATE FUNCTION outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	hint text;
BEGIN
	EXECUTE format('SELECT coalesce(min(r::text), ''nothing'') FROM %s r', call) INTO answer;
	RETURN concat_ws('|', 'answer', translate(left(answer, 200), E'\n|', '  '));
EXCEPTION WHEN OTHERS OR query_canceled THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws('|', sqlstate, sqlerrm, hint);
END $$;
EOS
await_tracking($node);

is( join(' ', sort keys %{ { map { ($_->[0] =~ /^(\w+)/)[0] => 1 } @table } }),
	sql(q{
		SELECT string_agg(name, ' ' ORDER BY name COLLATE "C")
		FROM (SELECT coalesce(proname, relname) AS name
		      FROM pg_depend
		           JOIN pg_extension e ON e.oid = refobjid AND extname = 'ckpx'
		           LEFT JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
		           LEFT JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
		      WHERE deptype = 'e') members
		WHERE name IS NOT NULL}),
	'the table has every function and view');

# ---- the calls of a state

# An incremental that a global holds, and a pin, for the next state's calls.
my $object;

sub ready
{
	my $server = shift;

	sql('INSERT INTO t VALUES (0)');
	$node->wait_for_catchup($server) if $server != $node;
	$object = $server->safe_psql('postgres', q{
		SELECT FROM ckpx_checkpoint();
		SELECT FROM ckpx_global_checkpoint();
		SELECT FROM (SELECT ckpx_unpin(name) FROM ckpx_pins) pins;
		SELECT FROM ckpx_pin('old', ckpx_low_water_mark());
		SELECT location FROM ckpx_checkpoints WHERE location LIKE 'inc%' ORDER BY end_lsn DESC LIMIT 1});
	return;
}

sub wrong
{
	my ($call, $answer, $cell, $outcome) = @_;
	my ($code, $text, $hint) = split /\|/, $outcome // '', -1;
	my $look = $answers{ $cell =~ /^(?:\.|waits)$/ ? $answer : $cell };

	$hint //= '';
	return if !defined $text ? 0
		: $look ? $code eq 'answer' && $text =~ $look
		: $code eq $errors{$cell}[0] && $text =~ $errors{$cell}[1] && $hint eq $errors{$cell}[2];
	return "$call, $cell: " . ($outcome // 'no outcome');
}

# Make the calls of a state, in a session that makes a backup and begins with
# $before.  What waits does so in sessions of its own until $release.
sub calls
{
	my ($state, $server, $before, $release) = @_;
	my ($column) = grep { $states[$_] eq $state } 0 .. $#states;
	my $session = session($server);
	my (@calls, @waits);

	ask($session, q{SELECT FROM pg_create_physical_replication_slot('states', true, true)});
	ask($session, q{SELECT FROM set_config('states.backup', pg_backup_start('states', true)::text, false)});
	ask($session, "SET statement_timeout = '100s'; $before");

	my %place = (OBJECT => $object, BACKUP => q{current_setting('states.backup')::pg_lsn});
	$place{START} = wal_position($server);
	sql('INSERT INTO t VALUES (1)');
	$place{WAL} = sql('SELECT pg_walfile_name(pg_current_wal_lsn())');
	$node->wait_for_catchup($server) if $server != $node;
	$place{END} = wal_position($server);

	foreach my $row (@table)
	{
		my ($call, $answer, $cells) = @$row;
		my $cell = (split ' ', $cells)[$column];

		next if $cell eq '-';
		$call =~ s/\b(START|END|WAL|OBJECT|BACKUP)\b/$place{$1}/g;
		push @{ $cell eq 'waits' ? \@waits : \@calls }, [ $call, $answer, $cell ];
	}

	my @outcomes = split /\n/, ask($session, join ";\n", map { "SELECT outcome(\$c\$$_->[0]\$c\$)" } @calls);
	if (@waits)
	{
		push @outcomes, outcomes_of_waits($session, $release, map { $_->[0] } @waits);
	}
	end_session($session);

	my @all = (@calls, @waits);
	is(join("\n", map { wrong(@{ $all[$_] }, $outcomes[$_]) } 0 .. $#all), '', "$state: the outcome of each call");
	is(scalar @outcomes, scalar @all, "$state: every call has ended");
	return;
}

# The outcomes of calls that are to wait until $release.  Those that need the
# backup are made by its session, where there is one of them at most.
sub outcomes_of_waits
{
	my ($session, $release, @calls) = @_;
	my %query = map { $_ => "SELECT outcome(\$c\$$_\$c\$) /* waits */;" } @calls;
	my ($of_backup) = grep { /'states'/ } @calls;
	my %waiter = map { $_ => start_query($node, $query{$_}) } grep { $_ ne $of_backup } @calls;

	$session->{out} = '';
	$session->{in} .= "$query{$of_backup}\n\\echo done\n";
	$session->{handle}->pump_nb while length $session->{in};
	my $waiting = q{
		FROM pg_stat_activity
		WHERE query LIKE '%/* waits */%' AND pid <> pg_backend_pid() AND state = 'active' AND wait_event_type = 'Extension'};
	eval { wait_for_sql($node, "SELECT count(*) $waiting", scalar @calls, 90) };
	is(sql("SELECT string_agg(query, E'\n' ORDER BY query) $waiting"), join("\n", sort values %query),
		'all wait that are to wait');
	$release->();
	IPC::Run::pump($session->{handle}) until $session->{out} =~ /done\n/;
	return map {
		my $out = $session->{out};
		if ($waiter{$_})
		{
			$waiter{$_}{handle}->finish;
			$out = ${ $waiter{$_}{out} };
		}
		$out =~ s/\n.*//sr;
	} @calls;
}

# ---- a hot standby

ready($node);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
await_tracking($standby);
ready($standby);
calls('standby', $standby, '');
$standby->stop('immediate');

# ---- sessions

ready($node);
calls('read_only', $node, 'BEGIN READ ONLY');

my $force = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
like(sql("SET $force = on; EXPLAIN SELECT min(r::text) FROM ckpx_get_stat() r"), qr/Gather/, 'parallel queries are made');
ready($node);
calls('parallel', $node, "SET $force = on");

ready($node);
sql('SELECT ckpx_disable()');
calls('disabled', $node, '');

# ---- right after a start, before the first epoch

ready($node);
add_fault($node, 'worker-back-off', 'wait');
end_worker($node, 'runner');
await_held($node, 'worker-back-off');
system_or_bail('rm', '-r', $node->data_dir . '/ckpx');
sql(q{SELECT pg_drop_replication_slot('ckpx')});
add_fault($node, 'epoch-begin', 'wait');
remove_fault($node, 'worker-back-off');
await_held($node, 'epoch-begin');
is(sql('SELECT epoch, problem FROM ckpx_runner'), '|', 'there is no epoch');
calls('no_epoch', $node, '', sub { remove_fault($node, 'epoch-begin') });
await_tracking($node);

# ---- a worker that cannot start

sub break_worker
{
	my $worker = shift;

	add_fault($node, 'worker-back-off', 'error');
	end_worker($node, $worker);
	wait_for_sql($node, 'SELECT problem IS NOT NULL FROM ckpx_runner');
	add_fault($node, 'worker-back-off', 'wait');
	await_held($node, 'worker-back-off');
	return;
}

ready($node);
break_worker('checkpointer');
calls('no_checkpointer', $node, '');
add_fault($node, 'worker-back-off', 'value', undef, '0');
end_worker($node, 'checkpointer');
wait_for_sql($node, 'SELECT problem IS NULL FROM ckpx_runner');
remove_fault($node, 'worker-back-off');

ready($node);
break_worker('runner');
calls('no_runner', $node, '');

$node->stop;
done_testing();
