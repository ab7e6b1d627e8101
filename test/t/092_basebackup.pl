# ckpx_basebackup: full and incremental backups, plain and tar, with
# tablespaces, by a role without superuser; its options and messages; going on
# with a backup that was killed.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

program_help_ok('ckpx_basebackup');
program_version_ok('ckpx_basebackup');
program_options_handling_ok('ckpx_basebackup');

my $node = backup_node(
	'main',
	extra => ['--data-checksums'],
	conf => "allow_in_place_tablespaces = on\nckpx.global_min_count = 10000\n");
my $spaces = PostgreSQL::Test::Utils::tempdir;
make_path("$spaces/live");
$node->safe_psql('postgres', $_) foreach (
	"CREATE TABLESPACE outside LOCATION '$spaces/live'",
	"CREATE TABLESPACE inside LOCATION ''",
	q{CREATE TABLE t (a int PRIMARY KEY, b text)},
	q{INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 40000) g},
	q{CREATE TABLE out_t TABLESPACE outside AS SELECT * FROM t WHERE a <= 5000},
	q{CREATE TABLE in_t TABLESPACE inside AS SELECT * FROM t WHERE a <= 5000},
	q{CREATE TABLE shrinks AS SELECT * FROM t},
	q{CREATE UNLOGGED TABLE u AS SELECT * FROM t WHERE a <= 100},
	q{VACUUM});

# ---- the command line

sub refused
{
	my ($what, $error, @options) = @_;

	return command_fails_like([ 'ckpx_basebackup', @options ], $error, $what);
}
refused('no directory', qr/no directory for the backup/);
refused('a wrong number of jobs', qr/--jobs.*must be in range 1\.\.64/, '-D', 'x', '-j', 0);
refused('a wrong format', qr/invalid value "x" for option -F/, '-D', 'x', '-F', 'x');
refused('a wrong compression', qr/invalid value "gzip" for option -Z/, '-D', 'x', '-Z', 'gzip');
refused('a wrong rate', qr/is not between 32 kB/, '-D', 'x', '-r', 1);
refused('a wrong mapping', qr/must be "OLDDIR=NEWDIR"/, '-D', 'x', '-T', '/a');
refused('a rate of reading again without a parent', qr/--reread needs -i/, '-D', 'x', '--reread', '1/2');
refused('an argument too many', qr/too many command-line arguments/, '-D', 'x', 'y');
take_fails($node, 'no_resume', qr/--resume works with the plain format only/,
	'--resume', '-F', 't');
take_fails($node, 'no_map', qr/-T works with the plain format only/,
	'-F', 't', '-T', "$spaces/live=$spaces/copy");
take_fails($node, 'no_z', qr/-Z works with the tar format only/, '-Z', 'zstd:5');

# ---- the rights that are needed

take_fails($node, 'nobody', qr/database "template1" *$/m, '-d', 'template1');
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
take_fails($node, 'nobody', qr/permission denied|lacks: REPLICATION, pg_monitor/, '-U', 'stranger');
$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION pg_backup_stop FROM backup');
take_fails($node, 'nobody', qr/role "backup" lacks: EXECUTE on pg_backup_stop/);
$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION pg_backup_stop TO backup');

# ---- full, plain

my @map = ('-T', "$spaces/live=$spaces/full");
my $err = take_fails($node, 'full',
	qr/no place was given for the tablespace in "\Q$spaces\E\/live"/);
ok(!-e backup_dir('full') . '.partial', 'nothing is left of what did not begin');
my $out = take_ok($node, 'full', @map);
like($out, qr/^full backup ".*full": \d+ files, \d+ kB, [\dA-F\/]+ to [\dA-F\/]+, [\d.]+ s$/m,
	'one line tells what was made');
verify_ok('full');
my $label = label_lines('full');
like($label, qr/^LABEL: ckpx id [0-9a-f]{32} parent none$/m, 'its label has an id');
my ($start) = $label =~ /^START WAL LOCATION: (\S+)/m;
like($label, qr/\nCKPX CHECKPOINT: \S+ CRC [0-9A-F]{8} TIME \d+\n$/, 'and a mark');
is($node->safe_psql('postgres', "SELECT start_lsn = '$start', parent IS NULL FROM ckpx_backups"),
	't|t', 'the server has a row for it');
