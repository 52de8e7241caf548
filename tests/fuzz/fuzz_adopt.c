/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: what a tarnd finds in the descriptor store when it starts, spoilt
 * in any way: it takes it over, or refuses and has touched nothing. Built and
 * run by `make fuzz T=adopt`.
 *
 *	input   0  1   pools : 2, sessions : 2, attachments : 3 bits
 *	        1  2   which of them are of which kind (struct tn_estate_plan)
 *	        3      edits, each of as many bytes as it wants: what
 *	               (mod N_EDITS), where, how
 *
 * Of each start:
 *
 *	E1  if it fails, it has said why; the ledger and the store are as before
 *	E2  if it succeeds, and is killed at once, the next one succeeds, and
 *	    has as many pools, sessions and attachments
 *	E3  if it succeeds, it serves: a stranger lists, makes, opens and ends
 *	    pools; and at the end no descriptor and no charge is left
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/birth.h"
#include "tests/lib/tn_estate.h"
#include "tests/lib/tn_must.h"
#include "tests/lib/tn_odd.h"
#include "tests/lib/tn_raw.h"

#define SETTLE_MS 200   /* recovery may wait for one who seems to live */
#define PATIENCE_MS 10000
#define FDS_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes);

/* The input, consumed; at its end there are zeros. */
static const uint8_t *at, *end;

static unsigned byte(void) { return at < end ? *at++ : 0; }

static uint64_t number(unsigned bytes)
{
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | byte();
	return n;
}

/* spoiling */

static struct tn_stored *some_stored(void)
{
	struct tn_manager *m = &tn_estate.m;
	unsigned n = byte();

	return m->n_stored ? &m->stored[n % m->n_stored] : NULL;
}

static uint64_t changed(uint64_t was, uint64_t other)
{
	switch (byte() % 8) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return was + 1;
	case 3:
		return was - 1;
	case 4:
		return other;
	case 5:
		return was ^ 1ULL << byte() % 64;
	case 6: /* as a field of 32 bits has it */
		return (was & 0xffffffffULL << 32) | number(1);
	default:
		return number(8);
	}
}

/* In a record, or beside it in one that never was; its sum put right, mostly,
 * or nothing else is looked at. */
static void edit_record(void)
{
	unsigned how = byte();
	enum ledger_table table = how % 3;
	uint32_t index = byte() % 5;
	uint64_t *words = table == LEDGER_POOLS ?
		(void *)ledger_pool(&tn_estate.ledger, index) :
		table == LEDGER_SESSIONS ?
		(void *)ledger_session(&tn_estate.ledger, index) :
		(void *)ledger_attachment(&tn_estate.ledger, index);
	const unsigned n = LEDGER_RECORD_BYTES / 8;
	unsigned word = byte() % n;

	/* or as in another record */
	words[word] = changed(words[word], index ? *(words + word - n) :
						   words[word + n]);
	if (how < 0xc0)
		tn_estate_sum(table, index);
}

static void edit_header(void)
{
	uint64_t *words = tn_estate.ledger.file.map;
	unsigned word = byte() % (sizeof(struct ledger_header) / 8);

	words[word] = changed(words[word], words[word ? word - 1 : 1]);
}

/* Half done, half ended. */
static void edit_state(void)
{
	enum ledger_table table = byte() % 3;
	uint32_t index = byte() % 4;
	unsigned state = byte();

	if (state & 0x80)
		ledger_give(&tn_estate.ledger, table, index);
	else if (index < ledger_n(&tn_estate.ledger, table))
		ledger_commit(&tn_estate.ledger, table, index,
			      state | LEDGER_THERE);
}

static void edit_note(void)
{
	uint32_t index = byte() % TN_ESTATE_SESSIONS;
	unsigned op = byte() % 16, id = 1 + byte() % 4, thing = byte();
	uint64_t note = LEDGER_NOTE(op, id, thing);

	if (byte() & 1)
		note |= LEDGER_NOTE_DONE;
	tn64_store_relaxed(&ledger_session(&tn_estate.ledger, index)->note,
			   note);
}

/* A word of a file, as clients may change it; or a page of it goes. */
static void edit_file(void)
{
	struct tn_stored *s = some_stored();
	uint64_t word, where = number(3) * 8;
	struct stat st;

	if (!s || fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode) || !st.st_size)
		return;
	where %= (uint64_t)st.st_size;
	if (pread(s->fd, &word, sizeof(word), (off_t)where) != sizeof(word))
		return;
	word = changed(word, 0x0101010101010101ULL);
	if (byte() & 1)
		fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)where, 4096);
	else if (pwrite(s->fd, &word, sizeof(word), (off_t)where) < 0)
		return;
}

