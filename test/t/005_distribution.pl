# What a release is made of: META.json by PGXN's specification, and the archive
# of "make dist", which builds and installs by itself.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);
use FindBin;
use IO::Uncompress::Unzip qw($UnzipError);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $temp = PostgreSQL::Test::Utils::tempdir;

# ---- META.json

my ($name, $said) = run_command(["$top/tools/check_meta", $top]);
like($name, qr/^ckpx-\d+\.\d+\.\d+$/, 'META.json is in order');

# Each rule, broken once.
my $meta = slurp_file("$top/META.json");
make_path("$temp/meta/sql", "$temp/meta/debian");
append_to_file("$temp/meta/$_", slurp_file("$top/$_"))
  foreach qw(ckpx.control CHANGELOG.md README.md debian/changelog), map { s{^\Q$top\E/}{}r } glob("$top/sql/*");

foreach my $case (
	[ qr/"name": "ckpx"/, '"name": "ck px"', '"name" is missing or malformed' ],
	[ qr/"abstract": "[^"]*",\n  "desc/, '"desc', '"abstract" is missing or malformed' ],
	[ qr/"license": "postgresql"/, '"license": "own"', q("license" is not one of the spec's) ],
	[ qr/"tags"/, '"words"', 'the top has an unknown key "words"' ],
	[ qr/"file": "[^"]*",/, '', '"file" of ckpx does not exist' ],
	[ qr/README\.md/, 'doc/ckpx.md', '"docfile" of ckpx does not exist' ],
	[ qr/"15\.0\.0"/, '"15"', '"PostgreSQL" is missing or malformed' ],
	[ qr/"requires"/, '"needs"', 'prereqs.runtime has an unknown key "needs"' ],
	[ qr/"version": "1\.0\.0",\n    "url"/, '"url"', '"version" is missing or malformed' ],
	[ qr/"wal", /, '["wal"], ', '"tags" is not a list of words' ],
	[ qr/"version": "\d+/, '"version": "99', 'of ckpx.control' ])
{
	my ($pattern, $replacement, $message) = @$case;
	my $broken = $meta =~ s/$pattern/$replacement/r;

	open my $out, '>', "$temp/meta/META.json" or die $!;
	print $out $broken;
	close $out;
	($said) = run_command(["$top/tools/check_meta", "$temp/meta"]);
	like($said, qr/^META\.json: .*\Q$message\E/m, $message);
}

# ---- the archive

SKIP:
{
	skip 'no git here', 4 if system('git --version >/dev/null 2>&1') != 0;
	skip 'installs beside the server of test/private.sh', 4 unless $ENV{CKPX_ROOT};

	# The checkout may be a copy without its history.
	local $ENV{GIT_DIR} = "$temp/git";
	local $ENV{GIT_WORK_TREE} = $top;
	my @git = ('git', '-c', 'user.name=ckpx', '-c', 'user.email=ckpx');

	system_or_bail('git', 'init', '-q');
	system_or_bail(@git, '-C', $top, 'add', '-A');
	system_or_bail(@git, '-C', $top, 'commit', '-q', '-m', 'all');
	delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES)};
	my @make = ('make', '--no-print-directory', '-s', '-j2', "PG_CONFIG=$ENV{CKPX_BUILD_PG_CONFIG}");

	($said) = run_command([ @make, '-C', $top, 'dist' ]);
	is($said, "build/$name.zip", 'make dist');

	my $zip = IO::Uncompress::Unzip->new("$top/build/$name.zip") or die $UnzipError;
	my @odd;
	for (my $more = 1; $more > 0; $more = $zip->nextStream)
	{
		my $path = $zip->getHeaderInfo->{Name};

		push @odd, $path if $path !~ m{^\Q$name\E/} || $path =~ /\.(?:o|so|zip)$/;
		next if $path =~ m{/$};
		make_path(dirname("$temp/$path"));
		open my $out, '>:raw', "$temp/$path" or die "$path: $!";
		print $out $_ while <$zip>;
		close $out;
	}
	is("@odd", '', 'all of it lies in one folder, and nothing that was built');

	command_ok([ @make, '-C', "$temp/$name", 'COPT=-O0 -g0', 'install', "DESTDIR=$temp/root" ],
		'it builds and installs');
	my $installed = join "\n", sort map { s{.*/}{}r } split /\n/, (run_command([ 'find', "$temp/root", '-type', 'f' ]))[0];
	is( $installed,
		join("\n", sort qw(ckpx.so ckpx.h ckpx.control ckpx_basebackup ckpx_combinebackup ckpx_dump
			ckpx_basebackup.1 ckpx_combinebackup.1 ckpx_dump.1), map { s{.*/}{}r } glob("$top/sql/*.sql")),
		'all that belongs to it');
}

done_testing();
