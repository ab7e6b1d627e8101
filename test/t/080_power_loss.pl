# A loss of power at every point at which files are published, moved or
# removed: what was not synced is gone, and still nothing that was told is
# lost.
#
# The server runs above a library that keeps what was synced (see
# test/modules/powerloss).  At a fault point it crashes and stays down; then
# ckpx's files and the replication slot become what was synced, and it starts
# again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;

use CkpxHistory;
use CkpxMatrix;
use CkpxPower;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the library powerloss is not installed' if !power_library();

# Decoding, flushing and reading write none of these files; 022 crashes there.
my $no_files = qr/^(?:cut|entry|flush|map|command|worker)-|^(?:boot|global|backup|job)-(?:start|loaded|relation|incremental)$/;

sub powered_node
{
	my $node = matrix_node($_[0]);

	$node->append_conf('postgresql.conf', 'restart_after_crash = off');
	$node->stop('fast');
	my $power = power_begin($node);
	start_powered($power);
	await_tracking($node);
	return $power;
}

# What everybody was told, looked at all the time: the end of the finished
# checkpoints.
sub start_watching
{
	my $node = shift;
	my %watch = (in => "SELECT checkpointed_lsn FROM ckpx_runner \\watch 0.02\n", out => '');

	$watch{handle} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$watch{in}, '>', \$watch{out}, '2>', \$watch{err});
	wait_until(sub { $watch{handle}->pump_nb; $watch{out} =~ m{/} }, 'it is looked at');
	return \%watch;
}

sub stop_watching
{
	my $watch = shift;

	# psql ends with the connection, unless the server still runs.
	eval { $watch->{handle}->kill_kill(grace => 1) };
	my @seen = $watch->{out} =~ m{^([0-9A-F]+/[0-9A-F]+)$}mg;
	return $seen[-1];
}

sub lsn_number
{
	my ($high, $low) = split m{/}, $_[0];
	return (hex($high) << 32) + hex($low);
}

