# SPDX-License-Identifier: BSD-2-Clause
# memcached.pl PORT: four connections set, get and delete, and check what they
# get; prints what was found.
use strict;
use warnings;
use IO::Socket::INET;

my @conns = map {
	IO::Socket::INET->new("127.0.0.1:$ARGV[0]") or die "connect: $!"
} 1 .. 4;
my ($x, $hits, $bytes) = (12345, 0, 0);

for my $round (1 .. 400) {
	my $s = $conns[$round % 4];
	my ($send, @keys) = ('');

	for (1 .. 100) {
		$x = ($x * 1103515245 + 12345) % 2147483648;
		my ($key, $n) = ($x % 20000, $x % 2000);
		$send .= "set k$key 0 0 $n noreply\r\n" . 'v' x $n . "\r\n";
		push @keys, "k$key";
	}
	$send .= "delete k" . $x % 20000 . " noreply\r\n";
	print $s $send . "get @keys\r\n";
	while ((my $line = <$s>) !~ /^END/) {
		$line =~ /^VALUE \S+ \d+ (\d+)/ or die "unexpected: $line";
		read($s, my $value, $1 + 2) == $1 + 2 or die 'cut short';
		$value eq 'v' x $1 . "\r\n" or die 'wrong value';
		$hits++;
		$bytes += $1;
	}
}
print "$hits $bytes\n";
