# Chains of backups at random: load of every kind, full and incremental backups
# in each form, from the newest or an older parent, crashes, promotions, lost
# epochs, a data directory that is put back; combining, rolling forward, listing,
# verifying and expiring.
#
# After each backup the server itself is dumped at a restore point.  What
# ckpx_combinebackup makes of the backup is recovered to that point and must give
# the same dump.  A model tells which parent is to be taken and which must be
# refused, what rolls forward, and what is left.
#
# CKPX_BACKUP_ROUNDS (3) sets the length, CKPX_RANDOM_SEED repeats a plan: each
# step has a seed of its own.  How far a backup has come when it is struck, and
# the load beside it, are the machine's choice.

use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use FindBin;
use List::Util qw(max uniq);
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxHistory;
use CkpxOracle;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{CKPX_RANDOM_SEED} // (time() * 1000) % 1000000;
my $rounds = $ENV{CKPX_BACKUP_ROUNDS} || 3;
note("CKPX_RANDOM_SEED=$seed CKPX_BACKUP_ROUNDS=$rounds");

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }
sub number { return 1 + int rand $_[0]; }

my $work = PostgreSQL::Test::Utils::tempdir;
my $backups = dirname(backup_dir('x'));
my $narchives = 0;
my $archive;

# Histories that part must not meet in one archive.
sub new_archive
{
	my $node = shift;

	$archive = "$work/archive" . ++$narchives;
	make_path($archive);
	$node->append_conf('postgresql.conf',
		"archive_command = 'test -f $archive/%f || (cp %p $archive/%f.new && mv $archive/%f.new $archive/%f)'");
	return;
}

my $node = new_node(
	'main',
	extra => [ '--data-checksums', '--wal-segsize=1' ],
	conf => <<'EOC');
archive_mode = on
allow_in_place_tablespaces = on
max_wal_size = '64MB'
wal_keep_size = '32MB'
log_statement = none
ckpx.global_min_count = 5
ckpx.gc_keep_time = '1s'
EOC
new_archive($node);
$node->start;
$node->safe_psql(
	'template1', q{
	CREATE EXTENSION amcheck;
	CREATE EXTENSION pg_visibility;
	\connect postgres
	CREATE EXTENSION amcheck;
	CREATE EXTENSION pg_visibility;
	CREATE EXTENSION ckpx;
	CREATE TABLESPACE inside LOCATION '';
	CREATE TABLE prepared (a int PRIMARY KEY, b text);
	CREATE SEQUENCE s;
	CREATE SEQUENCE s_cached CACHE 50;
});
backup_role($node);
create_load($node);
make_path("$work/spaces");

# ---------------------------------------------------------------------------
# Load
# ---------------------------------------------------------------------------

my $columns = '(a int, b text)';
my %space;                           # tablespaces outside of the data directory
my %database;                        # to the tablespace
my ($nprepared, $nindexes) = (0, 0);

# Databases whose files may have the names of those that were dropped.
my %fixed_oid = (d0 => 90000, d1 => 90001);

sub some_space { return pick('pg_default', 'pg_default', 'inside', sort keys %space); }

# A database moves only if none of its tables has a place of its own.
my $anywhere = 1;

sub somewhere { return $anywhere ? ' TABLESPACE ' . some_space() : ''; }

sub rows
{
	my ($from, $n) = (number(2000), number(700));

	return "SELECT g, repeat(md5(g::text), 1 + g % 5) FROM generate_series($from, $from + $n) g";
}

sub index_on
{
	my $t = shift;

	return "CREATE INDEX ON $t " . pick(
		'(a)', '(b, a)', 'USING hash (a)', 'USING brin (a)', 'USING gin ((ARRAY[a]))',
		'USING gist (int4range(a, a + 1))', 'USING spgist (b)') . somewhere();
}

