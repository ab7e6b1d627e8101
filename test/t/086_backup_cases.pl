# Cases that PostgreSQL's own tests have for its incremental backups (see
# test/backup_cases.md), for ckpx_basebackup and ckpx_combinebackup: every kind
# of change between two backups, judged by the dump of a stock full that was
# recovered to the same LSN; visibility maps; another timeline; backups that do
# not belong together; WAL that is not logged in between.

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

my $spaces = PostgreSQL::Test::Utils::tempdir;
my $archive = PostgreSQL::Test::Utils::tempdir;
make_path("$spaces/live");
my $primary = backup_node(
	'primary',
	conf => <<"EOC");
archive_mode = on
archive_command = 'cp %p $archive/%f'
checkpoint_timeout = '1h'
wal_keep_size = '1GB'
EOC
my @vm_tables = map { "vm_$_" } qw(insert delete update lock copy);

$primary->safe_psql('postgres', $_) foreach (
	"CREATE TABLESPACE ts LOCATION '$spaces/live'",
	q{CREATE EXTENSION pg_visibility},
	(map { "CREATE TABLE $_ (a int, b text)" }
		  qw(timelines changes grows shrinks is_vacuumed goes is_rewritten is_truncated)),
	(map { "INSERT INTO $_ VALUES (1, 'first')" }
		  qw(timelines changes grows shrinks is_vacuumed goes is_rewritten)),
	(map { "CREATE TABLE $_ TABLESPACE ts AS SELECT 1 AS a, 'first' AS b" }
		  qw(stays_in_ts changes_in_ts goes_in_ts)),
	q{INSERT INTO is_truncated SELECT g, repeat('x', 4000) FROM generate_series(1, 20) g},
	q{ALTER TABLE is_truncated ALTER b SET STORAGE PLAIN},
	q{UPDATE is_truncated SET b = repeat('y', 4000)},
	q{CREATE DATABASE goes},
	q{CREATE DATABASE again OID = 100000 STRATEGY = file_copy},
	(
		map {
			(
				"CREATE TABLE $_ (a int, b text)",
				"ALTER TABLE $_ ALTER b SET STORAGE PLAIN",
				"INSERT INTO $_ SELECT g, repeat('a', 200) FROM generate_series(1, 70) g")
		} @vm_tables),
	q{VACUUM (FREEZE)});
$primary->safe_psql('again', 'CREATE TABLE t1 (a int)');

# A file whose name only looks like that of an increment.
append_to_file($primary->data_dir . '/INCREMENTAL.config', '');

# All pages of the visibility maps: all_visible, all_frozen.
sub visibility
{
	my ($node) = @_;

	return join "\n", map {
		"$_ " . $node->safe_psql('postgres',
			"SELECT string_agg(blkno || ' ' || all_visible || all_frozen, ',' ORDER BY blkno)
				FROM pg_visibility_map('$_')")
	} @vm_tables;
}

# ---- a stock full, a standby and another node on it, our full

$primary->command_ok(
	[ 'pg_basebackup', '-D', backup_dir('stock'), '-c', 'fast', '--no-sync',
		'-T', "$spaces/live=$spaces/stock" ],
	'a stock full');

# A copy of the stock full with a tablespace of its own.
sub stock_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my ($link) = glob(backup_dir('stock') . '/pg_tblspc/*');
	my $in_data = $node->data_dir . '/pg_tblspc/' . ($link =~ s{.*/}{}r);

	copy_tree(backup_dir('stock'), $node->data_dir);
	copy_tree("$spaces/stock", "$spaces/$name");
	unlink $in_data or die "could not remove \"$in_data\": $!";
	symlink "$spaces/$name", $in_data or die "could not make \"$in_data\": $!";
	return $node;
}

my $pitr_stock = stock_node('pitr_stock');
my $standby = stock_node('standby');
settle($standby, 'archive_mode = off', "primary_conninfo = '" . $primary->connstr . "'",
	"restore_command = 'cp $archive/%f %p'");
$standby->set_standby_mode;
$standby->start;
wait_for_sql($standby, q{SELECT epoch > 0 FROM ckpx_runner});

