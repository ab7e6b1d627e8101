
=head1 NAME

CkpxWorkload - work that changes blocks in every way there is

=head1 SYNOPSIS

  use CkpxWorkload;

  foreach my $step (workload_steps())
  {
      my ($name, $sql) = @$step;
      $node->safe_psql('postgres', $sql);
      # ... judge the map ...
  }

=head1 DESCRIPTION

Everything that changes a block in a way of its own: each index type, HOT
updates, vacuum, freezing, truncation, CLUSTER, rewrites, moves between
tablespaces, databases made in both ways, prepared transactions, aborts,
sequences, savepoints, relfilenode reuse.  The steps build on each other.  The
server needs allow_in_place_tablespaces and max_prepared_transactions.

=cut

package CkpxWorkload;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(workload_steps);

my @steps = (
	[ 'tables and indexes', q{
		CREATE TABLE t (id int, txt text, arr int[], pt point, r int4range,
			filler text) WITH (fillfactor = 70);
		INSERT INTO t SELECT g, md5(g::text), ARRAY[g % 10, g % 17],
			point(g % 100, g / 100), int4range(g, g + 5), repeat('x', 80)
			FROM generate_series(1, 6000) g;
		ALTER TABLE t ADD PRIMARY KEY (id);
		CREATE INDEX t_hash ON t USING hash (txt);
		CREATE INDEX t_gin ON t USING gin (arr);
		CREATE INDEX t_gist ON t USING gist (r);
		CREATE INDEX t_spgist ON t USING spgist (pt);
		CREATE INDEX t_spgist_txt ON t USING spgist (txt);
		CREATE INDEX t_brin ON t USING brin (id);
		CREATE SEQUENCE s; CREATE SEQUENCE s_cached CACHE 50;
		SELECT nextval('s'), nextval('s_cached');
		CREATE TABLE big (a text); ALTER TABLE big ALTER a SET STORAGE EXTERNAL;
		INSERT INTO big SELECT repeat(md5(g::text), 200) FROM generate_series(1, 50) g;
	} ],
	[ 'vacuum makes pages visible', q{
		VACUUM (FREEZE, ANALYZE) t; VACUUM big;
	} ],
	[ 'updates, deletes and locks clear bits', q{
		UPDATE t SET filler = 'hot' WHERE id % 50 = 0;
		UPDATE t SET txt = md5(txt), arr = arr || 99, r = int4range(id, id + 9),
			pt = point(id, id) WHERE id % 31 = 0;
		DELETE FROM t WHERE id % 43 = 0;
		BEGIN; SELECT count(*) FROM (SELECT 1 FROM t WHERE id % 53 = 0 FOR UPDATE) x; COMMIT;
		INSERT INTO t SELECT g, md5(g::text), ARRAY[g % 10], point(g, g),
			int4range(g, g + 2), 'new' FROM generate_series(7001, 7800) g;
		SELECT count(nextval('s')) FROM generate_series(1, 20);
	} ],
	[ 'prune, vacuum and truncate', q{
		SELECT count(*) FROM t WHERE id % 50 = 0;
		DELETE FROM t WHERE id > 3000;
		VACUUM t;
		SELECT gin_clean_pending_list('t_gin');
		CREATE TABLE tr (a int, b text);
		INSERT INTO tr SELECT g, repeat('t', 500) FROM generate_series(1, 3000) g;
		VACUUM tr;
		DELETE FROM tr WHERE a > 700;
		VACUUM tr;
		INSERT INTO tr SELECT g, repeat('u', 500) FROM generate_series(1, 900) g;
		TRUNCATE big;
		INSERT INTO big VALUES ('after');
	} ],
	[ 'aborts, savepoints and prepared transactions', q{
		BEGIN; CREATE TABLE gone (a int); INSERT INTO gone SELECT generate_series(1, 3000); ROLLBACK;
		BEGIN; INSERT INTO tr VALUES (1, 'x'); SAVEPOINT a; INSERT INTO tr VALUES (2, 'y');
			SAVEPOINT b; UPDATE tr SET b = 'z' WHERE a = 5; ROLLBACK TO a; RELEASE a; COMMIT;
		BEGIN; CREATE TABLE prep (a int); INSERT INTO prep SELECT generate_series(1, 2000); PREPARE TRANSACTION 'p1';
		BEGIN; DROP TABLE big; PREPARE TRANSACTION 'p2';
		BEGIN; CREATE TABLE prep2 (a int); INSERT INTO prep2 SELECT generate_series(1, 2000); PREPARE TRANSACTION 'p3';
		COMMIT PREPARED 'p1'; COMMIT PREPARED 'p2'; ROLLBACK PREPARED 'p3';
	} ],
	[ 'rewrites and moves', q{
		CLUSTER t USING t_pkey;
		VACUUM FULL tr;
		REINDEX TABLE t;
		ALTER TABLE t ADD COLUMN more int DEFAULT random() * 10;
		ALTER TABLE t ALTER id TYPE bigint;
		CREATE UNLOGGED TABLE un (a int PRIMARY KEY); INSERT INTO un SELECT generate_series(1, 1000);
		ALTER TABLE un SET LOGGED;
		CREATE MATERIALIZED VIEW mv AS SELECT id, txt FROM t; REFRESH MATERIALIZED VIEW mv;
		ALTER SEQUENCE s RESTART 5; SELECT setval('s_cached', 1000);
		CREATE TABLE parted (a int) PARTITION BY RANGE (a);
		CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
		INSERT INTO parted SELECT generate_series(0, 999);
	} ],
	[ 'checkpoint, then small changes', q{
		CHECKPOINT;
		UPDATE t SET filler = 'again' WHERE id BETWEEN 100 AND 120;
		SELECT nextval('s'), nextval('s_cached');
	} ],
	[ 'tablespaces and databases', q{
		CREATE TABLESPACE ts LOCATION '';
		ALTER TABLE t SET TABLESPACE ts;
		ALTER INDEX t_hash SET TABLESPACE ts;
		CREATE DATABASE d_wal STRATEGY wal_log;
		CREATE DATABASE d_copy STRATEGY file_copy;
		CREATE DATABASE d_gone STRATEGY wal_log;
		DROP DATABASE d_gone;
		ALTER DATABASE d_copy SET TABLESPACE ts;
	} ],
	[ 'other databases', q{
		\connect d_copy
		CREATE TABLE x (a int PRIMARY KEY, b text);
		INSERT INTO x SELECT g, repeat('d', 100) FROM generate_series(1, 3000) g;
		\connect d_wal
		CREATE TABLE y AS SELECT g AS a FROM generate_series(1, 3000) g;
		VACUUM FULL pg_class; REINDEX SYSTEM d_wal;
	} ],
	[ 'dropping', q{
		DROP TABLE tr; DROP MATERIALIZED VIEW mv; DROP SEQUENCE s_cached;
		DROP TABLE parted;
		DROP DATABASE d_wal;
	} ]);

=head2 workload_steps()

References to [name, SQL for database postgres].

=cut

sub workload_steps
{
	return map { [ $_->[0], $_->[1] =~ s/^\t+//mgr ] } @steps;
}

1;
