# docs/reference.md says what the catalogs say: every function with its
# arguments, result and columns, every view with its columns, every setting,
# and the texts of all comments.  Both sides become lists of lines: what one has
# and the other lacks is the difference.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->start;
sql('CREATE EXTENSION ckpx');

my $page = slurp_file("$FindBin::RealBin/../../docs/reference.md");

# The page's sections: title to text.
my %section = split_at('##', $page);

sub split_at
{
	my ($mark, $text) = @_;
	my (undef, @parts) = split /^\Q$mark\E (.*)\n/m, $text;

	return @parts;
}

# Text as a comment has it: without backticks, on one line.
sub plain
{
	my ($text) = @_;

	$text =~ s/`//g;
	$text =~ s/\s+/ /g;
	return $text;
}

# The first paragraph of a text, as a comment: neither a sentence's first
# letter nor its full stop.
sub paragraph
{
	my ($text) = @_;
	my ($first) = $text =~ /\A\s*(.*?)\n(?:\n|\z)/s;

	return lcfirst(plain($first)) =~ s/\.$//r;
}

# The columns of a table: name, type and description of each.
sub columns
{
	return map { [ map { plain($_) } /^\| (\S+) \| (.+?) \| (.*) \|$/ ] }
	  grep { /^\| `/ } split /\n/, shift;
}

# Compare two lists of lines, in any order.
sub same_lines
{
	my ($in_page, $in_server, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %here = map { $_ => 1 } @$in_page;
	my %there = map { $_ => 1 } @$in_server;
	my @differences = (
		(map { "only in the page: $_" } grep { !$there{$_} } sort keys %here),
		(map { "only in the server: $_" } grep { !$here{$_} } sort keys %there));

	cmp_ok(scalar(@$in_page), '>', 0, "$what: the page has some");
	is(scalar(@$in_page), scalar(keys %here), "$what: the page has each once");
	is(join("\n", @differences), '', "$what: page and server agree");
	return;
}

sub lines
{
	return split /\n/, sql(shift);
}

# ---- functions

my (@functions, @results, @function_comments);
foreach my $title (grep { /^Functions / } keys %section)
{
	my %function = split_at('###', $section{$title});

	foreach my $name (keys %function)
	{
		my ($signature, $text) = $function{$name} =~ /\A\n```\n(.*?)\n```\n(.*)/s;

		push @functions, plain($signature) =~ s/ \)/)/r;
		push @function_comments, "$name: " . paragraph($text);
		push @results, map { "$name.$_->[0] $_->[1]" } columns($text);
		unlike($signature, qr/^(?!\Q$name\E\()/, "$name: the signature is its own");
	}
}

my $extension = q{EXISTS (SELECT FROM pg_depend d
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND %s)};
my $is_function = sprintf $extension,
  q{d.classid = 'pg_proc'::regclass AND d.objid = p.oid};
my $is_view = sprintf $extension,
  q{d.classid = 'pg_class'::regclass AND d.objid = c.oid};
my $behind_view = q{p.proname ~ '^ckpx_get_'};

# The arguments without those that are results, and defaults without casts.
same_lines(
	\@functions,
	[   lines(qq{
		SELECT p.proname || '(' ||
			regexp_replace(regexp_replace(pg_get_function_arguments(p.oid),
				',? ?OUT .*', ''), '::[a-z_]+', '', 'g') || ') → ' ||
			CASE WHEN p.proretset THEN 'setof ' ELSE '' END ||
			format_type(p.prorettype, NULL)
		FROM pg_proc p WHERE $is_function AND NOT $behind_view})
	],
	'functions');
same_lines(
	\@results,
	[   lines(qq{
		SELECT p.proname || '.' || name || ' ' || format_type(type, NULL)
		FROM pg_proc p, unnest(p.proargnames, p.proallargtypes, p.proargmodes)
			AS argument (name, type, mode)
		WHERE $is_function AND NOT $behind_view AND mode IN ('o', 't')})
	],
	'columns of functions');
same_lines(
	\@function_comments,
	[   lines(qq{
		SELECT p.proname || ': ' || obj_description(p.oid, 'pg_proc')
		FROM pg_proc p WHERE $is_function AND NOT $behind_view})
	],
	'comments of functions');

# ---- views, and the functions behind them

my %view = split_at('###', $section{'Views'});
my (@views, @view_columns, @column_comments);
foreach my $name (keys %view)
{
	push @views, "$name: " . paragraph($view{$name});
	foreach my $column (columns($view{$name}))
	{
		push @view_columns, "$name.$column->[0] $column->[1]";
		push @column_comments, "$name.$column->[0]: $column->[2]";
	}
}

same_lines(
	\@views,
	[   lines(qq{
		SELECT c.relname || ': ' || obj_description(c.oid, 'pg_class')
		FROM pg_class c WHERE $is_view})
	],
	'views');
same_lines(
	\@view_columns,
	[   lines(qq{
		SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE $is_view AND a.attnum > 0})
	],
	'columns of views');
