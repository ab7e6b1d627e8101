
=head1 NAME

CkpxModel - what must hold of ckpx's history, by a model of its own

=head1 SYNOPSIS

  use CkpxModel;

  my $model = CkpxModel->new($node);
  # ... an operation, of which the model is told ...
  $model->pinned('a', $lsn, $ttl);
  my @problems = $model->look(%options);

The model remembers what it saw and what was asked for, and shares no code
with ckpx.  It knows one epoch only: what is done between two looks must not
break the chain.

=cut

package CkpxModel;

use strict;
use warnings;

use CkpxOracle;

=head2 new($node)

=cut

sub new
{
	my ($class, $node) = @_;

	return bless {
		node => $node,
		entries => {},         # finished ones, by name, as they were first seen
		present => {},         # those of them that are there
		ends => {},            # where incrementals have ended, ever
		pins => {},            # name => was it there at the last look?
		checkpointed => 0
	}, $class;
}

# ---------------------------------------------------------------------------
# What the server says
# ---------------------------------------------------------------------------

my $entries_query = <<'EOQ';
SELECT 'entry', kind, state, start_lsn, end_lsn, epoch, timeline,
	coalesce(location, ''), coalesce(version, 0), coalesce(size_bytes, 0),
	nblocks, (extract(epoch FROM created_at) * 1000000)::bigint,
	coalesce((extract(epoch FROM finished_at) * 1000000)::bigint, 0)
FROM ckpx_checkpoints ORDER BY 4, 5, 2;
EOQ

my $other_query = <<'EOQ';
SELECT 'runner', epoch, collected_lsn, checkpointed_lsn, flushed_lsn,
	(SELECT to_lsn FROM ckpx_gaps WHERE epoch = 1 AND reason = 'tracking begins'),
	(SELECT count(*) FROM ckpx_gaps), ckpx_low_water_mark(),
	ckpx_pending_count(), coalesce(problem, '')
FROM ckpx_runner;
SELECT 'pin', name, lsn, (extract(epoch FROM created_at) * 1000000)::bigint,
	coalesce((extract(epoch FROM expires_at) * 1000000)::bigint, 0)
FROM ckpx_pins;
SELECT 'queue', name, capacity, depth, enqueued, handled FROM ckpx_queues;
SELECT 'now', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
SELECT 'again';
EOQ

# Read everything; entries twice, until nothing has changed in between.
sub read_state
{
	my $self = shift;
	my (%state, $before, $after, $rest);

	for (1 .. 200)
	{
		my $text = $self->{node}->safe_psql('postgres',
			$entries_query . $other_query . $entries_query);
		($before, $rest, $after) = $text =~ /\A((?:entry\|[^\n]*\n)*)(.*)^again\n?(.*)\z/ms
		  or die "unexpected answer: $text";
		chomp($before);
		last if $before eq $after;
		undef $before;
	}
	die "the history never stands still" if !defined $before;

	$state{entries} = [];
	$state{pins} = {};
	$state{queues} = {};
	foreach my $line (split /\n/, "$before\n$rest")
	{
		next if $line eq '';
		my ($what, @fields) = split /\|/, $line, -1;
		if ($what eq 'entry')
		{
			my %entry;
			@entry{
				qw(kind state start end epoch timeline location version size
				  nblocks created finished)
			  }
			  = @fields;
			$entry{$_} = lsn_to_int($entry{$_}) foreach qw(start end);
			$entry{name} = "$entry{kind} $fields[2]-$fields[3]";
			push @{ $state{entries} }, \%entry;
		}
		elsif ($what eq 'runner')
		{
			@state{
				qw(epoch collected checkpointed flushed epoch_start ngaps low
				  pending problem)
			  }
			  = @fields;
			$state{$_} = lsn_to_int($state{$_})
			  foreach qw(collected checkpointed flushed epoch_start low);
		}
		elsif ($what eq 'pin')
		{
			$state{pins}{ $fields[0] } = {
				lsn => lsn_to_int($fields[1]),
				created => $fields[2],
				expires => $fields[3]
			};
		}
		elsif ($what eq 'queue')
		{
			@{ $state{queues}{ $fields[0] } }{qw(capacity depth enqueued handled)}
			  = @fields[ 1 .. 4 ];
		}
		else
		{
			$state{now} = $fields[0];
		}
	}
	return $self->{state} = \%state;
}

