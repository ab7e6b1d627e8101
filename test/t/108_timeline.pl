# Pictures of a real history: a gap, a hole, pins, a global with its layers, an
# incremental that waits.  What each line looks like is test_timeline's matter;
# here it is whether it tells what the views tell, whether an SVG reader takes
# the document, and whether objects that are gone keep nobody from looking.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node(
	'main', on_demand => 1, conf => <<'EOC');
ckpx.commit_wait = '1h'
checkpoint_timeout = '1h'
timezone = 'UTC'
EOC
$node->start;
sql('CREATE EXTENSION ckpx; CREATE TABLE work (t text)');
await_tracking($node);

# Some WAL; with an incremental behind it, its range.
sub work
{
	sql('INSERT INTO work SELECT md5(g::text) FROM generate_series(1, 300) g');
	return;
}

sub one_incremental
{
	my $from = sql('SELECT checkpointed_lsn FROM ckpx_runner');

	work();
	return ($from, sql('SELECT ckpx_checkpoint()'));
}

sub path_of
{
	my ($kind, $end) = @_;

	return store_dir($node) . '/'
	  . sql("SELECT location FROM ckpx_checkpoints WHERE kind = '$kind' AND end_lsn = '$end'");
}

# The lines of a picture.
sub picture
{
	my $width = shift // 100;

	return sql("SELECT ckpx_timeline($width)") . "\n";
}

# ---- a gap: the server runs without ckpx and its slot

one_incremental();
$node->stop('fast');
system_or_bail('rm', '-r', $node->data_dir . '/pg_replslot/ckpx');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
work();
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
$node->restart;
await_tracking($node);
one_incremental() foreach 1 .. 4;
my $global = sql('SELECT ckpx_global_checkpoint()');
my ($from, $to) = one_incremental();
my (undef, $end) = one_incremental();
sql("SELECT ckpx_pin('na&me', '$from'), ckpx_pin('<late>', '$end')");

my ($epoch, $epoch_start) =
  split /\|/, sql('SELECT epoch, to_lsn FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1');
my $picture = picture();
like($picture, qr/^covered: \S+ to \S+ in epoch $epoch, timeline 1; no hole$/m, 'what is covered');
like($picture, qr/^newest global: ends at \Q$global\E, \d+ s old, (\d+) layers?$/m,
	'the newest global, with layers from its file');