# Statements on one table.
sub table_statement
{
	my $t = shift;
	$anywhere = shift // 1;
	my $k = 2 + int rand 30;
	my $n = number(2700);

	return pick(
		"INSERT INTO $t " . rows(),
		"INSERT INTO $t " . rows(),
		"UPDATE $t SET b = md5(b) WHERE a % $k = 0",
		"UPDATE $t SET a = a + 1, b = b || 'u' WHERE a BETWEEN $n AND $n + 100",
		"DELETE FROM $t WHERE a % $k = 1",
		"DELETE FROM $t WHERE a > $n; VACUUM $t",
		"DELETE FROM $t WHERE ctid >= '(5,0)'; VACUUM $t; INSERT INTO $t " . rows(),
		"DELETE FROM $t; VACUUM $t",
		"VACUUM $t",
		"VACUUM FREEZE $t",
		"VACUUM FULL $t",
		"TRUNCATE $t",
		"BEGIN; TRUNCATE $t; INSERT INTO $t " . rows() . '; COMMIT',
		# The comment is a commit, so that WAL has the abort as well: after a crash
		# without it PostgreSQL 15 does not start where $t is unlogged.
		"BEGIN; TRUNCATE $t; INSERT INTO $t " . rows() . "; ROLLBACK; COMMENT ON TABLE $t IS ''",
		"BEGIN; INSERT INTO $t " . rows() . '; ROLLBACK',
		"BEGIN; SELECT count(*) FROM (SELECT 1 FROM $t WHERE a % $k = 0 FOR SHARE) x; COMMIT",
		"BEGIN; UPDATE $t SET b = 'x' WHERE a % $k = 0; SAVEPOINT y; DELETE FROM $t; ROLLBACK TO y; COMMIT",
		"DROP TABLE $t; CREATE TABLE $t $columns" . somewhere(),
		"DROP TABLE $t; CREATE TABLE $t $columns" . somewhere() . "; INSERT INTO $t " . rows(),
		"DROP TABLE $t; CREATE UNLOGGED TABLE $t $columns" . somewhere() . "; INSERT INTO $t " . rows(),
		$anywhere ? "ALTER TABLE $t SET" . somewhere() : "ANALYZE $t",
		"ALTER TABLE $t SET UNLOGGED",
		"ALTER TABLE $t SET LOGGED",
		"ALTER TABLE $t ADD c int DEFAULT random() * 10; ALTER TABLE $t DROP c",
		index_on($t),
		"REINDEX TABLE $t");
}

sub other_statement
{
	my $n = number(60);

	return pick(
		"SELECT count(nextval('s')), count(nextval('s_cached')) FROM generate_series(1, $n)",
		"ALTER SEQUENCE s RESTART $n",
		"SELECT setval('s_cached', $n)",
		'CLUSTER load_row USING load_row_pkey',
		'VACUUM FULL pg_class; REINDEX SYSTEM postgres',
		'VACUUM FREEZE',
		'DROP MATERIALIZED VIEW IF EXISTS mv; CREATE MATERIALIZED VIEW mv AS SELECT * FROM prepared; REFRESH MATERIALIZED VIEW mv',
		'CHECKPOINT',
		'SELECT pg_switch_wal()');
}

sub prepared_statement
{
	my @open = split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts ORDER BY 1');

	return pick('COMMIT', 'ROLLBACK') . " PREPARED '" . pick(@open) . "'"
	  if @open > 4 || (@open && chance(0.6));
	$nprepared++;
	return "BEGIN; INSERT INTO prepared SELECT 1000 * $nprepared + g, md5(g::text) FROM generate_series(1, 300) g; PREPARE TRANSACTION 'p$nprepared'";
}

sub database_statement
{
	my $name = pick(qw(d0 d1));

	if (!defined $database{$name})
	{
		my $to = $database{$name} = some_space();
		my $template = pick('template1', 'template1', grep { $_ ne $name } sort keys %database);
		my $oid = chance(0.6) ? "OID $fixed_oid{$name}" : '';

		return "CREATE DATABASE $name TEMPLATE $template TABLESPACE $to $oid STRATEGY "
		  . pick(qw(wal_log file_copy));
	}
	my $kind = rand();
	if ($kind < 0.35)
	{
		delete $database{$name};
		return "DROP DATABASE $name";
	}
	if ($kind < 0.5)
	{
		my $to = some_space();
		return '' if $to eq $database{$name};
		$database{$name} = $to;
		return "ALTER DATABASE $name SET TABLESPACE $to";
	}
	return "\\connect $name\nCREATE TABLE IF NOT EXISTS x $columns; " . table_statement('x', 0);
}

