
=head1 NAME

CkpxTest - servers with ckpx, and its map compared with independent oracles

=head1 SYNOPSIS

  use FindBin;
  use lib "$FindBin::RealBin/../lib";
  use CkpxTest;
  use Test::More;

  my $node = new_node('main');
  $node->start;
  $node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
  my $start = wal_position($node);
  # ... work ...
  my $end = wal_position($node);
  covers_all_oracles($node, $start, $end, 'after work');

=cut

package CkpxTest;

use strict;
use warnings;

use Carp;
use IPC::Run;
use Exporter 'import';
use Test::More ();
use Time::HiRes qw(time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use CkpxOracle;

our @EXPORT = qw(
  new_node use_server sql error_of start_query background dirty change_settings
  add_fault remove_fault await_held
  wait_for_sql wait_until sql_becomes comes_true processes crash crash_and_restart
  wal_position changed_blocks cold_copy
  decoded_blocks wal_summaries missing_by_summary
  waldump_command missing_by_page_lsn missing_by_waldump missing_by_cold_copies
  is_covered covers_all_oracles names_row
  session ask end_session start_strace
  change_byte
);

# How long a condition may take to come true, in seconds.
our $timeout_default = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 120;

# What sql() and the like talk to.
our $server;

=head2 new_node($name, %options)

Make a server that preloads ckpx with intervals short enough for tests; it is
not started.  Options: conf => text appended to postgresql.conf, extra =>
arguments for initdb, preload => the value of shared_preload_libraries,
on_demand => true: ckpx makes checkpoints only when it is asked, quick_restart =>
true: a worker that has ended starts again at once, not after five seconds.

=cut

sub new_node
{
	my ($name, %options) = @_;
	my $preload = $options{preload} // 'ckpx';
	my $node = PostgreSQL::Test::Cluster->new($name);

	$preload .= ', quick_restart' if $options{quick_restart};
	my @extra = @{ $options{extra} // [] };

	# 18 makes checksums by default, and with them hint bits are logged: as
	# with wal_log_hints below, the easy case.
	unshift @extra, '--no-data-checksums'
	  if $node->pg_version >= 18 && !grep { /data-checksums|^-k$/ } @extra;

	# allows_streaming: without it the server runs at wal_level=minimal.
	$node->init(allows_streaming => 1, extra => \@extra);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$preload'");

	# init() turns this on, and then hint bits are logged and pages of the
	# visibility map are always registered: the easy case, not the default one.
	$node->append_conf('postgresql.conf', 'wal_log_hints = off');
	$node->append_conf('postgresql.conf', <<'EOC') if $preload =~ /\bckpx\b/;
autovacuum = off
max_prepared_transactions = 10
ckpx.collect_interval = '50ms'
ckpx.min_incremental_interval = '100ms'
ckpx.min_count = 1
ckpx.max_retained_wal = '1GB'
EOC
	$node->append_conf('postgresql.conf', <<'EOC') if $options{on_demand};
ckpx.min_incremental_interval = '1h'
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
ckpx.global_min_count = 10000
EOC
	$node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
	$server //= $node;
	return $node;
}

=head2 sql($query), error_of($query), dirty($relation), background($query),
start_query($node, $query)

Short forms for the test's server: the first that new_node() made, or the one
last named by use_server($node).  sql() returns what the query returned and dies
of its error; error_of() returns the error with its SQLSTATE; dirty() counts the
dirty buffers of a relation's own file (needs pg_buffercache).

background() starts the query in a session of its own and returns a function that
waits for its end and returns what it wrote, errors first.  start_query() does so
on any server and returns a hash: the handle of IPC::Run, which finish() waits
for, and references to out and err.

=cut

sub use_server
{
	$server = shift;
	return;
}

sub sql
{
	my $query = shift;
	return $server->safe_psql('postgres', $query);
}

sub error_of
{
	my $query = shift;
	my ($ret, $out, $err) =
	  $server->psql('postgres', "\\set VERBOSITY verbose\n$query");
	return $err;
}

sub start_query
{
	my ($node, $query) = @_;
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $query ],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($timeout_default));
	return { handle => $handle, out => \$out, err => \$err };
}

