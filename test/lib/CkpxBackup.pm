
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
  start_take label_lines manifest_files unpacked verify_ok combine_ok
  copy_tree start_restored same_tables table_sums
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

=head2 unpacked($name)

The directory of a plain backup; of one in tar format, a directory into which
its archives were unpacked by tar and zstd: tablespaces become directories.

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

=head2 copy_tree($from, $to), start_restored($name, $directory)

Copy a directory as cp -a does; start a server on a copy of a restored one, or
of a full plain backup.

=cut

sub copy_tree
{
	my ($from, $to) = @_;

	system_or_bail('cp', '-a', $from, $to);
	return;
}

sub start_restored
{
	my ($name, $from) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	remove_tree($node->data_dir);
	copy_tree($from, $node->data_dir);
	chmod 0700, $node->data_dir;
	$node->append_conf('postgresql.conf', 'port = ' . $node->port);
	$node->append_conf('postgresql.conf',
		"unix_socket_directories = '" . $node->host . "'");
	$node->append_conf('postgresql.conf', 'archive_mode = off');
	$node->start;
	return $node;
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

1;
