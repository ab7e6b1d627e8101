# All settings at their lower ends, and all at their upper ones, together with
# what PostgreSQL lets one set low and high: checkpoints are made, found again
# by a start, and answer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Not at an end: what turns checkpoints off, and what history is given up for.
my %fixed = ('ckpx.enabled' => 'on', 'ckpx.max_retained_wal' => '10GB');

# What a machine can give besides other work, where the upper end is memory.
my %feasible =
  ('ckpx.logtail_memory' => '1GB', 'ckpx.max_entries' => 20000);

my %ends = (
	low => {
		number => 'min_val',
		choice => 1,
		bool => 'off',
		conf => <<'EOC'
max_files_per_process = 64
max_connections = 5
superuser_reserved_connections = 0
max_wal_senders = 1
shared_buffers = '128kB'
EOC
	},
	high => {
		number => 'max_val',
		choice => 'cardinality(enumvals)',
		bool => 'on',
		conf => <<'EOC'
max_files_per_process = 1000000
max_connections = 3000
shared_buffers = '1GB'
EOC
	});

foreach my $end (sort keys %ends)
{
	my $values = $ends{$end};
	my $node = history_node($end,
		conf => "max_slot_wal_keep_size = '-1'\n");

	# A plain server tells the ends.
	$node->start;
	create_load($node);
	my %settings = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql(
		'postgres', qq{
		SELECT name, CASE vartype WHEN 'enum' THEN enumvals[$values->{choice}]
			WHEN 'bool' THEN '$values->{bool}' ELSE $values->{number} END
		FROM pg_settings WHERE name LIKE 'ckpx.%' AND vartype <> 'string'});
	cmp_ok(scalar keys %settings, '>', 25, "$end: settings have ends");
	%settings = (%settings, %fixed);
	%settings = (%settings, %feasible) if $end eq 'high';
	$node->stop('fast');
	$node->append_conf('postgresql.conf',
		$values->{conf} . join '', map { "$_ = '$settings{$_}'\n" } sort keys %settings);

	$node->start;
	await_tracking($node);
	my $start = wal_position($node);

	# Without dropped tables: of these a global without versions knows nothing.
	foreach my $round (1 .. 2)
	{
		foreach (1 .. 3)
		{
			$node->safe_psql(
				'postgres', q{
				UPDATE load_row SET n = n + 1 WHERE id % 7 = 0;
				INSERT INTO load_log (t) SELECT repeat('x', 500) FROM generate_series(1, 200);
				SELECT ckpx_checkpoint(NULL, '120s')});
		}
		is($node->safe_psql('postgres', "SELECT ckpx_global_checkpoint('120s') IS NOT NULL"),
			't', "$end: a global, round $round");
		covers_all_oracles($node, $start, wal_position($node), "$end: round $round");
		my $known = $node->safe_psql('postgres', 'SELECT checkpointed_lsn FROM ckpx_runner');
		$node->restart;
		await_tracking($node);
		is( $node->safe_psql('postgres', 'SELECT problem, epoch, checkpointed_lsn >= '
				  . "'$known' FROM ckpx_runner"),
			'|1|t', "$end: a start goes on where it was, round $round");
		covers_all_oracles($node, $start, wal_position($node),
			"$end: after a restart, round $round");
	}
	is( $node->safe_psql('postgres',
			"SELECT string_agg(name || ': ' || last_error, '; ') FROM ckpx_workers"),
		'', "$end: no worker has failed");
	store_is_sound($node, $end);
	$node->stop('fast');
}

done_testing();
