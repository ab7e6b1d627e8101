#!/usr/bin/perl
# A picture of measures that grow, and the exponents of their growth.
#
#	plot.pl TITLE X-AXIS <ROWS >SVG
#
# Each row of stdin is MEASURE, X and Y with tabs between.  Both axes are
# logarithmic, so that a straight line is a power and its slope the exponent;
# the grey one has slope 1.  With --fit instead of a title nothing is drawn, and
# for each measure it prints its name, the exponent that fits all points best
# (least squares of the logarithms), that of the last two points, and the
# smallest and largest Y.

use strict;
use warnings;

my @measures;
my %points;
while (<STDIN>)
{
	chomp;
	my ($measure, $x, $y) = split /\t/;
	push @measures, $measure unless $points{$measure};
	push @{ $points{$measure} }, [ $x, $y ];
}

sub log10 { return log($_[0]) / log(10) }

sub slope
{
	my @p = map { [ log10($_->[0]), log10($_->[1]) ] } grep { $_->[1] > 0 } @_;
	my ($sx, $sy, $sxx, $sxy) = (0) x 4;

	return if @p < 2;
	foreach (@p)
	{
		$sx += $_->[0];
		$sy += $_->[1];
		$sxx += $_->[0]**2;
		$sxy += $_->[0] * $_->[1];
	}
	return (@p * $sxy - $sx * $sy) / (@p * $sxx - $sx**2);
}

if ($ARGV[0] eq '--fit')
{
	foreach my $measure (@measures)
	{
		my @p = @{ $points{$measure} };
		my @exponents = map { defined $_ ? sprintf('%.2f', $_) : '-' } slope(@p), slope(@p[ -2, -1 ]);

		print join("\t", $measure, @exponents, map { sprintf '%.4g', $_->[1] } @p[ 0, -1 ]), "\n";
	}
	exit;
}

# ---- the picture: the plot from (left, top) to (right, bottom)

my ($title, $axis) = @ARGV;
my ($left, $top, $right, $bottom) = (64, 44, 500, 384);
my @colours = map { "#$_" } qw(0969da 8250df 1a7f37 9a4a00 bf3989 57606a 1b7c83 953800);
my @all = grep { $_->[1] > 0 } map { @$_ } values %points;
my ($x_low, $x_high, $y_low, $y_high) = (1e9, -1e9, 1e9, -1e9);

foreach (@all)
{
	my ($x, $y) = map { log10($_) } @$_;
	$x_low = $x if $x < $x_low;
	$x_high = $x if $x > $x_high;
	$y_low = $y if $y < $y_low;
	$y_high = $y if $y > $y_high;
}
sub floor { my $i = int($_[0]); return $i > $_[0] ? $i - 1 : $i }
($y_low, $y_high) = (floor($y_low), -floor(-$y_high));
$y_high++ if $y_high == $y_low;

sub at_x { return $left + ($_[0] - $x_low) / ($x_high - $x_low) * ($right - $left) }
sub at_y { return $bottom - ($_[0] - $y_low) / ($y_high - $y_low) * ($bottom - $top) }
sub escaped { return $_[0] =~ s/&/&amp;/gr =~ s/</&lt;/gr }

sub number
{
	my $n = sprintf '%.0f', 10**$_[0];
	return $_[0] < 0 ? sprintf('%.*f', -$_[0], 10**$_[0]) : scalar reverse((reverse $n) =~ s/(\d{3})(?=\d)/$1,/gr);
}

printf <<'EOC', escaped($title), escaped($title);
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 432" role="img" aria-labelledby="title" font-family="system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, sans-serif" font-size="12">
  <title id="title">%s</title>
  <style>
    text { fill: #747d87; }
    .name { font-size: 14px; font-weight: 600; }
    .mid { text-anchor: middle; }
    .end { text-anchor: end; }
    .grid { stroke: #747d87; stroke-opacity: .25; fill: none; }
    .one { stroke: #747d87; stroke-dasharray: 4 4; fill: none; }
    .line { stroke-width: 1.8; fill: none; }
  </style>
  <text class="name" x="16" y="24">%s</text>
EOC
for (my $x = floor($x_low + .999); $x <= $x_high; $x++)
{
	printf qq{  <path class="grid" d="M%.1f,%d V%d"/>\n  <text class="mid" x="%.1f" y="%d">%s</text>\n},
	  at_x($x), $top, $bottom, at_x($x), $bottom + 18, number($x);
}
for (my $y = $y_low; $y <= $y_high; $y++)
{
	printf qq{  <path class="grid" d="M%d,%.1f H%d"/>\n  <text class="end" x="%d" y="%.1f">%s</text>\n},
	  $left, at_y($y), $right, $left - 6, at_y($y) + 4, number($y);
}
printf qq{  <text class="mid" x="%d" y="%d">%s</text>\n}, ($left + $right) / 2, $bottom + 38, escaped($axis);

# slope 1, from the left lower corner to where it leaves the plot
my $run = $x_high - $x_low < $y_high - $y_low ? $x_high - $x_low : $y_high - $y_low;
printf qq{  <path class="one" d="M%.1f,%.1f L%.1f,%.1f"/>\n},
  $left, $bottom, at_x($x_low + $run), at_y($y_low + $run);

# The names stand beside the ends of the lines, apart from each other.
my %place;
foreach my $measure (@measures)
{
	my @p = grep { $_->[1] > 0 } @{ $points{$measure} };
	$place{$measure} = @p ? at_y(log10($p[-1][1])) : $bottom;
}
my $last = $top - 20;
foreach my $measure (sort { $place{$a} <=> $place{$b} } @measures)
{
	$place{$measure} = $last + 16 if $place{$measure} < $last + 16;
	$last = $place{$measure};
}
for my $i (0 .. $#measures)
{
	my $measure = $measures[$i];
	my $colour = $colours[ $i % @colours ];
	my @p = grep { $_->[1] > 0 } @{ $points{$measure} };
	my $exponent = slope(@p);

	next unless @p;
	printf qq{  <path class="line" stroke="%s" d="%s"/>\n}, $colour,
	  join ' ', map { sprintf '%s%.1f,%.1f', $_ ? 'L' : 'M', at_x(log10($p[$_][0])), at_y(log10($p[$_][1])) } 0 .. $#p;
	printf qq{  <circle fill="%s" cx="%.1f" cy="%.1f" r="2.5"/>\n}, $colour, at_x(log10($_->[0])), at_y(log10($_->[1]))
	  foreach @p;
	printf qq{  <path class="grid" d="M%d,%.1f L%d,%.1f"/>\n}, $right + 4, at_y(log10($p[-1][1])), $right + 14, $place{$measure};
	printf qq{  <text style="fill: %s" x="%d" y="%.1f">%s%s</text>\n}, $colour, $right + 18, $place{$measure} + 4,
	  escaped($measure), defined $exponent ? sprintf('  (%.2f)', $exponent) : '';
}
print "</svg>\n";