take_ok($primary, 'full', '-T', "$spaces/live=$spaces/full");

# ---- changes, increments

my $visible = visibility($primary);
$primary->safe_psql('postgres', $_) foreach (
	q{UPDATE changes SET b = 'second'},
	q{UPDATE changes_in_ts SET b = 'second'},
	q{INSERT INTO grows SELECT g, 'more' FROM generate_series(2, 5000) g},
	q{TRUNCATE shrinks},
	q{VACUUM is_vacuumed},
	q{DROP TABLE goes, goes_in_ts},
	q{CREATE TABLE made AS SELECT 1 AS a, 'made' AS b},
	q{CREATE TABLE made_in_ts TABLESPACE ts AS SELECT 1 AS a, 'made' AS b},
	q{VACUUM FULL is_rewritten},
	q{DELETE FROM is_truncated WHERE a > 15},
	q{VACUUM (TRUNCATE) is_truncated},
	q{DROP DATABASE goes},
	q{CREATE DATABASE made},
	q{DROP DATABASE again},
	q{CREATE DATABASE again OID = 100000 STRATEGY = file_copy},
	q{INSERT INTO vm_insert VALUES (1)},
	q{DELETE FROM vm_delete WHERE a = 1},
	q{UPDATE vm_update SET a = 0 WHERE a = 1},
	q{UPDATE vm_update SET b = repeat('b', 4000) WHERE a = 2},
	q{SELECT * FROM vm_lock WHERE a = 1 FOR UPDATE},
	qq{COPY vm_copy FROM STDIN;\n42\tcopied\n\\.\n});
my $changed = visibility($primary);
isnt((split /\n/, $changed)[$_], (split /\n/, $visible)[$_],
	"the visibility map of $vm_tables[$_] has changed") foreach 0 .. $#vm_tables;

take_ok($primary, 'inc1', '-i', backup_dir('full'), '-F', 'p');
$primary->safe_psql('postgres', q{INSERT INTO timelines VALUES (2, 'second')});
take_ok($primary, 'inc2', '-i', 'auto');
verify_ok($_) foreach qw(full inc1 inc2);
ok(exists manifest_files('full')->{'INCREMENTAL.config'}, 'INCREMENTAL.config is a file as any other');

# ---- recovery to one LSN, from the stock full and from the chain

$primary->safe_psql('postgres', q{UPDATE changes SET b = 'third'});
my $lsn = $primary->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
$primary->safe_psql('postgres', q{UPDATE changes SET b = 'too late'});
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
wait_for_sql($primary,
	"SELECT pg_walfile_name('$lsn') <= last_archived_wal FROM pg_stat_archiver");

# Where the links of plain backups lead, and where the tablespace goes to.
sub mapped
{
	my ($to) = @_;
	return map { ('-T', "$spaces/$_=$spaces/$to") } qw(live full);
}

settle($pitr_stock, 'archive_mode = off', "recovery_target_lsn = '$lsn'", 'recovery_target_action = promote',
	"restore_command = 'cp $archive/%f %p'");
append_to_file($pitr_stock->data_dir . '/recovery.signal', '');
$pitr_stock->start;
my $pitr = PostgreSQL::Test::Cluster->new('pitr');
combine_ok('inc2', $pitr->data_dir, mapped('pitr'), '--target-lsn', $lsn,
	'--target-action', 'promote', '--restore-command', "cp $archive/%f %p");
settle($pitr, 'archive_mode = off');
$pitr->start;
wait_for_sql($_, 'SELECT NOT pg_is_in_recovery()') foreach ($pitr_stock, $pitr);
is($pitr->safe_psql('postgres', 'SELECT b FROM changes'), 'third', 'recovered to the LSN');
is(dump_text($pitr), dump_text($pitr_stock), 'the dump of the chain is that of the stock full');
is($pitr->safe_psql('again', q{SELECT to_regclass('t1') IS NULL}), 't',
	'a database with the OID of a dropped one has none of its tables');
is($pitr->safe_psql('postgres', 'SELECT count(*) FROM is_truncated'), 15,
	'a table that was cut has its rows');