sub background
{
	my $query = start_query($server, shift);
	return sub
	{
		$query->{handle}->finish;
		return ${ $query->{err} } . ${ $query->{out} };
	};
}

sub dirty
{
	my $relation = shift;
	return sql("SELECT count(*) FROM pg_buffercache
		WHERE isdirty AND relfilenode = pg_relation_filenode('$relation')");
}

=head2 wait_until($condition, $what, $timeout)

Call $condition until it returns true; die after $timeout seconds.

=cut

sub wait_until
{
	my ($condition, $what, $timeout) = @_;
	my $deadline = time() + ($timeout // $timeout_default);

	while (1)
	{
		my $result = $condition->();
		return $result if $result;
		croak "timed out waiting until $what" if time() > $deadline;
		select(undef, undef, undef, 0.05);
	}
}

=head2 wait_for_sql($node, $query, $expected, $timeout)

Run a query until its result is $expected ('t' if not given, a string or a
compiled pattern).  An error counts as not yet.  Returns the result; dies with
the last result or error after $timeout seconds.

=cut

sub wait_for_sql
{
	my ($node, $query, $expected, $timeout) = @_;
	my ($stdout, $stderr) = ('', '');
	$expected //= 't';

	my $reached = eval {
		wait_until(
			sub {
				# It dies where psql, refused by a server that is not up, is
				# gone before it has read the query.
				eval {
					$node->psql(
						'postgres', $query,
						stdout => \$stdout,
						stderr => \$stderr);
					1;
				} or return 0;
				return ref $expected
				  ? $stdout =~ $expected
				  : $stdout eq $expected;
			},
			'',
			$timeout);
	};
	croak "timed out waiting for \"$query\" to return \"$expected\";"
	  . " last result \"$stdout\", last error \"$stderr\""
	  if !$reached;
	return $stdout;
}

=head2 sql_becomes($node, $query, $expected, $name, $timeout),
comes_true($condition, $name, $timeout)

One test: wait_for_sql() or wait_until() reaches what it waits for.

=cut

sub sql_becomes
{
	my ($node, $query, $expected, $name, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $reached = eval { wait_for_sql($node, $query, $expected, $timeout); 1 };

	Test::More::ok($reached, $name) or Test::More::diag($@);
	return $reached;
}

sub comes_true
{
	my ($condition, $name, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $result = eval { wait_until($condition, $name, $timeout) };

	Test::More::ok($result, $name) or Test::More::diag($@);
	return $result;
}

=head2 change_settings($node, $name => $value, ...)

Change settings with ALTER SYSTEM; returns when new sessions have the values.

=cut

sub change_settings
{
	my ($node, %value) = @_;
	my $loaded = $node->safe_psql('postgres', 'SELECT pg_conf_load_time()');

	$node->safe_psql('postgres',
		join '',
		(map { "ALTER SYSTEM SET $_ = '" . $value{$_} =~ s/'/''/gr . "';\n" }
			sort keys %value),
		'SELECT pg_reload_conf()');

	# Not later than before, where a test sets the clock.
	wait_for_sql($node, "SELECT pg_conf_load_time() <> '$loaded'");
	return;
}

=head2 add_fault($node, $name, $action, $frequency, $argument),
remove_fault($node, $name), await_held($node, $name)

Set and remove a fault; wait until a process waits at it.

=cut

sub add_fault
{
	my ($node, $name, $action, $frequency, $argument) = @_;
	my @arguments = map { defined $_ ? "'$_'" : 'NULL' }
	  ($name, $action, $frequency, $argument);

	$node->safe_psql('postgres',
		'SELECT ckpx_fault_add(' . join(', ', @arguments) . ')');
	return;
}

sub remove_fault
{
	my ($node, $name) = @_;

	$node->safe_psql('postgres', "SELECT ckpx_fault_remove('$name')");
	return;
}

sub await_held
{
	my ($node, $name) = @_;

	wait_for_sql($node,
		"SELECT waiting > 0 FROM ckpx_fault_list() WHERE name = '$name'");
	return;
}

=head2 processes(parent => $pid), processes(group => $pid)

The processes with this parent or in this process group; not every system that
the tests run on has pgrep.

=cut

sub processes
{
	my ($what, $value) = @_;
	my @found;

	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		# It may have ended meanwhile.
		my $stat = eval { slurp_file($file) } // next;
		my ($pid, $parent, $group) = $stat =~ /^(\d+) .*\) \S (\d+) (\d+) /s or next;

		push @found, $pid if ($what eq 'parent' ? $parent : $group) == $value;
	}
	return @found;
}

=head2 crash($node), crash_and_restart($node)

Kill the postmaster with SIGKILL and wait until its children, which notice that
by themselves, are gone.  crash_and_restart() starts the server again.

=cut

sub crash
{
	my $node = shift;
	my $pid = $node->{_pid};
	my @processes = ($pid, processes(parent => $pid));

	$node->kill9;
	wait_until(sub { kill(0, @processes) == 0 }, "postmaster $pid and its children are gone");
	return;
}

sub crash_and_restart
{
	my $node = shift;
	crash($node);
	start_after_crash($node);
	return;
}

# As long as a child of the killed postmaster lives, a new one refuses to use
# the shared memory.
sub start_after_crash
{
	my $node = shift;

	wait_until(
		sub {
			my $offset = -s $node->logfile // 0;
			return 1 if $node->start(fail_ok => 1);
			my $log = substr(slurp_file($node->logfile), $offset);
			croak "server did not start again: $log"
			  if $log !~ /pre-existing shared memory block|lock file/;
			return 0;
		},
		'the server starts after a crash');
	return;
}

=head2 session($node), ask($session, $sql), end_session($session)

A psql that stays connected, for transactions that are left open.  ask() sends
one statement and returns what it printed.  Each statement has the default
timeout for itself, and so has the end.

=cut

sub session
{
	my $node = shift;
	my %session = (in => '', out => '', timer => IPC::Run::timeout($timeout_default));

	$session{handle} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$session{in}, '>', \$session{out}, $session{timer});
	return \%session;
}

sub ask
{
	my ($session, $sql) = @_;

	$session->{out} = '';
	$session->{in} .= "$sql;\n\\echo done\n";
	$session->{timer}->start($timeout_default);
	IPC::Run::pump($session->{handle}) until $session->{out} =~ /done\n/;
	(my $result = $session->{out}) =~ s/\n?done\n//;
	return $result;
}

sub end_session
{
	my $session = shift;

	$session->{in} .= "\\q\n";
	$session->{timer}->start($timeout_default);
	$session->{handle}->finish;
	return;
}

=head2 start_strace($node, $calls, $file)

Have strace write these system calls of the flusher to a file, with the paths of
the files they are about; a handle of IPC::Run, which SIGINT ends.  Nothing where
there is no strace or it may not attach.

=cut

sub start_strace
{
	my ($node, $calls, $file) = @_;
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM ckpx_workers WHERE name = 'flusher'});
	my $out = '';

	return if !grep { -x "$_/strace" } split /:/, $ENV{PATH};
	my $strace = IPC::Run::start(
		[ 'strace', '-f', '-y', '-e', "trace=$calls", '-o', $file, '-p', $pid ],
		'<', \undef, '>&', \$out);
	return $strace if eval {
		wait_until(sub { $strace->pump_nb; die $out if $out =~ /not permitted/; $out =~ /attached/ },
			'strace is attached', 20);
	};
	Test::More::note("strace cannot attach: $out");
	$strace->kill_kill;
	return;
}

