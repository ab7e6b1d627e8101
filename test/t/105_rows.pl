# Answers in rows: the objects of a range, the parts of a backup checkpoint,
# names of relations of every database, WAL by relation and time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', on_demand => 1, conf => "ckpx.checkpoint_size = '64kB'\n");
my $space = PostgreSQL::Test::Utils::tempdir();
$node->start;
sql('CREATE EXTENSION ckpx');
await_tracking($node);

# ---- ckpx_collect_objects: what ckpx_collect_range names, in the same order

my @lsns = (sql('SELECT ckpx_checkpoint()'));
foreach my $i (1 .. 6)
{
	sql("CREATE TABLE many$i AS SELECT i FROM generate_series(1, 1000 * $i) i");
	push @lsns, wal_position($node) if $i % 2;
	push @lsns, sql('SELECT ckpx_checkpoint()');
	sql('SELECT ckpx_global_checkpoint()') if $i == 4;
}
push @lsns, wal_position($node);

my ($differ, $compared, $kinds) = split /\|/, sql(qq{
	WITH ends (lsn) AS (VALUES (NULL::pg_lsn)} . join('', map { ", ('$_')" } @lsns) . q{),
	pairs AS MATERIALIZED (
		SELECT a.lsn AS start_lsn, b.lsn AS end_lsn FROM ends a, ends b
		WHERE a.lsn <= b.lsn OR a.lsn IS NULL OR b.lsn IS NULL),
	compared AS (
		SELECT r.locations, o.locations AS objects
		FROM pairs p, ckpx_collect_range(p.start_lsn, p.end_lsn) r,
			LATERAL (SELECT coalesce(string_agg(location || ';' || version || ';', '' ORDER BY n)
					|| format('[%s_%s]', min(start_lsn), max(end_lsn)), '') AS locations
				FROM ckpx_collect_objects(p.start_lsn, p.end_lsn)
					WITH ORDINALITY AS o (kind, location, version, start_lsn, end_lsn, size, path, parts, n)) o)
	SELECT count(*) FILTER (WHERE locations <> objects), count(*),
		bool_or(locations ~ 'glo_') AND bool_or(locations ~ 'inc_') FROM compared});
is($differ, 0, 'the objects of every range are those of ckpx_collect_range');
cmp_ok($compared, '>', 30, 'of many ranges');
is($kinds, 't', 'globals and incrementals among them');
like(error_of("SELECT * FROM ckpx_collect_objects('$lsns[-1]', '$lsns[0]')"), qr/ERROR:  22023:/,
	'a range that ends before it starts');
my $wrong_files = 0;
foreach my $row (split /\n/, sql('SELECT path, parts, size_bytes FROM ckpx_collect_objects()'))
{
	my ($path, $parts, $bytes) = split /\|/, $row;
	my $size = 0;

	$size += -s $node->data_dir . "/$path" . ($_ ? ".$_" : '') foreach 0 .. $parts - 1;
	$wrong_files++ if $size != $bytes;
}
is($wrong_files, 0, 'their files have the sizes that are told');

# ---- ckpx_backup_checkpoint_row

sql('INSERT INTO many1 VALUES (1)');
my ($location, $version, $end, $tail, $from) = split /\|/,
  sql('SELECT location, version, end_lsn, tail_location, start_lsn FROM ckpx_backup_checkpoint_row()'), -1;
is(sql("SELECT end_lsn, version FROM ckpx_checkpoints WHERE location = '$location'"), "$from|$version",
	'the incremental of a backup checkpoint');
is( $tail eq '' ? "$from" : sql("SELECT start_lsn, end_lsn FROM ckpx_checkpoints WHERE location = '$tail'"),
	$tail eq '' ? $end : "$from|$end",
	'and its tail');

# ---- names

sql(<<"EOS");
CREATE ROLE watcher IN ROLE pg_monitor;
CREATE TABLESPACE elsewhere LOCATION '$space';
CREATE DATABASE "Other ""db";
CREATE DATABASE hidden;
CREATE DATABASE moved TABLESPACE elsewhere;
REVOKE CONNECT ON DATABASE hidden FROM PUBLIC;
EOS
my $other = 'Other "db';
my $before = sql('SELECT ckpx_checkpoint()');
my %made = (
	postgres => 'CREATE TABLE here (a int PRIMARY KEY, t text)',
	$other => 'CREATE SCHEMA "A.b"; CREATE TABLE "A.b"."C d" (a int PRIMARY KEY, t text);
		CREATE TEMP TABLE gone AS SELECT 1; CREATE TABLE inside (a int) TABLESPACE elsewhere;
		INSERT INTO inside VALUES (1); CREATE MATERIALIZED VIEW made AS SELECT 1 AS a;
		CREATE SEQUENCE numbers; CREATE TABLE dropped AS SELECT 1; DROP TABLE dropped',
	hidden => 'CREATE TABLE secret AS SELECT 1',
	moved => 'CREATE TABLE away AS SELECT 1');