sub of_kind
{
	my ($state, $kind, $finished) = @_;

	return sort { $a->{end} <=> $b->{end} }
	  grep { $_->{kind} eq $kind && (!$finished || $_->{state} eq 'finished') }
	  @{ $state->{entries} };
}

sub newest_global
{
	return (of_kind($_[0], 'global', 1))[-1];
}

# ---------------------------------------------------------------------------
# What was asked for
# ---------------------------------------------------------------------------

=head2 pinned($name, $sure), unpinned($name, $sure)

A call has made a pin or taken it away; not $sure: its answer was lost, so it
may have.  In which order the calls of several sessions took effect is not
known, and need not be: a pin can be made only where there is none, and taken
away only where there is one.

=cut

sub pinned
{
	my ($self, $name, $sure) = @_;
	push @{ $self->{pin_calls}{$name} }, $sure ? 1 : undef;
	return;
}

sub unpinned
{
	my ($self, $name, $sure) = @_;
	push @{ $self->{pin_calls}{$name} }, $sure ? -1 : undef;
	return;
}

=head2 pin_names()

The pins that were there at the last look.

=cut

sub pin_names { return sort grep { $_[0]{pins}{$_} } keys %{ $_[0]{pins} }; }

# ---------------------------------------------------------------------------
# What may go
# ---------------------------------------------------------------------------

sub is_pinned
{
	my ($entry, $pins, $now) = @_;

	foreach my $pin (values %$pins)
	{
		next if $pin->{expires} && $pin->{expires} <= $now;
		next if $entry->{end} <= $pin->{lsn};
		next
		  if $entry->{kind} eq 'global' && $entry->{finished} > $pin->{created};
		return 1;
	}
	return 0;
}

=head2 collectable($upto)

The names of the entries that a garbage collection up to $upto (undef: all)
removes by the state that was read last.

=cut

sub collectable
{
	my ($self, $upto) = @_;
	my $state = $self->{state};
	my $global = newest_global($state);
	my %goes;

	return () if !defined $global;
	foreach my $entry (of_kind($state, 'incremental', 1), of_kind($state, 'global', 1))
	{
		$goes{ $entry->{name} } = 1
		  if ($entry->{kind} eq 'global'
			? $entry->{end} < $global->{end}
			: $entry->{end} <= $global->{end})
		  && (!defined $upto || $entry->{end} <= $upto)
		  && !is_pinned($entry, $state->{pins}, $state->{now});
	}
	foreach my $backup (of_kind($state, 'backup', 1))
	{
		next if $backup->{end} > $state->{checkpointed};
		next if defined $upto && $backup->{end} > $upto;
		next if is_pinned($backup, $state->{pins}, $state->{now});
		next
		  if grep {
			     !$goes{ $_->{name} }
			  && $_->{start} < $backup->{end}
			  && $_->{end} > $backup->{start}
		  } of_kind($state, 'incremental');
		$goes{ $backup->{name} } = 1;
	}
	return sort keys %goes;
}

# ---------------------------------------------------------------------------
# What answers a range
# ---------------------------------------------------------------------------

=head2 collect_range($start, $end)

What ckpx_collect_range() has to answer by the state that was read last, in
the form of psql; 'stale' for that error.  LSNs as numbers, $start may be
undef.

=cut

