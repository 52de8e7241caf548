# SPDX-License-Identifier: BSD-2-Clause
# Commands for redis-cli --pipe, the same each time: what they leave behind is
# compared.
use strict;
use warnings;

for my $i (1 .. 50000) {
	my $key = $i * 7919 % 20011;
	print "SET s:$key ", 'x' x (1 + $i % 300), "\r\n";
	print "LPUSH l:", $key % 500, " $i\r\n";
	print "HSET h:", $key % 700, " f$i v$i\r\n";
	print "DEL s:", $i * 31 % 20011, "\r\n" if $i % 3 == 0;
}