=head2 change_byte($path, $offset)

Damage one byte of a file; a negative offset counts from the end.

=cut

sub change_byte
{
	my ($path, $offset) = @_;

	$offset += -s $path if $offset < 0;
	open(my $file, '+<:raw', $path) or croak "could not open \"$path\": $!";
	seek($file, $offset, 0);
	read($file, my $byte, 1) == 1 or croak "could not read \"$path\"";
	seek($file, $offset, 0);
	print $file chr(ord($byte) ^ 0x10);
	close($file) or croak "could not write \"$path\": $!";
	return;
}

=head2 wal_position($node)

Return the boundary of a record: every change made so far lies before it, every
later one at or after it.  WAL is flushed up to it.

=cut

sub wal_position
{
	my $node = shift;

	return $node->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()')
	  if $node->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 't';

	# The commit of the second statement flushes what lies before it.
	my $lsn = $node->safe_psql('postgres',
			"SELECT pg_current_wal_insert_lsn();\n"
		  . "SELECT pg_logical_emit_message(true, 'ckpx', 'flush') IS NULL;");
	$lsn =~ s/\n.*//s;
	return $lsn;
}

=head2 changed_blocks($node, $start, $end)

Ask ckpx_changed_blocks() and return the answer as a CkpxOracle::Map.

