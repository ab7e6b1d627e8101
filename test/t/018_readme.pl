# README.md does what it says: what the here-documents of its opening feed to
# psql, and then its other SQL, is run as it stands there.  So are the SQL and
# the shell commands of the pages for operators; blocks of another language are
# not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $readme = slurp_file("$top/README.md");
my ($opening) = $readme =~ /^```sh\n(.*?)^```$/ms;
my ($preload, $first_steps) = $opening =~ /<<'SQL'.*?\n(.*?)^SQL$/msg;
like($preload, qr/shared_preload_libraries/, 'one block preloads the library');
like($first_steps, qr/CREATE EXTENSION ckpx/, 'another one makes use of it');
cmp_ok(scalar(split /\n/, $opening), '<', 18, 'the opening is short');

# Links of the pages lead to a file that exists, and to a heading of it.
foreach my $page ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'src/README.md',
	'src/server/README.md', 'test/README.md', 'test/bench/README.md',
	map { s{^\Q$top\E/}{}r } glob "$top/docs/*.md $top/docs/*/*.md")
{
	my ($directory) = "$top/$page" =~ m{(.*)/};

	foreach my $link (slurp_file("$top/$page") =~ /\]\((?!https?:)([^)\s]+)\)/g)
	{
		my ($file, $heading) = $link =~ /^([^#]*)#?(.*)$/;
		my $target = $file eq '' ? "$top/$page" : "$directory/$file";

		ok(-e $target, "$page: $link exists") or next;
		next if $heading eq '';
		my @headings = map { lc s/[^\w -]//gr =~ s/ /-/gr }
		  slurp_file($target) =~ /^#+ (.*)$/mg;
		ok((grep { $_ eq $heading } @headings), "$page: $link has its heading");
	}
}

# What is preloaded already, and what it becomes; these libraries are part of
# every server.
my $node = new_node('main', preload => '');
foreach my $case (
	[ '', 'ckpx' ],
	[ 'plpgsql', 'plpgsql,ckpx' ],
	[ 'ckpx, plpgsql', 'plpgsql,ckpx' ],
	[ '$libdir/plpgsql ,pgoutput', '$libdir/plpgsql,pgoutput,ckpx' ],
	[ '"plpgsql", "$libdir/pgoutput"', 'plpgsql,$libdir/pgoutput,ckpx' ])
{
	my ($before, $after) = @$case;

	unlink $node->data_dir . '/postgresql.auto.conf';
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$before'");
	$node->start;
	$node->safe_psql('postgres', $preload);
	$node->restart;
	my $now = $node->safe_psql('postgres', 'SHOW shared_preload_libraries');
	$now =~ s/[ "]//g;
	is($now, $after, "preloaded: \"$before\"");
	$node->stop;
}

# The server is fresh: nothing of ckpx was called on it yet.
$node->start;
my ($status, $stdout, $stderr) = $node->psql('postgres', $first_steps,
	on_error_stop => 1, extra_params => ['-x']);
is("$status$stderr", '0', 'the first steps raise no error and no warning');
like($stdout, qr/^complete\|t$/m, 'the range is complete');
like($stdout, qr/^locations\|inc_.*;3;.*\[.+\]$/m, 'checkpoints answer it');
unlike($stdout, qr/^missing_from\|./m, 'nothing is missing');
my $relfilenode = $node->safe_psql('postgres',
	q{SELECT pg_relation_filenode('t'::regclass)});
like($stdout, qr/^relfilenode\|$relfilenode\nfork\|main\n/m,
	'the new table is among the changed blocks');

# The page has to name some LSN; ours is one that this server knows.
my ($done) = $stdout =~ m{^checkpointed\|(\w+/\w+)$}m;
my @examples = $readme =~ /^```sql\n(.*?)^```$/msg;
cmp_ok(scalar(@examples), '>', 4, 'there are other examples');
foreach my $example (@examples)
{
	my ($title) = $example =~ /\A(.*)/;

	$example =~ s{'0/5000028'}{'$done'}g;
	($status, $stdout, $stderr) =
	  $node->psql('postgres', $example, on_error_stop => 1);
	is("$status$stderr", '0', "no error and no warning: $title");
}
like($stdout, qr/^ckpx has dropped its replication slot/m,
	'the last example uninstalls');

# ---- docs/recipes.md: the commands as they stand there, in their order, the
# round once more after each change

my $recipes = slurp_file("$top/docs/recipes.md");
my @commands = $recipes =~ /^```sh\n(.*?)^```$/msg;
my $shop = new_node('shop');
my $folder = PostgreSQL::Test::Utils::tempdir();
$shop->start;
$shop->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(shop warehouse);
$shop->safe_psql('shop', q{
	CREATE EXTENSION ckpx;
	CREATE TABLE orders (id int PRIMARY KEY, customer text);
	INSERT INTO orders SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 2000) i});
my @changes = (
	'SELECT',
	'UPDATE orders SET customer = $$a$$ WHERE id = 1000; DELETE FROM orders WHERE id < 100',
	'VACUUM FULL orders',
	'SELECT',
	'TRUNCATE orders; INSERT INTO orders VALUES (1, $$b$$)');
is(scalar(@commands), 2, 'a first copy, and a round');
foreach my $change ('', @changes)
{
	$shop->safe_psql('shop', $change) if $change;
	local %ENV = (%ENV, PGHOST => $shop->host, PGPORT => $shop->port);
	my $script = "cd '$folder'\n" . $commands[ $change ? 1 : 0 ];
	my $ran = IPC::Run::run([ 'bash' ], '<', \$script, '>&', \my $said);
	is($said, '', 'the copy of a table: ' . ($change || 'made'));
	is($shop->safe_psql('warehouse', 'SELECT source_ctid, id, customer FROM orders ORDER BY id'),
		$shop->safe_psql('shop', 'SELECT ctid, * FROM orders ORDER BY id'), 'it is equal');
}
foreach my $query ($recipes =~ /^```sql\n(.*?)^```$/msg)
{
	($status, $stdout, $stderr) = $shop->psql('shop', $query, on_error_stop => 1);
	is("$status$stderr", '0', 'no error: ' . ($query =~ /(.*)/)[0]);
	like($stdout, qr/\|\d+ (bytes|kB|MB)\|/, 'and an answer');
	unlike($stdout, qr/\|shop\|\S*orders_pkey/, 'indexes and TOAST are with their table')
	  if $query =~ /GROUP BY/;
}
$shop->stop;

$node->stop;

# The other pages, from top to bottom; the last one moves the files and
# uninstalls.
$folder = PostgreSQL::Test::Utils::tempdir();
$node = new_node('pages');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
wait_for_sql($node, 'SELECT ckpx_checkpoint() IS NOT NULL');
my $epoch = 'SELECT epoch FROM ckpx_runner';
my $before = $node->safe_psql('postgres', $epoch);

sub run_block
{
	my ($page, $language, $commands) = @_;
	my ($title) = $commands =~ /\A(.*)/;

	$commands =~ s{/srv\b}{$folder}g;
	if ($language eq 'sql')
	{
		my ($status, $stdout, $stderr) =
		  $node->psql('postgres', $commands, on_error_stop => 1);
		is($status, 0, "$page: $title");
		unlike($stderr, qr/WARNING|ERROR/, "$page: $title: no warning");
		return;
	}
	local %ENV = (%ENV, PGDATA => $node->data_dir);
	append_to_file("$folder/block", "set -e\n$commands");
	is(system("sh $folder/block >$folder/output 2>&1 </dev/null"), 0, "$page: $title")
	  or diag(slurp_file("$folder/output"));
	unlink "$folder/block";
	return;
}

foreach my $page (qw(monitoring/README.md comparison.md scale.md operations.md))
{
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
	my @blocks = slurp_file("$top/docs/$page") =~ /^```(\w*)\n(.*?)^```$/msg;

	while (my ($language, $commands) = splice @blocks, 0, 2)
	{
		like($language, qr/^(sql|sh|yaml|ini|text)$/, "$page: a block has its language");
		# what the page says to edit by hand
		$node->append_conf('postgresql.conf', "shared_preload_libraries = ''")
		  if $commands =~ /pg_ctl restart/;
		run_block($page, $language, $commands) if $language =~ /^(sql|sh)$/;
		next if $commands !~ /pg_ctl start/;
		wait_for_sql($node, $epoch, $before);
		is($node->safe_psql('postgres', "SELECT current_setting('ckpx.directory')"),
			"$folder/ckpx", "$page: the files have moved, the epoch goes on");
	}
}
is( $node->safe_psql(
		'postgres', q{
		SELECT current_setting('shared_preload_libraries'),
			(SELECT count(*) FROM pg_replication_slots),
			(SELECT count(*) FROM pg_extension WHERE extname = 'ckpx')}),
	'|0|0', 'the last page has removed ckpx');
ok(!-e $node->data_dir . '/ckpx_uninstalled', 'and its marker');

$node->stop;
done_testing();
