# ckpx_dump, which reads the files of a store without a server: what it says is
# what the server says, and of damaged files it says that they are damaged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxOracle;
use CkpxTest;
use File::Copy;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;

my $node = loaded_node(
	'main', on_demand => 1, conf => <<'EOC');
ckpx.checkpoint_size = '64kB'
ckpx.checkpoint_block_rows = 4
max_slot_wal_keep_size = '2GB'
EOC
my $outside = PostgreSQL::Test::Utils::tempdir();
my $ncopies = 0;

# A copy of the store's directory, or of a copy.  Where the server has published
# or removed files meanwhile, or is yet to remove a manifest, it is made again.
sub copy_store
{
	my $from = shift // store_dir($node);
	my $to;

	wait_until(
		sub {
			my @files = glob("$from/*.{ckpx,json}*");
			$to = "$outside/" . $ncopies++;
			mkdir $to;
			copy($_, $to) || $!{ENOENT} || die "could not copy $_: $!" foreach @files;
			return "@files" eq join(' ', glob("$from/*.{ckpx,json}*"))
			  && grep({ /meta_/ } @files) <= 2;
		},
		'a copy of the store');
	return $to;
}

sub dump_of
{
	my ($out, $err);

	IPC::Run::run([ 'ckpx_dump', @_ ], '<', \undef, '>', \$out, '2>', \$err);
	return ($out, $err, $? >> 8);
}

sub json_of
{
	my ($out, $err, $status) = dump_of(@_, '--json');
	my $value = eval { JSON::PP->new->utf8->decode($out) };

	ok(defined $value, "@_: JSON") or diag($@, $out, $err);
	return wantarray ? ($value, $status, $err) : $value;
}

# One test: it fails with this exit code and message.
sub fails_with
{
	my ($expected, $pattern, $name, @command) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err, $status) = dump_of(@command);

	return ok($status == $expected && "$out$err" =~ $pattern, $name)
	  || diag("exit code $status\n$out$err");
}

# The rows of a map, in any order: by the server, and by the tool.
sub server_rows
{
	my ($start, $end, $relation) = @_;
	my $argument = defined $relation ? ", '$relation'" : '';

	return join "\n", sort split /\n/, sql(qq{
		SELECT concat_ws(' ', tablespace, database, relfilenode, fork,
			coalesce(limit_block::text, '-'), blocks)
		FROM ckpx_changed_blocks('$start', '$end'$argument)
		WHERE relfilenode IS NOT NULL});
}

sub rows_of
{
	my ($out) = @_;
	my ($rows) = $out =~ /^relations\n(?:tablespace[^\n]*\n)?(.*)/ms;

	return join "\n", sort map { join ' ', split ' ' } grep { /^\s*\d/ } split /\n/, $rows // '';
}

sub dump_rows
{
	my ($out, $err, $status) = dump_of('blocks', @_);

	diag($err) if $status != 0;
	return rows_of($out);
}

sub objects
{
	my ($dir, $prefix) = @_;
	return sort grep { /\.ckpx$/ } glob("$dir/${prefix}_*");
}

sub newest_manifest
{
	return (sort glob("$_[0]/meta_*.json"))[-1];
}

# ---- a history: maps of every kind, objects of several parts

create_tables('part%s', 50);
sql(q{CREATE TABLE passing AS SELECT 1 AS a;
	CREATE TABLE shorter AS SELECT g AS a FROM generate_series(1, 20000) g;
	CREATE TABLE sparse WITH (fillfactor = 10) AS SELECT g AS a FROM generate_series(1, 20000) g;
	CREATE UNLOGGED TABLE unlogged (a int)});