# Start after a loss, and see that nothing is lost that anybody was told.
my $nlosses = 0;
sub start_after_loss
{
	my ($power, $name, $known, $seed) = @_;
	my $node = $power->{node};
	my $offset = -s $node->logfile;

	$nlosses++;
	lose_power($power, $seed);
	start_powered($power);
	await_tracking($node);
	my $log = log_since($node, $offset);
	my ($loaded) = $log =~ m{ckpx loaded manifest .* incrementals up to (\S+),};
	my ($problem) = $log =~ /((?:WARNING|ERROR|PANIC):  .*\n.*)/;

	is($problem, undef, "$name: the start finds nothing amiss");
	ok(defined $loaded && lsn_number($loaded) >= lsn_number($known),
		"$name: what was finished is known")
	  or diag("finished up to $known, loaded " . ($loaded // 'nothing'));
	return;
}

# All processes end at once.
sub cut_power
{
	my $node = shift;

	kill('KILL',
		$node->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"));
	await_down($node);
	return;
}

# ---- which way leads to which point

my $power = powered_node('main');
my $node = $power->{node};
my $starter = powered_node('starter');
my $start = wal_position($node);

my @points = grep { !/$no_files/ } fault_points($node);
my %way;
# What does not come in the time that it has comes the second time.
foreach my $way (qw(work spill cancel) x 2)
{
	my @left = grep { !$way{$_} && !/^(?:identity|slot-create|epoch|uninstall)/ } @points;
	$way{$_} //= $way foreach @left ? count_passed($node, $way, @left) : ();
}
$way{$_} //= /^identity/ ? 'start' : /^(?:slot-create|epoch)/ ? 'fresh' : 'none'
  foreach @points;
$way{$_} = 'uninstall' foreach grep { /^uninstall/ } @points;
is(join(' ', grep { $way{$_} eq 'none' } @points),
	'', 'every fault point is reached');

# ---- starts of the runner go on beside the others, on a server of their own

my @queue = grep { $way{$_} =~ /^(?:start|fresh)$/ } @points;
my %state = (epoch => 1);

sub poll_starter
{
	my $node = $starter->{node};

	if (!defined $state{point})
	{
		my $point = $state{point} = shift @queue // return;

		$state{deadline} = time + 60;
		$state{known} = $node->safe_psql('postgres',
			'SELECT checkpointed_lsn FROM ckpx_runner');
		$state{epoch} = epochs($node);
		add_fault($node, $point, 'crash');
		restart_runner($node, $way{$point});

		# What the test did to the files is no part of the loss.
		sync_power($starter);
		return;
	}
	if (kill(0, $node->{_pid}))
	{
		return if time < $state{deadline};
		fail("$state{point}: it was passed");
		remove_fault($node, $state{point});
	}
	else
	{
		my $point = $state{point};
		my $fresh = $way{$point} eq 'fresh';

		await_down($node);
		if ($fresh)
		{
			# The slot is gone, so an epoch is to come, unless one was made that
			# still holds all that the old epoch needs.
			lose_power($starter);
			start_powered($starter);
			await_tracking($node);
			my $epochs = epochs($node) - $state{epoch};
			ok($epochs == 1 || ($epochs == 0 && $point eq 'slot-created'),
				"$point: one epoch follows");
		}
		else
		{
			start_after_loss($starter, $point, $state{known});
			is(epochs($node), $state{epoch}, "$point: no epoch is lost");
		}
		store_is_sound($node, $point);
		$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	}
	delete $state{point};
	return;
}

# ---- the matrix

my $npins = 0;
sub pin_something
{
	$node->safe_psql('postgres',
		"SELECT ckpx_pin('pin" . ++$npins . "', checkpointed_lsn) FROM ckpx_runner");
	$node->psql('postgres', "SELECT ckpx_unpin('pin" . ($npins - 1) . "')");
	return;
}

sub is_whole
{
	my $name = shift;

	is(epochs($node), 1, "$name: no epoch is lost");
	is( $node->safe_psql('postgres',
			"SELECT count(*) FROM ckpx_pins WHERE name = 'pin$npins'"),
		1, "$name: the pin is there");
	store_is_sound($node, $name);
	return;
}

foreach my $point (grep { $way{$_} =~ /^(?:work|spill|cancel)$/ } @points)
{
	pin_something();
	my $known = $node->safe_psql('postgres',
		'SELECT checkpointed_lsn FROM ckpx_runner');
	my $pid = $node->{_pid};
	my $watch = start_watching($node);
	my $load = start_load($node);

	add_fault($node, $point, 'crash');
	my $crashed = provoke_until($node, $way{$point}, sub { !kill(0, $pid) });
	stop_load($load);
	$known = stop_watching($watch) // $known;
	ok($crashed, "$point: it was passed");
	if (!$crashed)
	{
		remove_fault($node, $point);
		settle($node);
		next;
	}
	await_down($node);
	start_after_loss($power, $point, $known);
	settle($node);
	is_whole($point);
	poll_starter();
}

# ---- at any moment, and chance decides what survives

foreach my $seed (1 .. 8)
{
	my $name = "survivors $seed";

	pin_something();
	my $watch = start_watching($node);
	my $load = start_load($node);

	provoke($node, 'work') foreach 0 .. $seed % 3;
	cut_power($node);
	stop_load($load);
	my $known = stop_watching($watch);
	start_after_loss($power, $name, $known, $seed);
	is_whole($name);
	poll_starter();
}
run_load($node, 20);
covers_after_crashes($node, $start, wal_position($node), 'after all these losses');

while (@queue || defined $state{point})
{
	poll_starter();
	select(undef, undef, undef, 0.1);
}

# ---- the end of ckpx: nothing is left of it

my @last = ($power, $starter);
foreach my $point (grep { $way{$_} eq 'uninstall' } @points)
{
	my $last = (shift @last)->{node};

	add_fault($last, $point, 'crash');
	$last->psql('postgres', 'SELECT ckpx_uninstall(true)');
	await_down($last);
	my ($this) = grep { $_->{node} == $last } $power, $starter;
	lose_power($this);
	start_powered($this);
	wait_for_sql($last, 'SELECT problem FROM ckpx_runner', qr/uninstalled/);
	wait_for_sql($last,
		"SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'ckpx'");
	wait_until(sub { !-e $last->data_dir . '/ckpx_node' }, 'it is done');
	cut_power($last);
	lose_power($this);
	is(join(' ', glob($last->data_dir . '/ckpx/*/*')),
		'', "$point: once it is done no file comes back");
}

# In a folder of the administrator's choice, too, which stays.
my $elsewhere = history_node('elsewhere', conf => "restart_after_crash = off\n");
my $folder = $elsewhere->data_dir . '/elsewhere';
$elsewhere->append_conf('postgresql.conf', "ckpx.directory = '$folder'");
mkdir $folder;
my $other = power_begin($elsewhere, 'elsewhere');
start_powered($other);
$elsewhere->safe_psql('postgres', 'CREATE EXTENSION ckpx');
await_tracking($elsewhere);
$elsewhere->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my @files = glob("$folder/*/*");
$elsewhere->safe_psql('postgres', 'SELECT ckpx_uninstall(true)');
wait_until(sub { !-e $elsewhere->data_dir . '/ckpx_node' }, 'it is done');
cut_power($elsewhere);
lose_power($other);
ok(@files > 2, 'elsewhere: there were files');
is(join(' ', glob("$folder/*")), '', 'elsewhere: no file comes back');

note("$nlosses losses");
done_testing();
