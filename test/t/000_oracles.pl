# The oracles themselves: each must report exactly what a map lacks, and be
# silent when the map has it.  First on handmade data directories and handmade
# pg_waldump lines, then on a server without ckpx, where the map is made of the
# WAL itself and the oracles must agree with each other.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CkpxOracle;
use CkpxTest;

# ---------------------------------------------------------------------------
# Handmade pages and directories
# ---------------------------------------------------------------------------

my $tmp = PostgreSQL::Test::Utils::tempdir();

# A heap page with one tuple.  Options are fields that differ from the usual.
sub heap_page
{
	my %o = (
		lsn => '0/1000', flags => 0, prune_xid => 0, checksum => 0,
		infomask => 0x0002, infomask2 => 1, lp_flags => 1, hole => "\0",
		data => 'tuple',
		@_);
	my $lsn = lsn_to_int($o{lsn});
	my ($lower, $len, $special) = (28, 32, 8192);
	my $off = 8192 - $len;
	my $tuple = pack('LLL SSS SS C x', 10, 0, 0, 0, 0, 1, $o{infomask2}, $o{infomask}, 24);
	$tuple .= substr($o{data} . "\0" x 8, 0, 8);
	return pack('LL SSSSS S L',
		$lsn >> 32, $lsn & 0xFFFFFFFF,
		$o{checksum}, $o{flags}, $lower, $off, $special, 8192 | 4, $o{prune_xid})
	  . pack('L', $off | ($o{lp_flags} << 15) | ($len << 17))
	  . $o{hole} x ($off - $lower)
	  . $tuple;
}

# A leaf page of a btree with one tuple.
sub btree_page
{
	my %o = (lsn => '0/1000', lp_flags => 1, opaque => 0x0001, data => 'entry', @_);
	my $lsn = lsn_to_int($o{lsn});
	my ($lower, $len, $special) = (28, 16, 8192 - 16);
	my $off = $special - $len;
	return pack('LL SSSSS S L',
		$lsn >> 32, $lsn & 0xFFFFFFFF, 0, 0, $lower, $off, $special, 8192 | 4, 0)
	  . pack('L', $off | ($o{lp_flags} << 15) | ($len << 17))
	  . "\0" x ($off - $lower)
	  . substr($o{data} . "\0" x 16, 0, 16)
	  . pack('LLL SS', 0, 0, 0, $o{opaque}, 0);
}

sub vm_page
{
	my %o = (lsn => '0/1000', bits => "\0", @_);
	my $lsn = lsn_to_int($o{lsn});
	return pack('LL SSSSS S L',
		$lsn >> 32, $lsn & 0xFFFFFFFF, 0, 0, 24, 8192, 8192, 8192 | 4, 0)
	  . $o{bits} . "\0" x (8192 - 24 - length $o{bits});
}

my $ndirs = 0;

# Make a data directory of the files given: path => list of pages.
sub data_directory
{
	my %files = @_;
	my $dir = "$tmp/pgdata" . $ndirs++;
	mkdir $_ or die "could not create $_: $!"
	  foreach $dir, "$dir/base", "$dir/base/5", "$dir/global", "$dir/pg_tblspc";
	foreach my $path (keys %files)
	{
		my $parent = "$dir/$path";
		$parent =~ s{/[^/]+$}{};
		system_or_bail('mkdir', '-p', $parent);
		open(my $fh, '>:raw', "$dir/$path") or die "could not create $path: $!";
		print $fh @{ $files{$path} };
		close $fh or die "could not write $path: $!";
	}
	return $dir;
}

# map_of([spc, db, rel, fork, limit, blocks], ...)
sub map_of
{
	my $map = CkpxOracle::Map->new;
	$map->add(@$_) foreach @_;
	return $map;
}

sub list { return [ sort @{ $_[0] } ] }

my $zero = "\0" x 8192;

# ---------------------------------------------------------------------------
# LSNs and the map
# ---------------------------------------------------------------------------

is(lsn_to_int('1/0'), 4294967296, 'an LSN as a number');
is(int_to_lsn(lsn_to_int('1A/FFFFFFF0')), '1A/FFFFFFF0', 'and back');

