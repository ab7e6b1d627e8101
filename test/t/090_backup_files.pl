# The server's part of a backup: which files it has, which blocks changed in
# them, and the bytes.  The files are compared with the manifest of a
# pg_basebackup and with the disk, the blocks with the LSNs of pages and with
# ckpx_changed_files, the bytes with the disk.

use strict;
use warnings;

use File::Find;
use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main',
	on_demand => 1,
	extra => ['-k'],
	conf => <<'EOC');
wal_keep_size = 1GB
full_page_writes = on
allow_in_place_tablespaces = on
EOC
$node->start;
my $data = $node->data_dir;
my $spaces = PostgreSQL::Test::Utils::tempdir;
make_path("$spaces/outside", "$spaces/restored", "$data/within");

sql("CREATE TABLESPACE outside LOCATION '$spaces/outside'");
sql("CREATE TABLESPACE in_place LOCATION ''");
sql("CREATE TABLESPACE within LOCATION '$data/within'");
sql(q{
	CREATE EXTENSION ckpx;
	CREATE TABLE still AS SELECT g a, repeat('x', 200) b FROM generate_series(1, 20000) g;
	CREATE TABLE t AS SELECT * FROM still;
	CREATE TABLE nearly AS SELECT * FROM still;
	CREATE TABLE shrinks AS SELECT * FROM still;
	CREATE TABLE in_outside TABLESPACE outside AS SELECT * FROM still;
	CREATE TABLE in_in_place TABLESPACE in_place AS SELECT * FROM still;
	CREATE TABLE in_within TABLESPACE within AS SELECT * FROM still;
	CREATE UNLOGGED TABLE unlogged TABLESPACE outside AS SELECT * FROM still;
	CREATE TABLE goes AS SELECT * FROM still;
	CREATE DATABASE goes_too;
	VACUUM;
});
sql('VACUUM; CHECKPOINT');

# What a data directory may hold besides.
my %planted = (
	'backup_manifest' => 'not this backup\'s',
	'postgresql.auto.conf.tmp' => 'half done',
	'current_logfiles.tmp' => 'half done',
	'tablespace_map' => 'left over',
	'backup_label.old' => 'copied',
	'base/pgsql_tmp/pgsql_tmp1.0' => 'sorted',
	'base/5/t3_16384' => 'temporary',
	'base/5/t3_16384_fsm' => 'temporary',
	'base/5/pg_internal.init.77' => 'half done',
	'pg_stat_tmp/some' => 'statistics',
	'pg_replslot/some' => 'a slot',
	'pg_notify/7777' => 'a message',
	'pg_wal/some' => 'WAL',
	'pg_tblspc/pgsql_tmp.1' => 'sorted',
	'extra/note' => "from the\0user",
	'extra/pg_subtrans/0000' => 'left out by its directory',
	'note' => 'at the top');
foreach my $name (keys %planted)
{
	make_path("$data/$1") if $name =~ m{^(.*)/};
	append_to_file("$data/$name", $planted{$name});
}
make_path("$data/empty/emptier");
system('mkfifo', "$data/extra/pipe") == 0 or die 'mkfifo';
symlink('/etc', "$data/extra/link") or die "symlink: $!";
symlink('/etc/passwd', "$data/extra/passwd") or die "symlink: $!";
append_to_file("$data/extra/line\nbreak", 'x');

# ---- a backup begins, and what reads belongs to it

my $holder;
my $start;

sub begin_backup
{
	my ($server, $slot) = @_;
	my $session = session($server);

	ask($session, "SELECT pg_create_physical_replication_slot('$slot', false, true)");
	return ($session, ask($session, "SELECT pg_backup_start('test', true)"));
}

# A parent from before the changes, exactly: a checkpoint of ckpx ends there.
sql('SELECT ckpx_checkpoint()');
my $parent = wal_position($node);

my $temporary = session($node);
ask($temporary, 'CREATE TEMP TABLE temporary AS SELECT generate_series(1, 1000) a');
sql(q{
	UPDATE t SET b = 'changed' WHERE a % 977 = 0;
	UPDATE nearly SET b = b;
	DELETE FROM shrinks WHERE a > 5000;
	UPDATE in_outside SET b = 'changed' WHERE a % 977 = 0;
	UPDATE in_in_place SET b = 'changed' WHERE a % 977 = 0;
	UPDATE in_within SET b = 'changed' WHERE a % 977 = 0;
	CREATE TABLE comes TABLESPACE outside AS SELECT * FROM still;
	CREATE DATABASE made STRATEGY file_copy;
	VACUUM shrinks;
	SELECT pg_switch_wal();
});
($holder, $start) = begin_backup($node, 'held');

