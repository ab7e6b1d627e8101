# test/README.md tells where each behaviour is tested: it names every test, and
# none that is not there.

use strict;
use warnings;

use FindBin;
use Test::More;

my $folder = "$FindBin::RealBin/..";

open(my $file, '<', "$folder/README.md") or die "could not open README.md: $!";
my $readme = do { local $/; <$file> };

# As README.md names them: 001_house_of_tests, test_ring, control_wait, and with
# its folder sql/map.sql.
my @tests = map { m{/sql/} ? s{.*/sql/}{sql/}r : s{.*/|\.\w+$}{}gr }
  map { glob("$folder/$_") } 't/*.pl', 'unit/test_*.c', 'specs/*.spec', 'sql/*.sql';
my %is_test = map { $_ => 1 } @tests;

cmp_ok(scalar @tests, '>', 80, 'tests are found');
is(join(' ', grep { $readme !~ /\b\Q$_\E\b/ } @tests), '', 'README.md names each of them');
my @named = $readme =~ m{\b(\d{3}_\w+|test_\w+|control_\w+|sql/\w+\.sql)\b}g;
is(join(' ', grep { !$is_test{$_} } @named), '', 'and no other');

done_testing();