sub collect_range
{
	my ($self, $start, $end) = @_;
	my $state = $self->{state};
	my $from = $start // $state->{epoch_start};
	my $global = newest_global($state);
	my @chosen;
	my $reached;

	return '||t|' if $from == $end;
	if ($from < $state->{epoch_start} || $from > $end)
	{
		return 'stale' if $end <= $state->{epoch_start};
		return '||f|' . (defined $start ? int_to_lsn($start) : '');
	}
	if (defined $global && $global->{end} > $from)
	{
		push @chosen, $global;
		$reached = $global->{end};
	}
	foreach my $entry (of_kind($state, 'incremental', 1))
	{
		last if defined $reached && $reached >= $end;
		next if $entry->{end} <= ($reached // $from);
		last if $entry->{start} > ($reached // $from);
		last if defined $reached && $entry->{start} != $reached;
		push @chosen, $entry;
		$reached = $entry->{end};
	}
	return '||f|' . int_to_lsn($from) if !@chosen;
	return join('|',
		join('', map { "$_->{location};$_->{version};" } @chosen)
		  . sprintf('[%s_%s]', int_to_lsn($chosen[0]{start}), int_to_lsn($reached)),
		int_to_lsn($reached),
		$reached >= $end ? ('t', '') : ('f', int_to_lsn($reached)));
}

=head2 range_problems(@ranges)

Ask the server for ranges, [start, end] as numbers, and return where its
answers are not the model's.

=cut

sub range_problems
{
	my ($self, @ranges) = @_;
	my @problems;

	foreach my $range (@ranges)
	{
		my ($start, $end) = @$range;
		my $problem;

		# Something may just have finished by itself.
		foreach (1 .. 5)
		{
			last if !defined($problem = $self->range_problem($start, $end));
			$self->read_state;
		}
		push @problems, $problem if defined $problem;
	}
	return @problems;
}

sub range_problem
{
	my ($self, $start, $end) = @_;
	my $arguments = join ', ',
	  map { defined $_ ? sprintf("'%s'", int_to_lsn($_)) : 'NULL' } $start, $end;
	my ($status, $out, $err) = $self->{node}->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT * FROM ckpx_collect_range($arguments)");
	my $want = $self->collect_range($start, $end);

	$out = $err =~ /55000: range .* is stale/ ? 'stale' : $err
	  if $status != 0;
	return $out eq $want
	  ? undef
	  : "ckpx_collect_range($arguments): $out instead of $want";
}

# ---------------------------------------------------------------------------
# What must hold
# ---------------------------------------------------------------------------

=head2 look(%options)

Read the state and return what is wrong with it, by itself and after what was
seen before.  Options: collected => [LSNs], the limits of garbage collections
since the last look (undef: none); ageless => 1, if entries may have gone
because they were old enough.

=cut

sub look
{
	my ($self, %options) = @_;
	my $before = $self->{state};
	my $state = $self->read_state;
	my @problems;

	push @problems, "epoch $state->{epoch}, $state->{ngaps} gaps"
	  if $state->{epoch} != 1 || $state->{ngaps} != 1;
	push @problems, 'order of LSNs'
	  if $state->{epoch_start} > $state->{checkpointed}
	  || $state->{checkpointed} > $state->{collected}
	  || $state->{collected} > $state->{flushed};
	push @problems, chain_problems($state),
	  $self->memory_problems($state, %options),
	  $self->pin_problems($state);
	push @problems, $self->removal_problems($before, $state, %options)
	  if defined $before;

	$self->{present} = {
		map { $_->{name} => 1 }
		grep { $_->{state} eq 'finished' } @{ $state->{entries} }
	};

	foreach my $name (sort keys %{ $state->{queues} })
	{
		my $queue = $state->{queues}{$name};
		push @problems, "queue $name: " . join(' ', %$queue)
		  if $queue->{depth} > $queue->{capacity}
		  || $queue->{enqueued} < $queue->{handled} + $queue->{depth};
	}
	return @problems;
}

# Incrementals adjoin; what is missing at the front, a global covers; globals
# span the epoch up to the end of an incremental; one unfinished of a kind.
sub chain_problems
{
	my $state = shift;
	my $global = newest_global($state);
	my $covered = defined $global ? $global->{end} : $state->{epoch_start};
	my @incrementals = of_kind($state, 'incremental', 1);
	my $position = @incrementals ? $incrementals[0]{start} : $covered;
	my @problems;

	push @problems, 'the first incremental starts behind what a global covers'
	  if $position > $covered;
	foreach my $entry (@incrementals)
	{
		push @problems, "$entry->{name} does not adjoin" if $entry->{start} != $position;
		push @problems, "$entry->{name} is empty" if $entry->{end} <= $entry->{start};
		$position = $entry->{end};
	}
	$position = $covered if $position < $covered;
	push @problems, 'checkpointed_lsn is not the end of the chain'
	  if $position != $state->{checkpointed};
	push @problems, 'the low water mark is wrong'
	  if $state->{low} != (
		  defined $global ? $state->{epoch_start}
		: @incrementals ? $incrementals[0]{start}
		: $state->{epoch_start});
	push @problems, 'the number of incrementals in no global is wrong'
	  if $state->{pending} != grep { $_->{end} > $covered } @incrementals;

	foreach my $kind (qw(incremental global backup))
	{
		my @unfinished =
		  grep { $_->{state} ne 'finished' } of_kind($state, $kind);
		push @problems, "more than one unfinished $kind" if @unfinished > 1;
		push @problems, "$_->{name} in state $_->{state}"
		  foreach grep { $_->{state} !~ /^(pending|running)$/ } @unfinished;
		next if !@unfinished;
		push @problems, "$unfinished[0]{name} does not continue the chain"
		  if $kind eq 'incremental' && $unfinished[0]{start} != $state->{checkpointed};
		push @problems, "$unfinished[0]{name} is not newer"
		  if $kind eq 'global' && $unfinished[0]{end} <= $covered;
	}
	push @problems, "$_->{name} does not start with the epoch"
	  foreach grep { $_->{start} != $state->{epoch_start} }
	  of_kind($state, 'global');
	return @problems;
}

# What was finished once never changes.
sub memory_problems
{
	my ($self, $state, %options) = @_;
	my @problems;
	my @new_globals =
	  grep { !defined $self->{entries}{ $_->{name} } } of_kind($state, 'global', 1);

	push @problems, 'checkpointed_lsn went back'
	  if $state->{checkpointed} < $self->{checkpointed};
	$self->{checkpointed} = $state->{checkpointed};

	foreach my $entry (of_kind($state, 'incremental', 1))
	{
		$self->{ends}{ $entry->{end} } = 1;
	}
	foreach my $entry (grep { $_->{state} eq 'finished' } @{ $state->{entries} })
	{
		my $known = $self->{entries}{ $entry->{name} };
		push @problems, "$entry->{name} came back"
		  if defined $known && !$self->{present}{ $entry->{name} };
		push @problems, map { "$entry->{name}: $_ changed" }
		  grep { defined $known && $known->{$_} ne $entry->{$_} }
		  qw(kind start end epoch timeline location version size nblocks created finished);
		$self->{entries}{ $entry->{name} } //= $entry;
	}

	# The incremental may have been collected before anybody saw it.
	return @problems if $options{ageless} || @{ $options{collected} // [] };
	push @problems, "$_->{name} ends where no incremental did"
	  foreach grep { !$self->{ends}{ $_->{end} } } @new_globals;
	return @problems;
}

sub pin_problems
{
	my ($self, $state) = @_;
	my %calls = %{ delete $self->{pin_calls} // {} };
	my %names = map { $_ => 1 } keys %{ $self->{pins} }, keys %calls, keys %{ $state->{pins} };
	my @problems;

	foreach my $name (sort keys %names)
	{
		my @calls = @{ $calls{$name} // [] };
		my $was = $self->{pins}{$name} // 0;
		my $is = $self->{pins}{$name} = defined $state->{pins}{$name} ? 1 : 0;

		next if grep { !defined } @calls;
		my $made = grep { $_ > 0 } @calls;
		my $removed = grep { $_ < 0 } @calls;
		my $expected = $was + $made - $removed;

		# A time to live may be over, and then the name is free again.
		next if $is == $expected || ($name =~ /ttl/ && $is < $expected);
		push @problems, sprintf(
			'pin %s is %s; it was %s at the last look, and since then calls made it %d times and removed it %d times',
			$name, $is ? 'there' : 'gone', $was ? 'there' : 'not there', $made, $removed);
	}
	return @problems;
}

# What went was covered, in nobody's way, and somebody or its age let it go.
sub removal_problems
{
	my ($self, $before, $state, %options) = @_;
	my %now = map { $_->{name} => 1 } @{ $state->{entries} };
	my $global = newest_global($state);
	my @problems;

	# Pins from before the last look that are still there held all the time.
	my %held = map { $_ => $state->{pins}{$_} }
	  grep {
		     defined $before->{pins}{$_}
		  && $before->{pins}{$_}{created} == $state->{pins}{$_}{created}
	  } keys %{ $state->{pins} };

	foreach my $entry (map { $self->{entries}{$_} } sort keys %{ $self->{present} })
	{
		next if $now{ $entry->{name} };
		push @problems, "$entry->{name} went and no global covers it"
		  if !defined $global
		  || $entry->{end} > $global->{end}
		  || ($entry->{kind} eq 'global' && $entry->{end} == $global->{end});
		push @problems, "$entry->{name} went in spite of a pin"
		  if is_pinned($entry, \%held, $before->{now});
		push @problems, "$entry->{name} went before its time"
		  if !$options{ageless} && !grep { !defined $_ || $entry->{end} <= $_ }
		  @{ $options{collected} // [] };
	}
	return @problems;
}

1;
