
=head1 NAME

CkpxBackup - backups of a server with ckpx, taken, looked at and restored

=head1 SYNOPSIS

  use CkpxBackup;

  my $node = backup_node('main');          # started, with role "backup"
  take_ok($node, 'full');                  # in backup_dir('full')
  take_ok($node, 'increment', '-i', backup_dir('full'));
  verify_ok('full');
  my $restored = start_restored('restored', backup_dir('full'));

=cut

package CkpxBackup;

use strict;
use warnings;

use Exporter 'import';
use File::Copy qw(copy);
use File::Find;
use File::Path qw(make_path remove_tree);
use IPC::Run;
use Test::More ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use CkpxTest;

our @EXPORT = qw(
  backup_node backup_role backup_dir backup_command take take_ok take_fails
  start_take label_lines manifest_files unpacked remove_unpacked verify_ok
  combine_ok copy_tree settle start_restored restore_point recover same_tables table_sums
  dump_of same_dump dump_text sequences
  sequences_reach is_sound
);

# Where backups go, unless a test names another directory.
my $directory;

=head2 backup_node($name, %options)

A started server with ckpx and a role "backup" that has no more privileges than
a backup needs.  Options as of new_node().

=cut

sub backup_node
{
	my ($name, %options) = @_;
	my $node = new_node($name, %options);

	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
	backup_role($node);
	return $node;
}

sub backup_role
{
	my $node = shift;

	$node->safe_psql(
		'postgres', q{
		CREATE ROLE backup LOGIN REPLICATION;
		GRANT pg_monitor, pg_checkpoint, pg_read_server_files TO backup;
		GRANT EXECUTE ON FUNCTION pg_backup_start, pg_backup_stop TO backup;
	});
	return;
}

=head2 backup_dir($name)

The directory of a backup; a name with a slash is one already.

=cut

sub backup_dir
{
	my $name = shift;

	$directory //= PostgreSQL::Test::Utils::tempdir;
	return $name =~ m{/} ? $name : "$directory/$name";
}

=head2 backup_command($node, $name, @options)

The command line: without syncs, from a checkpoint that is made at once.

=cut

sub backup_command
{
	my ($node, $name, @options) = @_;

	return ('ckpx_basebackup', '-D', backup_dir($name), '-h', $node->host,
		'-p', $node->port, '-U', 'backup', '-c', 'fast', '--no-sync', @options);
}

=head2 take($node, $name, @options), start_take($node, $name, @options)

Run it: exit status, output, errors.  start_take() returns at once: a hash with
handle, pid, and references to out and err.

=cut

sub take
{
	my ($node, $name, @options) = @_;
	my ($out, $err) = ('', '');
	my @command = backup_command($node, $name, @options);

	Test::More::note("# @command");
	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($CkpxTest::timeout_default));
	return ($? >> 8, $out, $err);
}

sub start_take
{
	my ($node, $name, @options) = @_;
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start([ backup_command($node, $name, @options) ],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($CkpxTest::timeout_default));

	return { handle => $handle, pid => $handle->{KIDS}[0]{PID},
		out => \$out, err => \$err };
}

=head2 take_ok($node, $name, @options), take_fails($node, $name, $error, @options)

One test each.  take_ok() returns the output.  A backup that failed has not got
its name.

=cut

sub take_ok
{
	my ($node, $name, @options) = @_;
	my ($status, $out, $err) = take($node, $name, @options);
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	Test::More::is($status, 0, "backup $name: @options")
	  or Test::More::diag($err);
	return $out;
}

sub take_fails
{
	my ($node, $name, $error, @options) = @_;
	my ($status, $out, $err) = take($node, $name, @options);
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	Test::More::ok(
		$status == 1 && $err =~ $error && !-e backup_dir($name),
		"backup $name fails: $error")
	  or Test::More::diag("status $status, output $out, error $err");
	return $err;
}

=head2 unpacked($name), remove_unpacked($name)

The directory of a plain backup; of one in tar format, a directory into which
its archives were unpacked by tar and zstd: tablespaces become directories.
remove_unpacked() gives the room of the latter back.

=cut

my %unpacked;

