# What each role may do, what a caller's search_path or a file name can bring
# about, and which users may read the files.  Functions, views and settings are taken from the
# catalogs, so that a new one is covered without being listed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node('main', conf => 'ckpx.log_checkpoints = on');
my $secret = 'hushhush';
$node->append_conf('postgresql.conf',
	"ckpx.post_checkpoint_command = 'TOKEN=$secret; exit 1'");
$node->start;

# ---- names of an attacker who may create objects in the schema, before the
# extension does

$node->safe_psql(
	'postgres', q{
	CREATE ROLE mallory LOGIN;
	GRANT CREATE ON DATABASE postgres TO mallory;
	GRANT CREATE ON SCHEMA public TO mallory;
	SET ROLE mallory;
	CREATE SCHEMA evil;
	CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
	GRANT USAGE ON SCHEMA evil TO PUBLIC;});
foreach my $schema ('evil', 'public')
{
	$node->safe_psql(
		'postgres', qq{
		SET ROLE mallory;
		SET search_path = $schema, pg_catalog;
		CREATE DOMAIN pg_lsn AS pg_catalog.text;
		CREATE DOMAIN regclass AS pg_catalog.text;
		CREATE DOMAIN int8multirange AS pg_catalog.text;
		CREATE FUNCTION ckpx_get_runner(VARIADIC pg_catalog.int4[]) RETURNS pg_catalog.bool
			LANGUAGE sql AS 'SELECT evil.trap()';
		CREATE FUNCTION ckpx_get_gaps(a pg_catalog.text DEFAULT '') RETURNS pg_catalog.bool
			LANGUAGE sql AS 'SELECT evil.trap()';
		CREATE FUNCTION pg_current_wal_insert_lsn() RETURNS pg_catalog.bool
			LANGUAGE sql AS 'SELECT evil.trap()';});
	foreach my $type ('pg_lsn', 'int8', 'int4', 'text', 'oid', 'int8range',
		'int8multirange')
	{
		$node->safe_psql(
			'postgres', qq{
			SET ROLE mallory;
			CREATE FUNCTION $schema.trap_$type(pg_catalog.$type, pg_catalog.$type)
				RETURNS boolean LANGUAGE sql AS 'SELECT evil.trap()';
			CREATE OPERATOR $schema.= (FUNCTION = $schema.trap_$type,
				LEFTARG = pg_catalog.$type, RIGHTARG = pg_catalog.$type);
			CREATE OPERATOR $schema.< (FUNCTION = $schema.trap_$type,
				LEFTARG = pg_catalog.$type, RIGHTARG = pg_catalog.$type)});
	}
}
my ($status, $stdout, $stderr) =
  $node->psql('postgres', 'CREATE EXTENSION ckpx');
like($stderr, qr/ERROR:  function ckpx_get_gaps\(\) is not unique/,
	'the extension does not come to be beside a function that could be taken for its own');
$node->safe_psql('postgres', 'DROP FUNCTION public.ckpx_get_gaps(text)');
create_load($node);
await_tracking($node);
my $start = wal_position($node);
run_load($node, 10);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');

# What belongs to the extension.
my $members = q{
	SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
	JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
	WHERE e.extname = 'ckpx' AND d.deptype = 'e'
		AND d.refclassid = 'pg_extension'::regclass};
my $nfunctions = $node->safe_psql('postgres',
	"SELECT count(*) FROM ($members) m WHERE classid = 'pg_proc'::regclass");
cmp_ok($nfunctions, '>', 30, 'the extension has functions');

is( $node->safe_psql(
		'postgres', qq{
		SELECT p.oid::regprocedure, t.oid::regtype
		FROM ($members) m JOIN pg_proc p ON p.oid = m.objid
			AND m.classid = 'pg_proc'::regclass,
			unnest(p.proargtypes::oid[] || p.proallargtypes || p.prorettype) a
			JOIN pg_type t ON t.oid = a
		WHERE t.typnamespace <> 'pg_catalog'::regnamespace
			AND NOT EXISTS (SELECT FROM ($members) x WHERE x.objid = t.typrelid)}),
	'',
	'no function takes or returns a type of another role');
