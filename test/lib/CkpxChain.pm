
=head1 NAME

CkpxChain - chains of backups made by hand, without ckpx

=head1 SYNOPSIS

  my $full = full_backup($node, "$dir/f0");
  # ... work ...
  my $next = full_backup($node, "$dir/f1");
  make_increment("$dir/f0", "$dir/f1", "$dir/chain/i1");
  # ckpx_combinebackup f0, i1 must give the bytes of f1

Each full is one of pg_basebackup.  An increment holds what differs between two
of them, block by block, so the younger one is what combining must give.

=cut

package CkpxChain;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use File::Basename;
use File::Copy;
use File::Find;
use File::Path qw(make_path remove_tree);
use JSON::PP;

use PostgreSQL::Test::Utils;

our @EXPORT = qw(
  full_backup make_increment make_stub parse_stub pack_tar copy_tree
  read_manifest write_manifest rewrite_entry
  label_lines differences new_id spew
);

use constant MAGIC => 0xd3ae1f0d;
use constant BLCKSZ => 8192;

my $ids = 0;

sub new_id
{
	return sprintf('%032x', 0xabc000 + ++$ids);
}

sub spew
{
	my ($file, $bytes) = @_;
	make_path(dirname($file));
	unlink $file;
	open my $out, '>:raw', $file or die "could not write \"$file\": $!";
	print $out $bytes;
	close $out or die "could not write \"$file\": $!";
	return;
}

sub slurp_raw
{
	my ($file) = @_;
	open my $in, '<:raw', $file or die "could not read \"$file\": $!";
	local $/;
	return scalar(<$in>) // '';
}

=head2 full_backup($node, $dir, %options)

A plain backup of pg_basebackup with its WAL.  Options: id, parent => for the
label; map => { olddir => newdir }.

=cut

