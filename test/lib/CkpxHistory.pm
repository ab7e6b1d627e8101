
=head1 NAME

CkpxHistory - load on a server, and what must hold of its history and files

=head1 SYNOPSIS

  use CkpxHistory;

  my $node = history_node('main');
  $node->start;
  create_load($node);
  my $load = start_load($node);
  # ... break something ...
  stop_load($load);
  await_tracking($node);
  is_one_epoch($node, 'after the crash');
  store_is_sound($node, 'after the crash');

=cut

package CkpxHistory;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use IPC::Run;
use Test::More ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use CkpxTest;

our @EXPORT = qw(
  history_node loaded_node create_load start_load stop_load run_load create_tables
  some_history incremental newest_gap goes_on
  await_tracking worker_pid end_worker crash_worker await_restart await_gc_round
  gap_reasons is_one_epoch has_no_answer finished_range answer
  covers_after_crashes covers_pages_after_crashes
  store_dir store_files store_is_sound manifests manifest_entries
  read_manifest change_manifest
  log_since lose_patience replace_data hold_background_writer
);

=head2 history_node($name, %options), loaded_node($name, %options)

new_node() with what these tests need: the server comes back by itself after a
worker was killed, and WAL stays for pg_waldump.  loaded_node() also starts it,
creates the tables of the load and waits until they are tracked.

=cut

sub history_node
{
	my ($name, %options) = @_;
	my $conf = $options{conf} // '';

	# fsync stays off, as PostgreSQL::Test::Cluster has it: processes are
	# killed here, the kernel is not.
	$options{conf} = <<"EOC" . $conf;
restart_after_crash = on
wal_keep_size = '1GB'
ckpx.log_checkpoints = off
EOC
	return new_node($name, %options);
}

sub loaded_node
{
	my $node = history_node(@_);

	$node->start;
	create_load($node);
	await_tracking($node);
	return $node;
}

# ---------------------------------------------------------------------------
# Load
# ---------------------------------------------------------------------------

my %scripts = (
	change => <<'EOS',
\set id random(1, 3000)
BEGIN;
UPDATE load_row SET n = n + 1 WHERE id = :id;
INSERT INTO load_log (t) VALUES (repeat(md5(:id::text), 8));
DELETE FROM load_log WHERE id IN (SELECT min(id) FROM load_log);
SELECT nextval('load_seq');
END;
EOS
	define => <<'EOS',
DROP TABLE IF EXISTS load_new:load:client_id;
CREATE TABLE load_new:load:client_id AS SELECT g AS id FROM generate_series(1, 400) g;
CREATE INDEX ON load_new:load:client_id (id);
DELETE FROM load_new:load:client_id WHERE id % 3 = 0;
VACUUM load_new:load:client_id;
EOS
	empty => <<'EOS',
BEGIN;
UPDATE load_row SET n = n - 1 WHERE id < 100;
ROLLBACK;
VACUUM load_row;
EOS
);

=head2 create_load($node), start_load($node, $seconds, $rate), stop_load($load),
run_load($node, $transactions)

Tables and a pgbench that works on them in the background, with two clients
and $rate (300) transactions a second, until it is stopped, $seconds (60) are
over or the server goes away, and whose application_name is "load"; or in the
foreground, a number of transactions.

=cut

sub create_load
{
	my $node = shift;

	$node->safe_psql(
		'postgres', q{
		CREATE EXTENSION IF NOT EXISTS ckpx;
		CREATE TABLE load_row (id int PRIMARY KEY, n int, t text) WITH (fillfactor = 60);
		INSERT INTO load_row SELECT g, 0, md5(g::text) FROM generate_series(1, 3000) g;
		CREATE TABLE load_log (id bigserial PRIMARY KEY, t text);
		CREATE SEQUENCE load_seq});
	return;
}

my $nloads = 100;

sub load_command
{
	my ($node, @options) = @_;

	# Several may run at a time: each makes and drops tables of its own.
	$nloads++;
	my @command = (
		'pgbench', '--no-vacuum', '-h', $node->host, '-p', $node->port,
		'-D', "load=${nloads}0", @options);

	my %weight = (change => 30, define => 2, empty => 1);
	my $folder = tempdir_of($node);
	foreach my $name (sort keys %scripts)
	{
		append_once("$folder/$name.sql", $scripts{$name});
		push @command, '-f', "$folder/$name.sql\@$weight{$name}";
	}
	return (@command, 'postgres');
}

