# The opening of README.md does what it says: what its here-documents feed to
# psql is run as it stands there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($opening) =
  slurp_file("$FindBin::RealBin/../../README.md") =~ /^```sh\n(.*?)^```$/ms;
my ($preload, $first_steps) = $opening =~ /<<'SQL'.*?\n(.*?)^SQL$/msg;
like($preload, qr/shared_preload_libraries/, 'one block preloads the library');
like($first_steps, qr/CREATE EXTENSION ckpx/, 'another one makes use of it');
cmp_ok(scalar(split /\n/, $opening), '<', 18, 'it is short');

# What is preloaded already, and what it becomes; these libraries are part of
# every server.
my $node = new_node('main', preload => '');
foreach my $case (
	[ '', 'ckpx' ],
	[ 'plpgsql', 'plpgsql,ckpx' ],
	[ '$libdir/plpgsql ,pgoutput', '$libdir/plpgsql,pgoutput,ckpx' ],
	[ '"plpgsql", "$libdir/pgoutput"', 'plpgsql,$libdir/pgoutput,ckpx' ])
{
	my ($before, $after) = @$case;

	unlink $node->data_dir . '/postgresql.auto.conf';
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$before'");
	$node->start;
	$node->safe_psql('postgres', $preload);
	$node->restart;
	my $now = $node->safe_psql('postgres', 'SHOW shared_preload_libraries');
	$now =~ s/[ "]//g;
	is($now, $after, "preloaded: \"$before\"");
	$node->stop;
}

# The server is fresh: nothing of ckpx was called on it yet.
$node->start;
my ($status, $stdout, $stderr) = $node->psql('postgres', $first_steps,
	on_error_stop => 1, extra_params => ['-x']);
is("$status$stderr", '0', 'the first steps raise no error and no warning');
like($stdout, qr/^complete\|t$/m, 'the range is complete');
like($stdout, qr/^locations\|inc_.*;1;.*\[.+\]$/m, 'checkpoints answer it');
unlike($stdout, qr/^missing_from\|./m, 'nothing is missing');
my $relfilenode = $node->safe_psql('postgres',
	q{SELECT pg_relation_filenode('t'::regclass)});
like($stdout, qr/^relfilenode\|$relfilenode\nfork\|main\n/m,
	'the new table is among the changed blocks');

$node->stop;
done_testing();
