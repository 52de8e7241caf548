# SPDX-License-Identifier: BSD-2-Clause
# Hashes, strings, arrays of arrays, and sorting.
use strict;
use warnings;

my ($x, %count, @rows) = (12345);

sub any {
	$x = ($x * 1103515245 + 12345) % 2147483648;
	return $x;
}

for my $round (1 .. 6) {
	my $text = join ' ', map { 'w' . any() % 5000 } 1 .. 60000;
	$count{$_}++ for split / /, $text;
	push @rows, [ $round, length $text, [ map { $_ x 3 } 'a' .. 'z' ] ]
		for 1 .. 2000;
	my %copy = %count;
	delete $copy{$_} for grep { $copy{$_} % 2 } keys %copy;
	print scalar(keys %copy), "\n";
}
print "$_ $count{$_}\n" for (sort { $count{$b} <=> $count{$a} || $a cmp $b }
			     keys %count)[0 .. 99];
print join(',', map { $_->[1] . $_->[2][3] } @rows[grep { $_ % 1000 == 0 }
						   0 .. $#rows]), "\n";