sub unpacked
{
	my $name = shift;
	my $dir = backup_dir($name);
	my @archives = glob("$dir/*.tar $dir/*.tar.zst");

	return $dir if !@archives;
	return $unpacked{$dir} if $unpacked{$dir};
	my $to = PostgreSQL::Test::Utils::tempdir . '/unpacked';
	foreach my $archive (@archives)
	{
		my ($oid) = $archive =~ m{/(\d+)\.tar};
		my $place = $oid ? "$to/pg_tblspc/$oid" : $to;

		make_path($place);
		system_or_bail('tar', '-xf', $archive, '-C', $place);
	}
	copy("$dir/backup_manifest", "$to/backup_manifest") or die $!;
	chmod 0700, $to;
	return $unpacked{$dir} = $to;
}

sub remove_unpacked
{
	my $dir = delete $unpacked{ backup_dir(shift) };

	remove_tree($dir) if $dir;
	return;
}

=head2 label_lines($name), manifest_files($name)

The label's text; a hash from each path in the manifest to its size.

=cut

sub label_lines
{
	return slurp_file(unpacked(shift) . '/backup_label');
}

sub manifest_files
{
	my $text = slurp_file(backup_dir(shift) . '/backup_manifest');
	my %size;

	$size{$1} = $2 while $text =~ /"Path": "([^"]+)", "Size": (\d+)/g;
	return \%size;
}

=head2 verify_ok($name, @options)

One test: pg_verifybackup accepts it.

=cut