is(visibility($pitr), $changed, 'visibility maps are as they were');
is($pitr->safe_psql('postgres', "SELECT count(*) FROM pg_check_visible('$_'), pg_check_frozen('$_')"),
	0, "and right, of $_") foreach @vm_tables;

# The recovered node is of the same history, on another timeline.
$pitr->safe_psql('postgres', q{UPDATE changes SET b = 'on the new timeline'});
take_ok($pitr, 'inc3_pitr', '-i', backup_dir('inc2'));
verify_ok('inc3_pitr');
my $again = PostgreSQL::Test::Cluster->new('again');
combine_ok('inc3_pitr', $again->data_dir, mapped('again'), '-T', "$spaces/pitr=$spaces/again");
settle($again, 'archive_mode = off');
$again->start;
is(dump_text($again), dump_text($pitr), 'an increment of a recovered node');
$_->stop foreach ($again, $pitr, $pitr_stock);

# ---- a standby that was promoted somewhere, and the old primary goes on

$standby->stop;
$primary->safe_psql('postgres', q{INSERT INTO timelines VALUES (3, 'before the fork')});
my $fork = $primary->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
$primary->safe_psql('postgres', q{INSERT INTO timelines VALUES (4, 'abandoned')});
settle($standby, 'archive_mode = off', "recovery_target_lsn = '$fork'", 'recovery_target_action = pause');
$standby->start;
wait_for_sql($standby, q{SELECT pg_get_wal_replay_pause_state() = 'paused'});
$standby->safe_psql('postgres', 'SELECT pg_promote()');
wait_for_sql($standby, 'SELECT NOT pg_is_in_recovery()');
$standby->safe_psql('postgres', q{INSERT INTO timelines VALUES (5, 'after the fork')});
take_ok($standby, 'inc3', '-i', backup_dir('inc2'));
verify_ok('inc3');
like(label_lines('inc3'), qr/^INCREMENTAL FROM TLI: 1\nSTART WAL.*\n(?:.*\n)*START TIMELINE: 2$/m,
	'an increment from timeline 1 to 2');
my $forked = PostgreSQL::Test::Cluster->new('forked');
combine_ok('inc3', $forked->data_dir, mapped('forked'), '-T', "$spaces/standby=$spaces/forked");
settle($forked, 'archive_mode = off');
$forked->start;
is($forked->safe_psql('postgres', q{SELECT string_agg(a::text, ' ' ORDER BY a) FROM timelines}),
	'1 2 3 5', 'rows of both timelines, none of the abandoned one');
is(dump_text($forked), dump_text($standby), 'the dump is that of the promoted node');
$_->stop foreach ($forked, $standby);

# ---- backups that do not belong together

sub combine_fails
{
	my ($error, $name, @chain) = @_;
	my $out = backup_dir('out');

	command_fails_like(
		[ 'ckpx_combinebackup', '--no-sync', '-o', $out, mapped('out'),
			map { backup_dir($_) } @chain ],
		$error, $name);
	ok(!-e $out, "$name: nothing is left");
	remove_tree($out);
	return;
}

combine_fails(qr/does not go on from/, 'increments in the wrong order', qw(full inc2 inc1));
combine_fails(qr/does not go on from/, 'an increment left out', qw(full inc2));
combine_fails(qr/only the first may be one/, 'two fulls', qw(full full inc1));
combine_fails(qr/the first must be a full/, 'no full', qw(inc1 inc2));
combine_ok('inc1', backup_dir('synthetic'), mapped('synthetic'));
command_ok(
	[ 'ckpx_combinebackup', '--no-sync', '-o', backup_dir('later'), mapped('later'),
		'-T', "$spaces/synthetic=$spaces/later", map { backup_dir($_) } qw(synthetic inc2) ],
	'what was combined, and a later increment');
command_ok([ 'pg_verifybackup', backup_dir('later') ], 'pg_verifybackup of both');
command_fails_like(
	[ 'ckpx_combinebackup', '--no-sync', '-o', backup_dir('out'), mapped('out'),
		'-T', "$spaces/synthetic=$spaces/out", map { backup_dir($_) } qw(synthetic inc1) ],
	qr/does not go on from/, 'what was combined, and an increment that is in it');