like($picture, qr/^pins: a na&me at \Q$from\E, b <late> at \Q$end\E$/m, 'pins');
like($picture, qr/^epoch $epoch from \Q$epoch_start\E, \d+ incrementals, 1 global, /m, 'the newest epoch');
like($picture, qr/^epoch @{[$epoch - 1]} from \S+, \d+ incrementals?, /m, 'the one before');
like($picture, qr/, before epoch $epoch: replication slot is missing/, 'why they parted');
like($picture, qr/^map .*\?/m, 'the gap is in the picture');
like($picture, qr/^global .*\[-*\|/m, 'so are layers');
like($picture, qr/^PG .*[os2-9]/m, 'checkpoints of PostgreSQL');
like($picture, qr/^time    ?\d\d:\d\d:\d\d /m, 'times');

foreach my $width (40, 80, 1000)
{
	is(scalar(grep { length > $width } split /\n/, picture($width)), 0, "$width columns");
}
like(error_of('SELECT ckpx_timeline(NULL)'), qr{ERROR:  22004: width must not be null}, 'NULL');
foreach my $width (39, 1001, -1)
{
	like(error_of("SELECT ckpx_timeline($width)"),
		qr/ERROR:  22023: width must be between 40 and 1000/, "not $width columns");
}
is(sql('SELECT count(*) > 20, max(length(line)) <= 60 FROM ckpx_timeline(60) AS line'), 't|t',
	'in FROM as well');

# ---- what holds WAL

my $session = session($node);
ask($session, q{BEGIN; INSERT INTO work VALUES ('open')});
my $call = background('SELECT ckpx_checkpoint()');
wait_for_sql($node, q{SELECT count(*) > 0 FROM ckpx_checkpoints WHERE waiting_for LIKE 'transaction %'});
$picture = picture();
like($picture, qr/; an incremental is pending for \d+\s+s, waiting\s+for\s+transaction/,
	'what an incremental waits for');
like($picture, qr/^incr\. .*p+$/m, 'it is in the picture');
like($picture, qr/^WAL .*p/m, 'and the WAL that it holds');
ask($session, 'COMMIT');
end_session($session);
unlike($call->(), qr/ERROR/, 'it is made when that ends');

# ---- roles

sql('CREATE ROLE watcher; GRANT pg_monitor TO watcher;
	CREATE ROLE operator; GRANT pg_checkpoint TO operator; CREATE ROLE nobody');
foreach my $role ('watcher', 'operator')
{
	like(sql("SET ROLE $role; SELECT count(*), length(ckpx_timeline_svg()) > 1000 FROM ckpx_timeline()"),
		qr/^\d+\|t$/, "$role may");
}
like(error_of("SET ROLE nobody; SELECT $_"), qr/permission denied/, "nobody must not: $_")
  foreach 'ckpx_timeline()', 'ckpx_timeline_svg()';

# ---- the document

my $svg = sql('SELECT ckpx_timeline_svg()');
like($svg, qr/na&amp;me at \Q$from\E/, 'names are escaped');
unlike($svg, qr/<late>/, 'all of them');
unlike($svg, qr/<script|href|url\(|\@import/, 'nothing comes from elsewhere');

SKIP:
{
	skip 'PostgreSQL was built without libxml', 2
	  if error_of("SELECT xml '<a/>'") ne '';
	my $namespace = q{ARRAY[ARRAY['s', 'http://www.w3.org/2000/svg']]};

	is( sql("SELECT xpath('name(/*)', xmlparse(document ckpx_timeline_svg()))"),
		'{svg}', 'it is well-formed');
	like( sql("SELECT xpath('/s:svg/s:g/s:title/text()', xmlparse(document ckpx_timeline_svg()), $namespace)"),
		qr/na&amp;me at/, 'tooltips name the pins');
}

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($browser) = grep { -x } map { my $d = $_; map { "$d/$_" } 'chromium', 'chromium-browser', 'google-chrome' }
  split /:/, $ENV{PATH};
SKIP:
{
	skip 'no chromium here', 2 if !defined $browser;
	my ($page, $errors);

	append_to_file("$dir/timeline.svg", $svg);
	append_to_file("$dir/page.html", <<'EOH');
<!doctype html><body><img src="timeline.svg"
onload="document.body.append('width ' + this.naturalWidth)"
onerror="document.body.append('refused')">
EOH
	local $ENV{HOME} = $dir;
	my $ended = IPC::Run::run(
		[   $browser, '--headless', '--no-sandbox', '--disable-gpu',
			"--user-data-dir=$dir/profile", '--virtual-time-budget=5000', '--dump-dom',
			"file://$dir/page.html" ],
		'>', \$page, '2>', \$errors,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	ok($ended, 'the browser runs') or diag($errors);
	like($page, qr/width 1000/, 'and draws the document');
}

# ---- objects that are gone or damaged

my $path = path_of('global', $global);
rename($path, "$path.away") or die "$path: $!";
like(picture(), qr/^newest global: ends at \Q$global\E, \d+ s old$/m, 'without its file a global has no layers');
rename("$path.away", $path) or die "$path: $!";
like(picture(), qr/, \d+ layers?$/m, 'with it, it has them again');

change_byte(path_of('incremental', $to), 20);
change_byte($path, 20);
like(picture(), qr/^newest global: /m, 'a damaged global hinders nobody');
error_of("SELECT * FROM ckpx_changed_blocks('$from', '$to')");
wait_for_sql($node, "SELECT count(*) > 0 FROM ckpx_gaps WHERE from_lsn = '$from' AND reason ~ 'damaged'");
$picture = picture();
like($picture, qr/^covered: .*; [1-9] holes? in it$/m, 'a hole is told of');
like($picture, qr/^map .*!/m, 'and seen');
like($picture, qr/^lost \(!\): \Q$from\E to \Q$to\E of epoch $epoch: /m, 'with its place');
like(sql('SELECT ckpx_timeline_svg()'), qr/class="lost"/, 'in both pictures');

# ---- when ckpx cannot go on

sql('SELECT ckpx_uninstall(really => true)');
like(picture(), qr/^problem: ckpx was uninstalled/m, 'a picture tells why');
$node->stop('fast');
done_testing();