# Rows of ckpx_backup_files by path.
sub backup_files
{
	my ($server, $slot, @lsns) = @_;
	my $arguments = join ', ', map { "'$_'" } $slot, @lsns;
	my %files;

	foreach my $line (split /\n/, $server->safe_psql(
			'postgres', qq{
		SELECT convert_from(path, 'UTF8'), kind, convert_from(link, 'UTF8'),
			size, blocks, covered_to
		FROM ckpx_backup_files($arguments)}))
	{
		my ($path, $kind, $link, $size, $blocks, $covered) =
		  split /\|/, $line, -1;

		ok(0, "$path: only one row") if $files{$path};
		$files{$path} = {
			kind => $kind,
			link => $link,
			size => $size,
			blocks => $blocks,
			covered => $covered,
			place => scalar keys %files
		};
	}
	return \%files;
}

sub path_of
{
	return sql("SELECT pg_relation_filepath('$_[0]')");
}

my ($ret, $out, $err) =
  $node->psql('postgres', "SELECT count(*) FROM ckpx_backup_files('held', '$start')");
like($err, qr/WARNING:  skipping special file "extra\/$_"/, "a warning about extra/$_")
  foreach qw(pipe link passwd);
like($err, qr/WARNING:  skipping a file in directory "extra"\n/,
	'a warning about a name with a control character');
is(() = $err =~ /WARNING/g, 4, 'no other warning');

my $full = backup_files($node, 'held', $start);

# ---- as BASE_BACKUP has it

unlink("$data/extra/line\nbreak");
my $stock = PostgreSQL::Test::Utils::tempdir . '/stock';
command_ok(
	[   'pg_basebackup', '-D', $stock, '-h', $node->host, '-p', $node->port,
		'-c', 'fast', '--no-sync', '-X', 'none',
		'-T', "$spaces/outside=$spaces/restored/outside",
		'-T', "$data/within=$spaces/restored/within"
	],
	'pg_basebackup of the same moment');
my $manifest = slurp_file("$stock/backup_manifest");
my %stock = map { /"Path": "(.*?)", "Size": (\d+)/ ? ($1 => $2) : () } split /\n/, $manifest;
delete @stock{ 'backup_label', grep { m{^ckpx(_node$|/)} } keys %stock };
my %ours = map { $_ => $full->{$_}{size} }
  grep { $full->{$_}{kind} !~ /directory|tablespace/ } keys %$full;

cmp_ok(scalar keys %ours, '>', 900, 'many files');
is_deeply(
	[ map { "$_ $ours{$_}" } sort keys %ours ],
	[ map { "$_ $stock{$_}" } sort keys %stock ],
	'the files and their sizes are those of the manifest');
my @directories;
find(
	{   no_chdir => 1,
		follow => 1,
		wanted => sub
		{
			push @directories, substr($_, length($stock) + 1)
			  if -d && $_ ne $stock && !m{^\Q$stock\E/ckpx(/|$)};
		}
	},
	$stock);
is_deeply(
	[ sort grep { $full->{$_}{kind} =~ /directory|tablespace/ } keys %$full ],
	[ sort @directories ],
	'the directories, too');
my %space = map { /(.*)\|(.*)/ ? ($1 => $2) : () } split /\n/,
  sql('SELECT spcname, oid FROM pg_tablespace');
is_deeply(
	[ map { @{ $full->{"pg_tblspc/$space{$_}"} }{qw(kind link)} } qw(outside within in_place) ],
	[ 'tablespace', "$spaces/outside", 'tablespace', "$data/within", 'directory', '' ],
	'tablespaces');

# What is on disk and not in the backup has a reason.
my @reasons = (
	qr{^ckpx(/|_node$)}, qr{^postmaster\.(pid|opts)$}, qr{/pg_internal\.init},
	qr{^(backup_manifest|tablespace_map|(postgresql\.auto\.conf|current_logfiles)\.tmp)$},
	qr{pgsql_tmp}, qr{/t\d+_\d+}, qr{^pg_(wal|replslot|notify|stat_tmp)/},
	qr{pg_subtrans/}, qr{^within/}, qr{^extra/(pipe|link|passwd)$});
my %seen;
my @unexplained;
find(
	{   no_chdir => 1,
		wanted => sub
		{
			my $path = substr($_, length($data) + 1);

			return if -d && !-l || $full->{$path};
			my ($reason) = grep { $path =~ $reasons[$_] } 0 .. $#reasons;
			defined $reason ? $seen{$reason}++ : push @unexplained, $path;
		}
	},
	$data);
is_deeply(\@unexplained, [], 'all else on disk has a reason to be left out');
is(scalar keys %seen, scalar @reasons, 'each reason was needed');
my $unlogged = path_of('unlogged');
ok(!$full->{$unlogged} && !$full->{"${unlogged}_fsm"} && $full->{"${unlogged}_init"},
	'of an unlogged table the init fork');
is((sort { $full->{$b}{place} <=> $full->{$a}{place} } keys %$full)[0],
	'global/pg_control', 'pg_control is the last');
