# ALTER EXTENSION ckpx UPDATE, on a server with history and under load.
#
# Each version whose full script lies in sql/ is upgraded to the present one, by
# the scripts in sql/.  Beside them a version 0.9 is made up of the newest full
# script: two views lack their last column, a function is missing.  Its upgrade
# script follows the rules of CONTRIBUTING.md.
# So this is the present library under an older catalog.  It is not an older
# library's server: files of older formats are test_samples' matter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'adds a version to the server of test/private.sh'
  unless $ENV{CKPX_ROOT};

my $top = "$FindBin::RealBin/../..";
my ($version) = slurp_file("$top/ckpx.control") =~ /^default_version = '(.*)'$/m;
my ($full) = reverse map { /ckpx--([\d.]+)\.sql$/ ? $1 : () } sort glob("$top/sql/ckpx--*.sql");
my $script = slurp_file("$top/sql/ckpx--$full.sql");
chomp(my $share = `$ENV{PG_CONFIG} --sharedir`);
my @made = map { "$share/extension/ckpx--$_.sql" } '0.9', "0.9--$full";

END { unlink @made if @made }

# ---- version 0.9, and the way from it

my %last;			# columns that it lacks
my $older = $script;
my $upgrade = '';

sub cut
{
	my ($pattern) = @_;
	$older =~ s/$pattern// or die "the script has no $pattern";
	return;
}

foreach my $view (qw(runner checkpoints))
{
	my ($function) = $script =~ /^(CREATE FUNCTION ckpx_get_$view\(\)\n.*?TO pg_monitor, pg_checkpoint;\n)/ms;
	my ($column) = $function =~ /,\n    (\w+) [^,\n]+\)\nAS/;
	my ($definition) = $script =~ /^(CREATE VIEW ckpx_$view AS\n.*?;\n)/ms;
	my ($comment) = $script =~ /^(COMMENT ON COLUMN ckpx_$view\.$column IS\n'[^\n]*';\n)/m;

	$last{$view} = $column;
	cut(qr/(?<=CREATE FUNCTION ckpx_get_$view\(\)\n)(?s:.*?)\K,\n    $column [^,\n]+(?=\)\nAS)/);
	cut(qr/(?<=CREATE VIEW ckpx_$view AS\n)(?s:.*?)\K,\s+$column(?=\n    FROM)/);
	cut(qr/\Q$comment\E/);
	$definition =~ s/^CREATE/CREATE OR REPLACE/;
	$upgrade .= <<"EOC";
ALTER FUNCTION ckpx_get_$view() RENAME TO ckpx_get_${view}_old;
$function
$definition
$comment
DO \$\$
DECLARE
    roles text;
BEGIN
    SELECT string_agg(a.grantee::regrole::text, ', ' ORDER BY a.grantee::regrole::text) INTO roles
    FROM pg_proc p, aclexplode(p.proacl) a
    WHERE p.oid = 'ckpx_get_${view}_old()'::regprocedure
        AND a.grantee NOT IN (p.proowner, 'pg_monitor'::regrole, 'pg_checkpoint'::regrole);
    IF roles IS NOT NULL THEN
        RAISE WARNING 'grant EXECUTE on function ckpx_get_$view to % again', roles;
    END IF;
END\$\$;
DROP FUNCTION ckpx_get_${view}_old();
EOC
}