sub tempdir_of
{
	my $folder = $_[0]->basedir . '/load';
	mkdir $folder;
	return $folder;
}

sub append_once
{
	my ($path, $text) = @_;
	append_to_file($path, $text) unless -e $path;
	return;
}

sub start_load
{
	my ($node, $seconds, $rate) = @_;
	my $output = '';
	local $ENV{PGAPPNAME} = 'load';
	my $handle = IPC::Run::start(
		[
			load_command(
				$node, '-c', 2, '-R', $rate // 300, '-T', $seconds // 60)
		],
		'<', \undef, '>', \$output, '2>&1');
	return { handle => $handle, output => \$output };
}

sub stop_load
{
	my $load = shift;

	# finish() croaks where the program was killed.
	eval { $load->{handle}->kill_kill(grace => 5) };
	return ${ $load->{output} };
}

sub run_load
{
	my ($node, $transactions) = @_;
	my ($output, $errors);

	IPC::Run::run([ load_command($node, '-c', 1, '-t', $transactions) ],
		'<', \undef, '>', \$output, '2>', \$errors)
	  or croak "pgbench failed: $errors";
	return;
}

=head2 create_tables($name, $count, $columns)

Create tables on the server of CkpxTest's sql(): $name has a %s for the number.

=cut

sub create_tables
{
	my ($name, $count, $columns) = @_;

	$columns //= 'id int PRIMARY KEY';
	sql(qq{DO \$\$
		BEGIN
			FOR i IN 1 .. $count LOOP
				EXECUTE format('CREATE TABLE $name ($columns)', i);
				IF i % 25 = 0 THEN
					COMMIT;
				END IF;
			END LOOP;
		END \$\$});
	return;
}

=head2 some_history($node, $count), incremental()

Work with $count finished checkpoints (2 if not given), and a little behind the
last.  Work and one checkpoint on the server of CkpxTest's sql(); returns its
range.

=cut

sub some_history
{
	my ($node, $count) = @_;

	foreach (1 .. $count // 2)
	{
		run_load($node, 10);
		$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	}
	run_load($node, 5);
	return;
}

sub incremental
{
	my $from = sql('SELECT checkpointed_lsn FROM ckpx_runner');

	run_load($CkpxTest::server, 15);
	return ($from, sql('SELECT ckpx_checkpoint()'));
}

# ---------------------------------------------------------------------------
# Workers
# ---------------------------------------------------------------------------

=head2 await_tracking($node)

Wait until the runner follows WAL up to the present.

=cut

sub await_tracking
{
	my $node = shift;

	wait_for_sql($node,
		'SELECT ckpx_wait_collected(CASE WHEN pg_is_in_recovery()'
		  . ' THEN pg_last_wal_replay_lsn()'
		  . " ELSE pg_current_wal_insert_lsn() END, '30s')");
	return;
}

# One that is just starting is waited for.
sub worker_pid
{
	my ($node, $worker) = @_;

	return wait_for_sql($node,
		"SELECT pid FROM ckpx_workers WHERE name = '$worker'", qr/^\d+$/);
}

=head2 end_worker($node, $worker), crash_worker($node, $worker)

SIGTERM to one worker: it comes back by itself.  SIGKILL: the server starts
all its processes anew.  Both wait for a worker that is just starting again,
and return when the signal had its effect.

=cut

sub end_worker
{
	my ($node, $worker) = @_;
	my $pid = worker_pid($node, $worker);

	kill('TERM', $pid) or croak "could not signal $worker: $!";
	wait_until(sub { !kill(0, $pid) }, "$worker has ended");
	return;
}

sub crash_worker
{
	my ($node, $worker) = @_;
	my $pid = worker_pid($node, $worker);
	my $before = started_at($node);

	kill('KILL', $pid) or croak "could not signal $worker: $!";
	await_restart($node, $before);
	return;
}

# The start of crash recovery is not visible from SQL; a new checkpointer is.
sub started_at
{
	return $_[0]->safe_psql('postgres',
		"SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
	);
}

=head2 await_restart($node, $before)

Wait until the server has started its processes anew after one crashed;
$before is what started_at() returned.

=cut

sub await_restart
{
	my ($node, $before) = @_;

	wait_for_sql($node,
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'checkpointer' AND pid <> $before"
	);
	return;
}

=head2 await_gc_round($node)

Wait until the checkpointer has looked whether garbage collection is due, and the
round is over.  A new process makes one at once, as soon as it comes to it.

=cut

sub await_gc_round
{
	my $node = shift;

	# The request is taken before that look, and counts as done after it.
	$node->safe_psql('postgres', 'SELECT ckpx_gc(dry_run => true)');
	wait_for_sql($node,
		q{SELECT depth = 0 AND running_since IS NULL FROM ckpx_queues WHERE name = 'gc'});
	return;
}

=head2 lose_patience($node)

What is absent counts as lost from now on, not in minutes; a start that waits
for it goes on.  Until the next start of the server.

=cut

sub lose_patience
{
	my $node = shift;

	# The reload wakes the runner.
	add_fault($node, 'object-patience', 'value', undef, '0');
	$node->reload;
	return;
}

# ---------------------------------------------------------------------------
# History
# ---------------------------------------------------------------------------

=head2 gap_reasons($node), is_one_epoch($node, $name)

The reasons of all gaps, in order, joined by "; ".  One test: there is only the
one with which tracking began.

=cut

sub gap_reasons
{
	return $_[0]->safe_psql('postgres',
		q{SELECT string_agg(reason, '; ' ORDER BY epoch, to_lsn) FROM ckpx_gaps}
	);
}

sub is_one_epoch
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return Test::More::is(gap_reasons($node), 'tracking begins',
		"$name: the history is one epoch");
}

=head2 newest_gap($node), goes_on($node, $name)

The gap with which the present epoch began, as a hash of epoch, from, to and
reason.  What holds in every new epoch: the map of new work is whole, and no
worker has failed.

=cut

sub newest_gap
{
	my $node = shift;
	my %gap;

	@gap{qw(epoch from to reason)} = split /\|/,
	  $node->safe_psql('postgres', q{
		SELECT epoch, from_lsn, to_lsn, reason FROM ckpx_gaps
		ORDER BY epoch DESC LIMIT 1});
	return \%gap;
}

sub goes_on
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $start = wal_position($node);

	run_load($node, 10);
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	covers_all_oracles($node, $start, wal_position($node),
		"$name: in the new epoch",
		timeline => $node->safe_psql('postgres',
			'SELECT timeline FROM ckpx_runner'));
	Test::More::is(
		$node->safe_psql('postgres',
			"SELECT string_agg(last_error, '; ') FROM ckpx_workers"),
		'',
		"$name: no worker has failed");
	return;
}