$node->safe_psql($_, $made{$_}) foreach sort keys %made;
$node->safe_psql($other, q{INSERT INTO "A.b"."C d" SELECT i, repeat(md5(i::text), 200) FROM generate_series(1, 5) i;
	ALTER TABLE "A.b"."C d" ALTER t SET STORAGE EXTERNAL;
	INSERT INTO "A.b"."C d" SELECT i, repeat(md5(i::text), 200) FROM generate_series(6, 9) i});

# Database and relation of all that changed since; catalogs are many.
sub names
{
	my ($server, $since, $where, $role) = @_;

	return $server->safe_psql('postgres', 'SET ROLE ' . ($role // 'postgres') . qq{;
		SELECT string_agg(DISTINCT concat_ws('/', database_name, coalesce(relation_name, 'NULL')), ' ')
		FROM ckpx_wal_by_relation('$since') WHERE $where}) =~ s/pg_toast_\d+/pg_toast_N/gr;
}
my $not_catalogs = q{relation_name !~ '^pg_catalog|^pg_toast.pg_toast_[123]\d\d\d(_|$)'};
my $user = `id -un`;
chomp $user;
sql('CREATE ROLE postgres SUPERUSER') if $user ne 'postgres';
is( names($node, $before, $not_catalogs),
	'Other "db/"A.b"."C d" Other "db/"A.b"."C d_pkey" Other "db/pg_toast.pg_toast_N Other "db/pg_toast.pg_toast_N_index'
	  . ' Other "db/public.inside Other "db/public.made Other "db/public.numbers'
	  . ' hidden/public.secret moved/public.away postgres/pg_toast.pg_toast_N postgres/pg_toast.pg_toast_N_index postgres/public.here postgres/public.here_pkey',
	'names of four databases');
like(names($node, $before, q{database_name LIKE 'Other%'}), qr{/pg_catalog\.pg_class .*/pg_catalog\.pg_type },
	'catalogs, mapped ones too');
like(names($node, $before, q{database_name LIKE 'Other%'}), qr{/NULL}, 'none of a dropped table');
is(names($node, $before, q{database_name = 'hidden'}, 'watcher'), 'hidden/NULL',
	'none where the caller may not connect');
is(sql("SELECT count(*) FROM ckpx_wal_by_relation('$before') WHERE relation IS NOT NULL
		AND relation_name IS DISTINCT FROM (SELECT format('%I.%I', nspname, relname) FROM pg_class c
			JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = relation)"),
	'0', 'those of this database are those of its catalog');

# The catalog that is read has moved; names are found all the same.
$node->safe_psql($other, 'VACUUM FULL pg_class; VACUUM FULL pg_namespace');
like(names($node, $before, 'true'), qr{"A\.b"\."C d"}, 'after VACUUM FULL of its pg_class and pg_namespace');

# It is read under a lock: a call that waits for one can be canceled, and goes
# on when the other has ended.
my $holder = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr($other) ],
	'<', \my $in, '>', \my $out, IPC::Run::timeout(60));
$in = "BEGIN; LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n";
IPC::Run::pump($holder) until $out =~ /held/;
like(error_of("SET statement_timeout = '100ms'; SELECT count(*) FROM ckpx_wal_by_relation('$before')"),
	qr/57014: canceling statement due to statement timeout/, 'a wait can be canceled');
my $call = background("SELECT count(*) > 0 FROM ckpx_wal_by_relation('$before') WHERE relation_name = 'public.inside'");
wait_for_sql($node, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'pg_class'::regclass});
$in .= "COMMIT;\n\\q\n";
$holder->finish;
is($call->(), "t\n", 'and goes on');

# A database that is dropped meanwhile: each waits for the other at most.
my $dropper = start_query($node, q{
	DO $$ BEGIN FOR i IN 1 .. 20 LOOP PERFORM pg_sleep(0.01); END LOOP; END $$});
sql('CREATE DATABASE short STRATEGY wal_log');
$node->safe_psql('short', 'CREATE TABLE s AS SELECT 1');
my $loop = background(qq{DO \$\$ DECLARE n int; BEGIN
	FOR i IN 1 .. 200 LOOP
		SELECT count(*) INTO n FROM ckpx_wal_by_relation('$before') WHERE database_name = 'short';
		EXIT WHEN n = 0;
	END LOOP; END \$\$});
sql('DROP DATABASE short');
$dropper->{handle}->finish;
is($loop->(), '', 'a database is dropped while its names are read');
is(names($node, $before, q{database_name = 'short'}), '', 'it has no name any more');

# ---- ckpx_wal_history

