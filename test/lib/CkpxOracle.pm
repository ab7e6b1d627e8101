
=head1 NAME

CkpxOracle - independent judges of a map of changed blocks

=head1 DESCRIPTION

ckpx promises that its map of a range never lacks a changed block.  Each
function here finds changed blocks in a way that shares nothing with ckpx and
returns those that the map lacks:

  page_lsn_oracle     pages whose own LSN lies in the range
  waldump_oracle      block references that pg_waldump prints, and the rules
                      for what records change without a reference
  cold_copies_oracle  two copies of a stopped data directory, byte by byte
  summary_oracle      what PostgreSQL itself keeps as a WAL summary (17 and
                      later)

Every oracle returns ($missing, $stats).  $missing is a reference to an array
of strings; $stats->{checked} counts the blocks that the oracle found changed,
so that a test can tell a good map from an oracle that looked at nothing.

LSNs are strings, X/X.  Ranges are half open: a change belongs to the range
that holds its record's start, and the page carries the record's end, so a
page changed in [S, E) has an LSN in (S, E].  S must be the boundary of a
record: take pg_current_wal_insert_lsn(), which is one, and not
pg_current_wal_lsn() or pg_current_wal_flush_lsn(), which can lie inside a
record.

=cut

package CkpxOracle;

use strict;
use warnings;

use Carp;
use Exporter 'import';

our @EXPORT = qw(
  lsn_to_int int_to_lsn
  page_lsn_oracle waldump_oracle cold_copies_oracle summary_oracle
);

use constant {
	BLCKSZ => 8192,
	RELSEG_SIZE => 131072,    # blocks in a segment file
	PAGE_HEADER_SIZE => 24,
	HEAPBLOCKS_PER_VMPAGE => (8192 - 24) * 4,
	DEFAULT_TABLESPACE => 1663,
	GLOBAL_TABLESPACE => 1664,
	LAST_BLOCK => 0xFFFFFFFE,
};

sub lsn_to_int
{
	my $lsn = shift;
	my ($hi, $lo) = $lsn =~ m{^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$}
	  or croak "not an LSN: \"$lsn\"";
	return (hex($hi) << 32) | hex($lo);
}

sub int_to_lsn
{
	my $n = shift;
	return sprintf('%X/%X', $n >> 32, $n & 0xFFFFFFFF);
}

sub block_name
{
	my ($spc, $db, $rel, $fork, $block) = @_;
	return "$spc/$db/$rel $fork block $block";
}

# ---------------------------------------------------------------------------
# Data directories
# ---------------------------------------------------------------------------

# List the relation files of a data directory: references to hashes with
# spc, db, rel, fork, path and segment.  Files of temporary relations
# (t3_16384) are not among them.
sub relation_files
{
	my $pgdata = shift;
	my @dirs;
	my @files;

	push @dirs, [ GLOBAL_TABLESPACE, 0, "$pgdata/global" ];
	push @dirs, database_dirs(DEFAULT_TABLESPACE, "$pgdata/base");
	foreach my $link (glob("$pgdata/pg_tblspc/*"))
	{
		my ($spc) = $link =~ m{/(\d+)$} or next;
		push @dirs, database_dirs($spc, $_) foreach glob("$link/PG_*");
	}

	foreach my $dir (@dirs)
	{
		my ($spc, $db, $path) = @$dir;
		opendir(my $dh, $path) or croak "could not open \"$path\": $!";
		foreach my $name (sort readdir $dh)
		{
			my ($rel, $fork, $segment) =
			  $name =~ /^(\d+)(?:_(fsm|vm|init))?(?:\.(\d+))?$/
			  or next;
			push @files,
			  {
				spc => $spc,
				db => $db,
				rel => $rel,
				fork => $fork // 'main',
				segment => $segment // 0,
				path => "$path/$name",
			  };
		}
		closedir $dh;
	}
	return @files;
}

sub database_dirs
{
	my ($spc, $path) = @_;
	return map { m{/(\d+)$} ? [ $spc, $1, $_ ] : () } glob("$path/*");
}

# The relations that are not logged: they have an init fork.
sub unlogged_relations
{
	return
	  map { ("$_->{spc}/$_->{db}/$_->{rel}" => 1) }
	  grep { $_->{fork} eq 'init' } @_;
}

