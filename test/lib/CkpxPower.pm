
=head1 NAME

CkpxPower - losing power: what was not synced is gone

=head1 SYNOPSIS

  my $power = power_begin($node);		# before the server starts
  start_powered($power);
  # ... work, crash ...
  lose_power($power);
  start_powered($power);

  # A program, and folders that it writes to:
  my $power = power_for("$folder/power", @folders);
  run_powered($power, [ 'program' ], %more);
  lose_power($power);

The server runs with the library test/modules/powerloss below it, which keeps
what was synced of ckpx's files and of the replication slots.  PostgreSQL's
own files, pg_wal too, survive as they are.

=cut

package CkpxPower;

use strict;
use warnings;

use Carp;
use Cwd 'abs_path';
use Exporter 'import';
use Test::More ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use CkpxTest;

our @EXPORT = qw(
  power_library power_begin power_for run_powered start_powered sync_power lose_power
  fail_fsync fsync_has_failed end_failing durable_contents await_down
);

=head2 power_library()

The path of the library; undefined where it is not installed.

=cut

sub power_library
{
	chomp(my $folder = `pg_config --pkglibdir`);
	my $path = "$folder/powerloss.so";

	return -e $path ? $path : undef;
}

=head2 power_begin($node, @more)

Get ready; the server is not running.  @more are folders below the data
directory of which the contents of files are to be kept, too.

=cut

sub power_begin
{
	my ($node, @more) = @_;
	my $data = abs_path($node->data_dir);
	my $folder = abs_path($node->basedir) . '/power';

	# PostgreSQL::Test::Cluster turns it off.
	$node->append_conf('postgresql.conf', 'fsync = on');
	return {
		node => $node,
		%{ power_for($folder, "$data/ckpx*", "$data/pg_replslot", map { "$data/$_" } @more) }
	};
}

=head2 power_for($folder, @roots), run_powered($power, $command, %environment)

The same for programs: $folder, which is made, keeps what was synced in @roots.
run_powered() runs a command like IPC::Run with the library below it; returns
$?.  The environment may have POWERLOSS_LOG and POWERLOSS_KILL.

=cut

sub power_for
{
	my ($folder, @roots) = @_;
	my %power = (
		fail => "$folder/fail",
		environment => {
			POWERLOSS_ROOTS => join(':', @roots),
			POWERLOSS_PLATTER => $folder,
			POWERLOSS_FAIL => "$folder/fail"
		});

	mkdir $folder or croak "could not create \"$folder\": $!";
	sync_power(\%power);
	return \%power;
}

sub run_powered
{
	my ($power, $command, %more) = @_;
	my ($out, $err) = ('', '');
	my $preload = join ' ', grep { $_ } $ENV{LD_PRELOAD}, power_library();
	local %ENV = (%ENV, %{ $power->{environment} }, %more, LD_PRELOAD => $preload);

	IPC::Run::run($command, '<', \undef, '>', \$out, '2>', \$err);
	my $status = $?;
	Test::More::note($err) if $err ne '';
	return $status;
}

sub start_powered
{
	my ($power, %options) = @_;
	my $preload = join ' ', grep { $_ } $ENV{LD_PRELOAD}, power_library();
	local %ENV = (%ENV, %{ $power->{environment} }, LD_PRELOAD => $preload);

	return $power->{node}->start(%options);
}

# Run the library's command; returns its output.
sub power_do
{
	my ($power, $what) = @_;
	my ($out, $err) = ('', '');
	local %ENV = (%ENV, %{ $power->{environment} },
		LD_PRELOAD => power_library(), POWERLOSS_DO => $what);

	# Of itself it fails, where the library is not loaded.
	IPC::Run::run([ 'false' ], '>', \$out, '2>', \$err)
	  or croak "$what failed: $err";
	return $out;
}

=head2 sync_power($power), lose_power($power, $seed)

Everything is durable, as after sync(1); with the server stopped, everything
that was not synced is lost, or, with a seed, some of it, by chance.

=cut

sub sync_power
{
	power_do($_[0], 'sync');
	return;
}

sub lose_power
{
	my ($power, $seed) = @_;

	power_do($power, defined $seed ? "lose $seed" : 'lose');
	return;
}

=head2 durable_contents($power, $path)

What is durable of a file.

=cut

sub durable_contents
{
	my ($power, $path) = @_;
	return power_do($power, 'show ' . abs_path($path));
}

=head2 fail_fsync($power, $text), fsync_has_failed($power),
end_failing($power)

The next fsync of a file whose path contains the text fails with EIO, once; or
all of them, where the text begins with an asterisk, until end_failing().

=cut

sub fail_fsync
{
	my ($power, $text) = @_;

	append_to_file("$power->{fail}.new", "$text\n");
	rename "$power->{fail}.new", $power->{fail}
	  or croak "could not rename: $!";
	return;
}

sub fsync_has_failed
{
	return !-e $_[0]->{fail};
}

sub end_failing
{
	unlink $_[0]->{fail};
	return;
}

=head2 await_down($node)

Wait until the server that crashed is gone, and let the node know.

=cut

sub await_down
{
	my $node = shift;
	my $pid = $node->{_pid};

	wait_until(sub { kill(0, $pid) == 0 }, "postmaster $pid is gone");
	$node->{_pid} = undef;
	return;
}

1;