my $begin = sql('SELECT to_lsn FROM ckpx_gaps');
sql('SELECT ckpx_checkpoint()');
run_load($node, 20);
sql('DELETE FROM shorter WHERE a > 5000');
sql('VACUUM shorter');
sql('DROP TABLE passing');
sql('CREATE DATABASE other STRATEGY file_copy');
sql('SELECT ckpx_checkpoint()');
sql('TRUNCATE ' . join(', ', map { "part$_" } 1 .. 50)) foreach 1 .. 12;
sql('SELECT ckpx_checkpoint()');
sql('UPDATE sparse SET a = a + 1 WHERE a % 200 = 0');
run_load($node, 20);
my $inside = wal_position($node);
run_load($node, 10);
sql('SELECT ckpx_checkpoint()');

# CREATE DATABASE makes checkpoints, and incrementals end where one begins.
my @ends = ($begin, split /\n/,
	sql(q{SELECT end_lsn FROM ckpx_checkpoints WHERE kind = 'incremental' ORDER BY end_lsn}));
my $end = $ends[-1];
cmp_ok(scalar(@ends), '>=', 5, 'there are incrementals');
sql("SELECT ckpx_pin('kept', '$ends[1]', '1h'), ckpx_pin('forever', '$ends[2]')");
sql("SELECT ckpx_record_backup(md5('a'), NULL, 1, '$ends[1]', '$ends[2]', 1234),"
	  . " ckpx_record_backup(md5('b'), md5('a'), 1, '$ends[2]', '$ends[3]', 77)");
my $store = copy_store();
my $folder = store_dir($node);

# ---- list