sub space_statement
{
	my $name = pick(qw(a b));

	if (!$space{$name})
	{
		$space{$name} = 1;
		make_path("$work/spaces/$name");
		return "CREATE TABLESPACE $name LOCATION '$work/spaces/$name'";
	}
	delete $space{$name};
	my @moved = grep { $database{$_} eq $name } sort keys %database;
	$database{$_} = 'pg_default' foreach @moved;
	return join '; ',
	  (map { "ALTER DATABASE $_ SET TABLESPACE pg_default" } @moved),
	  (map { "ALTER $_ ALL IN TABLESPACE $name SET TABLESPACE pg_default" } qw(TABLE INDEX)),
	  "DROP TABLESPACE $name";
}

my @log;

sub note_done
{
	push @log, $_[0];
	shift @log if @log > 60;
	return;
}

sub load
{
	foreach (1 .. number(8))
	{
		my $kind = rand();
		my $t = 'r' . int rand 6;
		my $statement =
			$kind < 0.55 ? "CREATE TABLE IF NOT EXISTS $t $columns; " . table_statement($t)
		  : $kind < 0.7 ? other_statement()
		  : $kind < 0.8 ? prepared_statement()
		  : $kind < 0.93 ? database_statement()
		  : space_statement();

		note_done("  $statement");
		$node->safe_psql('postgres', "SET client_min_messages = error;\n$statement");
	}
	return;
}

# ---------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------

# A backup: name, parent (a backup), tar, state => what the server had, as of the
# newest backup that it holds, and ended => when.
my %backup;
my %valid;        # states that the server's history goes on from, by their number
my $nstates = 0;
my $snapshot;     # a copy of the data directory that may be put back
my ($nproblems, $nnames, $nspaces) = (0, 0, 0);
my %done;

sub some_backup { return $backup{ pick(sort keys %backup) }; }
sub is_valid { return $valid{ $_[0]{state}{number} }; }

sub root_of
{
	my $which = shift;

	$which = $which->{parent} while $which->{parent};
	return $which;
}

# From a backup back to its full.
sub chain_of
{
	my @chain = shift;

	push @chain, $chain[-1]{parent} while $chain[-1]{parent};
	return @chain;
}

sub start_of
{
	return lsn_to_int(label_lines($_[0]) =~ /^START WAL LOCATION: (\S+)/m ? $1 : die);
}

my $prepared_query =
  q{SELECT 'prepared ' || coalesce(string_agg(gid, ' ' ORDER BY gid), '') FROM pg_prepared_xacts};

