# docs/monitoring: every query answers a role that has only pg_monitor, with the
# columns and kinds that the file declares; rules and dashboard use only what is
# exported; the values follow what the server does.

use strict;
use warnings;

use CPAN::Meta::YAML;
use FindBin;
use JSON::PP;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = "$FindBin::RealBin/../../docs/monitoring";

sub yaml
{
	my $name = shift;
	return CPAN::Meta::YAML->read_string(slurp_file("$folder/$name"))->[0];
}

my $queries = yaml('queries.yml');
my $collector = yaml('ckpx.collector.yml');
my $rules = yaml('alerts.yml');
my $dashboard = decode_json(slurp_file("$folder/dashboard.json"));
my $readme = slurp_file("$folder/README.md");

my $node = new_node('main', on_demand => 1);
$node->start;
sql(q{CREATE EXTENSION ckpx;
	CREATE ROLE exporter LOGIN;
	GRANT pg_monitor TO exporter});
await_tracking($node);
sql('CREATE TABLE t AS SELECT generate_series(1, 1000) AS id');
sql('SELECT ckpx_checkpoint()');

# What a query returns to the exporter: its rows, or undef.
sub rows
{
	my $query = shift;
	my ($status, $stdout, $stderr) = $node->psql('postgres',
		"SELECT coalesce(json_agg(q), '[]') FROM ($query) AS q",
		extra_params => [ '-U', 'exporter' ]);
	return decode_json($stdout) if $status == 0;
	diag($stderr);
	return;
}

# Names and types of its columns.
sub columns
{
	my $query = shift;
	my $described = $node->safe_psql('postgres', "$query \\gdesc");
	return map { split /\|/ } split /\n/, $described;
}

# The value of a metric in the only row, or in the one with this label.
sub metric
{
	my ($name, $column, $label, $value) = @_;
	my ($row) = grep { !$label || $_->{$label} eq $value }
	  @{ rows($queries->{$name}{query}) };
	return $row->{$column};
}

# Each metric with its kind and labels, as queries.yml declares it.
my (%kind, %labels);
foreach my $name (sort keys %$queries)
{
	my %declared = map { %$_ } @{ $queries->{$name}{metrics} };
	my @labels = sort grep { $declared{$_}{usage} eq 'LABEL' } keys %declared;
	my %type = columns($queries->{$name}{query});
	my $rows = rows($queries->{$name}{query}) // [];

	is(join(' ', sort keys %type), join(' ', sort keys %declared),
		"$name: its columns are the declared ones");
	cmp_ok(scalar @$rows, '>', 0, "$name: it has rows");
	is(scalar(grep { !defined } map { values %$_ } @$rows),
		0, "$name: no value is NULL");
	my %seen;
	$seen{ join '|', @{$_}{@labels} }++ foreach @$rows;
	is(scalar(keys %seen), scalar(@$rows), "$name: labels tell its rows apart");

	foreach my $column (sort keys %declared)
	{
		my ($usage, $text) = @{ $declared{$column} }{qw(usage description)};

		like($usage, qr/^(LABEL|GAUGE|COUNTER)$/, "$name.$column: usage");
		ok($text, "$name.$column: description");
		like($type{$column},
			$usage eq 'LABEL' ? qr/^(text|name)$/
			: qr/^(integer|bigint|numeric|double precision)$/,
			"$name.$column: its type is that of a $usage");
		next if $usage eq 'LABEL';
		is($column =~ /_total$/ ? 'COUNTER' : 'GAUGE', $usage,
			"$name.$column: the name tells its kind");
		$kind{"${name}_$column"} = lc $usage;
		$labels{"${name}_$column"} = \@labels;
	}
}

# The collector says the same in the words of sql_exporter.
my %query_of = map { $_->{query_name} => $_->{query} } @{ $collector->{queries} };
my %help = map
{
	my $name = $_;
	map { my ($column) = keys %$_; ("${name}_$column" => $_->{$column}{description}) }
	  @{ $queries->{$name}{metrics} }
} keys %$queries;
is_deeply(\%query_of, { map { $_ => $queries->{$_}{query} } keys %$queries },
	'both exporters ask the same');
is(scalar(@{ $collector->{metrics} }), scalar(keys %kind),
	'the collector has each metric once');
foreach my $metric (@{ $collector->{metrics} })
{
	my $name = $metric->{metric_name};

	is_deeply(
		[ $metric->{type}, $metric->{help}, $metric->{key_labels} // [],
			"$metric->{query_ref}_$metric->{values}[0]",
			scalar @{ $metric->{values} } ],
		[ $kind{$name}, $help{$name}, $labels{$name}, $name, 1 ],
		"collector: $name");
}

# What an expression names is exported, its labels and their values too.
my %items = map { $_->{item} => 1 } @{ rows('SELECT item FROM ckpx_status') };
my %values_of = (
	item => \%items,
	kind => { map { $_ => 1 } qw(incremental global backup) });

