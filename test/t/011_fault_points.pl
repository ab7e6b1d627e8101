# The registry of fault points and the sources agree: a test that walks the
# registry reaches every place, and no place is misspelled.

use strict;
use warnings;

use File::Find;
use FindBin;
use Test::More;

my $src = "$FindBin::RealBin/../../src";
my (%registered, @outputs, %used, %whats);

sub slurp
{
	my ($file) = @_;
	open(my $handle, '<', $file) or die "could not open $file: $!";
	local $/;
	return scalar <$handle>;
}

my $registry = slurp("$src/server/base/fault_points.h");
$registered{$1}++ while $registry =~ /CKPX_FAULT_POINT\("([^"]+)"/g;
push @outputs, $1 while $registry =~ /^CKPX_OUTPUT_POINTS\("([^"]+)"\)/mg;
my @steps = $registry =~ /CKPX_FAULT_POINT\(what "-([a-z]+)"/g;

find(
	{
		no_chdir => 1,
		wanted => sub {
			return unless /\.c$/;
			my $text = slurp($_);
			$used{$1}++ while $text =~ /CKPX_FAULT(?:_FAILS|_VALUE_OF)?\("([^"]+)"/g;
			$whats{$1}++
			  while $text =~ /ckpx_(?:write_file|job_write|object_output_begin)
							  \([^;]*?,\s*"([^"]+)"\)/gx;
		}
	},
	$src);

cmp_ok(scalar keys %used, '>', 10, 'fault points are found in the sources');
is_deeply([ sort keys %used ], [ sort keys %registered ],
	'those in the sources are those in the registry');
is_deeply([ grep { $registered{$_} > 1 } sort keys %registered ],
	[], 'none is registered twice');
is_deeply([ grep { $used{$_} > 1 } sort keys %used ],
	[], 'none names two places');
is_deeply([ grep { !/^[a-z]+(-[a-z]+)*$/ } sort keys %registered ],
	[], 'they are lower case words joined by hyphens');

is_deeply(\@steps, [qw(create write fsync rename renamed)],
	'steps of writing a file');
cmp_ok(scalar keys %whats, '>', 3, 'kinds of files are found in the sources');
for my $what (sort keys %whats)
{
	ok((grep { $_ eq $what } @outputs), "files of kind $what are in the registry");
}
for my $step (@steps)
{
	like(slurp("$src/server/store/files.c"), qr/"\Q$step\E"/,
		"step $step is in the file layer");
}

done_testing();