same_lines(
	\@column_comments,
	[   lines(qq{
		SELECT c.relname || '.' || a.attname || ': ' ||
			coalesce(col_description(c.oid, a.attnum), 'has no comment')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE $is_view AND a.attnum > 0})
	],
	'comments of columns');
# ckpx_status is made of other views.
same_lines(
	[ map { s/^ckpx_/ckpx_get_/r } grep { $_ ne 'ckpx_status' } keys %view ],
	[ lines("SELECT p.proname FROM pg_proc p WHERE $is_function AND $behind_view") ],
	'functions behind views');

# The order of a view's columns is the page's, too.
foreach my $name (sort keys %view)
{
	is( join(' ', map { $_->[0] } columns($view{$name})),
		sql("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = '$name'::regclass AND attnum > 0"),
		"$name: the order of its columns");
}

# ---- roles

foreach my $case (
	[ 'Functions that read', 'pg_monitor', 'ckpx_read_object' ],
	[ 'Functions that act', 'pg_checkpoint', '' ],
	[ 'Functions for backups', 'pg_read_server_files', '' ],
	[ 'Functions for superusers', '', '' ])
{
	my ($title, $role, $other) = @$case;
	my %function = split_at('###', $section{$title});
	my $granted = lines_of_grants($role);

	is( join(' ', grep { $_ ne $other } sort keys %function),
		join(' ', grep { exists $function{$_} } @$granted),
		"$title: granted to " . ($role || 'nobody'));
}

# The functions that a role may call, or without a role those that nobody is
# granted.
sub lines_of_grants
{
	my ($role) = @_;
	my $condition = $role
	  ? "has_function_privilege('$role', p.oid, 'EXECUTE')"
	  : 'NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner)';

	return [ lines(qq{SELECT p.proname FROM pg_proc p
		WHERE $is_function AND $condition ORDER BY p.proname COLLATE "C"}) ];
}

# ---- settings

my %factor = (
	'' => { '' => 1 },
	kB => { '' => 1, kB => 1, MB => 1024, GB => 1024**2, TB => 1024**3 },
	ms => { '' => 1, ms => 1, s => 1000, min => 60_000, h => 3_600_000, d => 86_400_000 },
	s => { '' => 1, s => 1, min => 60, h => 3600, d => 86_400 });

# A value of the page in the base unit of its setting.
sub in_unit
{
	my ($value, $unit) = @_;
	my ($number, $given) = $value =~ /^(-?\d+)([A-Za-z]*)$/ or return $value;

	return exists $factor{$unit}{$given} ? $number * $factor{$unit}{$given} : $value;
}

my (@settings, @least);
foreach my $line (grep { /^\| `ckpx\./ } split /\n/, $section{'Settings'})
{
	my (undef, $name, $default, $range, $unit, $context, $text) =
	  map { s/^ +| +$//gr } split /\|/, plain($line) =~ s/ $//r;
	my ($min, $max) = ('', '');

	like($text, qr/^\S.*\.$/, "$name: is described");
	$default = '' if $default eq "''";
	if ($range =~ /^(?:-1, or )?(\S+) (?:or more|to (\S+))$/)
	{
		my ($from, $to) = ($1, $2);

		$min = $range =~ /^-1/ ? -1 : in_unit($from, $unit);
		$max = defined $to ? in_unit($to, $unit) : 2147483647;
		push @least, [ $name, in_unit($from, $unit) ] if $min == -1;
		$range = 'numbers';
	}
	elsif ($range =~ /^a /)
	{
		$range = 'text';
	}
	push @settings, join '; ', $name, in_unit($default, $unit), $range,
	  $min, $max, $unit, $context;
}
# A server built without zstd has only "none"; the page says so.
same_lines(
	\@settings,
	[   lines(q{
		SELECT concat_ws('; ', name,
			CASE WHEN enumvals = '{none}' THEN 'zstd' ELSE boot_val END,
			CASE WHEN enumvals = '{none}' THEN 'none, zstd'
				WHEN vartype = 'enum' THEN array_to_string(enumvals, ', ')
				WHEN vartype = 'bool' THEN 'on, off'
				WHEN vartype = 'string' THEN 'text'
				ELSE 'numbers' END,
			coalesce(min_val, ''), coalesce(max_val, ''), coalesce(unit, ''), context)
		FROM pg_settings WHERE name LIKE 'ckpx.%'})
	],
	'settings');

# A least value beside -1 is no bound of the setting's, but of its check.
cmp_ok(scalar(@least), '>', 0, 'some settings have a special value');
foreach my $case (@least)
{
	my ($name, $value) = @$case;

	is(error_of("ALTER SYSTEM SET $name = $value"), '', "$name: $value is allowed");
	isnt(error_of("ALTER SYSTEM SET $name = " . ($value - 1)), '',
		"$name: one less is not");
}

$node->stop;
done_testing();