is_deeply(
	[ grep { m{^(.*)/} && $full->{$1}{place} > $full->{$_}{place} } keys %$full ],
	[], 'directories come before what is in them');
is(join(',', map { "$_->{blocks}$_->{covered}" } values %$full) =~ tr/,//cr,
	',' x (keys(%$full) - 1), 'a full backup has no blocks');

# ---- the blocks

my $increment = backup_files($node, 'held', $start, $parent);

is(join(' ', sort keys %$increment), join(' ', sort keys %$full), 'the same files');
my ($covered) = map { $_->{covered} } values %$increment;
is(sql("SELECT '$covered'::pg_lsn >= '$start'"), 't', 'the map reaches the start of the backup');

# Block numbers of a row's file; undef: all.
sub blocks_of
{
	my ($row) = @_;
	my %block;

	return undef if $row->{blocks} eq '';
	while ($row->{blocks} =~ /\[(\d+),(\d*)\)/g)
	{
		my $end = $2 eq '' ? $row->{size} / 8192 : $2;

		$block{$_} = 1 foreach $1 .. $end - 1;
	}
	return \%block;
}

# An LSN as a number.
sub lsn
{
	my ($high, $low) = split m{/}, shift;

	return hex($high) * 2**32 + hex($low);
}

my ($pages, $missed, $named) = (0, 0, 0);
my $from = lsn($parent);
foreach my $path (grep { $increment->{$_}{kind} eq 'relation' } keys %$increment)
{
	my $bytes = slurp_file("$data/$path");
	my $blocks = blocks_of($increment->{$path});

	for (my $block = 0; $block < length($bytes) / 8192; $block++)
	{
		my ($high, $low) = unpack 'LL', substr($bytes, $block * 8192, 8);

		$named++ if !$blocks || $blocks->{$block};
		next if $high * 2**32 + $low <= $from;
		$pages++;
		$missed++ if $blocks && !$blocks->{$block};
	}
}
cmp_ok($pages, '>', 500, "$pages pages have changed by their LSNs");
is($missed, 0, 'and the map names them all');

# The map names what ckpx_changed_files names, and files of which nearly all
# changed as a whole.
my (%changed, @wide);
foreach my $line (split /\n/, sql(qq{
	SELECT path, whole, blocks FROM ckpx_changed_files('$parent')
	WHERE path ~ '(\\d|_vm|_init|/)\$'}))
{
	my ($path, $whole, $blocks) = split /\|/, $line, -1;

	push @wide, $path if $path =~ m{/$};
	$changed{$path} = { blocks => $whole eq 't' ? '' : $blocks, size => -s "$data/$path" }
	  if -f "$data/$path";
}
my $compared = 0;
foreach my $path (grep { $increment->{$_}{kind} eq 'relation' } keys %$increment)
{
	my $row = $increment->{$path};
	my $other = $changed{$path} // { blocks => '{}' };
	my ($mine, $theirs) = (blocks_of($row), blocks_of($other));
	my $nblocks = $row->{size} / 8192;

	$theirs = undef if grep { index($path, $_) == 0 } @wide;
	if (!$mine || !$theirs)
	{
		ok(!$mine && (!$theirs || keys(%$theirs) > 0.9 * $nblocks), "$path is whole");
		next;
	}
	delete @$theirs{ grep { $_ >= $nblocks } keys %$theirs };
	$compared++;
	is_deeply($mine, $theirs, "$path: the same blocks")
	  if join(' ', sort keys %$mine) ne join(' ', sort keys %$theirs) || %$mine;
}
cmp_ok($compared, '>', 500, "$compared files compared with ckpx_changed_files");

