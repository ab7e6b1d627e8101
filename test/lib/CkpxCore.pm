
=head1 NAME

CkpxCore - PostgreSQL's own regression tests as a workload

=head1 SYNOPSIS

  use CkpxCore;

  my $node = core_node('main');
  $node->start;
  my ($outcome, $folder) = run_schedule($node);

=head1 DESCRIPTION

For the tests in test/core.  Needs CKPX_PG_SOURCE, a source tree of the server's
major; test/core.sh sees to that.

=cut

package CkpxCore;

use strict;
use warnings;

use Exporter 'import';
use File::Copy;
use FindBin;
use IPC::Run;
use Test::More ();
use Time::HiRes qw(time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use CkpxTest;

our @EXPORT = qw(core_node core_schedule run_schedule);

my $inputdir = ($ENV{CKPX_PG_SOURCE} // '') . '/src/test/regress';
die "CKPX_PG_SOURCE is not a source tree of PostgreSQL; use 'make test-core'\n"
  unless -e "$inputdir/parallel_schedule";

# The libraries that the tests load, in a folder.
sub make_libraries
{
	my $folder = PostgreSQL::Test::Utils::tempdir;

	# Not what the make that runs this test was told.
	local @ENV{qw(MAKEFLAGS MAKEOVERRIDES MAKELEVEL MFLAGS)};
	delete @ENV{qw(MAKEFLAGS MAKEOVERRIDES MAKELEVEL MFLAGS)};
	my $pg_config = $ENV{CKPX_BUILD_PG_CONFIG} // 'pg_config';
	system_or_bail('make', '-s', '-C', $FindBin::RealBin,
		"PG_CONFIG=$pg_config", "REGRESS_SOURCE=$inputdir");
	copy("$FindBin::RealBin/regress.so", $folder) or die "could not copy regress.so: $!";

	# From contrib/spi, which is a part of the installed server.
	chomp(my $pkglibdir = `pg_config --pkglibdir`);
	foreach my $library (qw(autoinc.so refint.so))
	{
		copy("$pkglibdir/$library", $folder) if -e "$pkglibdir/$library";
	}
	return $folder;
}

my $libraries;

=head2 core_node($name, %options)

new_node() with what the regression tests expect of a server.

=cut

sub core_node
{
	my ($name, %options) = @_;
	my $conf = <<'EOC';
max_connections = 40
max_worker_processes = 16
max_prepared_transactions = 10
shared_buffers = '64MB'
synchronize_seqscans = off
autovacuum = on
log_statement = none
wal_keep_size = '8GB'
max_wal_size = '1GB'
checkpoint_timeout = '30s'
EOC
	return new_node(
		$name, %options,
		extra => [ '--no-locale', '--encoding=UTF8', @{ $options{extra} // [] } ],
		conf => $conf . ($options{conf} // ''));
}

=head2 core_schedule(), run_schedule($node, %options)

The lines of the tests' schedule, each a group of tests.  Run it; returns the
outcome of each test by name, and the folder of what they printed.  Options:
schedule => the file with other lines, goes_on => true: with what an earlier call
has left, meanwhile => called every few seconds.

=cut

sub core_schedule
{
	return grep { /^test:/ } split /^/, slurp_file("$inputdir/parallel_schedule");
}

sub run_schedule
{
	my ($node, %options) = @_;
	my $schedule = $options{schedule} // "$inputdir/parallel_schedule";
	my $meanwhile = $options{meanwhile};
	my $outputdir = PostgreSQL::Test::Utils::tempdir;
	$libraries //= make_libraries();
	my $output = '';
	my $began = time;
	my $called = $began;
	my $handle = IPC::Run::start(
		[
			$ENV{PG_REGRESS}, '--bindir=', "--dlpath=$libraries",
			'--host=' . $node->host, '--port=' . $node->port,
			"--inputdir=$inputdir", "--outputdir=$outputdir",
			"--schedule=$schedule", '--max-concurrent-tests=20',
			$options{goes_on} ? '--use-existing' : ()
		],
		'<', \undef, '>', \$output, '2>&1');

	wait_until(
		sub {
			$handle->pump_nb;
			return 1 unless $handle->pumpable;
			if ($meanwhile && time > $called + 3)
			{
				$meanwhile->();
				$called = time;
			}
			return 0;
		},
		'the regression tests end',
		3600);
	eval { $handle->finish };

	my %outcome;
	foreach my $line (split /\n/, $output)
	{
		# 15; and 16 and later
		if ($line =~ /^(?:test|    )\s+(\S+)\s+\.\.\. (ok|FAILED|failed)\b/)
		{
			$outcome{$1} = lc $2;
		}
		elsif ($line =~ /^(ok|not ok)\s+\d+\s+[-+]\s+(\S+)/)
		{
			$outcome{$2} = $1 eq 'ok' ? 'ok' : 'failed';
		}
	}
	my @failed = grep { $outcome{$_} ne 'ok' } sort keys %outcome;
	Test::More::note sprintf '%s: %d tests in %d s, failed: %s', $node->name,
	  scalar(keys %outcome), time - $began, "@failed" || 'none';
	Test::More::diag $output unless %outcome;
	return (\%outcome, $outputdir);
}

1;