is( $node->safe_psql(
		'postgres', qq{
		SELECT p.oid::regprocedure
		FROM ($members) m JOIN pg_proc p ON p.oid = m.objid
			AND m.classid = 'pg_proc'::regclass
			JOIN pg_language l ON l.oid = p.prolang
		WHERE p.prosecdef OR l.lanname <> 'c' AND p.prosqlbody IS NULL
			AND NOT coalesce(array_to_string(p.proconfig, ',') ~ '^search_path=', false)}),
	'',
	'no function has the rights of its owner or a body that looks up names when it is called');
is( $node->safe_psql(
		'postgres', qq{
		SELECT v.objid::regclass, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
		FROM ($members) v JOIN pg_rewrite r ON r.ev_class = v.objid
			AND v.classid = 'pg_class'::regclass
			JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		WHERE (d.refclassid, d.refobjid) NOT IN ($members)
			AND (v.objid, d.refobjid) <> ('ckpx_status'::regclass, 'pg_replication_slots'::regclass)}),
	'',
	'no view looks at anything but the extension, and ckpx_status at the slots');

# A session that puts such names first gets the same answers.
my $search_path = 'SET search_path = evil, public, pg_catalog;';
($status, $stdout, $stderr) = $node->psql('postgres',
	"$search_path SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text");
like($stderr, qr/trapped/, 'search_path: the trap works');
my @views = split /\n/, $node->safe_psql('postgres', qq{
	SELECT objid::regclass FROM ($members) m
	WHERE classid = 'pg_class'::regclass ORDER BY 1::text});
cmp_ok(@views, '>', 8, 'the extension has views');
foreach my $query (
	(map { "SELECT * FROM public.$_" } @views),
	"SELECT public.ckpx_collect_range('$start')",
	"SELECT public.ckpx_changed_blocks('$start')",
	"SELECT public.ckpx_changed_blocks('$start', NULL, 'public.load_row'::pg_catalog.regclass)",
	"SELECT public.ckpx_changed_files('$start')",
	"SELECT public.ckpx_wal_by_relation('$start')",
	'SELECT public.ckpx_wal_history()',
	"SELECT public.ckpx_changed_rows(NULL::public.load_row, '$start')",
	"SELECT public.ckpx_collect_objects('$start')",
	'SELECT public.ckpx_timeline()',
	'SELECT public.ckpx_timeline_svg()',
	'SELECT public.ckpx_dirty_tree()',
	'SELECT public.ckpx_sync_point()',
	'SELECT public.ckpx_checkpoint()',
	"SELECT public.ckpx_flush_table('public.load_row')",
	'SELECT public.ckpx_backup_checkpoint()',
	'SELECT public.ckpx_global_checkpoint()',
	"SELECT public.ckpx_pin('search', '$start')",
	"SELECT public.ckpx_unpin('search')",
	'SELECT public.ckpx_gc()')
{
	($status, $stdout, $stderr) =
	  $node->psql('postgres', "$search_path $query");
	is($status . $stderr, '0', "search_path: $query");
}

# ---- functions, by role

$node->safe_psql(
	'postgres', q{
	CREATE ROLE nobody LOGIN;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE actor LOGIN IN ROLE pg_checkpoint;
	CREATE ROLE reader LOGIN IN ROLE pg_read_server_files});

# What changes something is PARALLEL UNSAFE; what only reads is not.
is( $node->safe_psql(
		'postgres', qq{
		WITH f AS (
			SELECT p.oid, p.proname,
				CASE WHEN p.proname ~ '^ckpx_fault_' OR p.proname = 'ckpx_uninstall' THEN '{}'::name[]
					WHEN p.proname ~ '^ckpx_read_' OR p.proname = 'ckpx_backup_files' THEN '{reader}'
					WHEN p.proname ~ '^ckpx_(get_|timeline)' OR p.proname IN ('ckpx_low_water_mark', 'ckpx_pending_count')
						THEN '{monitor,actor}'
					WHEN p.proparallel = 'u' THEN '{actor}'
					ELSE '{monitor}' END AS may
			FROM ($members) m JOIN pg_proc p ON p.oid = m.objid
				AND m.classid = 'pg_proc'::regclass)
		SELECT f.proname, f.may, r FROM f,
			unnest('{nobody,monitor,actor,reader}'::name[]) r
		WHERE has_function_privilege(r, f.oid, 'EXECUTE') <> (r = ANY (f.may))}),
	'',
	'each function may be called by exactly the roles that it is for');