# A full in which a stub stands for a file.
my ($stub) = map { s{.*/base/}{base/}r }
  grep { -e backup_dir('full') . '/' . s{.*/base/(.*)INCREMENTAL\.}{base/$1}r }
  glob(backup_dir('inc1') . '/base/1/INCREMENTAL.*');
ok($stub, 'an increment of a file that the full has');
my $whole = $stub =~ s{INCREMENTAL\.}{}r;
copy_tree(backup_dir('inc1') . "/$stub", backup_dir('full') . "/$stub");
rename backup_dir('full') . "/$whole", backup_dir('full.whole') or die "could not rename: $!";
combine_fails(qr/\Q$whole\E|\Q$stub\E/, 'a full with an increment for a file', qw(full inc1));
unlink backup_dir('full') . "/$stub";
rename backup_dir('full.whole'), backup_dir('full') . "/$whole" or die "could not rename: $!";

# Another system: checksums, so that initdb runs and nothing is copied.  It lets
# the group read, and has an equal sign in a tablespace's name.
my $elsewhere = backup_dir('elsewhere');
my $other = backup_node('other', extra => [ '--data-checksums', '--allow-group-access' ]);
make_path($elsewhere, "$spaces/is=live");
$other->safe_psql('postgres', "CREATE TABLESPACE ts LOCATION '$spaces/is=live'");
$other->safe_psql('postgres', 'CREATE TABLE in_ts TABLESPACE ts AS SELECT 1 AS a');
take_ok($other, "$elsewhere/full", '--no-pin', '-T', "$spaces/is\\=live=$spaces/is\\=full");
ok(-e "$spaces/is=full", 'a tablespace with an equal sign is mapped');
ok(check_mode_recursive("$elsewhere/full", 0750, 0640), 'the group may read the backup');
ok(check_mode_recursive("$spaces/is=full", 0750, 0640), 'and its tablespace');
ok(check_mode_recursive(backup_dir('full'), 0700, 0600), 'the group may not, where it may not read the server');
take_ok($other, "$elsewhere/inc1", '--no-pin', '-i', "$elsewhere/full");
ok(check_mode_recursive("$elsewhere/inc1", 0750, 0640), 'the group may read the increment');
append_to_file($other->data_dir . '/' . 'x' x 101, '');
take_fails($other, 'long_name', qr/x{101}/, '-F', 't');
take_ok($other, 'long_plain', '--no-pin', '-T', "$spaces/is\\=live=$spaces/is\\=long");
combine_fails(qr/system|does not go on from/, 'an increment of another system', 'full', "$elsewhere/inc1");
rename backup_dir('inc1') . '/backup_manifest', backup_dir('manifest') or die $!;
system_or_bail('cp', "$elsewhere/inc1/backup_manifest", backup_dir('inc1'));
combine_fails(qr/manifest|system/, 'the manifest of another system', qw(full inc1 inc2));
rename backup_dir('manifest'), backup_dir('inc1') . '/backup_manifest' or die $!;
$other->stop;

# ---- changes that were not logged in between

$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->stop;
my $conf = slurp_file($primary->data_dir . '/postgresql.conf');
$primary->append_conf('postgresql.conf',
	"wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off");
remove_tree(glob($primary->data_dir . '/pg_replslot/ckpx*'));
$primary->start;
$primary->safe_psql('postgres', 'CREATE TABLE unlogged_load AS SELECT generate_series(1, 1000) AS a');
$primary->stop;
open my $file, '>', $primary->data_dir . '/postgresql.conf' or die $!;
print $file $conf;
close $file;
$primary->start;
wait_for_sql($primary, 'SELECT epoch > 1 FROM ckpx_runner');
take_fails($primary, 'minimal', qr/no increment is possible/, '-i', backup_dir('inc2'));
take_ok($primary, 'minimal', '-i', backup_dir('inc2'), '--on-gap', 'full',
	'-T', "$spaces/live=$spaces/minimal");
verify_ok('minimal');
$primary->stop;
done_testing();
