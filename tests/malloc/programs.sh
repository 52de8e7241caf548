#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# programs.sh NAME: other people's programs at work; what it prints is the same
# each time, whatever library is preloaded. Exit status 77: a program is missing.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C TZ=UTC HOME="$work" PYTHONHASHSEED=0 PERL_HASH_SEED=0
here=$PWD

# Is the library really there?
[ -z "${LD_PRELOAD:-}" ] || grep -q libtarn-malloc /proc/self/maps

need() {
	for word; do
		command -v "$word" >/dev/null || { echo "no $word here"; exit 77; }
	done
}

case $1 in
python) # its own tests
	need python3
	cd "$work"
	python3 -c 'import test.test_dict' 2>/dev/null ||
		{ echo "no tests of python's here"; exit 77; }
	python3 -m test test_dict test_list test_deque test_json test_array 2>&1 |
		sed -E '/^(==|Using random seed|Total duration|Run tests|[0-9]+ (min|sec))/d
			s/^[0-9:]+ load avg: [0-9.]+ //; s/ in [0-9.]+ (ms|sec|min).*//'
	;;
perl)
	need perl
	perl -e '
	use strict; use threads; use Data::Dumper; use Storable qw(dclone freeze thaw);
	use JSON::PP; use List::Util qw(sum shuffle); use Digest::MD5 qw(md5_hex);
	$Data::Dumper::Sortkeys = 1;
	my %h; $h{$_ % 5000} .= chr(65 + $_ % 26) for 1..60000;
	delete $h{$_} for grep { $_ % 3 } keys %h;
	my @s = sort { $h{$a} cmp $h{$b} || $a <=> $b } keys %h;
	print md5_hex(join ",", @s), "\n", md5_hex(Dumper(\%h)), "\n";
	my $text = join " ", map { "word$_" } 1..20000;
	my $n = () = $text =~ /\bword(\d*7)\b/g; print "$n\n";
	$text =~ s/(\d+)/$1 * 2/ge; print md5_hex($text), "\n";
	my $json = JSON::PP->new->canonical; my $d = dclone(\%h);
	print md5_hex($json->encode($json->decode($json->encode($d)))), "\n";
	my @t = map { my $k = $_; threads->create(sub {
		my @a = map { [ ($_) x 10 ] } 1..5000; sum(map { @$_ } @a) * $k }) } 1..4;
	print join(",", map { $_->join } @t), "\n";
	for (1..20) { my $pid = fork // die; exit(scalar(@{[ map { "$_" } 1..5000 ]}) != 5000)
		unless $pid; waitpid $pid, 0; print $? }
	print "\n"'
	;;
git)
	need git
	cd "$work"
	git init -q -b main repo && cd repo
	git config user.name t && git config user.email t@example.org
	i=0
	while [ $i -lt 80 ]; do
		i=$((i + 1))
		printf 'commit refs/heads/main\ncommitter t <t@example.org> %d +0000\n' $((1000000000 + i))
		printf 'data 4\nc%03d\n' $i
		for f in a b c d; do
			text=$(seq $((i * 7)) $((i * 7 + 300 + i)))
			printf 'M 644 inline dir%d/%s\ndata %d\n%s\n' $((i % 9)) $f ${#text} "$text"
		done
	done | git fast-import --quiet
	git reset -q --hard
	git gc -q --aggressive 2>&1
	git fsck --full 2>&1
	git log -p --stat | cksum
	git clone -q --no-local . ../copy
	git -C ../copy blame dir3/a | cksum
	git -C ../copy merge-base HEAD HEAD~50
	git -C ../copy archive HEAD | cksum
	;;
sqlite)
	need sqlite3
	sqlite3 "$work/db" <<-SQL
	create table t(a integer primary key, b text, c int);
	with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)
		insert into t select i, hex(i * 7919), i % 997 from n;
	create index x on t(c, b);
	select count(*), sum(length(b)) from t where c > 300;
	select c, count(*) from t group by c order by 2 desc, 1 limit 5;
	update t set b = b || 'x' where c < 500;
	delete from t where c > 900;
	select a.b from t a join t b on a.a = b.c order by a.b limit 5;
	create virtual table f using fts5(b);
	insert into f select b from t where a < 20000;
	select count(*) from f where f match '1EEF';
	vacuum;
	pragma integrity_check;
	select sum(a * c) from t;
	SQL
	;;
gcc)
	need gcc
	for f in "$here"/pool/*.c; do
		gcc -std=gnu17 -D_GNU_SOURCE -I"$here" -I"$here/include" -O2 -mcx16 \
			-S -o "$work/out.s" "$f" 2>&1
		cksum <"$work/out.s"
	done
	;;
redis)
	need redis-server redis-cli redis-benchmark
	cd "$work"
	redis-server --port 0 --unixsocket "$work/sock" --save '' --enable-debug-command yes \
		--daemonize no --io-threads 2 --dir "$work" >log 2>&1 &
	pid=$!
	until redis-cli -s sock ping >/dev/null 2>&1; do sleep 0.05; done
	redis-benchmark -s sock -q -n 5000 -c 20 -P 4 -r 5000 -d 200 \
		-t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100 2>&1 |
		tr '\r' '\n' | grep -c 'requests per second'
	redis-cli -s sock flushall
	i=0
	while [ $i -lt 3000 ]; do
		i=$((i + 1))
		echo "set key$i $i$i$i$i$i"
		echo "rpush list$((i % 50)) $i"
		echo "hset hash$((i % 20)) f$i $i"
		echo "zadd z$((i % 7)) $i m$i"
	done | redis-cli -s sock | cksum
	redis-cli -s sock bgsave >/dev/null
	redis-cli -s sock debug digest
	while redis-cli -s sock info persistence | grep -q rdb_bgsave_in_progress:1; do
		sleep 0.05
	done
	redis-cli -s sock info persistence | grep rdb_last_bgsave_status
	redis-cli -s sock debug reload
	redis-cli -s sock debug digest
	redis-cli -s sock shutdown nosave || true
	wait $pid
	;;
memcached)
	need memcached python3
	cd "$work"
	memcached -u root -s "$work/sock" -m 64 -t 4 &
	pid=$!
	until [ -S sock ]; do sleep 0.05; done
	python3 - <<-'PY'
	import hashlib, socket, threading
	sums = [None] * 4
	def load(t):
	    s = socket.socket(socket.AF_UNIX)
	    s.connect("sock")
	    f = s.makefile("rwb")
	    h = hashlib.md5()
	    for i in range(1500):
	        key = b"k%d.%d" % (t, i % 700)
	        value = (b"%d," % i) * (i % 900)
	        f.write(b"set %s 0 0 %d\r\n%s\r\nget %s\r\n" % (key, len(value), value, key))
	        f.flush()
	        assert f.readline() == b"STORED\r\n"
	        n = int(f.readline().split()[3])
	        h.update(f.read(n + 2) + f.readline())
	        if i % 50 == 0:
	            f.write(b"delete %s\r\n" % key); f.flush(); h.update(f.readline())
	    sums[t] = h.hexdigest()
	threads = [threading.Thread(target=load, args=(t,)) for t in range(4)]
	for t in threads: t.start()
	for t in threads: t.join()
	print(*sums)
	PY
	kill $pid
	wait $pid || true
	;;
esac