sub is_exported
{
	my ($expression, $what) = @_;
	my @names = $expression =~ /\b(ckpx_\w+)/g;

	cmp_ok(scalar @names, '>', 0, "$what: names a metric");
	is(join(' ', grep { !$kind{$_} } @names), '', "$what: all are exported");
	while ($expression =~ /(ckpx_\w+)\{(.*?)\}/g)
	{
		my ($name, $matchers) = ($1, $2);

		while ($matchers =~ /(\w+)\s*=~?\s*"(.*?)"/g)
		{
			my ($label, $values) = ($1, $2);

			next if $label eq 'instance';
			ok((grep { $_ eq $label } @{ $labels{$name} }),
				"$what: $name has the label $label");
			is(join(' ', grep { !$values_of{$label}{$_} } split /\|/, $values),
				'', "$what: $label has these values");
		}
	}
	while ($expression =~ /\b(?:rate|increase)\((ckpx_\w+)/g)
	{
		is($kind{$1}, 'counter', "$what: $1 is a counter");
	}
	return;
}

my @alerts = map { @{ $_->{rules} } } @{ $rules->{groups} };
foreach my $alert (@alerts)
{
	my $name = $alert->{alert};

	is_exported($alert->{expr}, $name);
	like($alert->{for}, qr/^\d+[mh]$/, "$name: for");
	like($alert->{labels}{severity}, qr/^(warning|critical)$/, "$name: severity");
	ok($alert->{annotations}{$_}, "$name: $_") foreach qw(summary description);
	my %used = map { $_ => 1 } @{ $labels{ ($alert->{expr} =~ /\b(ckpx_\w+)/)[0] } },
	  'instance';
	is(join(' ', grep { !$used{$_} }
			join(' ', values %{ $alert->{annotations} }) =~ /\$labels\.(\w+)/g),
		'', "$name: its texts use labels that it has");
	foreach my $query ($alert->{annotations}{description} =~ /(SELECT .*? FROM \w+)/g)
	{
		ok(rows($query), "$name: $query");
	}
}
is(join(' ', $readme =~ /^\| `(Ckpx\w+)`/mg), join(' ', map { $_->{alert} } @alerts),
	'README.md explains each alert, in the same order');

# Panels: of Prometheus as above, of PostgreSQL by what they return.
my (%ids, %cells);
foreach my $panel (@{ $dashboard->{panels} })
{
	my $title = $panel->{title};
	my $at = $panel->{gridPos};

	ok(!$ids{ $panel->{id} }++, "$title: id");
	ok($panel->{description}, "$title: description");
	my @overlap;
	foreach my $x ($at->{x} .. $at->{x} + $at->{w} - 1)
	{
		push @overlap, grep { $cells{"$x,$_"}++ } $at->{y} .. $at->{y} + $at->{h} - 1;
	}
	is("@overlap", '', "$title: has its place for itself");
	cmp_ok($at->{x} + $at->{w}, '<=', 24, "$title: is within the page");

	foreach my $target (@{ $panel->{targets} })
	{
		if ($panel->{datasource}{type} eq 'prometheus')
		{
			is_exported($target->{expr}, $title);
			my ($name) = $target->{expr} =~ /\b(ckpx_\w+)/;
			my %has = map { $_ => 1 } @{ $labels{$name} }, 'instance';
			is(join(' ', grep { !$has{$_} } $target->{legendFormat} =~ /\{\{(\w+)\}\}/g),
				'', "$title: its legend uses labels that it has");
		}
		else
		{
			ok(rows($target->{rawSql}), "$title: its query answers");
		}
	}
}
my ($top) = map { $_->{targets}[0]{rawSql} }
  grep { $_->{title} =~ /most WAL/ } @{ $dashboard->{panels} };
ok((grep { $_->{relation} eq 'public.t' } @{ rows($top) }),
	'the table that was filled is among the first');
is_exported($_->{query}, "variable $_->{name}")
  foreach grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} };

# The values follow what the server does.
is(metric('ckpx_runner', 'enabled'), 1, 'checkpoints are made');
is(metric('ckpx_status', 'level', item => 'tracking'), 0, 'and judged so');
is(metric('ckpx_gaps', 'newest_time_seconds'), 0, 'the first epoch begins with no gap');
is(metric('ckpx_runner', 'retained_limit_bytes'), 1024**3,
	'the limit is ckpx.max_retained_wal');
my $done = metric('ckpx_stat', 'incrementals_total');
cmp_ok($done, '>', 0, 'an incremental is counted');
cmp_ok(metric('ckpx_checkpoints', 'known', kind => 'incremental'), '>', 0, 'and known');
sql('DELETE FROM t');
sql('SELECT ckpx_checkpoint()');
is(metric('ckpx_stat', 'incrementals_total'), $done + 1, 'one more');
is(metric('ckpx_slot', 'active'), 1, 'the runner holds the slot');
is(metric('ckpx_workers', 'running', worker => 'runner'), 1, 'and runs');
sql('SELECT ckpx_disable()');
is(metric('ckpx_runner', 'enabled'), 0, 'none are made');
is(metric('ckpx_status', 'level', item => 'tracking'), 1, 'which is a warning');

# Without the library only the slot's query answers; the slot is lost, a gap is
# found.
$node->stop;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = ''\nmax_slot_wal_keep_size = '128MB'");
$node->start;
is(metric('ckpx_slot', 'present') - metric('ckpx_slot', 'active'),
	1, 'the slot is there and nothing holds it');
sql("SELECT pg_drop_replication_slot('ckpx')");
is(metric('ckpx_slot', 'present'), 0, 'the slot is gone');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
$node->restart;
await_tracking($node);
cmp_ok(metric('ckpx_gaps', 'newest_time_seconds'), '>', time() - 3600, 'a gap was found');
is(metric('ckpx_status', 'level', item => 'gaps'), 2, 'which is an error');
is(metric('ckpx_runner', 'retained_limit_bytes'), 96 * 1024**2,
	'the limit is two segments below max_slot_wal_keep_size');

$node->stop;
done_testing();
