# The manual page of each program has the options that its --help prints, and
# no others, and groff finds nothing wrong in it.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

# Short and long options, each with the other's name: "-D, --pgdata".
sub options_of_help
{
	my ($program) = @_;
	my ($out) = run_command([ $program, '--help' ]);

	return map { join ', ', /(?:^|\s)(-[A-Za-z?]|--[a-z][-a-z]*)(?=[\s,=\[]|$)/g }
	  map { s/\s{2,}\S.*//r }
	  grep { /^\s+-/ } map { s/^\s+/ /r } split /\n/, $out;
}

# An option's paragraph begins with a line that begins with a macro of bold type.
sub options_of_page
{
	my ($page) = @_;
	my $text = slurp_file($page) =~ s/\\-/-/gr;
	my @options;

	while ($text =~ /^\.TP\n\.[BIR]+ (.*)$/mg)
	{
		my $first = $1 =~ tr/"//dr;
		push @options, join ', ', $first =~ /(?:^|\s|,)(-[A-Za-z?]|--[a-z][-a-z]*)(?=[\s,=\[]|$)/g;
	}
	return grep { $_ ne '' } @options;
}

foreach my $program (qw(ckpx_basebackup ckpx_combinebackup ckpx_dump))
{
	my $page = "docs/man/$program.1";
	my @help = sort(options_of_help($program));

	cmp_ok(@help, '>', 10, "$program --help prints options");
	is_deeply([ sort(options_of_page($page)) ], \@help, "$page has the options of --help");
  SKIP:
	{
		skip 'no groff', 1 if system('groff --version >/dev/null 2>&1') != 0;
		my ($out, $err) = run_command([ 'groff', '-man', '-ww', '-z', $page ]);
		is($err, '', "groff reads $page");
	}
}
done_testing();