# Sums by file over a list of ranges, as ckpx_wal_by_relation tells them.
my $sums = 'sum(records), sum(wal_bytes), sum(fpi), sum(tuples_inserted), sum(tuples_deleted)';
my $key = 'tablespace, database, relfilenode';
foreach (1 .. 3)
{
	sql('INSERT INTO here SELECT i + 1000 * ' . $_ . ", 'x' FROM generate_series(1, 200) i");
	sql('DELETE FROM here WHERE a % 3 = 0');
	sql('SELECT ckpx_checkpoint()');
}
sql("INSERT INTO here VALUES (-1, 'in no checkpoint yet')");
sql('SELECT pg_switch_wal()');
my $ranges = q{(SELECT start_lsn, end_lsn FROM ckpx_checkpoints WHERE kind = 'incremental' AND state = 'finished'
	UNION ALL SELECT checkpointed_lsn, NULL FROM ckpx_runner) r};
my $one_way = qq{SELECT $key, $sums FROM ckpx_wal_history(NULL, '1 day') GROUP BY $key};
my $another = qq{SELECT $key, $sums FROM $ranges, ckpx_wal_by_relation(r.start_lsn, r.end_lsn) GROUP BY $key};
# Reading the catalogs may prune their pages, which is WAL between the two.
sql_becomes($node, "SELECT count(*) FROM (($one_way EXCEPT $another) UNION ALL ($another EXCEPT $one_way)) d", '0',
	'the sums of all buckets are those of all incrementals');
cmp_ok(sql("SELECT count(*) FROM ($one_way) s"), '>', 50, 'of many relations');
is(sql("SELECT $sums FROM ckpx_wal_history('here')"),
	sql("SELECT $sums FROM ckpx_wal_history() WHERE relation_name = 'public.here'"), 'one relation by its name');
is(sql("SELECT count(*), count(DISTINCT bucket_start), min(relation_name), max(bucket_start) = date_trunc('hour', now())
		FROM ckpx_wal_history('here')"), '25|25|public.here|t', 'a row for each hour of a day');
is(sql("SELECT count(*) FROM ckpx_wal_history('here', '1 minute')"), '1441', 'and for each minute');
is(sql("SELECT string_agg(complete::text, ' ' ORDER BY bucket_start) FROM ckpx_wal_history('here', '1 day')"), 'false false',
	'before tracking began nothing is complete');
foreach my $bucket ('59 seconds', '1 day 1 second', '1 month', '-1 hour')
{
	like(error_of("SELECT * FROM ckpx_wal_history(NULL, '$bucket')"),
		qr/ERROR:  22023: bucket must be between one minute and one day/, "a bucket of $bucket");
}
like(error_of("CREATE VIEW v AS SELECT 1; SELECT * FROM ckpx_wal_history('v')"), qr/ERROR:  42809:/, 'a view');

sql('SELECT ckpx_checkpoint()');
my $removed = sql('SELECT ckpx_global_checkpoint() IS NOT NULL; SELECT ckpx_gc()') =~ s/^t\n//r;
cmp_ok($removed, '>', 3, 'incrementals are removed');
is(sql("SELECT bool_or(complete), sum(records) FROM ckpx_wal_history('here', '1 day')"), 'f|0',
	'then nothing is complete, and nothing is told');

# ---- damaged catalogs of other databases: names are missing, and nothing else

my ($catalog, $block) = split /\|/, $node->safe_psql($other,
	q{SELECT pg_relation_filepath('pg_class'), (ctid::text::point)[0] FROM pg_class WHERE relname = 'inside'});
is($node->safe_psql($other, "SELECT (ctid::text::point)[0] <> $block FROM pg_class WHERE relname = 'pg_class'"),
	't', 'two rows of pg_class on two pages');
my $map = $node->safe_psql('moved', q{SELECT pg_relation_filepath('pg_class')}) =~ s{[^/]+$}{pg_filenode.map}r;
$node->stop;
open(my $file, '+<:raw', $node->data_dir . "/$catalog") or die "could not open $catalog: $!";
seek($file, $block * 8192, 0);
print $file "\xFF" x 24;
close($file);
unlink($node->data_dir . "/$map") or die "could not remove $map: $!";
$node->start;
my ($names, $warnings);
$node->psql('postgres', qq{
	SELECT string_agg(DISTINCT concat_ws('/', database_name, coalesce(relation_name, 'NULL')), ' ')
	FROM ckpx_wal_by_relation('$before')}, stdout => \$names, stderr => \$warnings);
unlike($names, qr{public\.inside|public\.away}, 'a page and a map that are damaged: no name');
like($names, qr{Other "db/NULL.* Other "db/pg_catalog\.pg_class .* hidden/public\.secret .*moved/NULL.* postgres/public\.here},
	'but those of other pages and databases');
is(join(' ', sort $warnings =~ /WARNING:  could not read all names of relations in database "(.*)"\n/g), "$other moved",
	'one warning for each');

$node->stop;
done_testing();