=head2 has_no_answer($node, $start, $end, $name)

One test: the map of the range is refused with SQLSTATE 55000, and the message
names a first missing LSN within the range, which is returned.

=cut

sub has_no_answer
{
	my ($node, $start, $end, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $stderr = '';

	my $status = $node->psql(
		'postgres',
		"\\set VERBOSITY verbose\nSELECT count(*) FROM ckpx_changed_blocks('$start', '$end')",
		stderr => \$stderr);
	my ($missing) = $stderr =~ m{first missing LSN is ([0-9A-F]+/[0-9A-F]+)};
	my $ok =
	     $status != 0
	  && $stderr =~ /ERROR:  55000: no block map for/
	  && defined $missing
	  && $node->safe_psql('postgres',
		"SELECT '$missing'::pg_lsn BETWEEN '$start' AND '$end'") eq 't';
	Test::More::ok($ok, $name) or Test::More::diag($stderr);
	return $missing;
}

=head2 finished_range($node), answer($node, $start, $end)

The range of finished checkpoints of the present epoch, and the whole map of a
range as text.  The map of whole checkpoints never changes again.

=cut

sub finished_range
{
	return split /\|/,
	  $_[0]->safe_psql('postgres', q{
		SELECT min(start_lsn), max(end_lsn) FROM ckpx_checkpoints
		WHERE state = 'finished' AND kind = 'incremental'
			AND epoch = (SELECT epoch FROM ckpx_runner)});
}

sub answer
{
	my ($node, $start, $end) = @_;

	return $node->safe_psql('postgres',
		"SELECT * FROM ckpx_changed_blocks('$start', '$end') ORDER BY 1, 2, 3, 4"
	);
}

=head2 covers_pages_after_crashes($node, $start, $end, $name),
covers_after_crashes($node, $start, $end, $name)

The oracles where the server has crashed in the range: by page LSNs only, or
by pg_waldump too.  An index that was being built then may have left a file
that belongs to nothing: its pages were written before their WAL, which never
came to be, so their LSNs mean nothing.

=cut

sub covers_pages_after_crashes
{
	my ($node, $start, $end, $name, $map) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %orphan;
	my ($missing, $stats) = missing_by_page_lsn($node, $start, $end,
		$map // changed_blocks($node, $start, $end));

	foreach my $block (@$missing)
	{
		my ($spc, $rel) = $block =~ m{^(\d+)/\d+/(\d+) } or next;
		$orphan{$rel} //= $node->safe_psql('postgres',
			"SELECT pg_filenode_relation($spc, $rel) IS NULL") eq 't';
	}
	my @real = grep { !m{^\d+/5/(\d+) } || !$orphan{$1} } @$missing;
	return is_covered(\@real, $stats,
		"$name: every page with an LSN of the range is in the map");
}

sub covers_after_crashes
{
	my ($node, $start, $end, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $map = changed_blocks($node, $start, $end);

	my $pages = covers_pages_after_crashes($node, $start, $end, $name, $map);
	return is_covered(missing_by_waldump($node, $start, $end, $map),
		"$name: every block reference of pg_waldump is in the map")
	  && $pages;
}

# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------

=head2 store_dir($node), store_files($node, $pattern), manifests($node),
manifest_entries($path), read_manifest($path), change_manifest($path, $code)

The store's only folder below the data directory; the sorted names in it that
match; the manifests, newest first; the entries of a manifest as hashes; a
manifest as a hash of its numbers and the list of file names that it names.
The last one has $code change a manifest's text, which is in $_, and makes its
checksum right again.

=cut

sub store_dir
{
	my @folders = glob($_[0]->data_dir . '/ckpx/*-*');

	croak 'expected one folder, found ' . @folders if @folders != 1;
	return $folders[0];
}

sub store_files
{
	my ($node, $pattern) = @_;

	# In scalar context a sort returns nothing, and this their number.
	my @files = sort grep { !defined $pattern || /$pattern/ }
	  map { s{.*/}{}r } glob(store_dir($node) . '/*');

	return @files;
}

sub manifests
{
	my $node = shift;

	return reverse map { store_dir($node) . "/$_" }
	  store_files($node, qr/^meta_.*\.json$/);
}

my %prefix = (
	incremental => 'inc',
	global => 'glo',
	backup => 'bak',
	segment => 'seg');

sub lsn_digits
{
	my ($high, $low) = split m{/}, $_[0];
	return sprintf('%08X%08X', hex($high), hex($low));
}

sub manifest_entries
{
	my @lines = split /\n/, slurp_file(shift);
	my @names;
	my @entries;

	foreach (@lines)
	{
		next unless /^\["(kind|incremental|global|backup|segment)",(.*)\],?$/;
		my @values = ($1, map { tr/"//dr } split /,/, $2);
		if ($1 eq 'kind')
		{
			@names = @values;
			next;
		}
		my %entry;
		@entry{@names} = @values;
		push @entries, \%entry;
	}
	croak 'no list of entries' unless @names;
	return @entries;
}

sub read_manifest
{
	my $path = shift;
	my %manifest = (objects => []);

	foreach my $entry (manifest_entries($path))
	{
		my $name = sprintf('%s_%08X_%08X_%s_%s.ckpx', $prefix{ $entry->{kind} },
			$entry->{epoch}, $entry->{timeline},
			lsn_digits($entry->{start_lsn}), lsn_digits($entry->{end_lsn}));
		push @{ $manifest{objects} },
		  map { $name . ($_ ? ".$_" : '') } 0 .. $entry->{nparts} - 1;
	}
	foreach my $line (split /\n/, slurp_file($path))
	{
		$manifest{$1} = $2 if $line =~ /^"(\w+)": (\d+),$/;
	}
	return \%manifest;
}

my @crc_table = map {
	my $crc = $_;
	$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 foreach 1 .. 8;
	$crc;
} 0 .. 255;

sub change_manifest
{
	my ($path, $change) = @_;
	my $crc = 0xFFFFFFFF;

	local $_ = slurp_file($path);
	s/"Manifest-Checksum.*//s;
	$change->();
	$crc = ($crc >> 8) ^ $crc_table[ ($crc ^ $_) & 0xFF ] foreach unpack 'C*', $_;
	open(my $file, '>:raw', $path) or croak "could not write $path: $!";
	printf $file "%s\"Manifest-Checksum\": \"%08X\"}\n", $_, $crc ^ 0xFFFFFFFF;
	close $file or croak "could not write $path: $!";
	return;
}

=head2 store_is_sound($node, $name, $strict)

One test, polled because files are removed behind the manifest: the folder
holds the two newest manifests, what they name, the lock file, and nothing
else; and the slot does not lie beyond what a start needs.  Spilled segments
that are not needed any more go with a later sweep, at the latest at a start:
unless $strict, they are passed over.

=cut

sub store_is_sound
{
	my ($node, $name, $strict) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $problem;

	eval {
		wait_until(sub { !defined($problem = store_problem($node, $strict)) }, '', 20);
	};
	$problem //= $@ if $@;
	my $ok = Test::More::ok(!defined $problem, "$name: files and manifests agree");
	Test::More::diag("$problem; in the folder: " . join(' ', store_files($node)))
	  if !$ok;
	return $ok;
}

sub store_problem
{
	my ($node, $strict) = @_;
	my @manifests = manifests($node);
	my %named = (lock => 1);

	return @manifests . ' manifests, of which two should be left' if @manifests > 2;
	foreach my $path (@manifests)
	{
		# It may just have been replaced.
		my $manifest = eval { read_manifest($path) } or return "gone: $path";
		$named{ $path =~ s{.*/}{}r } = 1;
		$named{$_} = 1 foreach @{ $manifest->{objects} };
	}
	my %held = %named;
	foreach my $file (store_files($node))
	{
		next if $file =~ /^seg_/ && !$strict && !$named{$file};
		next if $file =~ /\.damaged$/;
		return "no manifest names $file" unless delete $named{$file};
	}
	return 'missing: ' . join(' ', sort keys %named) if %named;

	# What spilled segments hold needs no WAL.
	return if grep { /^seg_/ } keys %held;
	return "released: $_"
	  foreach grep { $_ ne '' } $node->safe_psql(
		'postgres', q{
		SELECT s.restart_lsn || ' > ' || r.checkpointed_lsn
		FROM pg_replication_slots s, ckpx_runner r
		WHERE s.slot_name = 'ckpx' AND s.restart_lsn > r.checkpointed_lsn});
	return;
}

=head2 replace_data($from, $to)

Replace the contents of one data directory by those of another.  The directory
itself stays the one that it was, so that what ckpx takes for its identity does
not tell the two apart.

=cut

sub replace_data
{
	my ($from, $to) = @_;

	mkdir $to, 0700;
	system_or_bail('find', $to, '-mindepth', 1, '-delete');
	system_or_bail('cp', '-a', "$from/.", $to);
	return;
}

=head2 hold_background_writer($node)

Where WAL is to have the test's own records only: the background writer logs
running transactions from 15 seconds after its start on.  Returns a function that
lets it go on, without which the server does not stop.

=cut

sub hold_background_writer
{
	my $node = shift;
	my $pid = wait_for_sql($node,
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'", qr/^\d+$/);

	kill('STOP', $pid) or croak "could not stop the background writer: $!";
	return sub { kill('CONT', $pid); return };
}

=head2 log_since($node, $offset)

The server's log from an offset on.

=cut

sub log_since
{
	my ($node, $offset) = @_;
	return substr(slurp_file($node->logfile), $offset);
}

1;