{
	my $map = map_of(
		[ 1663, 5, 100, 'main', '', '{[1,3),[7,8)}' ],
		[ 1663, 5, 100, 'main', 10, '{[20,21)}' ],
		[ 1663, 5, 100, 'vm', '', '{[0,1)}' ],
		[ 1663, 6, 0, 'main', 0, '{}' ]);
	my $have = join '',
	  map { $map->has(1663, 5, 100, 'main', $_) ? 1 : 0 } 0 .. 11;
	is($have, '011000010011', 'listed, or at or after the limit');
	ok($map->has(1663, 5, 100, 'vm', 0) && !$map->has(1663, 5, 100, 'vm', 1),
		'forks are kept apart');
	ok(!$map->has(1663, 5, 101, 'main', 1) && !$map->has(1664, 5, 100, 'main', 1),
		'so are relations and tablespaces');
	ok($map->has(1663, 6, 999, 'main', 5), 'a database-wide row covers every relation');
	ok(!$map->has(1664, 6, 999, 'main', 5), '... of its tablespace');
	is($map->nlisted('1663/5/100 main'), 4, 'blocks are counted');
	foreach my $bad ('', '{', '[1,2)', '{[1,2]}', '{[1,2),}x', '{[1,2)[3,4)}', '{1}')
	{
		ok(!eval { map_of([ 1, 1, 1, 'main', '', $bad ]) }, "\"$bad\" is no multirange");
	}
	ok( map_of([ 1, 1, 1, 'main', '', '{' . join(',', map { "[$_," . ($_ + 1) . ')' } map { 2 * $_ } 0 .. 99999) . '}' ])
		  ->has(1, 1, 1, 'main', 199998),
		'long multiranges are understood');
}

# ---------------------------------------------------------------------------
# Page LSNs
# ---------------------------------------------------------------------------

{
	my $old = heap_page(lsn => '0/1000');
	my $first = heap_page(lsn => '0/1001');
	my $last = heap_page(lsn => '0/2000');
	my $later = heap_page(lsn => '0/2001');
	my $far = heap_page(lsn => '1/1500');
	my $pgdata = data_directory(
		'base/5/100' => [ $old, $first, $later, $far ],
		'base/5/100.1' => [ $zero, $last ],
		'base/5/100_vm' => [$first],
		'base/5/100_fsm' => [$first],
		'base/5/200' => [$first],
		'base/5/200_init' => [$first],
		'base/5/t3_300' => [$first],
		'base/5/pg_filenode.map' => ['x'],
		'global/400' => [$last],
		'pg_tblspc/900/PG_15_202209061/5/500' => [ $old, $last ]);

	my ($missing, $stats) =
	  page_lsn_oracle($pgdata, '0/1000', '0/2000', map_of());
	is_deeply(
		list($missing),
		[
			'1663/5/100 main block 1 with LSN 0/1001',
			'1663/5/100 main block 131073 with LSN 0/2000',
			'1664/0/400 main block 0 with LSN 0/2000',
			'900/5/500 main block 1 with LSN 0/2000'
		],
		'page LSNs: exactly the pages of (S, E]; no unlogged or temporary relation');
	is($stats->{checked}, 4, 'page LSNs: they are counted');

	my @rows = (
		[ 1663, 5, 100, 'main', 131000, '{[1,2)}' ],
		[ 1664, 0, 400, 'main', '', '{[0,1)}' ],
		[ 900, 5, 0, 'main', 0, '{}' ]);
	($missing, $stats) = page_lsn_oracle($pgdata, '0/1000', '0/2000', map_of(@rows));
	is_deeply($missing, [], 'page LSNs: silent when the map has them');
	$rows[0][5] = '{[0,1),[2,4)}';
	($missing) = page_lsn_oracle($pgdata, '0/1000', '0/2000', map_of(@rows));
	is_deeply($missing, ['1663/5/100 main block 1 with LSN 0/1001'],
		'page LSNs: one block taken from the map is reported');
}

# ---------------------------------------------------------------------------
# pg_waldump
# ---------------------------------------------------------------------------

sub waldump
{
	my ($start, $end, $map, @records) = @_;
	my @lines = map {
		sprintf 'rmgr: %-11s len (rec/tot):     54/   150, tx:        740, lsn: %s, prev 0/00000028, desc: %s',
		  @$_
	} @records;
	return waldump_oracle(sub { return shift @lines }, $start, $end, $map);
}