is($node->safe_psql('postgres', "SELECT count(*) FROM ckpx_pins WHERE name = 'backup'"),
	1, 'the pin is set');
sql_becomes($node, 'SELECT count(*) FROM pg_replication_slots WHERE temporary',
	0, 'no slot remains');
ok(!-e backup_dir('full') . '/tablespace_map', 'a plain backup has no tablespace map');
take_fails_again('full', qr/directory ".*full" exists already/);

# The name is taken: it remains.
sub take_fails_again
{
	my ($name, $error) = @_;
	my ($status, $o, $e) = take($node, $name, @map);

	return ok($status == 1 && $e =~ $error, "once more: $error");
}

my $expected = table_sums($node);
my $restored = start_restored('restored', backup_dir('full'));
same_tables($restored, $expected, 'a server on it has the same rows');
$restored->stop;
system_or_bail('rm', '-rf', $restored->data_dir, "$spaces/full");

# ---- full, tar

foreach my $options ([], [ '-Z', 'zstd:1', '-j', 4 ], [ '-Z', 'none', '-j', 1 ])
{
	my $name = 'tar' . join '', map { s/\W//gr } @$options;
	take_ok($node, $name, '-F', 't', '--no-pin', @$options);
	verify_ok($name);
}
my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_tablespace WHERE spcname = 'outside'});
is(join(' ', sort map { s{.*/}{}r } glob(backup_dir('tar') . '/*')),
	"$oid.tar.zst backup_manifest base.tar.zst", 'the files of a backup in tar format');
like(slurp_file(unpacked('tar') . '/tablespace_map'), qr/^$oid \Q$spaces\E\/live$/m,
	'with a tablespace map');

my $long_name = 'n' x 120;
append_to_file($node->data_dir . "/$long_name", 'x');
take_fails($node, 'long', qr/file name is too long for the tar format: "$long_name"\n.*\n.*hint: .*-F p/, '-F', 't');
ok(!-e backup_dir('long') . '.partial', 'a name that no tar can hold is refused before anything is made');
unlink $node->data_dir . "/$long_name";

# ---- increments

sub work
{
	$node->safe_psql('postgres', $_) foreach (
		q{UPDATE t SET b = 'changed' WHERE a % 4001 = 0},
		q{UPDATE out_t SET b = 'changed' WHERE a % 401 = 0},
		q{UPDATE in_t SET b = 'changed' WHERE a % 401 = 0},
		q{DELETE FROM shrinks WHERE a > 20000},
		q{VACUUM shrinks},
		q{INSERT INTO shrinks SELECT g, 'again' FROM generate_series(100001, 100100) g},
		q{DROP TABLE IF EXISTS made},
		q{CREATE TABLE made AS SELECT * FROM t WHERE a <= 1000});
	return;
}

my $file = $node->safe_psql('postgres', q{SELECT pg_relation_filepath('t')});
my $new = sub {
	my $path = $node->safe_psql('postgres', q{SELECT pg_relation_filepath('made')});
	return ($path, $path =~ s{([^/]+)$}{INCREMENTAL.$1}r);
};
(my $stub = $file) =~ s{([^/]+)$}{INCREMENTAL.$1};