# Call $visit->($block_within_file, $page) for each whole page of a file.  A
# file that went away meanwhile has none.
sub each_page
{
	my ($path, $visit) = @_;
	open(my $fh, '<:raw', $path) or do
	{
		return if $!{ENOENT};
		croak "could not open \"$path\": $!";
	};
	my $page;
	my $block = 0;
	while (1)
	{
		my $n = read($fh, $page, BLCKSZ);
		croak "could not read \"$path\": $!" unless defined $n;
		last if $n < BLCKSZ;
		$visit->($block++, $page);
	}
	close $fh;
	return;
}

# ---------------------------------------------------------------------------
# Oracle 1: page LSNs
# ---------------------------------------------------------------------------

=head2 page_lsn_oracle($pgdata, $start, $end, $map)

Read every main-fork file of a data directory and return the pages whose LSN
lies in ($start, $end] and which are not in the map.  Needs the pages on disk:
run CHECKPOINT, or stop the server, after $end.

Other forks are left out, because clearing a bit of the visibility map does
not set that page's LSN.  So are unlogged relations.

=cut

sub page_lsn_oracle
{
	my ($pgdata, $start, $end, $map) = @_;
	my ($s, $e) = (lsn_to_int($start), lsn_to_int($end));
	my @files = relation_files($pgdata);
	my %unlogged = unlogged_relations(@files);
	my @missing;
	my %relations;
	my %stats = (checked => 0, pages => 0);

	foreach my $f (@files)
	{
		next if $f->{fork} ne 'main';
		next if $unlogged{"$f->{spc}/$f->{db}/$f->{rel}"};
		each_page(
			$f->{path},
			sub {
				my ($n, $page) = @_;
				my ($hi, $lo) = unpack('LL', $page);
				my $lsn = ($hi << 32) | $lo;

				$stats{pages}++;
				return if $lsn <= $s || $lsn > $e;
				$stats{checked}++;
				$relations{"$f->{spc}/$f->{db}/$f->{rel}"} = 1;
				my @block =
				  (@$f{qw(spc db rel fork)}, $f->{segment} * RELSEG_SIZE + $n);
				push @missing, block_name(@block) . ' with LSN ' . int_to_lsn($lsn)
				  unless $map->has(@block);
			});
	}
	$stats{relations} = keys %relations;
	return (\@missing, \%stats);
}

# ---------------------------------------------------------------------------
# Oracle 2: pg_waldump
# ---------------------------------------------------------------------------

=head2 waldump_oracle($lines, $start, $end, $map, %options)

$lines is a function that returns the next line of what pg_waldump printed, or
undef.  Records that start in [$start, $end) count; those before $start are
read for what they tell about sequences, so begin the dump at a checkpoint
before $start where sequences matter.

What must be in the map:

  - every block reference outside the free space map;
  - for a reference of Heap or Heap2 to block b of a main fork, also the
    visibility map's page of b, whose bits may be cleared without a reference;
  - for a truncation to n blocks everything from n, in the visibility map
    everything from the first page that is not needed any more and, if n lies
    inside what a page covers, that page too;
  - creation and drop: the whole fork, or each fork;
  - creation and drop of a database: all of it, by a database-wide row;
  - for any reference of SPGist, also block 0, which changes without WAL;
  - for a sequence logged at or before $start, block 0, unless a checkpoint
    with a later redo point came before $start: nextval() changes the page
    without WAL in between.

$stats->{ratio} compares the blocks that the map lists with the blocks that
are referenced, without the visibility map, sequences and SP-GiST's metapages,
where the map must be wider than the references.  $stats->{unnamed} has these
relations, "tablespace/database/relfilenode" => 1: their block 0 changes without
being named.

Option: without_dropped => 1, for the answer of a global that has forgotten
tombstones: nothing is asked about relations and databases up to their drop.

=cut