sub missing_of
{
	my ($missing) = waldump(@_);
	return [ map { s/ \(.*//r } @$missing ];
}

{
	my @records = (
		[ 'Btree', '0/00000FF0', 'INSERT_LEAF off 1, blkref #0: rel 1663/5/90 blk 9' ],
		[ 'Btree', '0/00001000', 'INSERT_LEAF off 1, blkref #0: rel 1663/5/100 blk 1 FPW' ],
		[ 'XLOG', '0/00001100', 'FPI , blkref #0: rel 1663/5/100 fork vm blk 3 FPW, blkref #1: rel 1663/5/100 fork fsm blk 4 FPW' ],
		[ 'Btree', '0/00002000', 'INSERT_LEAF off 1, blkref #0: rel 1663/5/100 blk 2' ]);
	is_deeply(
		missing_of('0/1000', '0/2000', map_of(), @records),
		[ '1663/5/100 main block 1', '1663/5/100 vm block 3' ],
		'pg_waldump: references of records that start in [S, E), but not of the free space map');
	is_deeply(
		missing_of(
			'0/1000', '0/2000',
			map_of([ 1663, 5, 100, 'main', '', '{[1,2)}' ], [ 1663, 5, 100, 'vm', '', '{[3,4)}' ]),
			@records),
		[],
		'pg_waldump: silent when the map has them');

	@records = (
		[ 'Heap', '0/00001000', 'HOT_UPDATE off 1 xmax 3, blkref #0: rel 1663/5/100 blk 40000' ],
		[ 'Heap2', '0/00001001', 'VISIBLE cutoff xid 0 flags 0x01, blkref #0: rel 1663/5/100 fork vm blk 0, blkref #1: rel 1663/5/100 blk 7' ]);
	is_deeply(
		missing_of('0/1000', '0/2000', map_of([ 1663, 5, 100, 'main', 0, '{}' ]), @records),
		[ '1663/5/100 vm block 1', '1663/5/100 vm block 0' ],
		'pg_waldump: heap references imply the page of the visibility map');

	@records = ([ 'Storage', '0/00001000', 'TRUNCATE base/5/100 to 40000 blocks flags 7' ]);
	is_deeply(
		missing_of('0/1000', '0/2000', map_of(), @records),
		[
			'1663/5/100 main from block 40000',
			'1663/5/100 vm from block 2',
			'1663/5/100 vm block 1'
		],
		'pg_waldump: truncation');
	is_deeply(
		missing_of(
			'0/1000', '0/2000',
			map_of([ 1663, 5, 100, 'main', 40000, '{}' ], [ 1663, 5, 100, 'vm', 2, '{[1,2)}' ]),
			@records),
		[],
		'pg_waldump: limits and one block of the visibility map answer a truncation');
	is_deeply(
		missing_of('0/1000', '0/2000', map_of([ 1663, 5, 100, 'main', 40000, '{}' ], [ 1663, 5, 100, 'vm', 2, '{}' ]), @records),
		['1663/5/100 vm block 1'],
		'pg_waldump: the page that a truncation cuts is asked for');
	is_deeply(
		missing_of('0/1000', '0/2000', map_of(), [ 'Storage', '0/00001000', 'TRUNCATE base/5/100 to 32672 blocks flags 2' ]),
		['1663/5/100 vm from block 1'],
		'pg_waldump: no page is cut at a boundary');

	is_deeply(
		missing_of('0/1000', '0/2000', map_of(),
			[ 'Storage', '0/00001000', 'CREATE pg_tblspc/900/PG_15_202209061/5/100_init' ],
			[ 'Storage', '0/00001008', 'CREATE base/5/100_fsm' ]),
		['900/5/100 init from block 0'],
		'pg_waldump: creation');
	is_deeply(
		missing_of('0/1000', '0/2000', map_of([ 1663, 5, 100, 'main', '', '{[0,100)}' ]),
			[ 'Storage', '0/00001000', 'CREATE base/5/100' ]),
		['1663/5/100 main from block 0'],
		'pg_waldump: a list of blocks does not stand for a limit');

	my $drop = 'COMMIT 2026-01-01 00:00:00.000000 UTC; rels: base/5/100 global/7; inval msgs: catcache 1';
	my @forks = map { [ 1663, 5, 100, $_, 0, '{}' ], [ 1664, 0, 7, $_, 0, '{}' ] } qw(main vm init);
	is(scalar @{ missing_of('0/1000', '0/2000', map_of(), [ 'Transaction', '0/00001000', $drop ]) },
		6, 'pg_waldump: each fork of each dropped relation is asked for');
	is_deeply(missing_of('0/1000', '0/2000', map_of(@forks), [ 'Transaction', '0/00001000', $drop ]),
		[], 'pg_waldump: tombstones answer a drop');
	is(scalar @{ missing_of('0/1000', '0/2000', map_of(),
				[ 'Transaction', '0/00001000', 'PREPARE gid x: 2026-01-01; rels(commit): base/5/100' ]) },
		0, 'pg_waldump: a prepared drop is not yet one');

	@records = (
		[ 'Database', '0/00001000', 'CREATE_FILE_COPY copy dir 1663/4 to 900/16' ],
		[ 'Database', '0/00001008', 'CREATE_WAL_LOG create dir 1663/17' ],
		[ 'Database', '0/00001010', 'DROP dir 1663/18 900/18' ]);
	my ($missing) = waldump('0/1000', '0/2000', map_of(), @records);
	is_deeply(
		[ map { s/,.*//r } @$missing ],
		[ '900/16', '1663/17', '1663/18', '900/18' ],
		'pg_waldump: databases');
	is_deeply(
		missing_of('0/1000', '0/2000',
			map_of(map { [ @$_, 0, 'main', 0, '{}' ] } [ 900, 16 ], [ 1663, 17 ], [ 1663, 18 ], [ 900, 18 ]), @records),
		[], 'pg_waldump: database-wide rows answer them');
	is(scalar @{ missing_of('0/1000', '0/2000', map_of([ 900, 16, 1, 'main', 0, '{}' ]), $records[0]) },
		1, 'pg_waldump: a relation does not stand for its database');
	ok(!eval { waldump('0/1000', '0/2000', map_of(), [ 'Database', '0/00001000', 'NEW_KIND x' ]); 1 },
		'pg_waldump: what is not understood is an error');

	is_deeply(
		missing_of('0/1000', '0/2000', map_of([ 1663, 5, 100, 'main', '', '{[4,5)}' ]),
			[ 'SPGist', '0/00001000', 'ADD_LEAF off 1, blkref #0: rel 1663/5/100 blk 4' ]),
		['1663/5/100 main block 0'],
		'pg_waldump: SP-GiST implies its metapage');

	my $log = 'LOG rel 1663/5/100, blkref #0: rel 1663/5/100 blk 0';
	my $redo = sub { "CHECKPOINT_ONLINE redo $_[0]; tli 1; prev tli 1; online" };
	is_deeply(
		missing_of('0/1000', '0/2000', map_of(),
			[ 'Sequence', '0/00000500', $log ],
			[ 'XLOG', '0/00000600', $redo->('0/500') ]),
		['1663/5/100 main block 0'],
		'pg_waldump: a sequence logged before the range changes in it');
	is_deeply(
		missing_of('0/1000', '0/2000', map_of(),
			[ 'Sequence', '0/00000500', $log ],
			[ 'XLOG', '0/00000600', $redo->('0/501') ]),
		[], 'pg_waldump: but not after a checkpoint with a later redo point');
	is_deeply(
		missing_of('0/1000', '0/2000', map_of(),
			[ 'Sequence', '0/00000500', $log ],
			[ 'XLOG', '0/00001600', $redo->('0/501') ]),
		['1663/5/100 main block 0'],
		'pg_waldump: ... if that lies before the range');

	my ($none, $stats) = waldump('0/1000', '0/2000',
		map_of(
			[ 1663, 5, 100, 'main', '', '{[0,20)}' ],
			[ 1663, 5, 100, 'vm', '', '{[0,900)}' ],
			[ 1663, 5, 101, 'main', '', '{[0,900)}' ]),
		[ 'Heap', '0/00001000', 'INSERT off 1, blkref #0: rel 1663/5/100 blk 1' ],
		[ 'Heap', '0/00001008', 'INSERT off 1, blkref #0: rel 1663/5/100 blk 2' ],
		[ 'Heap', '0/00001010', 'INSERT off 1, blkref #0: rel 1663/5/100 blk 2' ],
		[ 'Sequence', '0/00001018', 'LOG rel 1663/5/101, blkref #0: rel 1663/5/101 blk 0' ]);
	is($stats->{ratio}, 10, 'pg_waldump: the ratio of listed to referenced blocks');
}

{
	my @lines = map {
		sprintf 'rmgr: %-11s len (rec/tot):     54/   150, tx:        740, lsn: %s, prev 0/00000028, desc: %s', @$_
	} (
		[ 'Btree', '0/00001000', 'INSERT_LEAF off 1, blkref #0: rel 1663/5/100 blk 1' ],
		[ 'Btree', '0/00001010', 'INSERT_LEAF off 1, blkref #0: rel 1663/5/101 blk 2' ],
		[ 'Btree', '0/00001020', 'INSERT_LEAF off 1, blkref #0: rel 1663/6/100 blk 3' ],
		[ 'Transaction', '0/00001030', 'COMMIT 2022-01-01 00:00:00 UTC; rels: base/5/100' ],
		[ 'Database', '0/00001040', 'DROP dir 1663/6' ],
		[ 'Btree', '0/00001050', 'INSERT_LEAF off 1, blkref #0: rel 1663/5/100 blk 4' ]);
	my ($missing) = waldump_oracle(sub { return shift @lines },
		'0/1000', '0/2000', map_of(), without_dropped => 1);
	is_deeply(
		[ map { s/ \(.*//r } @$missing ],
		[ '1663/5/101 main block 2', '1663/5/100 main block 4' ],
		'pg_waldump: without what was dropped, but with what came after it');
}

# ---------------------------------------------------------------------------
# WAL summaries
# ---------------------------------------------------------------------------

{
	my @rows = (
		[ 1663, 5, 100, 'main', 1, 0 ],
		[ 1663, 5, 100, 'main', 2, 0 ],
		[ 1663, 5, 100, 'main', 6, 1 ],
		[ 1663, 5, 100, 'vm', 0, 0 ],
		[ 1663, 6, 0, 'main', 0, 1 ]);
	my @whole = (
		[ 1663, 5, 100, 'main', 6, '{[1,3)}' ],
		[ 1663, 5, 100, 'vm', '', '{[0,1)}' ],
		[ 1663, 6, 0, 'main', 0, '{}' ]);
	my ($missing, $stats) = summary_oracle(\@rows, map_of(@whole), {});

	is_deeply($missing, [], 'summary: a map that has all of it');
	is_deeply([ @$stats{qw(checked listed extra ratio)} ],
		[ 5, 2, 0, 1 ], '... and no more');
	is_deeply($stats->{lower}, [], '... and no lower limit');
	is_deeply([ map_of(@whole)->lacking(map_of(@whole)) ], [], 'a map lacks nothing of itself');
	is_deeply(
		[ map_of()->lacking(map_of(@whole)) ],
		[ '1663/5/100 main from block 6', '1663/5/100 main block 1', '1663/5/100 main block 2', '1663/5/100 vm block 0', '1663/6' ],
		'an empty one lacks all of it');

	foreach my $lacking (
		[ 'a block', '1663/5/100 main block 2', [ 1663, 5, 100, 'main', 6, '{[1,2)}' ], @whole[ 1, 2 ] ],
		[ 'a limit', '1663/5/100 main block 6 and all behind it', [ 1663, 5, 100, 'main', '', '{[1,3)}' ], @whole[ 1, 2 ] ],
		[ 'a limit as low', '1663/5/100 main block 6 and all behind it', [ 1663, 5, 100, 'main', 7, '{[1,3)}' ], @whole[ 1, 2 ] ],
		[ 'a fork', '1663/5/100 vm block 0', @whole[ 0, 2 ] ],
		[ 'a database', '1663/6, all of the database', @whole[ 0, 1 ] ])
	{
		my ($what, $expected, @map) = @$lacking;
		($missing) = summary_oracle(\@rows, map_of(@map), {});
		is_deeply($missing, [$expected], "summary: a map that lacks $what");
	}

	($missing) = summary_oracle(\@rows,
		map_of([ 1663, 5, 100, 'main', 8, '{[1,3),[6,8)}' ], @whole[ 1, 2 ]), {});
	is_deeply($missing, [], 'summary: listed blocks make up for a higher limit');

	my @more = (
		[ 1663, 5, 100, 'main', 3, '{[0,3)}' ],
		[ 1663, 5, 101, 'main', '', '{[0,2)}' ],
		[ 1663, 5, 100, 'vm', '', '{[0,9)}' ]);
	($missing, $stats) = summary_oracle(\@rows, map_of(@more, $whole[2]),
		{ '1663/5/101' => 1 });
	is_deeply([ $missing, $stats->{listed}, $stats->{extra}, $stats->{ratio} ],
		[ [], 4, 2, 2 ],
		'summary: extra blocks count, visibility maps and unnamed changes do not');
	is_deeply($stats->{lower}, ['1663/5/100 main'], 'summary: a lower limit');
}

# ---------------------------------------------------------------------------
# Cold copies
# ---------------------------------------------------------------------------

# Report what the oracle says of one page that became another.
sub difference
{
	my ($a, $b, %o) = @_;
	my $path = $o{path} // 'base/5/100';
	my $before = data_directory($path => [ heap_page(), $a ]);
	my $after = data_directory($path => [ heap_page(), $b ]);
	my ($missing) = cold_copies_oracle($before, $after, $o{map} // map_of());
	return $missing;
}

{
	my $differs = ['1663/5/100 main block 1 (differs)'];
	my $page = heap_page();

	is_deeply(difference($page, heap_page(data => 'Tuple')),
		$differs, 'cold copies: one changed byte of a tuple');
	is_deeply(
		difference($page, heap_page(data => 'Tuple'), map => map_of([ 1663, 5, 100, 'main', '', '{[1,2)}' ])),
		[], 'cold copies: silent when the map has the block');
	is_deeply(
		difference($page, heap_page(data => 'Tuple'), map => map_of([ 1663, 5, 100, 'main', '', '{[0,1)}' ])),
		$differs, 'cold copies: not when it has another one');
	is_deeply(difference($page, heap_page(lsn => '0/1008')), $differs, 'cold copies: a new LSN');
	is_deeply(difference($page, heap_page(flags => 4)), $differs, 'cold copies: PD_ALL_VISIBLE');
	is_deeply(difference($page, heap_page(lp_flags => 3)), $differs, 'cold copies: a dead line pointer of a heap');
	is_deeply(difference($page, heap_page(infomask => 0x0302)), $differs, 'cold copies: a frozen tuple');
	is_deeply(difference(heap_page(infomask => 0x0102), heap_page(infomask => 0x0302)),
		$differs, 'cold copies: a frozen tuple that was hinted');
	is_deeply(difference($page, heap_page(infomask => 0x0012)), $differs, 'cold copies: a locked tuple');
	is_deeply(difference($page, heap_page(infomask2 => 0x4001)), $differs, 'cold copies: a HOT tuple');
	is_deeply(difference($page, heap_page(infomask => 0x0902)), [], 'cold copies: hint bits are masked');
	is_deeply(
		difference($page, heap_page(flags => 3, prune_xid => 77, checksum => 12345, hole => 'x')),
		[], 'cold copies: so are page hints, checksum and hole');

	$page = btree_page();
	is_deeply(difference($page, btree_page(data => 'Entry')), $differs, 'cold copies: an index tuple');
	is_deeply(difference($page, btree_page(opaque => 0x0003)), $differs, 'cold copies: flags of an index page');
	is_deeply(difference($page, btree_page(lp_flags => 3, opaque => 0x0041)),
		[], 'cold copies: killed index tuples are masked');

	is_deeply(
		difference(vm_page(), vm_page(bits => "\3"), path => 'base/5/100_vm'),
		['1663/5/100 vm block 1 (differs)'],
		'cold copies: bits of the visibility map');
	is_deeply(difference($page, $zero, path => 'base/5/100_fsm'), [], 'cold copies: not the free space map');
	is_deeply(
		difference($page, $zero, path => 'base/5/100.2'),
		['1663/5/100 main block 262145 (disappeared)'],
		'cold copies: segments, and pages that became zeros');

	my $a = data_directory(
		'base/5/100' => [ heap_page(), heap_page() ],
		'base/5/101' => [ heap_page(), heap_page() ],
		'base/5/102' => [ heap_page(), $zero ],
		'base/5/103' => [$zero],
		'base/5/104_init' => [ heap_page() ],
		'base/5/104' => [ heap_page() ]);
	my $b = data_directory(
		'base/5/100' => [ heap_page(), heap_page(), $zero, heap_page() ],
		'base/5/101' => [ heap_page() ],
		'base/5/102' => [ heap_page() ],
		'base/5/104_init' => [ heap_page(lsn => '0/1008') ],
		'base/5/104' => [ heap_page(lsn => '0/1008') ],
		'base/5/105' => [ heap_page() ],
		'pg_tblspc/900/PG_15_202209061/6/106' => [ heap_page() ]);
	my ($missing, $stats) = cold_copies_oracle($a, $b, map_of());
	is_deeply(
		list($missing),
		[
			'1663/5/100 main block 3 (appeared)',
			'1663/5/101 main block 1 (disappeared)',
			'1663/5/104 init block 0 (differs)',
			'1663/5/105 main block 0 (appeared)',
			'900/6/106 main block 0 (appeared)'
		],
		'cold copies: longer, shorter, new and removed files');
	is($stats->{checked}, 5, 'cold copies: they are counted');
	($missing) = cold_copies_oracle(
		$a, $b,
		map_of(
			[ 1663, 5, 100, 'main', '', '{[3,4)}' ],
			[ 1663, 5, 101, 'main', 1, '{}' ],
			[ 1663, 5, 104, 'init', 0, '{}' ],
			[ 1663, 5, 105, 'main', 0, '{}' ],
			[ 900, 6, 0, 'main', 0, '{}' ]));
	is_deeply($missing, [], 'cold copies: silent when the map has them');
}

# ---------------------------------------------------------------------------
# A server: the oracles agree with each other
# ---------------------------------------------------------------------------

# Turn what the pg_waldump oracle asks of an empty map into a map.
sub map_from_wal
{
	my ($node, $start, $end, $from) = @_;
	my ($asked, $stats) =
	  missing_by_waldump($node, $start, $end, CkpxOracle::Map->new, from => $from);
	my $map = CkpxOracle::Map->new;

	foreach (@$asked)
	{
		if (m{^(\d+)/(\d+), all of the database})
		{
			$map->add($1, $2, 0, 'main', 0, '{}');
		}
		elsif (m{^(\d+)/(\d+)/(\d+) (\w+) from block (\d+) })
		{
			$map->add($1, $2, $3, $4, $5, '{}');
		}
		elsif (m{^(\d+)/(\d+)/(\d+) (\w+) block (\d+) })
		{
			$map->add($1, $2, $3, $4, '', "{[$5," . ($5 + 1) . ')}');
		}
		else
		{
			die "not understood: $_";
		}
	}
	return ($map, $stats);
}

# Without a slot of ckpx nothing else keeps the WAL that pg_waldump reads.
my $node = new_node('server', preload => '',
	conf => "autovacuum = off\nmax_prepared_transactions = 5\nwal_keep_size = '1GB'\n");
$node->start;

my $spcdir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE other LOCATION '$spcdir'");
$node->safe_psql('postgres', <<'EOS');
CREATE DATABASE doomed;
CREATE TABLE heap (id int PRIMARY KEY, v text, p point, a int[]);
CREATE INDEX ON heap USING hash (id);
CREATE INDEX ON heap USING gist (p);
CREATE INDEX ON heap USING spgist (p);
CREATE INDEX ON heap USING gin (a);
CREATE INDEX ON heap USING brin (id);
INSERT INTO heap SELECT i, repeat('x', 100), point(i, i), ARRAY[i, i + 1] FROM generate_series(1, 5000) i;
CREATE TABLE gone (id int);
INSERT INTO gone SELECT generate_series(1, 1000);
CREATE TABLE cut (id int) WITH (vacuum_truncate = on);
INSERT INTO cut SELECT generate_series(1, 5000);
CREATE TABLE moved (id int);
INSERT INTO moved SELECT generate_series(1, 1000);
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
CREATE SEQUENCE s;
CREATE SEQUENCE t;
SELECT nextval('s'), nextval('t');
VACUUM (FREEZE, ANALYZE);
CREATE TABLE hinted AS SELECT generate_series(1, 5000);
EOS
$node->stop;
my $before = "$tmp/before";
cold_copy($node, $before);
$node->start;

# A sequence changes without WAL in a range after the one that logged it.
my $from = wal_position($node);
$node->safe_psql('postgres', q{SELECT nextval('s')});
my $middle = wal_position($node);
$node->safe_psql('postgres', <<'EOS');
SELECT nextval('s') FROM generate_series(1, 5);
SELECT nextval('t') FROM generate_series(1, 100);
UPDATE heap SET v = repeat('y', 120) WHERE id % 7 = 0;
DELETE FROM heap WHERE id % 11 = 0;
INSERT INTO heap SELECT i, 'new', point(i, -i), ARRAY[i] FROM generate_series(5001, 6000) i;
BEGIN;
SELECT count(*) FROM (SELECT * FROM heap WHERE id < 100 FOR UPDATE) x;
COMMIT;
VACUUM heap;
DROP TABLE gone;
DELETE FROM cut WHERE id > 100;
VACUUM cut;
ALTER TABLE moved SET TABLESPACE other;
INSERT INTO fleeting SELECT generate_series(1, 1000);
CREATE TABLE created AS SELECT * FROM heap;
CLUSTER heap USING heap_pkey;
BEGIN;
CREATE TABLE aborted AS SELECT 1;
ROLLBACK;
BEGIN;
INSERT INTO created SELECT * FROM heap LIMIT 100;
PREPARE TRANSACTION 'p';
COMMIT PREPARED 'p';
DROP DATABASE doomed;
CREATE DATABASE copied STRATEGY file_copy;
CREATE DATABASE logged STRATEGY wal_log;
EOS
# Reading sets hint bits and kills index tuples; nobody logs that.
$node->safe_psql('postgres', 'SET enable_seqscan = off; SELECT count(*) FROM heap WHERE id > 0; SELECT count(v) FROM created; SELECT count(*) FROM hinted');
my $end = wal_position($node);

my ($map, $stats) = map_from_wal($node, $from, $end);
cmp_ok($stats->{checked}, '>', 300, 'server: the WAL names blocks');

my ($missing);
($missing, $stats) = missing_by_waldump($node, $from, $end, $map);
is_deeply($missing, [], 'server: pg_waldump agrees with the map made of it');
($missing, $stats) = missing_by_page_lsn($node, $from, $end, $map);
is_covered($missing, $stats, 'server: page LSNs agree with pg_waldump');

# The rule for sequences: without the record before the range there is no reason
# to ask for the page.
my ($seq) = $node->safe_psql('postgres', q{SELECT pg_relation_filenode('s')});
my $seq_block = qr{/$seq main block 0};
($missing) = missing_by_waldump($node, $middle, $end, CkpxOracle::Map->new, from => $from);
ok((grep { $_ =~ $seq_block } @$missing), 'server: a sequence logged before the range is asked for');
($missing) = missing_by_waldump($node, $middle, $end, CkpxOracle::Map->new);
ok(!(grep { $_ =~ $seq_block } @$missing), 'server: pg_waldump does not show that it changed');

$node->stop;
my $after = "$tmp/after";
cold_copy($node, $after);
$node->start;
# The shutdown is in the range between the copies.
my $final = wal_position($node);
($map) = map_from_wal($node, $from, $final);
($missing, $stats) = cold_copies_oracle($before, $after, $map);
is_covered($missing, $stats, 'server: cold copies agree with pg_waldump');
cmp_ok($stats->{masked}, '>', 0, 'server: some pages differ in hints only');

# Every oracle notices a relation that the map lacks.
my $heap = $node->safe_psql('postgres', q{SELECT pg_relation_filenode('created')});
delete $map->{fork}{$_} foreach grep { m{/$heap } } $map->forks;
foreach my $oracle (
	[ 'page LSNs', missing_by_page_lsn($node, $from, $end, $map) ],
	[ 'pg_waldump', missing_by_waldump($node, $from, $end, $map) ],
	[ 'cold copies', cold_copies_oracle($before, $after, $map) ])
{
	my ($name, $found) = @$oracle;
	ok(@$found > 0 && !(grep { !m{/$heap } } @$found),
		"server: $name: a relation taken from the map is reported, and only it");
}

# crash_and_restart() brings the server back with what was committed.
$node->safe_psql('postgres', 'CREATE TABLE durable AS SELECT 1');
crash_and_restart($node);
wait_for_sql($node, 'SELECT count(*) FROM durable', '1');
ok(!eval { wait_for_sql($node, 'SELECT 1', '2', 0); 1 }, 'waiting for what never comes true ends');
like($@, qr/last result "1"/, '... and tells the last result');

$node->stop;
done_testing();