work();
$out = take_ok($node, 'inc1', '-i', backup_dir('tar'), '--json');
my ($json) = $out =~ /\n(\{.*\})\n$/;
like($json, qr/^\{"status": "complete", "id": "[0-9a-f]{32}", "parent": "[0-9a-f]{32}", .*"wrong_checksums": 0, /,
	'the last line is JSON');
verify_ok('inc1');
my $sizes = manifest_files('inc1');
ok(exists $sizes->{$stub} && !exists $sizes->{$file} && $sizes->{$stub} < 400_000,
	"of a table some blocks: $sizes->{$stub} bytes");
my ($path, $path_stub) = $new->();
ok(exists $sizes->{$path} && !exists $sizes->{$path_stub}, 'a new table is whole');
like(label_lines('inc1'), qr/^INCREMENTAL FROM LSN: \S+\nINCREMENTAL FROM TLI: 1\nSTART WAL/,
	'the label begins with what it needs');

work();
take_ok($node, 'inc2', '-i', 'auto', '-F', 'p');
verify_ok('inc2');
my ($id) = label_lines('inc1') =~ /ckpx id (\w+)/;
like(label_lines('inc2'), qr/ parent $id$/m, '-i auto has taken the newest');
ok(-d backup_dir('inc2') . "/pg_tblspc/$oid" && !-l backup_dir('inc2') . "/pg_tblspc/$oid",
	'a tablespace of a plain increment is a directory of its own');

my $restored2 = PostgreSQL::Test::Cluster->new('restored2');
like($restored2->data_dir, qr/./, 'a place to restore to');
$expected = table_sums($node);
SKIP:
{
	my ($usage) = run_command([ 'ckpx_combinebackup', '--help' ]);
	skip 'ckpx_combinebackup cannot combine yet', 3 if $usage !~ /--into/;
	combine_ok('inc2', $restored2->data_dir, '-T', "$spaces/live=$spaces/combined");
	$restored2->append_conf('postgresql.conf', 'port = ' . $restored2->port);
	$restored2->append_conf('postgresql.conf', "unix_socket_directories = '" . $restored2->host . "'");
	$restored2->start;
	same_tables($restored2, $expected, 'a server on full and two increments has the same rows');
	$restored2->stop;
}

# ---- options of increments

my ($status, $dry) = take($node, 'dry', '-i', 'auto', '--dry-run');
ok($status == 0 && !-e backup_dir('dry') . '.partial' && $dry =~ /^incremental backup from \S+: \d+ files/,
	'--dry-run tells what it would be');
take_ok($node, 'reread', '-i', 'auto', '--reread', '1/1', '--no-pin', '-X', 'none');
is(scalar(grep { /INCREMENTAL/ && !/_fsm/ } keys %{ manifest_files('reread') }), 0,
	'--reread=1/1 copies all files whole');
is(scalar(glob(unpacked('reread') . '/pg_wal/0*')) // '', '', '-X none leaves WAL out');
take_ok($node, 'sha', '-i', backup_dir('tar'), '--manifest-checksums', 'SHA256', '-r', '64M', '-P', '-v');
verify_ok('sha');
take_ok($node, 'none', '-i', backup_dir('tar'), '--manifest-checksums', 'NONE', '--no-verify-checksums');
verify_ok('none');
take_ok($node, 'standby', '-F', 't', '-R');
ok(-e unpacked('standby') . '/standby.signal', '-R writes standby.signal');
like(slurp_file(unpacked('standby') . '/postgresql.auto.conf'), qr/^primary_conninfo = /m,
	'and a connection string');
verify_ok('standby');
take_ok($node, 'pinned', '-i', 'auto', '--pin', 'mine', '--pin-ttl', 3);
is($node->safe_psql('postgres', q{SELECT expires_at - created_at FROM ckpx_pins WHERE name = 'mine'}),
	'3 days', '--pin and --pin-ttl');

# ---- parents that cannot be

take_fails($node, 'orphan', qr/could not use "\/nowhere" as parent/, '-i', '/nowhere');
my $other = backup_node('other');
take_ok($other, 'foreign', '--no-pin');
take_fails($node, 'orphan', qr/system identifier is \d+, the server's is \d+/,
	'-i', backup_dir('foreign'));
$other->stop;

# A gap in what the map knows.  Of the last backup's checkpoint no object tells.
$node->safe_psql('postgres', 'SELECT ckpx_disable()');
take_ok($node, 'untold', '-i', 'auto', '--no-pin');
$node->stop;
remove_tree(glob($node->data_dir . '/pg_replslot/ckpx*'));
$node->start;
wait_for_sql($node, q{SELECT reason IS NOT NULL FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1});
$err = take_fails($node, 'gap', qr/no increment is possible/, '-i', backup_dir('inc1'));
like($err, qr/A full backup would have \d+ MB/, 'and how large a full one would be');
like($err, qr/The first missing LSN is/, 'from where on');
like($err, qr/use --on-gap=full/, 'and the way out');
take_fails($node, 'gap', qr{changes from \S+ to \S+ are not known: replication slot is missing},
	'-i', backup_dir('untold'));
take_ok($node, 'over_gap', '-i', backup_dir('inc1'), '--on-gap', 'full',
	'-T', "$spaces/live=$spaces/gap");
like(label_lines('over_gap'), qr/ parent none$/m, '--on-gap=full takes a full one');
verify_ok('over_gap');

$node->stop;
done_testing();
