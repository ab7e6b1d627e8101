# The grants that docs/reference.md names for each job are enough for it, and no
# more than that: roles get exactly what the section "Roles" gives them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($grants) = slurp_file("$FindBin::RealBin/../../docs/reference.md") =~
  /^## Roles\n.*?^```sql\n(.*?)^```$/ms;
my %roles = map { $_ => 1 } $grants =~ /^GRANT .* TO (\w+);/mg;
is(join(' ', sort keys %roles),
	'backup operator watcher watcher_of_one', 'the page names the roles');

my $node = history_node('main');
$node->start;
create_load($node);
await_tracking($node);
my $start = wal_position($node);
run_load($node, 10);
$node->safe_psql('postgres', join ';', map { "CREATE ROLE $_ LOGIN" } keys %roles);

my ($stdout, $stderr);

# Run it as this role; its result, or the error with its detail and hint.
sub as
{
	my ($role, $sql) = @_;

	my $status = $node->psql('postgres', $sql,
		stdout => \$stdout, stderr => \$stderr,
		on_error_stop => 1,
		extra_params => [ '-U', $role ]);
	return $status == 0 ? $stdout : $stderr;
}

sub can
{
	my ($role, $sql, $result) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my $got = as($role, $sql);
	return is($stderr, '', "$role: $sql") if !defined $result;
	return like($got, $result, "$role: $sql");
}

sub cannot
{
	my ($role, $sql) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return like(as($role, $sql), qr/ERROR:  permission denied for/,
		"$role must not: $sql");
}

cannot($_, 'SELECT * FROM ckpx_runner') foreach keys %roles;
$node->safe_psql('postgres', $grants);

my @views = split /\n/, $node->safe_psql('postgres', q{
	SELECT viewname FROM pg_views WHERE viewname ~ '^ckpx_' ORDER BY 1});
cmp_ok(@views, '>', 8, 'there are views');

# ---- watching: everything that reads

can('watcher', "SELECT * FROM $_") foreach @views;
can('watcher', "SELECT ckpx_wait_collected(pg_current_wal_lsn())", qr/^t$/);
can('watcher', "SELECT count(*) > 0 FROM ckpx_changed_blocks('$start')", qr/^t$/);
can('watcher', "SELECT count(*) > 0 FROM ckpx_wal_by_relation('$start')", qr/^t$/);
can('watcher', 'SELECT ckpx_sync_point()', qr{^\w+/\w+$});
cannot('watcher', "SELECT $_") foreach 'ckpx_checkpoint()', "ckpx_pin('a', '$start')",
  'ckpx_gc()', 'ckpx_disable()', 'ckpx_uninstall(true)', "ckpx_read_object('a')";

# ---- watching one view; the view without its function is not enough

can('watcher_of_one', 'SELECT * FROM ckpx_runner');
cannot('watcher_of_one', "SELECT * FROM $_") foreach grep { $_ ne 'ckpx_runner' } @views;
$node->safe_psql('postgres',
	'REVOKE EXECUTE ON FUNCTION ckpx_get_runner FROM watcher_of_one');
like(as('watcher_of_one', 'SELECT * FROM ckpx_runner'),
	qr/permission denied for function ckpx_get_runner/,
	'the view alone does not do');

# ---- operating: acting, and what the errors of that refer to

can('operator', "SELECT * FROM $_") foreach @views;
can('operator', 'SELECT ckpx_disable()');
can('operator', 'SELECT ckpx_checkpoint()', qr/HINT:  Call ckpx_enable\(\) first/);
can('operator', 'SELECT ckpx_enable()');
can('operator', 'SELECT ckpx_checkpoint()', qr{^\w+/\w+$});
can('operator', 'SELECT ckpx_global_checkpoint()', qr{^\w+/\w+$});
can('operator', 'SELECT flushed FROM ckpx_flush()', qr/^t$/);
can('operator', "SELECT flushed FROM ckpx_flush_table('load_row')", qr/^t$/);
can('operator', "SELECT ckpx_gc('FFFF/0')",
	qr/HINT:  Use NULL for everything that a global checkpoint covers/);
can('operator', 'SELECT ckpx_gc(NULL) >= 0', qr/^t$/);
can('operator', 'SELECT ckpx_cancel_pending()', qr/^\d+$/);
can('operator', 'SELECT ckpx_pending_count()', qr/^\d+$/);
my ($oldest) = as('operator', "SELECT ckpx_pin('a', '0/1')") =~
  m{DETAIL:  The oldest answerable LSN is (\w+/\w+)\.\nHINT:  Pin this LSN or a later one};
can('operator', "SELECT ckpx_pin('a', '$oldest')");
can('operator', q{SELECT ckpx_pin('b', ckpx_low_water_mark())});
my ($newest) = as('operator', "SELECT ckpx_pin('c', 'FFFF/0')") =~
  m{DETAIL:  WAL ends at (\w+/\w+)\.\nHINT:  Pin this LSN or an earlier one};
can('operator', "SELECT ckpx_pin('c', '$newest')");
can('operator', 'SELECT string_agg(name, NULL) FROM ckpx_pins', qr/^abc$/);
can('operator', "SELECT ckpx_unpin(name) FROM ckpx_pins");
can('operator', 'SELECT ckpx_stat_reset()');
cannot('operator', "SELECT $_") foreach "ckpx_changed_blocks('$start')",
  "ckpx_fault_add('cut-before', 'error')", 'ckpx_uninstall()',
  "ckpx_read_object('a')";

# ---- backups: what docs/incremental-copy.md does, in one session, and reading
# the files without a look at the file system

run_load($node, 5);
can('backup', "SELECT ckpx_pin('copy', '$start')");
as('backup', qq{
	SET client_min_messages = warning;
	SELECT ckpx_checkpoint() IS NOT NULL;
	SELECT pg_backup_start('incremental', fast => true) IS NOT NULL;
	SELECT count(*) > 10 FROM ckpx_changed_files('$start');
	SELECT labelfile ~ 'START WAL LOCATION' FROM pg_backup_stop()});
is("$stdout$stderr", "t\nt\nt\nt", 'backup: an incremental copy');
can('backup', q{
	SELECT bool_and(length(ckpx_read_object(location)) > 0)
	FROM ckpx_backup_checkpoint() b,
		unnest(ARRAY[split_part(b, ':', 1), split_part(b, ':', 4)]) location
	WHERE location <> ''}, qr/^t$/);
can('backup', "SELECT complete FROM ckpx_collect_range('$start', ckpx_checkpoint())", qr/^t$/);
can('backup', "SELECT ckpx_unpin('copy')");
cannot('backup', 'SELECT ckpx_uninstall()');

is_one_epoch($node, 'after all that');
$node->stop;
done_testing();