is( $node->safe_psql(
		'postgres', qq{
		SELECT m.objid::regclass, r, p
		FROM ($members) m,
			unnest('{nobody,monitor,actor,reader}'::name[]) r,
			unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p
		WHERE m.classid = 'pg_class'::regclass
			AND has_table_privilege(r, m.objid, p) <>
				(r IN ('monitor', 'actor') AND p = 'SELECT')}),
	'',
	'each view may be read by pg_monitor and pg_checkpoint, and nothing else');

# The same by calling them; not with constants, for a strict function is not
# called for these at all.
my @calls = split /\n/, $node->safe_psql('postgres', qq{
	SELECT format('SELECT %s(%s)', p.oid::regproc,
		(SELECT string_agg(format('(SELECT NULL::%s)', a::regtype), ', ' ORDER BY n)
			FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (a, n)))
	FROM ($members) m JOIN pg_proc p ON p.oid = m.objid
		AND m.classid = 'pg_proc'::regclass});
push @calls, map { "SELECT * FROM $_" } @views;
is(@calls, $nfunctions + @views, 'a call for each function and view');
my @allowed = grep {
	$node->psql('postgres', $_,
		extra_params => [ '-U', 'nobody', '-v', 'VERBOSITY=verbose' ],
		stderr => \$stderr);
	$stderr !~ /ERROR:  42501: permission denied for (function|view)/
} @calls;
is("@allowed", '', 'a role without grants can call or read none of them');

# ---- settings, by role

my $settings = q{SELECT name FROM pg_settings WHERE name LIKE 'ckpx.%'};
my @settings = split /\n/, $node->safe_psql('postgres', $settings);
cmp_ok(@settings, '>', 25, 'there are settings');
is( $node->safe_psql('postgres',
		"$settings AND context NOT IN ('sighup', 'postmaster')"),
	'',
	'no setting can be changed by a session');
@allowed = grep {
	$node->psql('postgres', "ALTER SYSTEM RESET $_",
		extra_params => [ '-U', 'nobody', '-v', 'VERBOSITY=verbose' ],
		stderr => \$stderr);
	$stderr !~ /ERROR:  42501:/
} @settings;
is("@allowed", '', 'a role without grants can set none for the server');
foreach my $setting ('ckpx.post_checkpoint_command', 'ckpx.directory')
{
	my @role = (extra_params => [ '-U', 'nobody' ]);

	is($node->safe_psql('postgres', "$settings AND name = '$setting'", @role),
		'', "$setting: a role without grants does not see it");
	isnt($node->psql('postgres', "SHOW $setting", @role),
		0, "$setting: a role without grants cannot show it");
	is( $node->safe_psql(
			'postgres', "$settings AND name = '$setting'",
			extra_params => [ '-U', 'monitor' ]),
		$setting,
		"$setting: pg_monitor sees it");
}

# ---- what is in the log

$node->wait_for_log(qr/WARNING:  ckpx post command failed/);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
like(slurp_file($node->logfile), qr/LOG:  ckpx settings: enabled = .*post_checkpoint_command = '\(set\)'/,
	'the settings are in the log');
unlike(slurp_file($node->logfile), qr/$secret/,
	'the text of the post command is not');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM ckpx_workers WHERE last_error ~ '$secret'"),
	'0',
	'nor is it in what pg_monitor reads of a failure');

# ---- names of files

my $folder = store_dir($node);
my $object = $node->safe_psql('postgres',
	"SELECT location FROM ckpx_checkpoints WHERE kind = 'incremental' AND state = 'finished' LIMIT 1"
);
my @reader = (
	extra_params => [ '-U', 'reader', '-v', 'VERBOSITY=verbose' ],
	stderr => \$stderr, stdout => \$stdout);

is($node->psql('postgres', "SELECT length(ckpx_read_object('$object'))", @reader),
	0, 'an object is read');
is($stdout, -s "$folder/$object", 'all of it');

my ($store) = $folder =~ m{([^/]+)$};
my ($manifest) = manifests($node);
$manifest =~ s{.*/}{};
foreach my $name (
	'', '.', '..', '/', 'lock', 'ckpx_node', '../../ckpx_node',
	'../../PG_VERSION', '../../global/pg_control', '/etc/passwd', $folder,
	"$folder/$object", "./$object", "/$object", "$object/", "$object/.",
	"../$store/$object", "../../ckpx/$store/$object", "x/../$object",
	"$object.tmp", "$object.0", "$object.01", "$object.99999999999", $manifest,
	"$manifest.tmp", lc $object, " $object", "$object ", "$object\n",
	"$object;1", "${object}x", "${object}\\", 'x' x 5000)
{
	my $shown = length $name > 60 ? length($name) . ' bytes' : $name;

	$node->psql('postgres', "SELECT ckpx_read_object(\$name\$$name\$name\$)",
		@reader);
	like($stderr, qr/ERROR:  22023: invalid location/, "location \"$shown\"");
}
$node->psql('postgres', "SELECT ckpx_read_object('$object' || chr(0))",
	@reader);