sub waldump_oracle
{
	my ($lines, $start, $end, $map, %options) = @_;
	my ($s, $e) = (lsn_to_int($start), lsn_to_int($end));
	my %required;      # relation => what is asked of the map => [number, why]
	my $nrequired = 0;
	my %referenced;    # main and init blocks, for the ratio
	my %wider;         # "relation fork" => 1: left out of the ratio
	my %spgist;
	my %sequence;      # relation => start of its last SEQ_LOG before $start
	my %seen;          # "resource manager reference" => 1: it asks for nothing new
	my %stats = (checked => 0, records => 0);

	# The first record that asks for something is named.
	my $require = sub {
		my ($why, $spc, $db, $rel, $fork, $block) = @_;
		$required{"$spc/$db/$rel"}{"$fork block $block"} //= [ $nrequired++, $why ];
	};
	my $require_from = sub {
		my ($why, $spc, $db, $rel, $fork, $block) = @_;
		$required{"$spc/$db/$rel"}{"$fork from block $block"} //= [ $nrequired++, $why ];
	};
	my $require_database = sub {
		my ($why, $spc, $db) = @_;
		$required{"$spc/$db"}{all} //= [ $nrequired++, $why ];
	};

	while (defined(my $line = $lines->()))
	{
		my ($rmgr, $tx, $lsn, $desc) = $line =~
		  m{^rmgr:\s+(\S+)\s+len .*?, tx:\s+(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev \S+, desc: (.*)$}
		  or next;
		my $start_of_record = lsn_to_int($lsn);
		last if $start_of_record >= $e;

		my @refs;
		while ($desc =~
			m{blkref #\d+: rel ((\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+))}g)
		{
			next if $start_of_record >= $s && $seen{"$rmgr $1"}++;
			push @refs, [ $2, $3, $4, $5 // 'main', $6 ];
		}

		if ($start_of_record < $s)
		{
			if ($rmgr eq 'Sequence')
			{
				$sequence{ join '/', @{$_}[ 0 .. 2 ] } = $start_of_record
				  foreach grep { $_->[3] eq 'main' } @refs;
			}
			elsif ($desc =~ m{^CHECKPOINT_(?:ONLINE|SHUTDOWN) redo ([0-9A-F]+/[0-9A-F]+)})
			{
				my $redo = lsn_to_int($1);
				delete @sequence{ grep { $sequence{$_} < $redo } keys %sequence };
			}
			elsif ($rmgr eq 'Transaction' || $rmgr eq 'Database')
			{
				delete $sequence{ join '/', @$_ } foreach dropped_relations($desc);
			}
			next;
		}

		$stats{records}++;
		my $at = "$rmgr at $lsn";

		foreach my $ref (@refs)
		{
			my ($spc, $db, $rel, $fork, $block) = @$ref;
			next if $fork eq 'fsm';
			$require->($at, @$ref);
			if ($fork eq 'main' && $rmgr =~ /^Heap2?$/)
			{
				$require->("$at: visibility map",
					$spc, $db, $rel, 'vm', int($block / HEAPBLOCKS_PER_VMPAGE));
			}
			if ($rmgr eq 'SPGist')
			{
				$require->("$at: metapage", $spc, $db, $rel, 'main', 0);
				$spgist{"$spc/$db/$rel"} = 1;
			}
			$wider{"$spc/$db/$rel main"} = 1 if $rmgr eq 'Sequence';
			$referenced{"$spc/$db/$rel $fork"}{$block} = 1 if $fork ne 'vm';
		}

		if ($rmgr eq 'Storage')
		{
			if ($desc =~ m{^CREATE (\S+)})
			{
				my @fork = parse_path($1);
				$require_from->("$at: creation", @fork, 0) if $fork[3] ne 'fsm';
			}
			elsif ($desc =~ m{^TRUNCATE (\S+) to (\d+) blocks flags (\d+)})
			{
				my ($n, $flags) = ($2, $3);
				my ($spc, $db, $rel) = parse_path($1);
				$require_from->("$at: truncation", $spc, $db, $rel, 'main', $n)
				  if $flags & 1;
				if ($flags & 2)
				{
					my $keep =
					  int(($n + HEAPBLOCKS_PER_VMPAGE - 1) / HEAPBLOCKS_PER_VMPAGE);
					$require_from->("$at: truncation", $spc, $db, $rel, 'vm', $keep);
					$require->("$at: truncation inside a page",
						$spc, $db, $rel, 'vm', int($n / HEAPBLOCKS_PER_VMPAGE))
					  if $n % HEAPBLOCKS_PER_VMPAGE != 0;
				}
			}
			else
			{
				croak "pg_waldump line not understood: $line";
			}
		}
		elsif ($rmgr eq 'Transaction')
		{
			foreach my $rel (dropped_relations($desc))
			{
				if ($options{without_dropped})
				{
					delete $required{ join '/', @$rel };
					%seen = ();
					next;
				}
				$require_from->("$at: drop", @$rel, $_, 0) foreach qw(main vm init);
			}
		}
		elsif ($rmgr eq 'Database')
		{
			if ($desc =~ m{^CREATE\w* copy dir \S+ to (\d+)/(\d+)})
			{
				$require_database->("$at: creation", $1, $2);
			}
			elsif ($desc =~ m{^CREATE\w* create dir (\d+)/(\d+)})
			{
				$require_database->("$at: creation", $1, $2);
			}
			elsif ($desc =~ m{^DROP dir((?: \d+/\d+)+)})
			{
				foreach my $database (split ' ', $1)
				{
					if ($options{without_dropped})
					{
						delete @required{ grep { m{^\Q$database\E(?:/|$)} } keys %required };
						%seen = ();
						next;
					}
					$require_database->("$at: drop", split m{/}, $database);
				}
			}
			else
			{
				croak "pg_waldump line not understood: $line";
			}
		}
	}

	foreach my $rel (sort keys %sequence)
	{
		$require->('sequence logged at ' . int_to_lsn($sequence{$rel}),
			split(m{/}, $rel), 'main', 0);
		$wider{"$rel main"} = 1;
	}

	my %lacking;       # number => text
	foreach my $relation (keys %required)
	{
		my ($spc, $db, $rel) = split m{/}, $relation;
		foreach my $what (keys %{ $required{$relation} })
		{
			my ($fork, $from, $block) = $what =~ /^(\w+)( from)? block (\d+)$/;
			my ($number, $why) = @{ $required{$relation}{$what} };

			$stats{checked}++;
			if ($what eq 'all')
			{
				$lacking{$number} = "$relation, all of the database ($why)"
				  unless $map->has_database($spc, $db);
			}
			elsif (!$map->has($spc, $db, $rel, $fork, $block)
				|| $from && !$map->has($spc, $db, $rel, $fork, LAST_BLOCK))
			{
				$lacking{$number} = "$relation $what ($why)";
			}
		}
	}
	my @missing = @lacking{ sort { $a <=> $b } keys %lacking };

	# How much wider the map is than it must be.
	my ($nreferenced, $nlisted) = (0, 0);
	foreach my $fork (keys %referenced)
	{
		my ($rel) = split ' ', $fork;
		next if $wider{$fork} || $spgist{$rel};
		$nreferenced += keys %{ $referenced{$fork} };
	}
	foreach my $fork ($map->forks)
	{
		my ($rel, $name) = split ' ', $fork;
		next if $name eq 'vm' || $wider{$fork} || $spgist{$rel};
		$nlisted += $map->nlisted($fork);
	}
	$stats{referenced} = $nreferenced;
	$stats{listed} = $nlisted;
	$stats{ratio} = $nreferenced ? $nlisted / $nreferenced : undef;
	$stats{relations} = keys %{ { map { (split)[0] => 1 } keys %referenced } };
	$stats{unnamed} =
	  { %spgist, map { (split)[0] => 1 } keys %wider };

	return (\@missing, \%stats);
}

# base/5/16384_vm => (1663, 5, 16384, 'vm')
sub parse_path
{
	my $path = shift;
	my ($spc, $db, $rest);

	if ($path =~ m{^global/(.+)$})
	{
		($spc, $db, $rest) = (GLOBAL_TABLESPACE, 0, $1);
	}
	elsif ($path =~ m{^base/(\d+)/(.+)$})
	{
		($spc, $db, $rest) = (DEFAULT_TABLESPACE, $1, $2);
	}
	elsif ($path =~ m{^pg_tblspc/(\d+)/[^/]+/(\d+)/(.+)$})
	{
		($spc, $db, $rest) = ($1, $2, $3);
	}
	else
	{
		croak "not the path of a relation: \"$path\"";
	}
	my ($rel, $fork) = $rest =~ /^(\d+)(?:_(fsm|vm|init))?$/
	  or croak "not the path of a relation: \"$path\"";
	return ($spc, $db, $rel, $fork // 'main');
}

# The relations that a commit or abort record drops.
sub dropped_relations
{
	my $desc = shift;
	my ($list) = $desc =~ m{; rels:((?: [\w./]+)+)} or return;
	return map { [ (parse_path($_))[ 0 .. 2 ] ] } split ' ', $list;
}

# ---------------------------------------------------------------------------
# Oracle 3: two cold copies
# ---------------------------------------------------------------------------

=head2 cold_copies_oracle($before, $after, $map)

Compare two copies of a data directory, both made while the server was
stopped, and return the blocks of main, visibility map and init forks that
differ and are not in the map of the range between them.

Outside the promise, and masked: hint bits of tuples and line pointers and what
follows from them in page headers and flags, checksums, bytes between pd_lower
and pd_upper.  New pages of zeros are no change; the live length tells of them.

=cut

sub cold_copies_oracle
{
	my ($before, $after, $map) = @_;
	my @before = relation_files($before);
	my @after = relation_files($after);
	my %unlogged = (unlogged_relations(@before), unlogged_relations(@after));
	my %pair;
	my @missing;
	my %relations;
	my %stats = (checked => 0, pages => 0, masked => 0);

	foreach my $side ([ 'a', \@before ], [ 'b', \@after ])
	{
		foreach my $f (@{ $side->[1] })
		{
			my $key = join ' ', @$f{qw(spc db rel fork segment)};
			$pair{$key}{ $side->[0] } = $f->{path};
			$pair{$key}{file} = $f;
		}
	}

	foreach my $key (sort keys %pair)
	{
		my ($f, $path_a, $path_b) = @{ $pair{$key} }{qw(file a b)};
		next if $f->{fork} eq 'fsm';
		next
		  if $f->{fork} ne 'init'
		  && $unlogged{"$f->{spc}/$f->{db}/$f->{rel}"};

		my $a = defined $path_a ? slurp($path_a) : '';
		my $b = defined $path_b ? slurp($path_b) : '';
		my $longest = length($a) > length($b) ? length($a) : length($b);

		for (my $at = 0; $at < $longest; $at += BLCKSZ)
		{
			my $page_a = $at < length($a) ? substr($a, $at, BLCKSZ) : '';
			my $page_b = $at < length($b) ? substr($b, $at, BLCKSZ) : '';

			$stats{pages}++;
			next if $page_a eq $page_b;

			# A page of zeros and no page are the same thing here.
			next if is_empty($page_a) && is_empty($page_b);

			if (   length($page_a) == BLCKSZ
				&& length($page_b) == BLCKSZ
				&& mask_page($page_a, $f->{fork}) eq
				mask_page($page_b, $f->{fork}))
			{
				$stats{masked}++;
				next;
			}

			$stats{checked}++;
			$relations{"$f->{spc}/$f->{db}/$f->{rel}"} = 1;
			my @block = (
				@$f{qw(spc db rel fork)},
				$f->{segment} * RELSEG_SIZE + $at / BLCKSZ);
			next if $map->has(@block);
			push @missing, block_name(@block) . ' ('
			  . (
				  is_empty($page_a) ? 'appeared'
				: !defined $path_b ? 'its file disappeared'
				: is_empty($page_b) ? 'disappeared'
				: 'differs'
			  ) . ')';
		}
	}
	$stats{relations} = keys %relations;
	return (\@missing, \%stats);
}

sub is_empty
{
	return ($_[0] =~ tr/\0//c) == 0;
}

sub slurp
{
	my $path = shift;
	open(my $fh, '<:raw', $path) or croak "could not open \"$path\": $!";
	local $/;
	my $content = <$fh>;
	close $fh;
	return $content // '';
}

# Return a page with everything set to zero that changes without WAL.  What is
# masked is decided from the page itself, so that a page that changed its kind
# never compares equal.
sub mask_page
{
	my ($page, $fork) = @_;
	my ($lower, $upper, $special) = unpack('x12 SSS', $page);

	return $page if is_empty($page);
	return $page
	  if $lower < PAGE_HEADER_SIZE
	  || $lower > $upper
	  || $upper > $special
	  || $special > BLCKSZ;

	substr($page, 8, 2) = "\0\0";    # pd_checksum

	# The map's bits lie where other pages have their hole.
	return $page if $fork eq 'vm';

	# PD_HAS_FREE_LINES and PD_PAGE_FULL; PD_ALL_VISIBLE is logged.
	my $flags = unpack('x10 S', $page);
	substr($page, 10, 2) = pack('S', $flags & ~0x0003);
	substr($page, 20, 4) = "\0\0\0\0";    # pd_prune_xid

	my $kind = page_kind($page, $special);

	# Flags that follow from hints; see the masks of each access method.
	my %garbage = (
		btree => 0x0040,    # BTP_HAS_GARBAGE
		gist => 0x0010,     # F_HAS_GARBAGE
		hash => 0x0080,     # LH_PAGE_HAS_DEAD_TUPLES
	);
	if (my $bit = $garbage{$kind})
	{
		my $opaque = unpack('S', substr($page, $special + 12, 2));
		substr($page, $special + 12, 2) = pack('S', $opaque & ~$bit);
	}
	elsif ($kind eq 'brin')
	{
		# BRIN_EVACUATE_PAGE
		my $opaque = unpack('S', substr($page, $special + 4, 2));
		substr($page, $special + 4, 2) = pack('S', $opaque & ~0x0001);
	}

	# Pages whose contents are an array need not maintain pd_lower.
	substr($page, $lower, $upper - $lower) = "\0" x ($upper - $lower)
	  if $lower > PAGE_HEADER_SIZE && $kind ne 'brin revmap';

	mask_tuples(\$page, $lower, $upper, $special)
	  if $kind eq 'heap' || $kind eq 'sequence';
	mask_line_pointers(\$page, $lower, $upper, $special)
	  if $garbage{$kind} && !is_metapage(\$page, $kind, $special);
	return $page;
}

# Name the kind of a page by the mark that each access method leaves at its
# end.
sub page_kind
{
	my ($page, $special) = @_;
	my $size = BLCKSZ - $special;
	my $mark = unpack('S', substr($page, -2));

	return 'heap' if $size == 0;
	if ($size == 16)
	{
		return 'hash' if $mark == 0xFF80;
		return 'gist' if $mark == 0xFF81;
		return 'btree' if $mark <= 0xFF7F;
	}
	if ($size == 8)
	{
		return 'brin revmap' if $mark == 0xF092;
		return 'brin' if $mark == 0xF091 || $mark == 0xF093;
		return 'spgist' if $mark == 0xFF82;
		return 'sequence' if unpack('L', substr($page, $special, 4)) == 0x1717;
	}
	return 'other';
}

# Pages of these access methods without an array of line pointers.
sub is_metapage
{
	my ($page, $kind, $special) = @_;
	my $flags = unpack('S', substr($$page, $special + 12, 2));

	return $flags & 0x000C if $kind eq 'btree';    # BTP_META, BTP_DELETED

	# Line pointers only in LH_OVERFLOW_PAGE and LH_BUCKET_PAGE.
	return !($flags & 0x0003) if $kind eq 'hash';
	return 0;
}

# Visit line pointers: $visit->($offset_in_page, $lp_off, $lp_flags, $lp_len).
sub each_line_pointer
{
	my ($page, $lower, $visit) = @_;

	for (my $at = PAGE_HEADER_SIZE; $at + 4 <= $lower; $at += 4)
	{
		my $lp = unpack('L', substr($$page, $at, 4));
		$visit->($at, $lp & 0x7FFF, ($lp >> 15) & 3, $lp >> 17);
	}
	return;
}

# Clear the hint bits of heap tuples.
sub mask_tuples
{
	my ($page, $lower, $upper, $special) = @_;

	each_line_pointer(
		$page, $lower,
		sub {
			my ($at, $off, $flags, $len) = @_;

			return
			  if $flags != 1 || $len < 23 || $off < $upper || $off + $len > $special;
			my $infomask = unpack('S', substr($$page, $off + 20, 2));

			# XMIN_COMMITTED and XMIN_INVALID together mean frozen, which is
			# logged; one of them alone, and those of xmax, are hints.
			$infomask &= ~0x0300 if ($infomask & 0x0300) != 0x0300;
			$infomask &= ~0x0C00;
			substr($$page, $off + 20, 2) = pack('S', $infomask);
		});
	return;
}

# Scans mark line pointers of an index dead without WAL.
sub mask_line_pointers
{
	my ($page, $lower, $upper, $special) = @_;

	each_line_pointer(
		$page, $lower,
		sub {
			my ($at, $off, $flags, $len) = @_;

			return if $flags != 3 || $len == 0;
			substr($$page, $at, 4) = pack('L', $off | (1 << 15) | ($len << 17));
		});
	return;
}

# ---------------------------------------------------------------------------
# Oracle 4: PostgreSQL's WAL summaries
# ---------------------------------------------------------------------------

=head2 summary_oracle($rows, $map, $unnamed)

$rows is what pg_wal_summary_contents() tells of a summary, as references to
[tablespace, database, relfilenode, fork, block, is_limit].  Everything in it
must be in the map of the same range: its blocks, and what lies at or after its
limit blocks, a limit of relation 0 being a whole database.

The map may have more.  $stats->{extra} counts the blocks that it lists and the
summary does not have, $stats->{ratio} is what the map lists by what it should,
$stats->{lower} are the forks whose limit is lower than in the summary.  Left
out are visibility maps, and block 0 of the relations in $unnamed (see
waldump_oracle): they change without being named, and the summary lacks them.

=cut

sub summary_oracle
{
	my ($rows, $map, $unnamed) = @_;
	my $summary = CkpxOracle::Map->new;
	my %relations;
	my @missing;
	my %stats = (checked => 0, extra => 0, lower => []);

	foreach my $row (@$rows)
	{
		my ($spc, $db, $rel, $fork, $block, $is_limit) = @$row;
		my $name = block_name($spc, $db, $rel, $fork, $block);

		$stats{checked}++;
		$relations{"$spc/$db/$rel"} = 1;
		if ($is_limit && $rel == 0)
		{
			push @missing, "$spc/$db, all of the database"
			  unless $map->has_database($spc, $db);
		}
		elsif ($is_limit)
		{
			push @missing, "$name and all behind it"
			  unless $map->has_from($spc, $db, $rel, $fork, $block);
		}
		else
		{
			push @missing, $name unless $map->has($spc, $db, $rel, $fork, $block);
		}

		if ($is_limit)
		{
			$summary->add($spc, $db, $rel, $fork, $block, '{}');
		}
		else
		{
			$summary->add($spc, $db, $rel, $fork, '',
				'{[' . $block . ',' . ($block + 1) . ')}');
		}
	}

	my $listed = 0;
	foreach my $key ($map->forks)
	{
		my ($rel, $fork) = split ' ', $key;
		my ($spc, $db, $number) = split m{/}, $rel;
		my $limit = $map->limit($key);

		next if $fork eq 'vm';
		push @{ $stats{lower} }, $key
		  if defined $limit && !$summary->has_from($spc, $db, $number, $fork, $limit);
		$map->each_listed(
			$key,
			sub {
				my $block = shift;

				return if $block == 0 && $unnamed->{$rel};
				$listed++;
				$stats{extra}++
				  unless $summary->has($spc, $db, $number, $fork, $block);
			});
	}
	$stats{relations} = keys %relations;
	$stats{listed} = $listed;
	$stats{ratio} =
	    $listed > $stats{extra} ? $listed / ($listed - $stats{extra})
	  : $listed ? 'Inf'
	  : 1;
	return (\@missing, \%stats);
}

# ---------------------------------------------------------------------------
# The map
# ---------------------------------------------------------------------------

=head2 CkpxOracle::Map

The map of a range, as ckpx_changed_blocks() tells it.  A block counts as
changed if it is listed, or lies at or after its fork's limit block, or if a
database-wide row (relfilenode 0) covers it.

=cut

package CkpxOracle::Map;

use strict;
use warnings;

use Carp;

sub new
{
	my $class = shift;
	return bless { fork => {}, database => {} }, $class;
}

# Take over a row; a fork may have several.  '' stands for a NULL limit, blocks
# is the text of an int8multirange.
sub add
{
	my ($self, $spc, $db, $rel, $fork, $limit, $blocks) = @_;
	my $f = $self->{fork}{"$spc/$db/$rel $fork"} //= { ranges => [] };

	if (defined $limit && $limit ne '')
	{
		$f->{limit} = $limit if !defined $f->{limit} || $limit < $f->{limit};
		$self->{database}{"$spc/$db"} = 1 if $rel == 0 && $limit == 0;
	}
	my ($list) = $blocks =~ /^\{(.*)\}$/
	  or croak "not a multirange of blocks: \"$blocks\"";
	my $parsed = 0;
	while ($list =~ /\G\[(\d+),(\d+)\)(?:,|$)/gc)
	{
		push @{ $f->{ranges} }, [ $1, $2 ];
		$parsed = pos($list);
	}
	croak "not a multirange of blocks: \"$blocks\""
	  if $parsed != length($list);
	$f->{sorted} = 0;
	return $self;
}

sub has_database
{
	my ($self, $spc, $db) = @_;
	return exists $self->{database}{"$spc/$db"};
}

sub has
{
	my ($self, $spc, $db, $rel, $fork, $block) = @_;

	return 1 if $self->has_database($spc, $db);
	my $f = $self->{fork}{"$spc/$db/$rel $fork"} or return 0;
	return 1 if defined $f->{limit} && $block >= $f->{limit};

	my $ranges = $f->{ranges};
	if (!$f->{sorted})
	{
		@$ranges = sort { $a->[0] <=> $b->[0] } @$ranges;
		$f->{sorted} = 1;
	}

	# The last range that starts at or before the block.
	my ($lo, $hi) = (0, scalar @$ranges);
	while ($lo < $hi)
	{
		my $mid = int(($lo + $hi) / 2);
		if ($ranges->[$mid][0] <= $block) { $lo = $mid + 1 }
		else { $hi = $mid }
	}
	return $lo > 0 && $block < $ranges->[ $lo - 1 ][1] ? 1 : 0;
}

# Is everything from a block on changed?
sub has_from
{
	my ($self, $spc, $db, $rel, $fork, $block) = @_;

	return 1 if $self->has_database($spc, $db);
	my $f = $self->{fork}{"$spc/$db/$rel $fork"} or return 0;
	return 0 unless defined $f->{limit};
	foreach my $b ($block .. $f->{limit} - 1)
	{
		return 0 unless $self->has($spc, $db, $rel, $fork, $b);
	}
	return 1;
}

# "tablespace/database/relfilenode fork" of every row.
sub forks
{
	my $self = shift;
	return sort keys %{ $self->{fork} };
}

# Blocks listed for one of forks().
sub nlisted
{
	my ($self, $fork) = @_;
	my $n = 0;
	$n += $_->[1] - $_->[0] foreach @{ $self->{fork}{$fork}{ranges} };
	return $n;
}

# The limit block of one of forks(), or undef.
sub limit
{
	my ($self, $fork) = @_;
	my $f = $self->{fork}{$fork} or return;
	return $f->{limit};
}

# What another map of the same range has and this one lacks, by name.
sub lacking
{
	my ($self, $other) = @_;
	my @lacking;

	foreach my $key ($other->forks)
	{
		my ($relation, $fork) = split ' ', $key;
		my ($spc, $db, $rel) = split m{/}, $relation;
		my $limit = $other->limit($key);

		if ($rel == 0)
		{
			push @lacking, "$spc/$db" unless $self->has_database($spc, $db);
			next;
		}
		push @lacking, "$key from block $limit"
		  if defined $limit && !$self->has_from($spc, $db, $rel, $fork, $limit);
		$other->each_listed(
			$key,
			sub {
				push @lacking, "$key block $_[0]"
				  unless $self->has($spc, $db, $rel, $fork, $_[0]);
			});
	}
	return @lacking;
}

# Call $visit->($block) for each block listed for one of forks().
sub each_listed
{
	my ($self, $fork, $visit) = @_;
	foreach my $range (@{ $self->{fork}{$fork}{ranges} })
	{
		$visit->($_) foreach $range->[0] .. $range->[1] - 1;
	}
	return;
}

1;
