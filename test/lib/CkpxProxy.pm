
=head1 NAME

CkpxProxy - between a program and its server: hold or cut a connection

=head1 SYNOPSIS

  my $proxy = start_proxy($node, match => qr/pg_backup_stop/, then => 'hold');
  # ... a program with -h $proxy->{host} -p $proxy->{port} ...
  await_met($proxy);
  release($proxy);
  end_proxy($proxy);

=head1 DESCRIPTION

A process of its own listens on a Unix socket and forwards each connection to
the server.  It reads what clients send message by message.  The statement that
matches, or the I<nth> that does, of all connections together, meets its fate:

=over

=item hold

It is not forwarded until release(); other connections go on.

=item cut

Its connection ends, on both sides.  With I<bytes> it is forwarded, and the
connection ends after so many bytes of the answer; with I<before>, a pattern,
before the answer has it.

=back

=cut

package CkpxProxy;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Socket;

use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_proxy await_met release end_proxy);

# Codes in place of a version in the first message of a connection.
my $CANCEL_REQUEST = 80877102;
my %refused = (80877103 => 1, 80877104 => 1);    # SSL and GSSAPI

=head2 start_proxy($node, %rule)

A hash with host, port and pid.  Without a rule all is forwarded.

=cut

sub start_proxy
{
	my ($node, %rule) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir_short;
	my $port = $node->port;
	my $target = $node->host . "/.s.PGSQL.$port";
	my $listen = IO::Socket::UNIX->new(Local => "$folder/.s.PGSQL.$port", Listen => 20)
	  or croak "could not listen in \"$folder\": $!";

	socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
	  or croak "could not make a socket pair: $!";
	my $pid = fork // croak "could not fork: $!";
	if ($pid == 0)
	{
		close $ours;
		local $SIG{PIPE} = 'IGNORE';
		eval { forward($listen, $its, $target, { nth => 1, %rule }); 1 }
		  or print STDERR "proxy: $@";
		POSIX::_exit(0);
	}
	close $its;
	return { host => $folder, port => $port, pid => $pid, control => $ours };
}

=head2 await_met($proxy), release($proxy), end_proxy($proxy)

Wait for the statement; forward it; end the proxy and with it all connections.

=cut

sub await_met
{
	my $proxy = shift;
	my $select = IO::Select->new($proxy->{control});

	$select->can_read($PostgreSQL::Test::Utils::timeout_default)
	  && sysread($proxy->{control}, my $byte, 1)
	  or croak 'the statement did not come';
	return;
}

sub release
{
	syswrite $_[0]->{control}, 'r';
	return;
}

sub end_proxy
{
	my $proxy = shift;

	close $proxy->{control};
	waitpid $proxy->{pid}, 0;
	return;
}

# ---- the proxy's own process; it never waits for one socket alone, since a
# program may wait for the answer to a cancel before it reads on

# The next whole message of what a client has sent, and the statement in it.
sub next_message
{
	my $pair = shift;
	my $head = $pair->{begun} ? 1 : 0;

	return if length $pair->{in} < $head + 4;
	my $length = $head + unpack 'N', substr($pair->{in}, $head, 4);
	return if length $pair->{in} < $length;
	my $message = substr $pair->{in}, 0, $length, '';
	my $type = $head ? substr($message, 0, 1) : '';
	my $statement = $type eq 'Q' ? unpack('x5 Z*', $message)
	  : $type eq 'P' ? (unpack 'x5 Z* Z*', $message)[1]
	  : undef;

	return ($message, $statement);
}

# Forward what is whole of a client's messages; false: end the connection.
sub from_client
{
	my ($pair, $rule, $control) = @_;

	while (!defined $pair->{held} && (my ($message, $statement) = next_message($pair)))
	{
		if (!$pair->{begun})
		{
			my $code = unpack 'x4 N', $message;

			if ($refused{$code})
			{
				$pair->{to_client} .= 'N';
				next;
			}
			$pair->{begun} = 1 if $code != $CANCEL_REQUEST;
		}
		if (defined $statement && $rule->{match} && $statement =~ $rule->{match}
			&& --$rule->{nth} == 0)
		{
			syswrite $control, 'm';
			if ($rule->{then} eq 'hold')
			{
				$pair->{held} = $message;
				last;
			}
			return 0 if !defined $rule->{bytes} && !$rule->{before};
			$pair->{answer} = '';
		}
		$pair->{to_server} .= $message;
	}
	return 1;
}

# Forward an answer, or what is allowed of it.
sub from_server
{
	my ($pair, $rule, $bytes) = @_;
	my $cut;

	if (defined $pair->{answer})
	{
		my $before = length $pair->{answer};

		$pair->{answer} .= $bytes;
		$cut = $rule->{bytes} if defined $rule->{bytes} && length $pair->{answer} >= $rule->{bytes};
		$cut = $-[0] if $rule->{before} && $pair->{answer} =~ $rule->{before};
		$bytes = substr $bytes, 0, $cut > $before ? $cut - $before : 0 if defined $cut;
	}
	$pair->{to_client} .= $bytes;
	$pair->{ends} = 1 if defined $cut;
	return;
}

sub receive
{
	my ($pair, $socket, $rule, $control) = @_;

	sysread $socket, my $bytes, 65536;
	$bytes //= '';
	if ($socket == $pair->{server})
	{
		from_server($pair, $rule, $bytes);
		$pair->{ends} = 1 if $bytes eq '';
		return 1;
	}
	$pair->{in} .= $bytes;
	return $bytes ne '' && from_client($pair, $rule, $control);
}

# Write what there is; false if that fails.
sub send_on
{
	my ($pair, $socket) = @_;
	my $to = $socket == $pair->{server} ? 'to_server' : 'to_client';
	my $written = syswrite($socket, $pair->{$to}) // return 0;

	substr($pair->{$to}, 0, $written) = '';
	return 1;
}

sub forward
{
	my ($listen, $control, $target, $rule) = @_;
	my %pairs;

	while (1)
	{
		my @waiting = map { ($_->{client}) x !!length $_->{to_client}, ($_->{server}) x !!length $_->{to_server} }
		  values %pairs;
		my $reads = IO::Select->new($listen, $control,
			map { @$_{qw(client server)} } grep { !$_->{ends} } values %pairs);
		my ($readable, $writable) = IO::Select::select($reads, IO::Select->new(@waiting), undef);
		my %good;

		foreach my $socket (@$readable)
		{
			my $pair = $pairs{$socket};

			if ($socket == $control)
			{
				sysread($control, my $byte, 1) or return;
				foreach my $one (grep { defined $_->{held} } values %pairs)
				{
					$one->{to_server} .= delete $one->{held} // next;
					from_client($one, $rule, $control);
				}
			}
			elsif ($socket == $listen)
			{
				my $client = $listen->accept or next;
				my $server = IO::Socket::UNIX->new(Peer => $target);

				# The server is down: so is this.
				next if !$server;
				$_->blocking(0) foreach $client, $server;
				my %new = (client => $client, server => $server, in => '', to_client => '', to_server => '');
				$pairs{$_} = \%new foreach $client, $server;
			}
			else
			{
				$pair->{over} = 1 if !receive($pair, $socket, $rule, $control);
			}
		}
		foreach my $socket (@$writable)
		{
			my $pair = $pairs{$socket};

			$pair->{over} = 1 if !send_on($pair, $socket);
		}
		my @over = grep { $_->{over} || $_->{ends} && $_->{to_client} eq '' } values %pairs;

		foreach my $pair (@over)
		{
			delete @pairs{ @$pair{qw(client server)} };
		}
	}
	return;
}

1;