static void replace(void)
{
	struct tn_stored *s = some_stored();
	unsigned kind = byte();
	int fd = s ? tn_odd_fd(s->fd, kind, byte()) : -1;

	if (fd < 0)
		return;
	close(s->fd);
	s->fd = tn_estate_high(fd);
}

static void swap(void)
{
	struct tn_stored *a = some_stored(), *b = some_stored();
	int fd;

	if (!a)
		return;
	fd = a->fd;
	a->fd = b->fd;
	b->fd = fd;
}

static void duplicate(void)
{
	const struct tn_stored *a = some_stored(), *b = some_stored();
	int fd = a ? dup(a->fd) : -1;

	if (fd >= 0)
		tn_estate_put(b->name, fd);
}

static void rename_one(void)
{
	struct tn_stored *s = some_stored();
	unsigned where = byte(), what = byte();

	/* a colon is where names end */
	if (s && *s->name && what && what != ':')
		s->name[where % strlen(s->name)] = (char)what;
}

static void lose(void)
{
	struct tn_stored *s = some_stored();

	if (s)
		tn_manager_drop(&tn_estate.m, s);
}

/* A request that the last tarnd may have done, or not; or the client goes. */
static void client_does(void)
{
	int *fd = &tn_estate.clients[byte() % TN_ESTATE_SESSIONS];
	static const struct tn_open open = { .name = "p0", .role = 1 };
	static const struct tn_hello hello = { 1, 1, TN_FEATURE_SESSION, 0, 0,
					       0 };
	const struct tn_leave leave = { .attach = 1 };
	unsigned what = byte();
	struct tn_packet p;

	if (*fd < 0)
		return;
	switch (what % 7) {
	case 0:
		tn_raw_request(&p, TN_MSG_OPEN, 1, &open, sizeof(open));
		break;
	case 1:
		tn_raw_request(&p, TN_MSG_DESTROY, 1, open.name,
			       sizeof(open.name));
		break;
	case 2:
		tn_raw_request(&p, TN_MSG_REVOKE, 1, open.name,
			       sizeof(open.name));
		break;
	case 3:
		tn_raw_request(&p, TN_MSG_LEAVE, 1, &leave, sizeof(leave));
		break;
	case 4:
		tn_raw_request(&p, (uint16_t)byte(), 1, NULL, 0);
		break;
	case 5:
		tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
		break;
	default:
		close(*fd);
		*fd = -1;
		return;
	}
	tn_raw_send(*fd, p.data, p.bytes);
}

static void spoil(void)
{
	static void (*const edits[])(void) = {
		edit_record, edit_header, edit_state, edit_note, edit_file,
		replace, swap, duplicate, rename_one, lose, client_does,
	};

	pthread_mutex_lock(&tn_estate.m.lock);
	while (at < end)
		edits[byte() % TN_ARRAY_LEN(edits)]();
	pthread_mutex_unlock(&tn_estate.m.lock);
}

/* judging */

struct state {
	unsigned n_stored;
	ino_t inodes[64];
	uint64_t sum; /* of the ledger */
};

static uint64_t sum_ledger(void)
{
	const struct ledger *l = &tn_estate.ledger;
	const uint64_t *words = l->file.map;
	uint64_t h = 0;
	const struct { const void *from; size_t n; } parts[] = {
		{ words, LEDGER_PAGE / 8 },
		{ ledger_pool(l, 0), 8 * 16 },
		{ ledger_session(l, 0), 8 * 16 },
		{ ledger_attachment(l, 0), 8 * 16 },
	};

	for (size_t p = 0; p < TN_ARRAY_LEN(parts); p++)
		for (size_t i = 0; i < parts[p].n; i++)
			h = h * 31 + ((const uint64_t *)parts[p].from)[i];
	return h;
}

static void look(struct state *ret)
{
	const struct tn_manager *m = &tn_estate.m;
	struct stat st;

	*ret = (struct state){ .n_stored = m->n_stored, .sum = sum_ledger() };
	for (unsigned i = 0; i < m->n_stored && i < 64; i++)
		ret->inodes[i] = fstat(m->stored[i].fd, &st) ? 0 : st.st_ino;
}