like($stderr, qr/ERROR:  54000: null character not permitted/,
	'a location with a null character');

# What looks like an object, and is none.
(my $foreign = $object) =~ s/^inc_\d{8}/inc_FFFFFFFF/;
my $outside = "$folder/../../PG_VERSION";
symlink($outside, "$folder/$foreign") or die "could not make a link: $!";
$node->psql('postgres', "SELECT ckpx_read_object('$foreign')", @reader);
like($stderr, qr/ERROR:  42809: .*is not a regular file/,
	'a symbolic link is not followed');
unlink "$folder/$foreign";
require POSIX;
POSIX::mkfifo("$folder/$foreign", 0600) or die "could not make a pipe: $!";
$node->psql('postgres', "SELECT ckpx_read_object('$foreign')", @reader);
like($stderr, qr/ERROR:  42809: .*is not a regular file/,
	'nor is a pipe waited for');
unlink "$folder/$foreign";
mkdir "$folder/$foreign";
$node->psql('postgres', "SELECT ckpx_read_object('$foreign')", @reader);
like($stderr, qr/ERROR:  42809: .*is not a regular file/,
	'nor is a folder read');
rmdir "$folder/$foreign";

# ---- names from a database of another encoding

$node->safe_psql('postgres',
	"CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
$node->safe_psql('postgres',
	"CREATE DATABASE unicode TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
$node->safe_psql($_, 'CREATE EXTENSION ckpx') foreach 'bytes', 'unicode';
$node->safe_psql('bytes',
	"SELECT ckpx_pin(E'cut \\xc3\\xa4 \\xf0', ckpx_low_water_mark())");
$node->safe_psql('unicode',
	"SELECT ckpx_pin(U&'whole \\00e4', ckpx_low_water_mark())");
$node->restart;
await_tracking($node);
is( $node->safe_psql('unicode',
		"SELECT string_agg(name, ',' ORDER BY name COLLATE \"C\") = U&'cut ?? ?,whole \\00e4' FROM ckpx_pins"
	),
	't',
	'bytes that are no character in this database are not shown as they are');
is( $node->safe_psql('bytes',
		"SELECT count(*) FROM ckpx_pins WHERE name = E'cut \\xc3\\xa4 \\xf0'"),
	'1',
	'where they came from they are');
is_one_epoch($node, 'after all that');
$node->stop('fast');

# ---- rights of files and folders

sub modes_are
{
	my ($file_mode, $folder_mode, $name, @folders) = @_;
	my (@wrong, $nfiles);

	foreach my $path (`find @folders`)
	{
		chomp $path;
		my $mode = (lstat $path)[2] & 07777;
		push @wrong, sprintf('%s %04o', $path, $mode)
		  if $mode != (-d $path ? $folder_mode : $file_mode);
		$nfiles++;
	}
	cmp_ok($nfiles, '>', 5, "$name: there are files");
	is("@wrong", '', "$name: their modes");
}

my $data = $node->data_dir;
modes_are(0600, 0700, 'by default', "$data/ckpx", "$data/ckpx_node");

umask 0;
my $group = history_node('group', extra => ['--allow-group-access']);
my $absolute = PostgreSQL::Test::Utils::tempdir();
foreach my $directory ('ckpx', "$absolute/store")
{
	$group->append_conf('postgresql.conf', "ckpx.directory = '$directory'");
	$group->start;
	create_load($group) if $directory eq 'ckpx';
	lose_patience($group);
	await_tracking($group);
	run_load($group, 5);
	$group->safe_psql('postgres',
		'SELECT ckpx_backup_checkpoint(), ckpx_global_checkpoint()');
	$group->stop('fast');
}
$data = $group->data_dir;
modes_are(0640, 0750, 'with group access', "$data/ckpx", "$data/ckpx_node");
modes_are(0640, 0750, 'with group access, outside', "$absolute/store");

done_testing();
