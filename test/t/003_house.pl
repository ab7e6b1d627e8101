# tools/check_house sees each rule of the house that is broken.
use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $check = "$ENV{PWD}/tools/check_house";
plan skip_all => 'no C compiler' if system('cc --version >/dev/null 2>&1') != 0;

# What the script says of a tree with these files.
sub report_of
{
	my (%files) = @_;
	my $top = tempdir(CLEANUP => 1);
	foreach my $name (keys %files)
	{
		my ($folder) = "$top/src/$name" =~ m{^(.*)/};
		make_path($folder);
		open my $out, '>', "$top/src/$name" or die "$name: $!";
		print $out $files{$name};
		close $out;
	}
	foreach my $name (grep { /\.c$/ } keys %files)
	{
		system('cc', '-w', '-c', "-I$top/src", '-o', "$top/src/$name" =~ s/c$/o/r,
			"$top/src/$name") == 0 or die "could not compile $name";
	}
	return join '', grep { !/^exception is not needed:/ } `$check $top`;
}

my $leaf = "int\nleaf(void)\n{\n\treturn 1;\n}\n";
my $base = "int leaf(void);\n\nint\nbase(void)\n{\n\treturn leaf();\n}\n";
my %good = (
	'core/map/leaf.c' => $leaf,
	'core/map/leaf.h' => "int leaf(void);\n",
	'server/base/base.c' => $base =~ s{^.*}{#include "core/map/leaf.h"}r);

is(report_of(%good), '', 'a tree that keeps the rules');

like(
	report_of(%good, 'core/map/up.h' => qq{#include "server/base/base.h"\n}),
	qr{^core/map/up.h: core/map may not use server/base: },
	'a header from a room above');
like(
	report_of(
		%good,
		'core/map/up.c' =>
		  "int base(void);\n\nint\nup(void)\n{\n\treturn base();\n}\n"),
	qr{^core/map/up.c: core/map may not use server/base: base$},
	'a function from a room above, without its header');
like(
	report_of(%good, 'core/map/leaf.c' => $base =~ s/leaf/other/gr =~ s/base/leaf/gr,
		'core/map/other.c' => $base =~ s/base/other/gr),
	qr{^circle: core/map/leaf.c core/map/other.c$},
	'two files that use each other');
like(report_of(%good, 'server/base/wide.h' => "\t\t\t\t/* " . '-' x 61 . " */\n"),
	qr{^server/base/wide.h:1: 83 columns$}, 'a long line');
is(report_of(%good, 'core/map/text.h' => '#define T "' . '-' x 80 . qq{"\n}),
	'', 'but not a long message');
like(
	report_of(%good, 'core/map/leaf.c' => $leaf =~ s/\{\n/"{\n" . "\n" x 68/er),
	qr{^core/map/leaf.c:3: leaf has 71 lines$}, 'a long function');
like(report_of(%good, 'core/map/leaf.c' => $leaf . $leaf =~ s/leaf/next/r),
	qr{^core/map/leaf.c:6: not one blank line}, 'functions without a line between them');
like(
	report_of(%good, 'core/map/leaf.c' => "$leaf\n\n" . $leaf =~ s/leaf/next/r),
	qr{^core/map/leaf.c:7: not one blank line}, 'and with two');

like(report_of(%good, 'server/base/new.h' => "#if PG_VERSION_NUM >= 170000\n#endif\n"),
	qr{^server/base/new.h:1: looks at PG_VERSION_NUM$}, 'another file that knows majors');

# Programs have symbols of their own, and share those of one room.
{
	my $main = "int leaf(void);\nint help(void);\n\nint\nhelp(void)\n{\n\treturn leaf();\n}\n\n"
	  . "int\nmain(void)\n{\n\treturn help();\n}\n";
	my %programs = (
		'bin/common/leaf.c' => $leaf,
		'bin/basebackup/main.c' => $main,
		'bin/combinebackup/main.c' => $main);
	is(report_of(%programs), '', 'two programs with main() and a function of the same name');
	is(report_of(%good, %programs), '', 'which the library has as well');
	like(
		report_of(
			%programs, 'bin/common/up.c' => qq{#include "bin/basebackup/up.h"\n} . $leaf =~ s/leaf/up/r,
			'bin/basebackup/up.h' => ''),
		qr{^bin/common/up.c: bin/common may not use bin/basebackup: }, 'a header of a program');
	like(
		report_of(%good, 'bin/common/base.c' => $base =~ s/leaf\(/base(/gr =~ s/\nbase/\nother/r),
		qr{^bin/common/base.c: bin/common may not use server/base: base$}, 'a function of the server');
}

# A check that saw nothing must not pass.
{
	my $top = tempdir(CLEANUP => 1);
	make_path("$top/src/core/map");
	like(scalar `$check $top`, qr/^no file found$/m, 'a tree without sources');
	open my $out, '>', "$top/src/core/map/leaf.c" or die "leaf.c: $!";
	print $out $leaf;
	close $out;
	like(scalar `$check $top`, qr{^core/map/leaf.c: not compiled$}m, 'a file that is not compiled');
	open $out, '>', "$top/src/core/map/leaf.o" or die "leaf.o: $!";
	close $out;
	like(scalar `$check $top 2>/dev/null`, qr{^core/map/leaf.c: its symbols cannot be read$}m,
		'an object that cannot be read');
}

done_testing();