/* E1 */
static void check_refusal(const struct state *before)
{
	struct state after;

	look(&after);
	tn_must(tn_estate.n_errors);
	tn_must(memcmp(before, &after, sizeof(after)) == 0);
}

struct count {
	unsigned pools, sessions, attachments;
};

static unsigned length(const struct tn_list *list)
{
	unsigned n = 0;

	tn_list_for_each(link, list)
		n++;
	return n;
}

static struct count count(void)
{
	const struct tn_list *sessions = &tn_estate.server.sessions;
	struct count n = {
		.pools = (unsigned)tn_estate.server.registry.n,
		.sessions = length(sessions),
	};

	tn_list_for_each(link, sessions)
		n.attachments += length(&tn_list_entry(link, struct session,
						       link)->attachments);
	return n;
}

static int n_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* serving */

static int ask(int sock, uint16_t op, const void *body, size_t bytes)
{
	int64_t until = tn_test_now_ms() + PATIENCE_MS;
	struct tn_packet p;
	struct tn_msg msg;
	int r;

	tn_raw_request(&p, op, 1, body, bytes);
	tn_raw_send(sock, p.data, p.bytes);
	do {
		tn_must(tn_test_now_ms() < until);
		tn_estate_turn();
		r = tn_packet_recv(sock, &p, TN_MSG_FDS_MAX);
	} while (r == -EAGAIN);
	tn_must(r > 0);
	tn_must(tn_wire_check_reply(p.data, p.bytes, op, 1, p.n_fds) == 0);
	tn_packet_close(&p);
	memcpy(&msg, p.data, sizeof(msg));
	return msg.status;
}

static void end_all_pools(int sock)
{
	struct tn_by_name name;

	while (tn_estate.server.registry.n) {
		memcpy(name.name,
		       tn_estate.server.registry.pools[0]->spec.name,
		       sizeof(name.name));
		ask(sock, TN_MSG_STAT, &name, sizeof(name));
		if (ask(sock, TN_MSG_REVOKE, &name, sizeof(name)))
			return; /* it may be another user's */
	}
}

static void serve(void)
{
	const struct tn_create create = {
		.name = "stranger", .bytes = 1 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .gid = UINT32_MAX,
	};
	const struct tn_open open = { .name = "stranger", .role = 1 };
	const struct tn_hello hello = { 1, 1, 0, 0, 0, 0 };
	const struct tn_by_name none = { "" };
	int fds[2];

	tn_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
			   SOCK_NONBLOCK, 0, fds) == 0);
	birth_accept(&tn_estate.server, fds[1]);
	tn_must(ask(fds[0], TN_MSG_HELLO, &hello, sizeof(hello)) == 0);
	tn_must(ask(fds[0], TN_MSG_LIST, &none, sizeof(none)) == 0);
	tn_must(ask(fds[0], TN_MSG_CREATE, &create, sizeof(create)) == 0);
	tn_must(ask(fds[0], TN_MSG_OPEN, &open, sizeof(open)) == 0);
	end_all_pools(fds[0]);
	close(fds[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes)
{
	static bool begun;
	unsigned how, kinds;
	struct count first, next;
	struct state before;
	int fds, r;

	if (!begun)
		tn_estate_init();
	begun = true;
	fds = n_fds();
	at = in;
	end = in + bytes;
	how = byte();
	kinds = (unsigned)number(2);
	tn_estate_make(&(struct tn_estate_plan){
		.n_pools = how & 3, .n_sessions = how >> 2 & 3,
		.n_attachments = (how >> 4 & 7) % 5,
		.buddy = kinds & 7, .plain = kinds >> 3 & 7,
		.dead = kinds >> 6 & 7, .unconnected = kinds >> 9 & 7,
		.mapped = kinds >> 12 & 7,
	});
	spoil();
	look(&before);
	r = tn_estate_adopt();
	if (r < 0) {
		check_refusal(&before);
	} else {
		tn_estate_keep();
		first = count();
		tn_estate_settle(SETTLE_MS);
		serve();
		tn_must(tn_estate_settle(PATIENCE_MS));
	}
	tn_estate_end();
	if (r == 0) { /* E2 */
		tn_must(tn_estate_adopt() == 0);
		next = count();
		tn_must(memcmp(&first, &next, sizeof(next)) == 0);
		tn_must(tn_estate_settle(PATIENCE_MS));
		tn_estate_end();
	}
	tn_estate_drop();
	tn_must(n_fds() == fds);
	return 0;
}