is($increment->{ path_of('still') }{blocks}, '{}', 'a table that did not change');
like($increment->{ path_of('t') }{blocks}, qr/^\{\[\d/, 'one with some changed blocks');
is($increment->{ path_of('nearly') }{blocks}, '', 'nearly all blocks: the whole file');
is($increment->{ path_of('comes') }{blocks}, '', 'a new table');
like($increment->{ path_of('shrinks') }{blocks}, qr/,\)\}$|^$/, 'a table that was cut off');
like($increment->{ path_of($_) }{blocks}, qr/^\{\[\d/, "blocks of $_")
  foreach qw(in_outside in_in_place);
my $within = path_of('in_within');
like($increment->{$within}{blocks}, qr/^\{\[\d/, 'blocks of in_within');
my $made = sql("SELECT oid FROM pg_database WHERE datname = 'made'");
is(join('', map { $increment->{$_}{blocks} }
	  grep { m{^base/$made/} } keys %$increment), '',
	'all of a database that was copied as files');
is(join('', map { $increment->{$_}{blocks} }
	  grep { $increment->{$_}{kind} ne 'relation' } keys %$increment), '',
	'no blocks of free space maps and other files');

# ---- the bytes

# Run ckpx_read_list() with rows of ckpx_backup_files() or with literals, and
# then what is given; the first error, or what was printed.
sub read_list
{
	my ($session, $slot, $lsn, $list, @more) = @_;
	my $rows = ref $list
	  ? 'VALUES ' . join(', ', map { my ($path, $blocks) = ref $_ ? @$_ : ($_, undef);
			$path =~ s/'/''/g;
			"(convert_to(E'$path', 'UTF8'), "
			  . (defined $blocks ? "'$blocks'" : 'NULL') . '::int8multirange)' } @$list)
	  : $list;

	return ask($session,
		"SELECT ckpx_read_list('$slot', '$lsn', array_agg(path), array_agg(blocks)"
		. join('', map { ", $_" } @more) . ") FROM ($rows) f (path, blocks)");
}

# Read the session's list: what is found of each file, by its number.
sub read_files
{
	my ($session) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/copied';
	my @files;

	ask($session, "\\copy (SELECT ckpx_read_files()) TO '$file' (FORMAT binary)");
	my $bytes = slurp_file($file);
	is(unpack('H*', substr($bytes, 0, 11)), '5047434f50590aff0d0a00', 'a binary COPY');
	for (my $at = 19; ;)
	{
		my $nfields = unpack 's>', substr($bytes, $at, 2);

		last if $nfields == -1;
		my $length = unpack 'L>', substr($bytes, $at + 2, 4);
		my ($number, $type) = unpack 'L>a', substr($bytes, $at + 6, 5);
		my $rest = substr($bytes, $at + 11, $length - 5);
		my $got = $files[$number] //= { number => $number, pieces => [], wrong => [] };

		$at += 6 + $length;
		die 'a row after the last one' if defined $got->{length} || $got->{vanished};
		push @{ $got->{wrong} }, unpack 'L>', $rest if $type eq 'C';
		$got->{vanished} = 1 if $type eq 'V';
		$got->{length} = unpack 'Q>', $rest if $type eq 'E';
		push @{ $got->{pieces} }, [ unpack('Q>', $rest), substr($rest, 8) ] if $type eq 'D';
	}
	return \@files;
}

my $reader = session($node);
ask($reader, '\set ON_ERROR_STOP 0');
ask($reader, '\o');
my $all = q{SELECT path, blocks FROM ckpx_backup_files('held', '%s'%s)
	WHERE kind IN ('relation', 'fsm', 'file') ORDER BY path};
sql('CHECKPOINT');
read_list($reader, 'held', $start, sprintf $all, $start, '');
my $files = read_files($reader);
my @paths = sort grep { $full->{$_}{kind} =~ /^(relation|fsm|file)$/ } keys %$full;
my @different;
my $largest = 0;
foreach my $i (0 .. $#paths)
{
	my $at = 0;

	foreach my $piece (@{ $files->[$i]{pieces} })
	{
		$at = -1 if $piece->[0] != $at;
		$at += length $piece->[1];
		$largest = length $piece->[1] if $largest < length $piece->[1];
	}
	push @different, $paths[$i]
	  if slurp_file("$data/$paths[$i]") ne join('', map { $_->[1] } @{ $files->[$i]{pieces} })
	  || $at != $files->[$i]{length};
}
is(scalar @$files, scalar @paths, 'all files were read');
is_deeply(\@different, [], 'as they are on disk');
is($largest, 16 * 8192, 'in pieces of 16 blocks');
is(join('', map { @{ $_->{wrong} } } @$files), '', 'all checksums are right');

# Blocks: those that are there, and none beyond the end.
my $table = path_of('t');
my $size = -s "$data/$table";
my $last = $size / 8192 - 1;
read_list($reader, 'held', $start,
	[ [ $table, "{[3,5),[20,40),[$last,)}" ], [ $table, '{}' ], [ $table, '{[100000,131072)}' ], 'PG_VERSION' ]);
$files = read_files($reader);
is_deeply(
	[ map { [ $_->[0] / 8192, length($_->[1]) / 8192 ] } @{ $files->[0]{pieces} } ],
	[ [ 3, 2 ], [ 20, 16 ], [ 36, 4 ], [ $last, 1 ] ],
	'blocks that are wanted');
is_deeply([ map { scalar @{ $_->{pieces} } } @$files ], [ 4, 0, 0, 1 ], 'none, none there, a whole file');
is_deeply([ map { $_->{length} } @$files ], [ $size, $size, $size, 3 ], 'the lengths of the files');
my $bytes = slurp_file("$data/$table");
is(join('', map { $_->[1] } @{ $files->[0]{pieces} }),
	join('', map { substr($bytes, $_->[0] * 8192, $_->[1] * 8192) } [ 3, 2 ], [ 20, 20 ], [ $last, 1 ]),
	'their bytes');

# No buffer is used.
sql('CREATE EXTENSION pg_buffercache');
$node->stop;
$node->start;
($holder, $start) = begin_backup($node, 'held');
$reader = session($node);
my $still = path_of('still');
read_list($reader, 'held', $start, [$still]);
is(read_files($reader)->[0]{length}, -s "$data/$still", 'a table was read');
is(sql("SELECT count(*) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('still')"),
	0, 'past shared buffers');

# ---- files that change meanwhile

my $goes = path_of('goes');
my $shrinks = path_of('shrinks');
my $gone = sql("SELECT oid FROM pg_database WHERE datname = 'goes_too'");
my $before = -s "$data/$shrinks";
read_list($reader, 'held', $start,
	[ $goes, "base/$gone/PG_VERSION", "base/$gone/1259", $shrinks, 'extra/note' ]);
sql('DROP TABLE goes');
sql('DROP DATABASE goes_too');
sql('DELETE FROM shrinks WHERE a > 100');
sql('VACUUM shrinks');
sql('CHECKPOINT');
unlink "$data/$goes";
unlink "$data/extra/note";
$files = read_files($reader);
is_deeply([ map { $_->{vanished} // 0 } @$files ], [ 1, 1, 1, 0, 1 ],
	'a table, a database and a file that have vanished');
cmp_ok($before, '>', $files->[3]{length}, 'a table that has shrunk');
is($files->[3]{length}, -s "$data/$shrinks", 'its length');

# ---- wrong checksums

sub wrong_blocks
{
	my ($list, @more) = @_;

	read_list($reader, 'held', $start, $list, @more);
	my $offset = -s $node->logfile;
	my $found = read_files($reader);
	my $log = substr(slurp_file($node->logfile), $offset);
	my $warnings = () = $log =~ /WARNING:  block \d+ of file "[^"]+" has a wrong checksum/g;

	is($warnings, scalar(map { @{ $_->{wrong} } } @$found), 'a warning for each');
	return join ';', map { join ',', @{ $_->{wrong} } } @$found;
}

# Block 2 is torn, 20 of 24 in a visibility map is not known to be a page.
change_byte("$data/$still", $_ * 8192 + 4000) foreach 2, 3, 40;
my $zeros = path_of('in_outside');
open(my $handle, '+<:raw', "$data/$zeros") or die;
print $handle "\0" x 8192;
close($handle);
is(wrong_blocks([ $still, [ $still, '{[3,4)}' ], $table, $zeros ]),
	'2,3,40;3;;', 'blocks with wrong checksums are told, a new page is not');
is(wrong_blocks([$still], 'false'), '', 'not if checksums are not to be verified');

# A page that changed since the start may be torn.
sql("UPDATE t SET b = 'later' WHERE ctid = (SELECT min(ctid) FROM t)");
sql('CHECKPOINT');
my $later = $node->safe_psql('postgres', "SELECT (min(ctid)::text::point)[0] FROM t WHERE b = 'later'");
change_byte("$data/$table", $later * 8192 + 4000);
is(wrong_blocks([$table]), '', 'a page that changed since the start is not judged');
change_byte("$data/$table", $later * 8192 + 4000);
change_byte("$data/$still", $_ * 8192 + 4000) foreach 2, 3, 40;

# ---- what is refused

# The SQLSTATE and message of what is asked in a session of its own.
sub refused
{
	my ($query) = @_;
	my ($text) = error_of($query) =~ /ERROR:  (\w{5}: .*)/;

	return $text // 'no error';
}

sub refused_list
{
	my ($path, $blocks, $slot) = @_;
	$blocks = defined $blocks ? "'$blocks'" : 'NULL';
	$slot //= 'held';

	return refused("SELECT ckpx_read_list('$slot', '$start', ARRAY[$path], ARRAY[$blocks]::int8multirange[])");
}

foreach my $path (
	'', '.', '..', '/', '/etc/passwd', '../x', 'base/../../x', 'base/..', 'base//5/1259',
	'base/5/1259/', './PG_VERSION', 'base/./5/1259', 'base/5/12\01259', 'x\177',
	'x' x 1024)
{
	is(refused_list("'$path'::bytea"),
		'22023: path of a file is not a relative one without ".", ".." and control characters',
		'refused: ' . substr($path, 0, 20));
}
is(refused_list("'PG_VERSION\\000x'::bytea"), refused_list("''::bytea"), 'refused: a zero byte');
foreach my $path (
	'postmaster.pid', 'pg_wal/000000010000000000000001', 'pg_wal', 'pg_replslot/held/state',
	'backup_label', 'base/5/t3_16384', 'base/pgsql_tmp/x', 'ckpx', 'ckpx/x/y', 'ckpx_node',
	'global/pg_internal.init', 'pg_subtrans/0000')
{
	is(refused_list("'$path'::bytea"), "22023: file \"$path\" is not part of a backup", "refused: $path");
}
is(refused_list("'global/pg_control'::bytea"),
	'22023: file "global/pg_control" cannot be read with others', 'refused: global/pg_control');
is(refused_list("'PG_VERSION'::bytea", '{[0,1)}'), '22023: file "PG_VERSION" has no blocks',
	'refused: blocks of an ordinary file');
is(refused_list("'$table'::bytea", $_), "22023: blocks of file \"$table\" do not lie in a segment",
	"refused: blocks $_") foreach '{[131072,)}', '{[-1,1)}', '{(,3)}', '{[0,131073)}';
is(refused_list('NULL::bytea'), '22004: path of a file must not be null', 'refused: NULL');
is(refused("SELECT ckpx_read_list('held', '$start', '{}', '{NULL}')"),
	'22023: paths and blocks must have the same number of elements', 'refused: lists of unequal length');
is( refused("SELECT ckpx_read_list('held', '$start', array_agg('x'::bytea), array_agg(NULL::int8multirange)) FROM generate_series(1, 65537)"),
	'22023: list has more than 65536 files', 'refused: too many files');
is(refused("SELECT ckpx_read_list('held', 'F000/0', '{}', '{}')"),
	'22023: start_lsn F000/0 lies in the future', 'refused: a start in the future');
is(refused('SELECT ckpx_read_files()'), '55000: this session has no list of files', 'no list');

# What is opened: no link, no pipe, and nothing else than what was meant.
sub refused_file
{
	my ($path) = @_;

	return refused("SELECT ckpx_read_list('held', '$start', ARRAY['$path'::bytea], ARRAY[NULL]::int8multirange[]);\nSELECT ckpx_read_files()");
}
is(refused_file('extra/passwd'), 'XX000: could not open file "extra/passwd": Too many levels of symbolic links',
	'a link is not followed');
is(refused_file('extra/link/passwd'), '42809: could not open file "extra/link/passwd": Not a directory',
	'nor one on the way');
is(refused_file("pg_tblspc/$space{outside}/x"), "42809: could not open file \"pg_tblspc/$space{outside}/x\": Not a directory",
	'nor that of a tablespace beside its version directory');
like(refused_file('extra/pipe'), qr/could not open file "extra\/pipe": Invalid argument/, 'a pipe is not waited for');
like(refused_file('extra'), qr/could not open file "extra": Invalid argument/, 'a directory is not read');
is(refused_file('nowhere'), '58P01: could not open file "nowhere": No such file or directory',
	'a file that cannot have vanished');

# ---- the slot

sql("SELECT pg_create_physical_replication_slot('lasting', true)");
my $logical = session($node);
ask($logical, 'SET client_min_messages = error');
foreach my $case (
	[ 'nowhere', 'The slot does not exist.' ],
	[ 'lasting', 'The slot is not a temporary physical one.' ],
	[ 'ckpx', 'The slot is not a temporary physical one.' ])
{
	my ($slot, $detail) = @$case;

	foreach my $query ("SELECT ckpx_read_list('$slot', '$start', '{}', '{}')",
		"SELECT ckpx_backup_files('$slot', '$start')")
	{
		my $error = error_of($query);

		like($error, qr/ERROR:  55000: no backup with replication slot "$slot" is running on this server\nDETAIL:  \Q$detail\E/,
			"slot $slot");
	}
}
is(refused("SELECT ckpx_backup_files(NULL, '$start')"), '22004: slot must not be null', 'no slot');
is(refused("SELECT ckpx_backup_files('held', NULL)"), '22004: start_lsn must not be null', 'no start');
is(refused("SELECT ckpx_backup_files('held', 'F000/0')"),
	'22023: start_lsn F000/0 lies in the future', 'a start in the future');
like(refused("SELECT ckpx_backup_files('held', '$parent', '$start')"),
	qr{^22023: parent_start \S+ is greater than start_lsn }, 'a parent that started later');
like(error_of("SELECT ckpx_backup_files('held', '$start', '0/28')"),
	qr{ERROR:  55000: no block map for 0/28 - \S+\nDETAIL:  The first missing LSN is 0/28},
	'a parent that the map does not reach');

# ---- calls that end early

my $pid = ask($reader, 'SELECT pg_backend_pid()');

sub open_files
{
	return scalar grep { (readlink($_) // '') =~ /\Q$still\E$/ } glob "/proc/$pid/fd/*";
}

sub progress
{
	return sql("SELECT job, phase, total FROM ckpx_progress WHERE pid = $pid");
}

read_list($reader, 'held', $start, [ $still, $table ]);
my @early = (
	[ 'an error', 'FETCH 2 FROM c', 'SELECT 1 / 0', 'ROLLBACK' ],
	[ 'an error in a subtransaction', 'SAVEPOINT s', 'FETCH 2 FROM c', 'SELECT 1 / 0', 'ROLLBACK TO s; CLOSE c; COMMIT' ],
	[ 'an end before the last row', 'FETCH 2 FROM c', 'CLOSE c', 'COMMIT' ]);
foreach my $case (@early)
{
	my ($name, @steps) = @$case;

	ask($reader, 'BEGIN; DECLARE c CURSOR FOR SELECT length(ckpx_read_files())');
	foreach my $step (@steps)
	{
		ask($reader, $step);
		next if $step !~ /FETCH/;
		is(open_files(), 1, "$name: a file is open");
		is(progress(), 'read files|reading files|2', "$name: progress is shown");
	}
	is(open_files(), 0, "$name: no file is left open");
	is(progress(), '', "$name: nothing is shown");
}
ask($reader, 'SELECT count(*) FROM (SELECT ckpx_read_files() LIMIT 3) x');
is(open_files(), 0, 'a LIMIT: no file is left open');

$reader->{in} .= "SELECT length(ckpx_read_files()), pg_sleep(600);\n\\echo done\n";
$reader->{out} = '';
wait_until(sub { IPC::Run::pump_nb($reader->{handle}); open_files() == 1 }, 'a file is open');
sql("SELECT pg_cancel_backend($pid)");
IPC::Run::pump($reader->{handle}) until $reader->{out} =~ /done\n/;
is(open_files(), 0, 'a cancel: no file is left open');
is(progress(), '', 'nothing is shown');
is(read_files($reader)->[1]{length}, -s "$data/$table", 'the list is still valid');

# A list that is refused leaves the one before, and one replaces another.
read_list($reader, 'held', $start, ['../x']);
is(read_files($reader)->[1]{length}, -s "$data/$table", 'after a refused list the one before');
read_list($reader, 'held', $start, [ [ $still, '{[1,2)}' ] ]) foreach 1 .. 20;
is(ask($reader, "SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'ckpx file list'"),
	1, 'lists that were replaced are freed');
ask($reader, 'BEGIN; DECLARE c CURSOR FOR SELECT length(ckpx_read_files()); FETCH 1 FROM c');
read_list($reader, 'held', $start, [$still]);
my $offset = -s $node->logfile;
ask($reader, 'FETCH 1 FROM c');
like(substr(slurp_file($node->logfile), $offset),
	qr/ERROR:  list of files was replaced while its files were read/, 'a list replaced while it is read');
ask($reader, 'ROLLBACK');

# Memory does not grow with the files.
sub memory
{
	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : die;
}
read_list($reader, 'held', $start, [ ($still) x 10 ]);
read_files($reader);
my $memory = memory();
read_list($reader, 'held', $start, [ ($still) x 100 ]);
$files = read_files($reader);
is(scalar @$files, 100, 'a table was read a hundred times');
SKIP:
{
	skip 'a sanitizer keeps what was freed', 1 if $ENV{ASAN_OPTIONS};
	cmp_ok(memory() - $memory, '<', 4096, 'in the same memory');
}

# ---- roles

sql('CREATE ROLE reads IN ROLE pg_read_server_files; CREATE ROLE monitors IN ROLE pg_monitor');
my @calls = (
	"SELECT count(*) > 0 FROM ckpx_backup_files('held', '$start', '$start')",
	"SELECT ckpx_read_list('held', '$start', ARRAY['$table'::bytea], ARRAY[NULL]::int8multirange[]) IS NOT NULL",
	'SELECT sum(length(r)) > 0 FROM (SELECT ckpx_read_files() r) x',
	'SELECT length(ckpx_read_control()) = 8192',
	'SELECT length(ckpx_read_wal(pg_walfile_name(pg_current_wal_lsn()))) > 0');
is(sql(join ';', 'SET ROLE reads', @calls), join("\n", ('t') x @calls),
	'a role with pg_read_server_files may do all of it');
like(refused("SET ROLE monitors;\n$_"), qr/^42501: permission denied for function/, 'another one may not')
  foreach @calls;

# ---- WAL and the control file

sub hex_of
{
	return unpack 'H*', shift;
}

my $segment = sql('SELECT pg_walfile_name(pg_current_wal_lsn())');
my $wal = slurp_file("$data/pg_wal/$segment");
sql('SELECT pg_switch_wal()');
is(sql("SELECT encode(ckpx_read_wal('$segment', 0, 100), 'hex')"), hex_of(substr($wal, 0, 100)), 'WAL');
is(sql("SELECT encode(ckpx_read_wal('$segment', 8192, 30), 'hex')"), hex_of(substr($wal, 8192, 30)), 'WAL from an offset');
is(sql("SELECT length(ckpx_read_wal('$segment', 16777000, 1000)), length(ckpx_read_wal('$segment', 20000000))"),
	'216|0', 'the end of a segment, and behind it');
sql('SELECT pg_switch_wal()');
my $segment_bytes = slurp_file("$data/pg_wal/$segment");
my $sent = pack 'H*', sql("SELECT encode(ckpx_read_wal('$segment'), 'hex')");
ok($sent . "\0" x (length($segment_bytes) - length($sent)) eq $segment_bytes, 'a whole segment, when zeros are put back');
cmp_ok(length($sent), '<', length($segment_bytes), 'they were left out');
append_to_file("$data/pg_wal/000000770000000000000001", 'WAL');
is(refused("SELECT ckpx_read_wal('000000770000000000000001')"),
	'XX001: file "pg_wal/000000770000000000000001" is not a whole WAL segment', 'a cut segment');
unlink "$data/pg_wal/000000770000000000000001";
append_to_file("$data/pg_wal/00000077.history", "1\t0/1\tno reason\n");
is(sql("SELECT convert_from(ckpx_read_wal('$_'), 'UTF8')"), "1\t0/1\tno reason\n", "a history file: $_")
  foreach '00000077.history', '00000077';
unlink "$data/pg_wal/00000077.history";
is(refused("SELECT ckpx_read_wal('$_')"), "22023: \"$_\" is not the name of a WAL segment or history file", "refused: $_")
  foreach 'some', '../PG_VERSION', 'archive_status', '0000000100000000000000zz', "$segment.partial";
is(refused("SELECT ckpx_read_wal('0000007700000000000000FF')"),
	'58P01: could not open file "pg_wal/0000007700000000000000FF": No such file or directory', 'a segment that is not there');
is(refused("SELECT ckpx_read_wal('$segment', -1)"), '22023: offset and length must not be negative', 'a negative offset');
rename("$data/pg_wal/some", "$data/some");
symlink('../some', "$data/pg_wal/000000990000000000000001");
like(refused("SELECT ckpx_read_wal('000000990000000000000001')"), qr/Too many levels of symbolic links/, 'a link');
unlink "$data/pg_wal/000000990000000000000001";

is(sql("SELECT encode(ckpx_read_control(), 'hex')"), hex_of(scalar slurp_file("$data/global/pg_control")), 'the control file');
change_byte("$data/global/pg_control", 40);
is(refused('SELECT ckpx_read_control()'), 'XX001: file "global/pg_control" is damaged', 'a damaged control file');
change_byte("$data/global/pg_control", 40);

# ---- on a standby

sql('SELECT ckpx_checkpoint()');
sql($_) foreach 'DROP TABLE in_outside, in_within, unlogged, comes',
  'DROP TABLESPACE outside', 'DROP TABLESPACE within';
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
my $since = sql('SELECT pg_current_wal_insert_lsn()');
sql("UPDATE t SET b = 'again' WHERE a % 977 = 0");
sql('CHECKPOINT');
$node->wait_for_catchup($standby);
wait_for_sql($standby, "SELECT collected_lsn >= '$since' FROM ckpx_runner");
my ($standby_holder, $standby_start) = begin_backup($standby, 'on_standby');
is($standby->safe_psql('postgres', "SELECT '$standby_start'::pg_lsn >= '$since'"), 't', 'a backup of a standby');
my $on_standby = backup_files($standby, 'on_standby', $standby_start, $since);
like($on_standby->{$table}{blocks}, qr/^\{\[\d/, 'a table that changed');
is($on_standby->{$still}{blocks}, '{}', 'one that did not');
my $standby_reader = session($standby);
read_list($standby_reader, 'on_standby', $standby_start, [ $table, $still ]);
$files = read_files($standby_reader);
is(join('', map { $_->[1] } @{ $files->[0]{pieces} }),
	slurp_file($standby->data_dir . "/$table"), 'its bytes');
my ($sret, $sout, $serr) = $standby->psql('postgres', "SELECT ckpx_backup_files('held', '$standby_start')");
like($serr, qr/no backup with replication slot "held" is running on this server/,
	'the backup of another server does not count');
end_session($_) foreach $standby_reader, $standby_holder;

# ---- the backup ends

read_list($reader, 'held', $start, [$still]);
end_session($holder);
wait_for_sql($node, "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'held'");
$offset = -s $node->logfile;
ask($reader, 'SELECT length(ckpx_read_files())');
like(substr(slurp_file($node->logfile), $offset),
	qr/ERROR:  no backup with replication slot "held" is running on this server/,
	'a list is of no use after the backup');

# ---- ckpx.directory elsewhere in the data directory

end_session($_) foreach $reader, $logical;
make_path("$data/own");
$node->append_conf('postgresql.conf', "ckpx.directory = '$data/own/ckpx'");
$node->stop;
rename("$data/ckpx", "$data/own/ckpx") or die "rename: $!";
$node->start;
($holder, $start) = begin_backup($node, 'held');
$full = backup_files($node, 'held', $start);
ok($full->{PG_VERSION}, 'a listing with ckpx.directory elsewhere');
is(join(' ', grep { m{^own(/|$)} } sort keys %$full), 'own', 'which is not in the backup');
end_session($holder);
$node->stop;
$standby->stop;
done_testing();