sub verify_ok
{
	my ($name, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return command_ok([ 'pg_verifybackup', '-e', @options, unpacked($name) ],
		"pg_verifybackup of $name");
}

=head2 combine_ok($name, $out, @options)

One test: a data directory from a chain, which pg_verifybackup accepts.

=cut

sub combine_ok
{
	my ($name, $out, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	command_ok(
		[ 'ckpx_combinebackup', backup_dir($name), '-o', $out, '--no-sync',
			@options ],
		"$name combined");
	return command_ok([ 'pg_verifybackup', $out ],
		"pg_verifybackup of $name, combined");
}

=head2 copy_tree($from, $to), settle($node), start_restored($name, $directory)

Copy a directory as cp -a does; give a data directory what belongs to one server,
where it listens; start a server on a copy of a restored one, or of a full plain
backup.

=cut

sub copy_tree
{
	my ($from, $to) = @_;

	system_or_bail('cp', '-a', $from, $to);
	return;
}

sub settle
{
	my ($node, @lines) = @_;

	chmod 0700, $node->data_dir;
	$node->append_conf('postgresql.conf', $_) foreach (
		'port = ' . $node->port,
		"unix_socket_directories = '" . $node->host . "'", @lines);
	return;
}

sub start_restored
{
	my ($name, $from) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	remove_tree($node->data_dir);
	copy_tree($from, $node->data_dir);
	settle($node);
	$node->append_conf('postgresql.conf', 'archive_mode = off');
	$node->start;
	return $node;
}

=head2 restore_point($node, $point)

Make a restore point; returns the segment that it lies in, which will be archived.

=cut

sub restore_point
{
	my ($node, $point) = @_;
	my ($segment) = split /\n/, $node->safe_psql('postgres',
		"SELECT pg_walfile_name(pg_create_restore_point('$point')); SELECT pg_switch_wal()");

	return $segment;
}

=head2 recover($node, $point, $archive, %options)

Start a server that replays the WAL of an archive up to a restore point, and wait
until it is there.  It stops there, open for reading, or is promoted with
action => 'promote'.  Option timeline => that of the point.

=cut

sub recover
{
	my ($node, $point, $archive, %options) = @_;
	my $action = $options{action} // 'pause';
	my $timeline = $options{timeline} // 'latest';

	$node->append_conf('postgresql.conf', <<"EOC");
archive_mode = off
restore_command = 'cp $archive/%f %p'
recovery_target_name = '$point'
recovery_target_action = $action
recovery_target_timeline = '$timeline'
primary_conninfo = ''
EOC
	append_to_file($node->data_dir . '/recovery.signal', '');
	$node->start;
	wait_for_sql($node,
		$action eq 'promote'
		? 'SELECT NOT pg_is_in_recovery()'
		: q{SELECT pg_get_wal_replay_pause_state() = 'paused'});
	return;
}

=head2 table_sums($node), same_tables($node, $expected, $name)

What all tables of database postgres have, as text; one test that a server has
the same.

=cut

sub table_sums
{
	my $node = shift;
	my $tables = $node->safe_psql('postgres', q{
		SELECT oid::regclass FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
		AND relpersistence = 'p' ORDER BY 1});

	return join "\n", map {
		"$_ "
		  . $node->safe_psql('postgres',
			"SELECT count(*), md5(string_agg(r::text, ',' ORDER BY r::text)) FROM $_ r")
	} split /\n/, $tables;
}

sub same_tables
{
	my ($node, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return Test::More::is(table_sums($node), $expected, $name);
}

=head2 dump_text($node)

All that a server has as one text, unlogged tables' rows and what may differ left
out: the words of newer minor versions, and places of tablespaces.

=cut

sub dump_text
{
	my $node = shift;
	my ($out, $err) = PostgreSQL::Test::Utils::run_command(
		[ 'pg_dumpall', '--no-unlogged-table-data', '-d', $node->connstr('postgres') ]);

	die $err if $err =~ /error/;
	return $out =~ s/^\\(un)?restrict.*$//mgr =~ s/^(CREATE TABLESPACE \w+).*/$1/mgr;
}

=head2 dump_of($node, $directory), same_dump($one, $other, $name)

A file with all that a server has, unlogged tables' rows left out; one test that
two of them are the same.  What may differ: the place of a tablespace, the word
that newer minor versions draw for each dump, and the value of a sequence: see
there.

=cut

sub dump_of
{
	my ($node, $directory) = @_;
	my $file = "$directory/" . $node->name . '.sql';

	system_or_bail('pg_dumpall', '--no-unlogged-table-data', '-f', $file, '-d',
		$node->connstr('postgres'));
	return $file;
}

sub same_dump
{
	my ($one, $other, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = run_command(
		[ 'diff', (
				map { ('-I', $_) } '^\\\\\(un\)\?restrict',
				"^CREATE TABLESPACE .* LOCATION '",
				'^SELECT pg_catalog.setval('),
			$one, $other ]);

	return Test::More::is(substr($out . $err, 0, 2000), '', $name);
}

=head2 sequences($node, $database), sequences_reach($node, $database, $live, $name)

The values of sequences that were used; one test that a restored server has none
that lies before the live one's, or further ahead than WAL is.  WAL has values in
advance, so a server that replays it goes on with a later one than a server that
has the page.

=cut

sub sequences
{
	my ($node, $database) = @_;
	my $rows = $node->safe_psql(
		$database, q{
		SELECT format('%I.%I', schemaname, sequencename), last_value, increment_by,
			(32 + cache_size) * abs(increment_by)
		FROM pg_sequences WHERE last_value IS NOT NULL AND NOT cycle});

	return { map { my ($name, @row) = split /\|/; $name => \@row } split /\n/, $rows };
}

sub sequences_reach
{
	my ($node, $database, $live, $name) = @_;
	my $restored = sequences($node, $database);
	my @wrong;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	foreach my $sequence (sort keys %$live)
	{
		my ($value, $increment, $ahead) = @{ $live->{$sequence} };
		my ($now) = @{ $restored->{$sequence} // [] };
		my $by = defined $now ? ($now - $value) * ($increment < 0 ? -1 : 1) : -1;

		push @wrong, "$sequence: $value became " . ($now // 'unused')
		  if $by < 0 || $by > $ahead;
	}
	return Test::More::is(join("\n", @wrong), '', "$name: sequences go on");
}

=head2 is_sound($node, $name, %options)

Two tests: pg_amcheck finds nothing in a running server, and pg_checksums nothing
after it was stopped.  Option amcheck => false: only the latter.

=cut

sub is_sound
{
	my ($node, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$node->command_ok([ 'pg_amcheck', '-a', '--heapallindexed' ], "$name: pg_amcheck")
	  if $options{amcheck} // 1;
	$node->stop;
	return command_ok([ 'pg_checksums', '-c', '-D', $node->data_dir ],
		"$name: pg_checksums");
}

1;