my ($function) = $script =~ /^(CREATE FUNCTION ckpx_checkpoint_mark\(.*?TO pg_monitor;\n)/ms;
cut(qr/\Q$function\E/);
$upgrade .= $function;

append_to_file($made[0], $older);
append_to_file($made[1], $upgrade);

# ---- a server with that version, and a history

my $node = history_node('main', conf => "max_slot_wal_keep_size = '2GB'\n");
$node->start;
my @older = sort map { /ckpx--([\d.]+)\.sql$/ && $1 ne $version ? $1 : () } glob("$share/extension/ckpx--*.sql");
ok((grep { $_ eq '0.9' } @older), "upgraded from @older");

sql($_) foreach map { my $name = s/\W/_/gr; "CREATE DATABASE v$name" } @older, 'new';
$node->safe_psql('v' . s/\W/_/gr, "CREATE EXTENSION ckpx VERSION '$_'") foreach @older;
$node->safe_psql('vnew', 'CREATE EXTENSION ckpx');
sql("CREATE EXTENSION ckpx VERSION '0.9'");
create_load($node);
await_tracking($node);

my $load = start_load($node);
my $start = wal_position($node);
sql(q{
	SELECT ckpx_checkpoint();
	SELECT ckpx_pin('kept', ckpx_low_water_mark());
	SELECT ckpx_record_backup(md5('1'), NULL, 1, '0/28', pg_current_wal_lsn(), 10);
	CREATE ROLE watcher LOGIN;
	GRANT SELECT ON ckpx_runner TO watcher;
	GRANT EXECUTE ON FUNCTION ckpx_get_runner TO watcher;
	CREATE VIEW mine AS SELECT epoch, problem FROM ckpx_runner;
});

# ---- the present library under the older catalog

like(error_of("SELECT * FROM ckpx_$_"),
	qr/function result has \d+ columns, the library returns \d+\nHINT:  Run ALTER EXTENSION ckpx UPDATE/,
	"a view without $last{$_} says what to do")
  foreach sort keys %last;
like(error_of("SELECT * FROM ckpx_checkpoints_after('0/1', 1)"),
	qr/HINT:  Run ALTER EXTENSION ckpx UPDATE/, 'so does a function of its rows');
cmp_ok(sql("SELECT count(*) FROM ckpx_changed_blocks('$start')"), '>', 3, 'functions that did not change answer');
is(sql('SELECT name FROM ckpx_pins'), 'kept', 'and views');
sql('SELECT ckpx_global_checkpoint()');

# ---- upgraded while it works

sub history
{
	return sql('SELECT lsn, name FROM ckpx_pins; SELECT * FROM ckpx_backups; SELECT * FROM ckpx_gaps; SELECT ckpx_low_water_mark()');
}

my $history = history();
my ($ret, $out, $err) = $node->psql('postgres', 'ALTER EXTENSION ckpx UPDATE');
is($ret, 0, 'upgraded under load');
is( join('; ', $err =~ /WARNING:  (.*)/g),
	'grant EXECUTE on function ckpx_get_runner to watcher again',
	'what is to be granted again');
is(sql("SELECT extversion FROM pg_extension WHERE extname = 'ckpx'"), $version, "the version is $version");
is(history(), $history, 'pins, backups, gaps and the beginning of the history are the same');
sql("SELECT $last{$_} FROM ckpx_$_ LIMIT 1") foreach sort keys %last;
is(sql('SELECT count(*) FROM mine'), '1', 'a view of the user was kept');
is(sql("SELECT has_table_privilege('watcher', 'ckpx_runner', 'SELECT')"), 't', 'so was a privilege on a view');
run_load($node, 20);
sql('SELECT ckpx_checkpoint()');
stop_load($load);
covers_all_oracles($node, $start, wal_position($node), 'from before the upgrade');
is_one_epoch($node, 'after the upgrade');

sql('GRANT EXECUTE ON FUNCTION ckpx_get_runner TO watcher');
my ($dump) = run_command([ 'pg_dump', '-s', '-d', $node->connstr('postgres') ]);
like($dump, qr/^GRANT SELECT ON TABLE public\.ckpx_runner TO watcher;/m, 'which pg_dump knows as the user\'s');
like($dump, qr/^GRANT ALL ON FUNCTION public\.ckpx_get_runner\(.* TO watcher;/m, 'and that on the function');

# ---- the same as installed anew

# All that the extension has, with definitions, comments and privileges.
my $catalog = q{
	WITH member AS (
		SELECT classid, objid FROM pg_depend
		WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
			AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ckpx')),
	acl AS (
		SELECT oid, 'pg_proc'::regclass AS class, proacl AS acl FROM pg_proc
		UNION ALL SELECT oid, 'pg_class', relacl FROM pg_class)
	SELECT d.type, d.identity,
		CASE m.classid WHEN 'pg_proc'::regclass THEN pg_get_functiondef(m.objid)
			WHEN 'pg_class'::regclass THEN pg_get_viewdef(m.objid) END,
		obj_description(m.objid, m.classid::regclass::name),
		(SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)), E'\n' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = m.objid AND m.classid = 'pg_class'::regclass AND attnum > 0),
		(SELECT string_agg(a::text, E'\n' ORDER BY a::text) FROM acl, unnest(acl) a WHERE acl.oid = m.objid AND class = m.classid),
		(SELECT string_agg(a::text, E'\n' ORDER BY a::text) FROM pg_init_privs i, unnest(initprivs) a
			WHERE i.objoid = m.objid AND i.classoid = m.classid)
	FROM member m, pg_identify_object(m.classid, m.objid, 0) d ORDER BY 1, 2};
my $anew = $node->safe_psql('vnew', $catalog);
cmp_ok($anew =~ tr/\n//, '>', 500, 'the catalog of a new installation');
foreach my $old (@older)
{
	my $database = 'v' . $old =~ s/\W/_/gr;

	isnt($node->safe_psql($database, $catalog), $anew, "$old is another one") if $old eq '0.9';
	$node->safe_psql($database, 'ALTER EXTENSION ckpx UPDATE');
	is($node->safe_psql($database, $catalog), $anew, "upgraded from $old it is the same");
}

($ret, $out, $err) = $node->psql('postgres', 'ALTER EXTENSION ckpx UPDATE');
like($err, qr/version "$version" of extension "ckpx" is already installed/, 'nothing more to do');
like(error_of("ALTER EXTENSION ckpx UPDATE TO '0.9'"), qr/no update path/, 'and no way back');

done_testing();