=cut

sub changed_blocks
{
	my ($node, $start, $end) = @_;

	return map_from_rows($node, "ckpx_changed_blocks('$start', '$end')");
}

sub map_from_rows
{
	my ($node, $function) = @_;
	my $map = CkpxOracle::Map->new;
	my $rows = $node->safe_psql(
		'postgres', qq{
		SELECT tablespace, database, relfilenode, fork, limit_block,
			coalesce(blocks::text, '{}')
		FROM $function
		WHERE relfilenode IS NOT NULL});

	$map->add(split /\|/, $_, -1) foreach split /\n/, $rows;
	return $map;
}

=head2 names_row($node, $lsn, $row)

Whether the map from an LSN on names the block of a row of table t, which the
condition $row finds: 't' or 'f'.

=cut

sub names_row
{
	my ($node, $lsn, $row) = @_;
	return $node->safe_psql(
		'postgres', qq{
		SELECT coalesce(bool_or(c.blocks @> b.block OR b.block >= c.limit_block), false)
		FROM ckpx_changed_blocks('$lsn', NULL, 't') c,
			(SELECT (ctid::text::point)[0]::bigint AS block FROM t WHERE $row) b
		WHERE c.fork = 'main'});
}

=head2 decoded_blocks($node, $start, $end)

What ckpx's decoder makes of the WAL of exactly this range, as a
CkpxOracle::Map.  Needs the extension ckpx_decode.

=cut

sub decoded_blocks
{
	my ($node, $start, $end) = @_;

	return map_from_rows($node, "ckpx_decode('$start', '$end')");
}

=head2 wal_summaries($node, $start, $end)

PostgreSQL's WAL summaries within [$start, $end), in order, as references to
[timeline, start, end]; waits until they reach $end, the redo point of a
checkpoint.  PostgreSQL 17 and later, summarize_wal = on.

=cut

sub wal_summaries
{
	my ($node, $start, $end) = @_;

	wait_for_sql($node,
		"SELECT max(end_lsn) >= '$end' FROM pg_available_wal_summaries()");
	my $rows = $node->safe_psql(
		'postgres', qq{
		SELECT tli, start_lsn, end_lsn FROM pg_available_wal_summaries()
		WHERE start_lsn >= '$start' AND end_lsn <= '$end' ORDER BY start_lsn});
	return map { [ split /\|/ ] } split /\n/, $rows;
}

=head2 missing_by_summary($node, $summary, $map, $unnamed)

CkpxOracle's summary_oracle for one of wal_summaries().

=cut

sub missing_by_summary
{
	my ($node, $summary, $map, $unnamed) = @_;
	my ($timeline, $start, $end) = @$summary;
	my $rows = $node->safe_psql(
		'postgres', qq{
		SELECT reltablespace, reldatabase, relfilenode,
			(ARRAY['main', 'fsm', 'vm', 'init'])[relforknumber + 1],
			relblocknumber, is_limit_block::int
		FROM pg_wal_summary_contents($timeline, '$start', '$end')});

	return summary_oracle([ map { [ split /\|/ ] } split /\n/, $rows ],
		$map, $unnamed);
}

=head2 missing_by_page_lsn($node, $start, $end, $map)

CkpxOracle's page_lsn_oracle; a running server writes its buffers first.

=cut

sub missing_by_page_lsn
{
	my ($node, $start, $end, $map) = @_;

	if (-e $node->data_dir . '/postmaster.pid')
	{
		# A restart point writes only what lies before the last checkpoint
		# record, and may not be made at all.
		croak 'stop a standby before reading its pages'
		  if $node->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 't';
		$node->safe_psql('postgres', 'CHECKPOINT');
	}
	return page_lsn_oracle($node->data_dir, $start, $end, $map);
}