# Dump the server as it is, at a restore point.
sub record_state
{
	my ($name, %state) = @_;
	my $point = 'point_' . ++$nstates;

	# A killed client's last statement may still be at work.
	wait_for_sql($node, q{SELECT count(*) = 0 FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
	my $segment = restore_point($node, $point);

	make_path("$work/dump$nstates");
	$valid{$nstates} = 1;
	return {
		%state, number => $nstates, point => $point, timeline => hex substr($segment, 0, 8),
		segment => $segment, sequences => sequences($node, 'postgres'),
		prepared => $node->safe_psql('postgres', $prepared_query), archive => $archive,
		dump => dump_of($node, "$work/dump$nstates"), start => start_of($name),
		ended => time()
	};
}

# Tell what was done before a test failed.
sub look_for_problems
{
	my $failed = grep { !$_->{ok} } Test::More->builder->details;

	return if $failed == $nproblems;
	$nproblems = $failed;
	diag("CKPX_RANDOM_SEED=$seed CKPX_BACKUP_ROUNDS=$rounds; the last steps:");
	diag($_) foreach @log;
	@log = ();
	return;
}

# ---------------------------------------------------------------------------
# What befalls the server
# ---------------------------------------------------------------------------

sub befall_promotion
{
	$node->stop;
	$node->set_standby_mode;
	$node->start;
	$node->promote;
	wait_for_sql($node, 'SELECT NOT pg_is_in_recovery()');
	return;
}

# The slot is gone: ckpx cannot know what changed meanwhile.
sub befall_gap
{
	$node->stop;
	remove_tree($node->data_dir . '/pg_replslot/ckpx');
	$node->start;
	await_tracking($node);
	%valid = ();
	return;
}

# A storage snapshot, and the way back to it.
sub befall_snapshot
{
	$node->stop;
	remove_tree("$work/snapshot");
	make_path("$work/snapshot");
	copy_tree($node->data_dir, "$work/snapshot/data");
	copy_tree("$work/spaces", "$work/snapshot/spaces");
	copy($_, "$work/snapshot") foreach glob("$archive/*.history");
	$node->start;
	$snapshot = { valid => {%valid}, space => {%space}, database => {%database} };
	return;
}

sub befall_put_back
{
	$node->stop;
	remove_tree($node->data_dir, "$work/spaces");
	copy_tree("$work/snapshot/data", $node->data_dir);
	copy_tree("$work/snapshot/spaces", "$work/spaces");
	new_archive($node);
	copy($_, $archive) foreach glob("$work/snapshot/*.history");
	$node->start;
	%valid = %{ $snapshot->{valid} };
	%space = %{ $snapshot->{space} };
	%database = %{ $snapshot->{database} };
	return;
}

sub befall
{
	my $kind = rand();
	my $what =
		$kind < 0.15 ? 'crash'
	  : $kind < 0.2 ? 'restart'
	  : $kind < 0.26 ? 'promotion'
	  : $kind < 0.29 ? 'gap'
	  : $kind < 0.36 ? 'snapshot'
	  : $kind < 0.45 && $snapshot ? 'put back'
	  : return;

	note_done($what);
	$done{$what}++;
	if ($what eq 'crash') { crash_and_restart($node); }
	elsif ($what eq 'restart') { $node->restart; }
	elsif ($what eq 'promotion') { befall_promotion(); }
	elsif ($what eq 'gap') { befall_gap(); }
	elsif ($what eq 'snapshot') { befall_snapshot(); }
	else { befall_put_back(); }
	return;
}

# ---------------------------------------------------------------------------
# Backups
# ---------------------------------------------------------------------------

# Where tablespaces go to; each place is used once.
sub mapping
{
	my ($place, @directories) = @_;

	make_path($place);
	return map { ('-T', "$_=$place/" . basename($_)) } uniq @directories;
}

sub live_spaces { return map { "$work/spaces/$_" } qw(a b); }
sub new_place { return "$work/places/" . ++$nspaces; }

# The tablespaces of these backups, as far as they are links.
sub linked_spaces
{
	return map { readlink } grep { -l } map { glob(backup_dir($_->{name}) . '/pg_tblspc/*') } @_;
}

sub plan_backup
{
	my %plan = (name => sprintf('%03d', ++$nnames), quiet => chance(0.5));
	my $kind = rand();
	my @valid = grep { is_valid($_) } values %backup;
	my @options;

	if (!%backup || $kind < 0.15 || keys %backup > 12) { $plan{kind} = chance(0.3) ? 'stock' : 'full'; }
	elsif ($kind < 0.6)
	{
		$plan{kind} = 'auto';
		($plan{parent}) = sort { $b->{state}{start} <=> $a->{state}{start} } @valid;
		push @options, '-i', 'auto';
	}
	else
	{
		$plan{kind} = 'from';
		$plan{parent} = some_backup();
		push @options, '-i', backup_dir($plan{parent}{name});
		$plan{wanted} = $plan{parent}{name};
		$plan{parent} = undef if !is_valid($plan{parent});
	}
	if ($plan{kind} =~ /auto|from/)
	{
		$plan{full_on_gap} = chance(0.5);
		push @options, '--on-gap=full' if $plan{full_on_gap};
		push @options, '--reread=1/' . number(4) if chance(0.2);
	}
	$plan{tar} = chance($plan{kind} =~ /full/ ? 0.3 : 0.5) && $plan{kind} ne 'stock';
	$plan{place} = new_place();
	$plan{fetch} = chance(0.8);
	push @options, $plan{tar} ? ('-F', 't', '-Z', pick(qw(zstd:1 zstd none))) : ('-F', 'p');

	# An increment without a place for tablespaces keeps them inside.
	push @options, mapping($plan{place}, live_spaces())
	  if !$plan{tar} && ($plan{kind} eq 'full' || $plan{full_on_gap} || chance(0.7));
	push @options, '-X', $plan{fetch} ? 'fetch' : 'none';
	push @options, '-j', number(3), '--manifest-checksums', pick(qw(CRC32C CRC32C SHA256 NONE));
	$plan{options} = \@options;
	return \%plan;
}

sub stock_backup
{
	my $plan = shift;

	return system_log(
		'pg_basebackup', '-h', $node->host, '-p', $node->port, '-D',
		backup_dir($plan->{name}), '-c', 'fast', '--no-sync', '-X',
		$plan->{fetch} ? 'fetch' : 'none', mapping($plan->{place}, live_spaces()));
}

# A backup in the midst of which the tool or the server is killed.
sub strike
{
	my $plan = shift;
	my $whom = pick(qw(tool server));
	my $partial = backup_dir($plan->{name}) . '.partial';
	my $run = start_take($node, $plan->{name}, '-r', '16M', @{ $plan->{options} });
	my $kilobytes = int rand 6000;

	note_done("  struck: the $whom is killed at $kilobytes kB");
	wait_until(
		sub {
			$run->{handle}->pump_nb;
			return 1 if !$run->{handle}->pumpable;
			my ($size) = -d $partial ? `du -sk $partial 2>/dev/null` =~ /^(\d+)/ : 0;
			return ($size // 0) >= $kilobytes;
		},
		'the backup has begun');
	kill('KILL', $run->{pid}) if $whom eq 'tool';
	crash_and_restart($node) if $whom eq 'server';
	eval { $run->{handle}->finish };
	$done{"$whom killed"}++ if !-e backup_dir($plan->{name});
	return -e backup_dir($plan->{name});
}

# Returns whether the backup is there.
sub run_backup
{
	my $plan = shift;
	my @options = @{ $plan->{options} };

	if ($plan->{kind} ne 'stock' && chance(0.12))
	{
		return 1 if strike($plan);
		if (!$plan->{tar} && -d backup_dir($plan->{name}) . '.partial' && chance(0.7))
		{
			push @options, '--resume';
			$done{resume}++;
		}
		else
		{
			remove_tree(backup_dir($plan->{name}) . '.partial', $plan->{place});
		}
	}
	return stock_backup($plan) == 0 if $plan->{kind} eq 'stock';
	my ($status, $out, $err) = take($node, $plan->{name}, @options);
	$plan->{said} = $err;
	return $status == 0;
}

# What a parent that is not of this history is refused with.
my $refused = qr/no increment is possible: \S|can be a parent/;

sub backup
{
	my $plan = plan_backup();
	my $name = $plan->{name};
	my $should = $plan->{parent} || $plan->{kind} =~ /full|stock/ || $plan->{full_on_gap};
	my $load = $plan->{quiet} ? undef : start_load($node);

	note_done("backup $name, $plan->{kind} of "
		  . ($plan->{parent} ? $plan->{parent}{name} : $plan->{wanted} ? "$plan->{wanted}, lost" : 'nothing')
		  . ($plan->{quiet} ? '' : ', under load')
		  . ": @{ $plan->{options} }");
	my $did = run_backup($plan);
	stop_load($load) if $load;
	ok(!$did == !$should, "backup $name " . ($should ? 'is taken' : 'is refused'))
	  or diag($plan->{said} // '');
	if (!$did)
	{
		like($plan->{said}, $refused, "... and says why") if !$should;
		remove_tree(backup_dir($name) . '.partial', $plan->{place});
		return;
	}
	$done{"$plan->{kind} backup"}++;

	# A stock full has no id, and no increment in it.
	my ($from) = label_lines($name) =~ /^INCREMENTAL FROM LSN: (\S+)/;
	is($from ? lsn_to_int($from) : 'none', $plan->{parent} ? $plan->{parent}{state}{start} : 'none',
		"... from " . ($plan->{parent} ? $plan->{parent}{name} : 'nothing'));
	verify_ok($name, $plan->{fetch} ? () : '-n');
	$backup{$name} = {
		name => $name, parent => $plan->{parent}, tar => $plan->{tar}, place => $plan->{place},
		state => record_state($name, quiet => $plan->{quiet}, fetch => $plan->{fetch}) };
	remove_unpacked($name);
	return;
}

# ---------------------------------------------------------------------------
# Combining
# ---------------------------------------------------------------------------

# Recover a data directory to the point of a backup, or to the end of its own WAL.
sub bring_up
{
	my ($out, $state) = @_;
	my $how = pick($state->{quiet} && $state->{fetch} ? 'own WAL' : (), qw(pause promote));

	settle($out);
	if ($how eq 'own WAL')
	{
		$out->append_conf('postgresql.conf', "archive_mode = off\nrestore_command = ''");
		$out->start;
		return $how;
	}
	wait_until(sub { -e "$state->{archive}/$state->{segment}" }, "$state->{segment} is archived");
	recover($out, $state->{point}, $state->{archive}, action => $how, timeline => $state->{timeline});
	return $how;
}

# What no bit of a visibility map may say.
sub visibility_is_right
{
	my ($out, $what) = @_;

	return is($out->safe_psql('postgres', q{
			SELECT c.oid::regclass, t.* FROM pg_class c, LATERAL (
				SELECT 'visible', t_ctid FROM pg_check_visible(c.oid)
				UNION ALL SELECT 'frozen', t_ctid FROM pg_check_frozen(c.oid)) t
			WHERE relkind IN ('r', 'm', 't')}), '', "$what: visibility maps");
}

sub combine
{
	my $which = shift;
	my $state = $which->{state};
	my $out = PostgreSQL::Test::Cluster->new('out' . ++$nspaces);
	my $place = new_place();
	my $what = "$which->{name} combined";
	my @options = ('-j', number(3), '--manifest-checksums', pick(qw(CRC32C SHA256)),
		mapping($place, live_spaces(), linked_spaces(chain_of($which))));

	push @options, '--copy-file-range' if chance(0.2);
	note_done("$what: @options");
	$done{combined}++;
	command_ok(
		[ 'ckpx_combinebackup', backup_dir($which->{name}), '-o', $out->data_dir, '--no-sync', @options ],
		$what);
	if (-e $out->data_dir . '/backup_manifest')
	{
		command_ok([ 'pg_verifybackup', '-e', $state->{fetch} ? () : '-n', $out->data_dir ],
			"$what: pg_verifybackup");
		my $how = bring_up($out, $state);
		note_done("$what: $how");
		same_dump($state->{dump}, dump_of($out, $work),
			"$what, $how: what the server had");
		sequences_reach($out, 'postgres', $state->{sequences}, "$what, $how");
		# A server that goes on knows prepared transactions, and uses all files.
		if ($how ne 'pause')
		{
			is($out->safe_psql('postgres', $prepared_query), $state->{prepared},
				"$what, $how: prepared transactions");
			visibility_is_right($out, $what);
			$out->safe_psql('postgres', "COMMIT PREPARED '$_'")
			  foreach grep { $_ ne 'prepared' } split / /, $state->{prepared};
			$out->safe_psql('postgres', 'VACUUM');
		}
		is_sound($out, $what, amcheck => chance(0.5));
	}
	$out->clean_node;
	remove_tree($place);
	return;
}

sub remove_state { return remove_tree(dirname($_[0]{state}{dump})); }

# Why a full cannot be moved forward to a backup.
sub into_error
{
	my ($root, @chain) = reverse chain_of(shift);
	my %goes = map { $_->{name} => 1 } @chain;

	return qr/is in tar files/ if $root->{tar};
	return qr/is as of .* already/ if !@chain;
	my @others = grep {
		$_->{parent} && !$goes{ $_->{name} } && $_->{parent} != $chain[-1]
		  && ($_->{parent} == $root || $goes{ $_->{parent}{name} })
	} values %backup;
	return @others ? qr/goes on from .*, which would go/ : undef;
}

sub into
{
	my @ways = grep { !into_error($backup{$_}) } sort keys %backup;
	my $which = @ways && chance(0.8) ? $backup{ pick(@ways) } : some_backup();
	my $error = into_error($which);
	my @chain = chain_of($which);
	my $root = pop @chain;
	my %goes = map { $_->{name} => 1 } @chain;
	my $place = new_place();
	my @command = ('ckpx_combinebackup', backup_dir($which->{name}), '--into', backup_dir($root->{name}),
		'-j', number(3), mapping($place, live_spaces(), linked_spaces(@chain, $root)));

	note_done("$which->{name} into $root->{name}");
	if ($error)
	{
		$done{'into refused'}++;
		command_fails_like(\@command, $error, "$which->{name} into $root->{name} is refused");
		ok(-e backup_dir($_) . '/backup_manifest', "$_ is there") foreach $root->{name}, keys %goes;
		return;
	}
	$done{into}++;
	command_ok(\@command, "$which->{name} into $root->{name}");
	remove_tree($_->{place}) foreach @chain, $root;
	remove_state($_) foreach @chain[ 1 .. $#chain ], $root;
	delete $backup{$_} foreach keys %goes;
	$root->{state} = $which->{state};
	$root->{place} = $place;
	$_->{parent} = $root foreach grep { $_->{parent} && $_->{parent} == $which } values %backup;
	verify_ok($root->{name}, $root->{state}{fetch} ? () : '-n');
	return;
}

sub names_there
{
	return join ' ', sort map { basename($_) } glob("$backups/*");
}

sub expire
{
	my $keep = number(2);
	my %chain;

	note_done("expire, keep $keep");
	$done{expire}++;
	push @{ $chain{ root_of($_)->{name} } }, $_ foreach values %backup;
	my ($out, $err) = run_command([ 'ckpx_combinebackup', '--expire', $backups, '--keep', $keep ]);
	my %there = map { $_ => 1 } split / /, names_there();
	my (@kept, @gone);

	foreach my $root (sort keys %chain)
	{
		my @members = @{ $chain{$root} };
		my $newest = max map { $_->{state}{ended} } @members;

		push @{ $there{$root} ? \@kept : \@gone }, $newest;
		is(scalar(grep { $there{ $_->{name} } } @members), $there{$root} ? @members : 0,
			"expire: the chain of $root is whole, or gone") or diag($err);
		next if $there{$root};
		foreach my $member (@members)
		{
			remove_tree($member->{place});
			remove_state($member);
			delete $backup{ $member->{name} };
		}
	}
	my $expected = $keep < keys %chain ? $keep : keys %chain;
	is(scalar @kept, $expected, "expire: $keep chains are kept") or diag($err);

	# Their times have seconds.
	ok(!(grep { my $gone = $_; grep { $_ < $gone - 2 } @kept } @gone), 'expire: the newest');
	return;
}

sub list
{
	note_done('list');
	$done{list}++;
	my ($out, $err) = run_command([ 'ckpx_combinebackup', '--list', $backups ]);
	my %needs;

	$needs{$1} = $2 // '' while $out =~ /^ *(\d+) +(?:full|increment) .*?(?:  needs (.*))?$/mg;
	is_deeply(\%needs,
		{ map { $_->{name} => $_->{parent} ? $_->{parent}{name} : '' } values %backup },
		'list: what there is, and what it needs') or diag("$out$err");
	return;
}

sub verify
{
	my $which = some_backup();

	note_done("verify $which->{name}");
	$done{verify}++;
	command_ok([ 'ckpx_combinebackup', '--verify', backup_dir($which->{name}) ], "--verify $which->{name}");
	return;
}

# ---------------------------------------------------------------------------
# Rounds
# ---------------------------------------------------------------------------

# No WAL that no backup needs any more.
sub prune_archives
{
	my %needed = map { $_->{state}{archive} => 1 } values %backup;

	foreach my $directory (glob("$work/archive*"))
	{
		next if $directory eq $archive || $needed{$directory};
		remove_tree($directory);
	}
	return;
}

sub one_round
{
	my $last = shift;

	load();
	befall();
	backup();
	return if !%backup;
	my $many = keys %backup > 8;
	my $kind = rand();
	if ($kind < ($many ? 0.6 : 0.2)) { into(); }
	elsif ($kind < 0.3) { verify(); }
	elsif ($kind < 0.4) { list(); }
	elsif ($kind < ($many ? 1 : 0.45)) { expire(); }
	combine(some_backup()) if $last || chance(0.7);
	is(names_there(), join(' ', sort keys %backup), 'what is there');
	prune_archives();
	return;
}

my $step_seed = $seed;
foreach my $round (1 .. $rounds)
{
	srand($step_seed);
	$step_seed = int rand 2**32;
	note_done("round $round");
	my $ended = eval { one_round($round == $rounds); 1 };
	fail("round $round: $@") if !$ended;
	look_for_problems();
	last if !$ended || $nproblems >= 3;
}

list();
look_for_problems();
note(join ', ', map { "$done{$_} $_" } sort keys %done);
is($nproblems, 0, "$rounds rounds with seed $seed");
$node->stop;
done_testing();
