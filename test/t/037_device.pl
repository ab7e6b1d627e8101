# The file system of a data directory is found on another device, as after a
# boot or a mount: it is the same directory.  Whole devices that are copied are
# not, if both servers run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $outside = PostgreSQL::Test::Utils::tempdir();
my $node = history_node('main', conf => "ckpx.directory = '$outside'\n");

sub folders { return map { s{.*/}{}r } sort glob("$outside/*-*"); }

sub node_file { return $_[0]->data_dir . '/ckpx_node'; }

# CRC-32C as PostgreSQL computes it.
sub crc32c
{
	my $crc = 0xFFFFFFFF;

	foreach my $byte (unpack 'C*', $_[0])
	{
		$crc ^= $byte;
		$crc = ($crc >> 1) ^ (0x82F63B78 * ($crc & 1)) foreach 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# The lines of a node file by their names, and a node file of such lines.
sub read_node_file
{
	return slurp_file(node_file($_[0])) =~ /^(\w+) ([0-9A-F]{16})$/mg;
}

sub write_node_file
{
	my ($node, %lines) = @_;
	my $text = slurp_file(node_file($node)) =~ s/^crc .*//msr;

	$text =~ s/^$_ \K.*/$lines{$_}/m or die "no line \"$_\""
	  foreach keys %lines;
	unlink node_file($node);
	append_to_file(node_file($node), $text . sprintf("crc %08X\n", crc32c($text)));
	return;
}

sub elsewhere { return sprintf('%016X', hex($_[0]) ^ 0x55); }

$node->start;
create_load($node);
await_tracking($node);
my $start = wal_position($node);
run_load($node, 10);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$node->safe_psql('postgres', "SELECT ckpx_pin('kept', ckpx_low_water_mark())");
my ($from, $to) = finished_range($node);
my $before = answer($node, $from, $to);
my ($folder) = folders();

my %found = read_node_file($node);
write_node_file($node, %found);

# What holds where the directory is known again.
sub is_known
{
	my $name = shift;

	await_tracking($node);
	is(join(' ', folders()), $folder, "$name: the folder is the same");
	is_one_epoch($node, $name);
	is($node->safe_psql('postgres', 'SELECT name FROM ckpx_pins'),
		'kept', "$name: the pin is there");
	is(answer($node, $from, $to), $before, "$name: what was known is known");
	is_deeply({ read_node_file($node) }, \%found,
		"$name: the directory is noted as it is");
	return;
}

# ---- another device

$node->restart;
is_known('the file as this test writes it');
$node->stop('fast');
write_node_file($node, device => elsewhere($found{device}));
$node->start;
is_known('another device');

# ---- a file system, or a kernel, that knew no time of birth

$node->stop('fast');
write_node_file($node, birth => '0' x 16);
$node->start;
is_known('no time of birth');
$node->stop('fast');
write_node_file($node, birth => '0' x 16, device => elsewhere($found{device}));
$node->start;
is_known('no time of birth, another device');
covers_all_oracles($node, $start, wal_position($node), 'after all changes of the device');

# ---- a copy of the whole device has the same inodes and times of birth

$node->stop('fast');
my $twin = PostgreSQL::Test::Cluster->new('twin');
mkdir $twin->basedir;
system_or_bail('cp', '-a', $node->data_dir, $twin->data_dir);
$twin->append_conf(
	'postgresql.conf',
	join("\n",
		'port = ' . $twin->port,
		"unix_socket_directories = '" . $twin->host . "'",
		''));
$twin->start;
await_tracking($twin);
is(scalar(folders()), 2, 'a copy of the files: it has a folder of its own');
my %twin = read_node_file($twin);
isnt($twin{id}, $found{id}, 'and an identifier of its own');
$twin->stop('fast');

write_node_file($twin, %twin, id => $found{id}, device => $found{device} eq $twin{device} ? elsewhere($twin{device}) : $found{device});
$node->start;
await_tracking($node);
$twin->start;
await_tracking($twin);
is(scalar(folders()), 3, 'a copy of the device: it has a folder of its own');
is( $twin->safe_psql('postgres',
		'SELECT reason FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1'),
	'data directory is a copy',
	'a copy of the device: it begins anew');
$_->restart foreach $node, $twin;
await_tracking($_) foreach $node, $twin;
is(scalar(folders()), 3, 'a copy of the device: tracking goes on in its folder');
is_one_epoch($node, 'a copy of the device: the original');
is(answer($node, $from, $to), $before,
	'a copy of the device: the original knows what it knew');

# ---- the same inode, born at another time: the root of another file system

$_->stop('fast') foreach $node, $twin;
SKIP:
{
	skip 'this file system knows no time of birth', 2
	  if $found{birth} eq '0' x 16;
	write_node_file($node, birth => elsewhere($found{birth}));
	$node->start;
	await_tracking($node);
	is(scalar(folders()), 4, 'born at another time: a copy');
	isnt({ read_node_file($node) }->{id},
		$found{id}, 'with an identifier of its own');
	$node->stop('fast');
}
done_testing();
