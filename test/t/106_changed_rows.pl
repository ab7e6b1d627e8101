# ckpx_changed_rows(): a copy of a table that is kept up to date by it stays
# equal, whatever happens to the table; the caller's rights hold.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{CKPX_RANDOM_SEED} // int(rand(2**31));
note "CKPX_RANDOM_SEED=$seed";
srand($seed);

my $node = new_node('main', conf => <<'EOC');
ckpx.commit_wait = '50ms'
ckpx.global_min_count = 5
max_parallel_workers_per_gather = 2
EOC
$node->start;
sql(<<'EOS');
CREATE EXTENSION ckpx;
CREATE TABLE source (id int PRIMARY KEY, n int, wide text) WITH (fillfactor = 80);
ALTER TABLE source ALTER wide SET STORAGE EXTERNAL;
INSERT INTO source SELECT i, 0, repeat(md5(i::text), 1 + i % 10) FROM generate_series(1, 6000) i;
CREATE TABLE copy (source_ctid tid PRIMARY KEY, LIKE source);
EOS

# ---- a copy kept up to date, as docs/recipes.md has it

my $reader = session($node);
my $since;

# One round; returns the rows read, those of the table, and the differences.
sub follow
{
	my ($blocks, $rows) = ('SELECT 0, 4294967295', 'SELECT ctid AS source_ctid, * FROM source');

	# The lock comes before the snapshot.
	ask($reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE source IN ACCESS SHARE MODE');
	my $next = ask($reader, 'SELECT ckpx_sync_point()');
	if (defined $since)
	{
		$blocks = qq{
			SELECT lower(r), upper(r) FROM ckpx_changed_blocks('$since', NULL, 'source'), unnest(blocks) r
			WHERE fork = 'main'
			UNION ALL
			SELECT limit_block, 4294967295 FROM ckpx_changed_blocks('$since', NULL, 'source')
			WHERE fork = 'main' AND limit_block IS NOT NULL};
		$rows = qq{SELECT ctid AS source_ctid, ("row").* FROM ckpx_changed_rows(NULL::source, '$since')};
	}
	ask($reader, qq{
		CREATE TEMP TABLE changed (first, beyond) ON COMMIT DROP AS $blocks;
		DELETE FROM copy USING changed
		WHERE source_ctid >= format('(%s,0)', first)::tid AND source_ctid < format('(%s,0)', beyond)::tid;
		CREATE TEMP TABLE changed_rows ON COMMIT DROP AS $rows;
		INSERT INTO copy SELECT * FROM changed_rows ON CONFLICT (source_ctid) DO NOTHING});
	my @counts = split /\|/, ask($reader, q{
		SELECT (SELECT count(*) FROM changed_rows), (SELECT count(*) FROM source),
			(SELECT count(*) FROM (SELECT ctid, * FROM source EXCEPT ALL SELECT * FROM copy) missing),
			(SELECT count(*) FROM (SELECT * FROM copy EXCEPT ALL SELECT ctid, * FROM source) extra)});
	ask($reader, 'COMMIT');
	$since = $next;
	return @counts;
}

is(join(' ', follow()), '6000 6000 0 0', 'the first copy is the whole table');
is(join(' ', (follow())[1 .. 3]), '6000 0 0', 'nothing has changed');

# Writers have rows of their own, so that none waits for another.
my @writers = map { { number => $_, open => 0, session => session($node) } } 0 .. 2;
my $next_id = 10000;

sub some_rows
{
	my $writer = shift;
	my $width = 1 + int(rand(300));
	my $from = int(rand(7000));

	return "id % 3 = $writer->{number} AND id BETWEEN $from AND $from + $width";
}

my @changes = (
	sub { "UPDATE source SET n = n + 1 WHERE " . some_rows($_[0]) },
	sub { "UPDATE source SET wide = repeat(md5(random()::text), 100) WHERE " . some_rows($_[0]) },
	sub { "DELETE FROM source WHERE id % 7 = 0 AND " . some_rows($_[0]) },
	sub { "SELECT count(*) FROM (SELECT FROM source WHERE " . some_rows($_[0]) . " FOR UPDATE) s" },
	sub {
		my $count = 1 + int(rand(100));
		my $ids = join ', ', map { "(" . new_id($_[0]) . ", 1, md5(random()::text))" } 1 .. $count;
		return "INSERT INTO source VALUES $ids";
	},
	sub {
		my $first = new_id($_[0]);

		$next_id += 300;
		return "COPY source FROM PROGRAM 'seq -f %.0f,2,copied $first 3 " . ($first + 297) . "' (FORMAT csv)";
	},
	sub { "SAVEPOINT s" . $_[0]->{savepoints}++ },
	sub {
		return 'SELECT' if !$_[0]->{savepoints};
		return "ROLLBACK TO s" . ($_[0]->{savepoints} - 1);
	});

# Of the writer's third.  The table does not grow without an end.
sub new_id
{
	my $writer = shift;

	$next_id += 3;
	return $next_id - $next_id % 3 + $writer->{number};
}

sub work
{
	my $writer = shift;

	if (!$writer->{open})
	{
		ask($writer->{session}, 'BEGIN');
		$writer->{open} = 1;
		$writer->{savepoints} = 0;
	}
	ask($writer->{session}, $changes[ rand @changes ]->($writer)) foreach 1 .. 1 + rand(4);
	finish($writer) if rand() < 0.4;
	return;
}

sub finish
{
	my $writer = shift;

	ask($writer->{session}, rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') if $writer->{open};
	$writer->{open} = 0;
	return;
}

# Those that need the table for themselves.
my @alone = (
	'VACUUM FULL source',
	'TRUNCATE source',
	'ALTER TABLE source ALTER n TYPE int USING n + 1',
	'CLUSTER source USING source_pkey',
	'VACUUM (TRUNCATE) source',
	"DELETE FROM source WHERE id > 5000; VACUUM (FREEZE, TRUNCATE) source");
my ($rounds, $partial, $across) = (30, 0, 0);
my @differences;
foreach my $round (1 .. $rounds)
{
	work($_) foreach @writers;
	ask($writers[0]->{maintenance} //= session($node), 'VACUUM source') if rand() < 0.2;
	if ($round % 5 == 0)
	{
		my $statement = $alone[ $round / 5 - 1 ];

		finish($_) foreach @writers;
		sql($statement);
		sql("INSERT INTO source SELECT $next_id + i, 0, md5(i::text) FROM generate_series(1, 3000) i")
		  if $statement =~ /^TRUNCATE/;
		$next_id += 3000;
		work($_) foreach @writers;
	}
	sql('SELECT ckpx_checkpoint()') if rand() < 0.2;
	$across++ if grep { $_->{open} } @writers;
	my ($read, $all, @wrong) = follow();
	$partial++ if $read > 0 && $read < $all;
	push @differences, "round $round: $wrong[0] rows missing, $wrong[1] too many"
	  if "@wrong" ne '0 0';
}
finish($_) foreach @writers;
is(join("\n", @differences), '', "the copy was equal in each of $rounds rounds (seed $seed)");
cmp_ok($partial, '>', 3, 'some rounds read a part of the table');
cmp_ok($across, '>', 3, 'transactions were open across some of them');
my @last = follow();
is("@last[2, 3]", '0 0', 'and is when all have ended');
end_session($_) foreach $reader, map { grep { defined } @$_{qw(session maintenance)} } @writers;

# ---- what a call by a role returns: rows, or an error

my $start = wal_position($node);
sql(<<'EOS');
CREATE ROLE reader IN ROLE pg_monitor;
CREATE ROLE nobody;
CREATE TABLE owned (a int, secret text);
INSERT INTO owned SELECT i, 'x' FROM generate_series(1, 10) i;
GRANT SELECT (a) ON owned TO reader, nobody;
CREATE SCHEMA "Odd ""schema";
CREATE TABLE "Odd ""schema"."t.(" (t int, "T" int, gone int, "row" int);
ALTER TABLE "Odd ""schema"."t.(" DROP gone;
INSERT INTO "Odd ""schema"."t.(" VALUES (1, 2, 3);
CREATE TABLE rules (a int, owner text);
INSERT INTO rules VALUES (1, 'reader'), (2, 'other');
ALTER TABLE rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON rules USING (owner = current_user);
GRANT SELECT ON rules TO reader;
CREATE TABLE forced (a int, owner text);
INSERT INTO forced VALUES (1, 'reader'), (2, 'other');
ALTER TABLE forced OWNER TO reader;
ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON forced USING (owner = current_user);
CREATE TABLE parted (a int) PARTITION BY RANGE (a);
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE TABLE parent (a int);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parted VALUES (1);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2);
CREATE VIEW seen AS SELECT 1 AS a;
CREATE MATERIALIZED VIEW made AS SELECT 1 AS a;
CREATE UNLOGGED TABLE unlogged (a int);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE afar (a int) SERVER nowhere;
CREATE TYPE pair AS (a int, b int);
CREATE SEQUENCE numbers;
CREATE SCHEMA trap;
CREATE FUNCTION trap.compare(tid, tid) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE 'trapped'; END $$;
CREATE OPERATOR trap.>= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = trap.compare);
CREATE OPERATOR trap.< (LEFTARG = tid, RIGHTARG = tid, FUNCTION = trap.compare);
GRANT USAGE ON SCHEMA trap TO reader;
EOS

sub rows_of
{
	my ($table, $before) = @_;
	my ($ret, $out, $err) = $node->psql('postgres',
		($before // '') . qq{;
		\\set VERBOSITY verbose
		SELECT coalesce(string_agg("row"::text, ' ' ORDER BY ctid), 'none')
		FROM ckpx_changed_rows(NULL::$table, '$start')}, extra_params => ['-q']);

	return $err =~ /ERROR:  (\w+): (.*)/ ? "$1 $2" : $out;
}

my $as = 'SET ROLE reader';
foreach my $case (
	[ 'a role without the function', 'owned', 'SET ROLE nobody', '42501 permission denied for function ckpx_changed_rows' ],
	[ 'a column that may not be read', 'owned', $as, '42501 permission denied for table owned' ],
	[ 'row security', 'rules', $as, '(1,reader)' ],
	[ 'row security, not for the owner', 'rules', '', '(1,reader) (2,other)' ],
	[ 'row security that holds for the owner', 'forced', $as, '(1,reader)' ],
	[ 'row_security = off', 'rules', "$as; SET row_security = off", '42501 query would be affected by row-level security policy for table "rules"' ],
	[ 'operators in the search_path', 'rules', "$as; SET search_path = trap, pg_catalog, public", '(1,reader)' ],
	[ 'names that need quotes, dropped columns', '"Odd ""schema"."t.("', '', '(1,2,3)' ],
	[ 'a partition', 'part', '', '(1)' ],
	[ 'a partitioned table', 'parted', '', '42809 relation "parted" has no storage' ],
	[ 'a table with children', 'parent', '', '(1)' ],
	[ 'a materialized view', 'made', '', '(1)' ],
	[ 'a view', 'seen', '', '42809 relation "seen" has no storage' ],
	[ 'a foreign table', 'afar', '', '42809 relation "afar" has no storage' ],
	[ 'an unlogged table', 'unlogged', '', '55000 relation "unlogged" is not in the map' ],
	[ 'a temporary table', 'gone', 'CREATE TEMP TABLE gone (a int)', '55000 relation "gone" is not in the map' ],
	[ 'a composite type', 'pair', '', '42809 relation "pair" has no storage' ],
	[ 'a sequence', 'numbers', '', '42704 type "numbers" does not exist' ],
	[ 'no row type', 'int', '', '42809 first argument must have the row type of a table' ],
	[ 'a shared catalog', 'pg_tablespace', '', 'none' ],
	[ 'in a read-only transaction', 'part', 'SET default_transaction_read_only = on', '(1)' ],
	[ 'with settings that forbid it', 'part', 'SET enable_tidscan = off; SET enable_seqscan = off', '(1)' ],
	[ 'a row that the transaction has just written', 'part', 'BEGIN; INSERT INTO parted VALUES (2)', '(1) (2)' ])
{
	my ($name, $table, $before, $expected) = @$case;

	is(rows_of($table, $before), $expected, $name);
}
is(error_of("SELECT * FROM ckpx_changed_rows(NULL::part, NULL)") =~ /ERROR:  (.*)/ && $1,
	'22004: since must not be null', 'no LSN');
like(error_of("SELECT * FROM ckpx_changed_rows(NULL::part, 'FFFF/0')"),
	qr/ERROR:  22023: since FFFF\/0 lies in the future/, 'an LSN in the future');
like(error_of("SELECT * FROM ckpx_changed_rows(NULL::part, '0/1')"),
	qr/ERROR:  55000: no block map/, 'an LSN from before the map');
like(error_of("SELECT * FROM ckpx_changed_rows(NULL, '0/1')"),
	qr/ERROR:  42804: could not determine polymorphic type/, 'a NULL without a type');

# Settings that the call makes for itself end with it.
is(sql("SELECT count(*) FROM ckpx_changed_rows(NULL::part, '$start'); SHOW enable_seqscan; SHOW plan_cache_mode"),
	"1\non\nauto", 'its settings end with the call');

# The leader of a parallel query makes the call.
is(sql(qq{SET force_parallel_mode = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0;
	SELECT count(*) FROM source s, ckpx_changed_rows(NULL::part, '$start')}
	=~ s/force_parallel_mode/$node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode'/er),
	sql('SELECT count(*) FROM source'), 'beside a parallel query');

# A row that a block holds, and that the statement does not see, is not there.
sql("DELETE FROM parted");
is(rows_of('part'), 'none', 'deleted rows');

# ---- on a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
wait_for_sql($standby, 'SELECT epoch IS NOT NULL FROM ckpx_runner');
wait_for_sql($standby, 'SELECT ckpx_wait_collected(pg_last_wal_replay_lsn())');
my $there = $standby->safe_psql('postgres', 'SELECT ckpx_sync_point()');
sql("UPDATE rules SET a = a + 10");
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres',
		qq{SELECT string_agg("row"::text, ' ' ORDER BY ctid) FROM ckpx_changed_rows(NULL::rules, '$there')}),
	'(11,reader) (12,other)', 'on a standby');
$standby->stop;
$node->stop;
done_testing();