my $list = json_of('list', $store, '--all', '--gaps', '--pins', '--backups', '--marks');
is( join("\n",
		map {
			join ' ', @$_{qw(kind epoch timeline start_lsn end_lsn relations blocks bytes created)}
		} @{ $list->{entries} }),
	sql(q{SET timezone = 'UTC';
		SELECT concat_ws(' ', kind, epoch, timeline, start_lsn, end_lsn, nrelations, nblocks,
			size_bytes, to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
		FROM ckpx_checkpoints WHERE state = 'finished' ORDER BY start_lsn}),
	'list: the entries are those of ckpx_checkpoints');
cmp_ok((sort { $b <=> $a } map { $_->{parts} } @{ $list->{entries} })[0],
	'>', 1, 'list: an object has several parts');
is( join("\n",
		map { join '|', $_->{epoch}, $_->{from_lsn} // '', @$_{qw(to_lsn reason)} }
		  @{ $list->{gaps} }),
	sql('SELECT epoch, from_lsn, to_lsn, reason FROM ckpx_gaps'),
	'list: gaps');
is( join("\n",
		sort map { join '|', @$_{qw(name lsn)}, defined $_->{expires} ? 't' : 'f' }
		  @{ $list->{pins} }),
	sql('SELECT name, lsn, expires_at IS NOT NULL FROM ckpx_pins ORDER BY name'),
	'list: pins');
is( join("\n",
		map { join '|', $_->{id}, $_->{parent} // '', @$_{qw(timeline start_lsn stop_lsn bytes)} }
		  @{ $list->{backups} }),
	sql('SELECT id, parent, timeline, start_lsn, stop_lsn, bytes FROM ckpx_backups'),
	'list: recorded backups');
cmp_ok(scalar(@{ $list->{marks} }), '>', 1, 'list: there are marks');
is( join("\n", map { join '|', @$_{qw(redo_lsn timeline crc)} } @{ $list->{marks} }),
	join("\n",
		map { sql("SELECT redo, timeline, crc FROM ckpx_checkpoint_mark('$_->{lsn}')") }
		  @{ $list->{marks} }),
	'list: marks');
is($list->{manifest}{file}, newest_manifest($store) =~ s{.*/}{}r, 'list: the newest manifest');
is($list->{manifest}{system_identifier},
	sql('SELECT system_identifier FROM pg_control_system()'), 'list: the cluster');
is(scalar(grep { $_->{state} eq 'used' } @{ $list->{manifests} }), 1, 'list: one manifest is used');
is(scalar(@{ $list->{unnamed} }), 0, 'list: every file is named');
my ($out, undef, $status) = dump_of('list', $node->data_dir . '/ckpx');
is($status, 0, 'list: the directory of stores');
like($out, qr/^incremental +1 +1 +\Q$begin\E +\Q$ends[1]\E /m, 'list: a table');

append_to_file("$store/$_", 'x')
  foreach ('inc_00000001_00000001_00000000FF000000_00000000FF000001.ckpx', 'foreign.txt',
	'glo_00000001_00000001_00000000FF000000_00000000FF000001.ckpx.tmp');
is( join(' ', map { "$_->{what} $_->{bytes}" } @{ json_of('list', $store, '--all')->{unnamed} }),
	'temporary 1 incremental 1', 'list --all: files that are not named');
unlink glob("$store/*FF000000*"), "$store/foreign.txt";

# ---- blocks, with the server as the oracle

foreach my $i (0 .. $#ends - 1)
{
	foreach my $j ($i + 1 .. $#ends)
	{
		is(dump_rows($store, '-s', $ends[$i], '-e', $ends[$j]),
			server_rows($ends[$i], $ends[$j]), "blocks: from end $i to $j");
	}
}
my $all = server_rows($begin, $end);
is(dump_rows($store), $all, 'blocks: all that is known');
like($all, qr/ \d+ 0 main 0 /, '... with a row of a whole database');
is(dump_rows($store, '--start', $inside), server_rows($inside, $end),
	'blocks: from within an object');
my %path_of = map {
	$_ => join '/',
	  split /\|/, sql("SELECT CASE reltablespace WHEN 0 THEN 1663 ELSE reltablespace END,
		(SELECT oid FROM pg_database WHERE datname = 'postgres'), relfilenode
		FROM pg_class WHERE relname = '$_'")
} qw(load_row shorter unlogged);
foreach my $relation (qw(load_row shorter))
{
	is(dump_rows($store, '-r', $path_of{$relation}), server_rows($begin, $end, $relation),
		"blocks: of $relation");
}
is( dump_rows($store, '-r', "$path_of{shorter}.vm"),
	join("\n", grep { / vm / } split /\n/, server_rows($begin, $end, 'shorter')),
	'blocks: of a fork');
like(dump_rows($store, '-r', $path_of{unlogged}), qr/ init /, 'blocks: an init fork');
like(dump_rows($store, '-r', '1663/' . sql(q{SELECT oid FROM pg_database WHERE datname = 'other'}) . '/4711'),
	qr/ 0 main 0 \{\}$/, "blocks: a relation's whole database");

my @files = objects($store, 'inc');
is(dump_rows(reverse @files), $all, 'blocks: of files, in any order');
is(dump_rows($files[2]), server_rows($ends[2], $ends[3]), 'blocks: of one file');
my $json = json_of('blocks', $store, '-s', $ends[-2]);
is( join("\n",
		sort map {
			join ' ', @$_{qw(tablespace database relfilenode fork)}, $_->{limit_block} // '-',
			  '{' . join(',', map { "[$_->[0],$_->[1])" } @{ $_->{blocks} }) . '}'
		  } @{ $json->{relations} }),
	server_rows($ends[-2], $end),
	'blocks: JSON');

fails_with(1, qr{no block map for 0/100 - .*first missing LSN is 0/100\b.*Tracking began at \Q$begin\E}s,
	'blocks: before tracking began', 'blocks', $store, '-s', '0/100');
fails_with(1, qr{first missing LSN is \Q$end\E\.}, 'blocks: behind the last object',
	'blocks', $store, '-e', 'FF/0');
fails_with(1, qr{first missing LSN is \Q$ends[2]\E\.}, 'blocks: a hole between files',
	'blocks', @files[ 0, 1, 3 ]);
fails_with(1, qr/lies behind end/, 'blocks: a range that runs backwards',
	'blocks', $store, '-s', $ends[2], '-e', $ends[1]);

# ---- show and diff

my $show = json_of('show', $files[2], '--relations', '--marks');
is($show->{object}{start_lsn} . $show->{object}{end_lsn}, $ends[2] . $ends[3], 'show: the range');
is($show->{object}{relations}, scalar(@{ $show->{relations} }), 'show: as many records as it says');
my $show_blocks = json_of('show', $files[-1], '--blocks');
my $nblocks = 0;
$nblocks += $_->[1] - $_->[0] foreach map { @{ $_->{blocks} } } @{ $show_blocks->{relations} };
is($nblocks, $show_blocks->{object}{blocks}, 'show --blocks: as many blocks as it says');
is(scalar(@{ json_of('show', newest_manifest($store))->{entries} }), $#ends, 'show: a manifest');

is_deeply(scalar(json_of('diff', $store, newest_manifest($store))),
	{ entries => [], gaps => [], pins => [], backups => [] }, 'diff: of the same');
my @manifests = sort glob("$store/meta_*");
my $diff = json_of('diff', @manifests[ -2, -1 ]);
is(join(' ', map { "$_->{in} $_->{id}" } @{ $diff->{backups} }),
	'second ' . sql("SELECT md5('b')"), 'diff: two manifests');
is_deeply(json_of('diff', $files[-1], $files[-1])->{relations}, [], 'diff: of the same object');
$diff = json_of('diff', $files[0], $files[-1]);
my %in = map { $_->{in} => 1 } @{ $diff->{relations} };
is(join(' ', sort keys %in), 'first second', 'diff: two objects');
fails_with(1, qr/not of the same kind/, 'diff: of an object and a manifest',
	'diff', $files[1], newest_manifest($store));

# ---- verify

my ($verified, $code) = json_of('verify', $store);
is($code, 0, 'verify: nothing is damaged');
is($verified->{verified}{objects}, $#ends, 'verify: all objects');
is($verified->{verified}{manifests}, 2, 'verify: both manifests');
is($verified->{verified}{bytes}, sql('SELECT sum(size_bytes) FROM ckpx_checkpoints'),
	'verify: all bytes');

# One test: verify names these files of a copy that 'damage' has changed, and no
# other, with this problem.
sub finds
{
	my ($name, $damage, $problem, @names) = @_;
	my $copy = copy_store($store);

	@names = map { s{.*/}{}r } $damage->($copy), @names;
	my ($out, $err, $status) = dump_of('verify', $copy, '--json');
	my $damaged = eval { decode_json($out)->{damaged} } // [];
	return ok(
		$status == 1
		  && "@names" eq join(' ', map { $_->{file} =~ s{.*/}{}r } @$damaged)
		  && !grep({ $_->{problem} !~ $problem } @$damaged),
		"verify: $name") || diag("exit code $status\n@names\n$out$err");
}

my $size = -s $files[-1];
foreach my $offset (0, 30, 207, int($size / 2), -100, -71, -1)
{
	finds("byte $offset of an object", sub {
		my $file = (objects($_[0], 'inc'))[-1];
		change_byte($file, $offset);
		return $file;
	}, qr/./);
}
finds('an object is cut', sub {
	my $file = (objects($_[0], 'inc'))[1];
	truncate $file, (-s $file) - 50;
	return $file;
}, qr/./);
finds('an object is empty', sub {
	my $file = (objects($_[0], 'inc'))[1];
	truncate $file, 0;
	return $file;
}, qr/./);
finds('an object is missing', sub {
	my $file = (objects($_[0], 'inc'))[0];
	unlink $file;
	return $file;
}, qr/^No such file/);
finds('a part is missing', sub {
	my ($file) = glob("$_[0]/inc_*.ckpx.1");
	unlink $file;
	return $file;
}, qr/^No such file/);
finds('a byte of a further part', sub {
	my ($file) = glob("$_[0]/inc_*.ckpx.1");
	change_byte($file, 300);
	return $file;
}, qr/./);
finds('an object with the name of another', sub {
	my @objects = objects($_[0], 'inc');
	copy($objects[0], $objects[-1]);
	return $objects[-1];
}, qr/another range/);
finds('two objects', sub {
	my @objects = (objects($_[0], 'inc'))[ 0, -1 ];
	change_byte($_, 100) foreach @objects;
	return @objects;
}, qr/./);
finds('an object is a pipe', sub {
	my $file = (objects($_[0], 'inc'))[0];
	unlink $file;
	POSIX::mkfifo($file, 0600) or die;
	return $file;
}, qr/not a regular file/);
finds('a byte of the newest manifest', sub {
	my $file = newest_manifest($_[0]);
	change_byte($file, 200);
	return $file;
}, qr/checksum/);
finds('a manifest with the name of another', sub {
	my $file = newest_manifest($_[0]);
	my $other = $file =~ s/meta_(.)/'meta_' . ($1 + 1)/er;
	rename $file, $other;
	return $other;
}, qr/sequence/);
finds('no manifest', sub { unlink glob("$_[0]/meta_*"); return $_[0] }, qr/no manifest/);
finds('a manifest that says other things', sub {
	# the twelfth value of an entry
	change_manifest(newest_manifest($_[0]), sub { s/^(\["incremental",1,(?:[^,]*,){9})(\d+)/$1 . ($2 + 1)/me });
	return (objects($_[0], 'inc'))[0];
}, qr/manifest has another value of "nblocks"/);
finds('a hole in the chain', sub {
	change_manifest(newest_manifest($_[0]), sub {
		my ($start) = map { sprintf '%s', $_ } $ends[1];
		s/^\["\w+",1,\d+,"\Q$start\E".*\n//m;
	});
	return newest_manifest($_[0]);
}, qr{no object of epoch 1 has \Q$ends[1]\E - \Q$ends[2]\E,});
finds('an object that no manifest names', sub {
	my $file = (objects($_[0], 'inc'))[-1];
	my $other = $file =~ s/[0-9A-F]\.ckpx/1.ckpx/r;
	copy($file, $other);
	return $other;
}, qr/another range/);

my $other = copy_store($store);
change_byte((objects($other, 'inc'))[1], 40);
fails_with(1, qr/\Q$other\E\/inc_/, 'verify: one of several files', 'verify', $files[0],
	objects($other, 'inc'));

foreach my $command ([ 'verify', $files[0], "$outside/nothing" ], [ 'diff', $files[0], (objects($other, 'inc'))[1] ])
{
	my ($printed, $error, $failed) = dump_of(@$command, '--json');

	like("$failed|$printed|$error", qr/^1\|\|ckpx_dump: error: ./, "$command->[0]: no part of a JSON object before an error");
}

# What others hold still answers; what nobody holds is missing.
fails_with(1, qr{first missing LSN is \Q$ends[1]\E\..*object inc_\S+ is missing or damaged}s,
	'blocks: through a damaged object', 'blocks', $other, '-s', $begin, '-e', $end);
is(dump_rows($other, '-s', $ends[2], '-e', $end), server_rows($ends[2], $end),
	'blocks: behind a damaged object');
change_byte(newest_manifest($other), 300);
($out, my $err, $status) = dump_of('list', $other);
is($status, 1, 'list: a damaged manifest');
like($err, qr/warning: file "\Q${\newest_manifest($other)}\E" cannot be used/, '... is named');
like($out, qr/ damaged +\w.*\n.* used +-/, '... and the older one used');
unlink glob("$other/meta_*");
fails_with(1, qr/no manifest that can be read/, 'blocks: without a manifest', 'blocks', $other);
fails_with(1, qr/^incremental .*\.ckpx$/m, 'list: without a manifest', 'list', $other);

# ---- hostile files

append_to_file("$outside/random", join '', map { chr(($_ * 7919) % 251) } 1 .. 5000);
append_to_file("$outside/empty", '');
fails_with(1, qr/neither an object nor a manifest/, "show: $_", 'show', "$outside/$_")
  foreach qw(random empty);
fails_with(1, qr/could not stat/, 'show: nothing', 'show', "$outside/nothing");
fails_with(1, qr/no file of ckpx/, 'list: a directory without a store', 'list', $node->data_dir . '/base');
my $newer = copy_store($store);
change_manifest(newest_manifest($newer), sub { s/version": \d+/version": 99/ });
fails_with(1, qr/newer version/, 'show: a newer version', 'show', newest_manifest($newer));
my $hostile = copy_store($store);
change_manifest(newest_manifest($hostile), sub { s/"kept"/"\\u001B[2J\xff"/ });
($out) = dump_of('list', $hostile, '--pins');
like($out, qr/^\?\[2J/m, 'list: control characters are not printed');
change_manifest(newest_manifest($hostile), sub { s/"tracking begins"/"\\u001Btracking"/; s{^(\[1,\d+,)"0/0"}{$1"0/200"}m });
fails_with(1, qr/: \?tracking/, 'blocks: nor are those of a reason', 'blocks', $hostile, '-s', '0/100');
is(json_of('list', $hostile, '--pins')->{pins}[0]{name} =~ s/[^ -~]/?/gr, '?[2J?',
	'list: any bytes are JSON');

# ---- samples of old formats

foreach my $sample (glob("$FindBin::RealBin/../data/*"))
{
	my $version = $sample =~ s{.*/}{}r;

	is( rows_of((dump_of('blocks', "$sample/incremental.ckpx"))[0]) =~ s/^(\S+ \S+ \S+ \S+) - /$1 /mgr,
		join("\n", sort split /\n/, slurp_file("$sample/contents.txt")),
		"version $version: blocks");
	is((dump_of('verify', map { "$sample/$_" } qw(incremental.ckpx global.ckpx manifest.json)))[2],
		0, "version $version: verify");
}

# ---- a global's layers, after the incrementals are gone

sql("SELECT ckpx_unpin('kept'), ckpx_unpin('forever')");
sql('SELECT ckpx_global_checkpoint()');
my $with_both = copy_store();
sql('SELECT ckpx_gc()');
my $layered = copy_store();
is(join(' ', map { $_->{kind} } @{ json_of('list', $layered)->{entries} }),
	'global', 'there are no incrementals any more');
foreach my $start (@ends, $inside)
{
	is(dump_rows($layered, '-s', $start), server_rows($start, $end), "a global: from $start");
	is(dump_rows($layered, '-s', $start, '-r', $path_of{shorter}),
		server_rows($start, $end, 'shorter'), "a global: from $start, one relation");
}
is((dump_of('verify', $layered))[2], 0, 'a global: verify');
change_byte((objects($with_both, 'inc'))[1], 40);
is(dump_rows($with_both, '-s', $begin, '-e', $end), server_rows($begin, $end),
	'a global answers in the place of a damaged incremental');
change_byte((objects($layered, 'glo'))[0], 40);
fails_with(1, qr{first missing LSN is \Q$begin\E\.}, 'a global that is damaged',
	'blocks', $layered, '-s', $begin, '-e', $end);

# ---- a damaged range, as the server sees it

my @later = ($end);
foreach (1 .. 2)
{
	run_load($node, 10);
	push @later, sql('SELECT ckpx_checkpoint()');
}
my ($lost) = objects($folder, 'inc');
$node->stop;
change_byte($lost, 40);
$node->start;
await_tracking($node);
my $missing = has_no_answer($node, $begin, $later[2], 'the server has a gap');
run_load($node, 10);
sql('SELECT ckpx_checkpoint()');
my $gapped = copy_store();
is( join("\n",
		map { join '|', $_->{epoch}, $_->{from_lsn} // '', @$_{qw(to_lsn reason)} }
		  @{ json_of('list', $gapped, '--gaps')->{gaps} }),
	sql('SELECT epoch, from_lsn, to_lsn, reason FROM ckpx_gaps ORDER BY to_lsn'),
	'a gap: list');
fails_with(1, qr/first missing LSN is \Q$missing\E\./, 'a gap: blocks across it',
	'blocks', $gapped, '-s', $begin, '-e', $later[2]);
is(dump_rows($gapped, '-s', $begin, '-e', $end), server_rows($begin, $end),
	'a gap: blocks before it');
is(dump_rows($gapped, '-s', $later[1], '-e', $later[2]), server_rows(@later[ 1, 2 ]),
	'a gap: blocks behind it');
fails_with(0, qr/^damaged\n\(none\)/, 'a gap: it is no hole', 'verify', $gapped);

# ---- WAL summaries

my $summaries = "$outside/summaries";
mkdir $summaries;
is((dump_of('blocks', $store, '-s', $begin, '-e', $end, '--to-wal-summary', $summaries))[2],
	0, 'a WAL summary');
my $digits = sub { join '', map { sprintf '%08X', hex } map { split m{/} } @_ };
my ($summary) = glob("$summaries/*");
is($summary =~ s{.*/}{}r, '00000001' . $digits->($begin, $end) . '.summary', '... has its name');
fails_with(1, qr/could not create file .*File exists/, '... is not written over', 'blocks', $store,
	'-s', $begin, '-e', $end, '--to-wal-summary', $summaries);
fails_with(1, qr/could not create file/, '... in no directory', 'blocks', $store,
	'--to-wal-summary', "$outside/nowhere/summary");
SKIP:
{
	skip 'no pg_walsummary before 17', 1 if system('pg_walsummary --version >/dev/null 2>&1') != 0;
	my ($listed, $errors) = run_command([ 'pg_walsummary', $summary ]);
	my %found;

	foreach (split /\n/, $listed)
	{
		my ($tablespace, $database, $relation, $fork, $what) =
		  /^TS (\d+), DB (\d+), REL (\d+), FORK (\w+): (.*)/ or die;
		my $row = $found{"$tablespace $database $relation $fork"} //= { limit => '-', blocks => [] };

		if ($what =~ /^limit (\d+)$/)
		{
			$row->{limit} = $1;
		}
		else
		{
			my ($from, $to) = $what =~ /^blocks? (\d+)(?:\.\.(\d+))?$/ or die;
			push @{ $row->{blocks} }, "[$from," . (1 + ($to // $from)) . ')';
		}
	}
	is( join("\n",
			sort map { "$_ $found{$_}{limit} {" . join(',', @{ $found{$_}{blocks} }) . '}' }
			  keys %found),
		join("\n", grep { !/ - \{\}$/ } split /\n/, $all),
		'... says what the map says');
	is($errors, '', '... and nothing is wrong in it');
}

# ---- options

fails_with(2, qr/no command/, 'no command');
fails_with(2, qr/unrecognized command "frob"/, 'an unknown command', 'frob', $store);
fails_with(2, qr/no file or directory/, 'no file', 'verify');
fails_with(2, qr/too many/, 'too many files', 'list', $store, $store);
fails_with(2, qr/--gaps cannot be used with "show"/, 'an option of another command', 'show', $store, '--gaps');
fails_with(2, qr/--frob/, 'an unknown option', 'list', $store, '--frob');
fails_with(2, qr/cannot be of one relation/, 'a summary of one relation', 'blocks', $store,
	'--to-wal-summary', $outside, '-r', '1/2/3');
fails_with(2, qr/invalid value "$_" for option -r/, "-r $_", 'blocks', $store, '-r', $_)
  foreach '1', '1/2', '1/2/3/4', '1/2/x', '1/2/4294967296', '1/2/3.frob', '';
fails_with(2, qr{invalid value "$_" for option -s}, "-s $_", 'blocks', $store, '-s', $_)
  foreach '0', '0/0', '0/G', '123456789/0', '/1', '1/';
fails_with(0, qr/^Usage:/m, '--help', '--help');
fails_with(0, qr/^ckpx_dump \(PostgreSQL\) \d/, '--version', '--version');
SKIP:
{
	skip 'no /dev/full', 1 if !-w '/dev/full';
	isnt(system("ckpx_dump list $store >/dev/full 2>/dev/null"), 0, 'a full disk');
}

$node->stop;
done_testing();