sub full_backup
{
	my ($node, $dir, %options) = @_;
	my $id = $options{id} // new_id();
	my %map = %{ $options{map} // {} };

	system_or_bail(
		'pg_basebackup', '-D', $dir, '-h', $node->host, '-p', $node->port,
		'-X', 'fetch', '-c', 'fast', '--no-sync', '-l',
		"ckpx id $id parent " . ($options{parent} // 'none'),
		map { ('-T', "$_=$map{$_}") } sort keys %map);
	return $dir;
}

# The values of some lines of a label.
sub label_lines
{
	my ($dir) = @_;
	my $text = slurp_raw("$dir/backup_label");
	my %lines = (text => $text);

	($lines{start}) = $text =~ /^START WAL LOCATION: (\S+)/m;
	($lines{timeline}) = $text =~ /^START TIMELINE: (\d+)/m;
	($lines{id}) = $text =~ / id ([0-9a-f]{32})/;
	return \%lines;
}

# The bytes of INCREMENTAL.x: blocks is { number => bytes }.
sub make_stub
{
	my ($truncation_length, $blocks) = @_;
	my @numbers = sort { $a <=> $b } keys %$blocks;
	my $header = pack('L*', MAGIC, scalar @numbers, $truncation_length, @numbers);

	$header .= "\0" x (-length($header) % BLCKSZ) if @numbers;
	return join '', $header, map { $blocks->{$_} } @numbers;
}

sub parse_stub
{
	my ($bytes) = @_;
	my ($magic, $count, $length) = unpack 'L3', $bytes;
	my @numbers = unpack "x12 L$count", $bytes;
	return { length => $length, blocks => \@numbers };
}

# The stub of one segment file: what differs, and what lies beyond the old end.
sub stub_of
{
	my ($old, $new) = @_;
	my %blocks;

	for (my $i = 0; $i * BLCKSZ < length $new; $i++)
	{
		my $block = substr($new, $i * BLCKSZ, BLCKSZ);
		$blocks{$i} = $block
		  if $i * BLCKSZ >= length $old
		  || $block ne substr($old, $i * BLCKSZ, BLCKSZ);
	}
	return make_stub(length($new) / BLCKSZ, \%blocks);
}

# ---- manifests

sub read_manifest
{
	my ($dir) = @_;
	return JSON::PP->new->decode(slurp_raw("$dir/backup_manifest"));
}

# Write it with a right checksum of its own.
sub write_manifest
{
	my ($dir, $manifest) = @_;
	my $json = JSON::PP->new->canonical;
	my @head = ("\"PostgreSQL-Backup-Manifest-Version\": "
		  . ($manifest->{'PostgreSQL-Backup-Manifest-Version'} + 0));

	push @head, "\"System-Identifier\": $manifest->{'System-Identifier'}"
	  if exists $manifest->{'System-Identifier'};
	my $text = '{ ' . join(",\n", @head) . ",\n\"Files\": [\n"
	  . join(",\n", map { $json->encode($_) } @{ $manifest->{Files} })
	  . "],\n\"WAL-Ranges\": "
	  . $json->encode($manifest->{'WAL-Ranges'}) . ",\n";
	spew("$dir/backup_manifest",
		$text . '"Manifest-Checksum": "' . sha256_hex($text) . "\"}\n");
	return;
}

sub entry
{
	my ($dir, $path, $modified) = @_;
	my $bytes = slurp_raw("$dir/$path");

	return {
		Path => $path,
		Size => length $bytes,
		'Last-Modified' => $modified,
		'Checksum-Algorithm' => 'SHA256',
		Checksum => sha256_hex($bytes)
	};
}

# Make a manifest's entry agree with the file as it is; without the file, drop it.
sub rewrite_entry
{
	my ($dir, $path) = @_;
	my $manifest = read_manifest($dir);
	my ($old) = grep { $_->{Path} eq $path } @{ $manifest->{Files} };

	@{ $manifest->{Files} } = grep { $_->{Path} ne $path } @{ $manifest->{Files} };
	push @{ $manifest->{Files} },
	  entry($dir, $path, $old ? $old->{'Last-Modified'} : '2020-01-01 00:00:00 GMT')
	  if -e "$dir/$path";
	write_manifest($dir, $manifest);
	return;
}

# ---- increments

=head2 make_increment($old, $new, $out, %options)

The increment that makes the backup $new of the backup $old.  Options: parent =>
the backup directory whose label it names, if not $old's.  Links in pg_tblspc
become directories $out.OID.

=cut

sub make_increment
{
	my ($old, $new, $out, %options) = @_;
	my $manifest = read_manifest($new);
	my $parent = label_lines($options{parent} // $old);
	my @files;

	make_path($out);
	copy_directories($new, $out);
	foreach my $entry (@{ $manifest->{Files} })
	{
		my $path = $entry->{Path};
		my $whole = slurp_raw("$new/$path");

		if ($path =~ m{^(?:base|global|pg_tblspc)/.*?(?<=/)\d+(?:_vm|_init)?(?:\.\d+)?$}
			&& -e "$old/$path")
		{
			my $stub = dirname($path) . '/INCREMENTAL.' . basename($path);

			spew("$out/$stub", stub_of(slurp_raw("$old/$path"), $whole));
			push @files, entry($out, $stub, $entry->{'Last-Modified'});
			next;
		}
		$whole =
			"INCREMENTAL FROM LSN: $parent->{start}\n"
		  . "INCREMENTAL FROM TLI: $parent->{timeline}\n$whole"
		  if $path eq 'backup_label';
		spew("$out/$path", $whole);
		push @files, entry($out, $path, $entry->{'Last-Modified'});
	}
	copy($_, "$out/pg_wal/" . basename($_)) foreach grep { -f } glob "$new/pg_wal/*";
	$manifest->{Files} = \@files;
	write_manifest($out, $manifest);
	return $out;
}

# All directories of a backup, and its links to tablespaces.
sub copy_directories
{
	my ($from, $to) = @_;

	chmod((stat $from)[2] & 0777, $to);
	find(
		{
			no_chdir => 1,
			wanted => sub {
				my $path = substr($File::Find::name, length $from);
				if (-l $File::Find::name)
				{
					my $oid = basename($path);
					make_path("$to.$oid");
					symlink "$to.$oid", "$to$path";
					find(
						{
							no_chdir => 1,
							wanted => sub {
								make_path("$to.$oid/" . substr($File::Find::name, length "$from$path/"))
								  if -d;
							}
						},
						"$from$path/");
				}
				elsif (-d $File::Find::name)
				{
					make_path("$to$path");
					chmod 0700, "$to$path";
				}
			}
		},
		$from);
	return;
}

sub copy_tree
{
	my ($from, $to) = @_;
	system_or_bail('cp', '-a', $from, $to);
	return $to;
}

=head2 pack_tar($plain, $out, %options)

Turn a plain backup into tar files.  Options: zstd => true, targets => { oid =>
what tablespace_map says }.

=cut

sub pack_tar
{
	my ($plain, $out, %options) = @_;
	my $manifest = read_manifest($plain);
	my %targets = %{ $options{targets} // {} };

	make_path($out);
	if (%targets)
	{
		spew("$plain/tablespace_map",
			join '', map { "$_ $targets{$_}\n" } sort keys %targets);
		rewrite_entry($plain, 'tablespace_map');
	}
	my @first = grep { -e "$plain/$_" } qw(backup_label tablespace_map);
	opendir my $dir, $plain or die "could not read \"$plain\": $!";
	my @names = (
		@first,
		grep { !/^(?:\.|\.\.|backup_manifest|backup_label|tablespace_map)$/ }
		  sort readdir $dir);
	tar_one($plain, "$out/base.tar", $options{zstd}, @names);
	tar_one("$plain/pg_tblspc/$_/.", "$out/$_.tar", $options{zstd},
		map { basename($_) } glob "$plain/pg_tblspc/$_/*")
	  foreach sort keys %targets;
	copy("$plain/backup_manifest", "$out/backup_manifest");
	return $out;
}

sub tar_one
{
	my ($dir, $file, $zstd, @names) = @_;

	system_or_bail('tar', '--format=ustar', '-C', $dir, '-cf', $file, @names);
	system_or_bail('zstd', '-q', '--rm', $file) if $zstd;
	return;
}

=head2 differences($one, $other, @except)

The paths at which two directories differ, what matches one of @except left out.

=cut

sub differences
{
	my ($one, $other, @except) = @_;
	my %found;
	my @differences;

	foreach my $root ($one, $other)
	{
		find(
			{
				no_chdir => 1,
				follow => 1,
				follow_skip => 2,
				wanted => sub {
					my $path = substr($File::Find::name, length $root);
					$found{$path}{$root} = $File::Find::name;
				}
			},
			$root);
	}
	foreach my $path (sort keys %found)
	{
		my ($left, $right) = @{ $found{$path} }{ $one, $other };

		next if grep { $path =~ $_ } @except;
		push @differences, $path
		  if !defined $left
		  || !defined $right
		  || (-d $left) != (-d $right)
		  || (!-d $left && slurp_raw($left) ne slurp_raw($right));
	}
	return @differences;
}

1;