=head2 waldump_command($node, $start, $end, $timeline, @options)

A pg_waldump of a range, as a list; with no $end, to the end of the segment that
$start lies in.  It is told the segments' names: left to itself it takes the size
of segments from any file, which may be one that is still empty.

=cut

sub waldump_command
{
	my ($node, $start, $end, $timeline, @options) = @_;
	my $folder = $node->data_dir . '/pg_wal';
	my ($any) = grep { /^[0-9A-F]{24}$/ } slurp_dir($folder);
	my $size = -s "$folder/$any";
	my $segment_of = sub {
		my $byte = shift;
		return sprintf '%08X%08X%08X', $timeline, $byte >> 32,
		  int(($byte & 0xFFFFFFFF) / $size);
	};
	my @segments = $segment_of->(lsn_to_int($start));

	# The segment that begins at the end need not be there.
	if (defined $end)
	{
		push @segments, $segment_of->(lsn_to_int($end) - 1);
		push @options, '-e', $end;
	}
	return ('pg_waldump', @options, '-p', $folder, '-s', $start, @segments);
}

=head2 missing_by_waldump($node, $start, $end, $map, %options)

CkpxOracle's waldump_oracle over this server's WAL.  Options: from => where to
start reading for sequences (default $start), timeline => number, and what
waldump_oracle takes.

=cut

sub missing_by_waldump
{
	my ($node, $start, $end, $map, %options) = @_;
	my @command = waldump_command($node, $options{from} // $start, $end,
		$options{timeline} // 1);

	# The map may cost seconds to make; the dump is read as it comes.
	open(my $pipe, '-|', @command) or croak "could not run @command: $!";
	my @result = waldump_oracle(sub { return scalar <$pipe> },
		$start, $end, $map, %options);

	# Read to the end, so that the status is pg_waldump's own.
	while (<$pipe>) { }
	close($pipe) or croak "@command failed with status $?";
	return @result;
}

=head2 cold_copy($node, $to), missing_by_cold_copies($before, $after, $map)

Copy the relation files of a stopped server, those in tablespaces included,
and compare two such copies.

=cut

sub cold_copy
{
	my ($node, $to) = @_;
	my $from = $node->data_dir;

	croak 'a cold copy needs a stopped server' if -e "$from/postmaster.pid";
	mkdir $to or croak "could not create \"$to\": $!";
	mkdir "$to/pg_tblspc" or croak "could not create \"$to/pg_tblspc\": $!";
	system_or_bail('cp', '-a', "$from/base", "$from/global", $to);
	foreach my $link (glob("$from/pg_tblspc/*"))
	{
		my ($spc) = $link =~ m{/(\d+)$} or next;
		system_or_bail('cp', '-a', "$link/.", "$to/pg_tblspc/$spc");
	}
	return;
}

sub missing_by_cold_copies
{
	return cold_copies_oracle(@_);
}

=head2 is_covered($missing, $stats, $name)

One test: nothing is missing, and the oracle had something to look at.

=cut

sub is_covered
{
	my ($missing, $stats, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my $ok = Test::More::ok(!@$missing && $stats->{checked} > 0, $name);
	if (!$ok)
	{
		my $n = @$missing;
		Test::More::diag("$n of $stats->{checked} changed blocks are not in the map");
		Test::More::diag($_) foreach @$missing[ 0 .. ($n > 10 ? 9 : $n - 1) ];
	}
	return $ok;
}

=head2 covers_all_oracles($node, $start, $end, $name, %options)

Two tests: the map of [$start, $end) against the page LSNs and against
pg_waldump of a running server.  Returns the statistics of the latter.

=cut

sub covers_all_oracles
{
	my ($node, $start, $end, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $map = changed_blocks($node, $start, $end);

	is_covered(missing_by_page_lsn($node, $start, $end, $map),
		"$name: every page with an LSN of the range is in the map");
	my ($missing, $stats) =
	  missing_by_waldump($node, $start, $end, $map, %options);
	is_covered($missing, $stats,
		"$name: every block reference of pg_waldump is in the map");
	return $stats;
}

1;
