/* SPDX-License-Identifier: BSD-2-Clause */
/* What a tarnd says to a request that the last one had carried out. */
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/ledger.h"
#include "tests/lib/tn_manager.h"
#include "tests/lib/tn_raw.h"

static struct tn_manager m;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_manager_begin(&m);
	return 0;
}

static int teardown(void **state)
{
	tn_manager_fini(&m);
	return tn_test_teardown(state);
}

/* The last tarnd had carried out a request, and was killed before the reply. */
static void note(uint64_t note)
{
	struct ledger ledger;
	char why[LEDGER_WHY_BYTES];

	assert_int_equal(ledger_open(&ledger, dup(tn_manager_find(
		&m, "t1l", NULL)->fd), why), 0);
	tn64_store_relaxed(&ledger_session(&ledger, 0)->note, note);
	ledger_fini(&ledger);
}

/* It asks again, and is given what was made; or told why not. */
static void what_was_opened_cannot_be_shown_without_descriptors(void **state)
{
	const struct tn_open open = { .name = "p", .role = TN_OBSERVER };
	int sock = tn_raw_hello(m.d.socket), fds[3], n;
	struct tn_open_reply reply;
	struct rlimit was, few;
	struct tn_packet p;

	(void)state;
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	assert_int_equal(tn_raw_open(sock, "p", TN_OBSERVER, &reply, fds), 0);
	for (int f = 0; f < 3; f++)
		close(fds[f]);
	for (int i = 0; i < 2; i++) {
		/* it takes a request out of the socket after the reply */
		tn_test_eventually(ioctl(sock, SIOCOUTQ, &n) == 0 && !n);
		tn_manager_end(&m, SIGKILL);
		note(LEDGER_NOTE(TN_MSG_OPEN, 77, 0) | LEDGER_NOTE_DONE);
		tn_manager_up(&m);
		assert_int_equal(prlimit(m.d.pid, RLIMIT_NOFILE, NULL, &was),
				 0);
		few = was;
		if (i)
			few.rlim_cur = 0;
		assert_int_equal(prlimit(m.d.pid, RLIMIT_NOFILE, &few, NULL),
				 0);
		tn_raw_request(&p, TN_MSG_OPEN, 77, &open, sizeof(open));
		tn_raw_send(sock, p.data, p.bytes);
		assert_int_equal(tn_raw_recv(sock, &p), 1);
		assert_int_equal(p.n_fds, i ? 0 : 3);
		tn_packet_close(&p);
		if (!i) /* the same, not another one */
			assert_memory_equal(p.data + sizeof(struct tn_msg),
					    &reply, sizeof(reply));
		assert_int_equal(((const struct tn_msg *)(const void *)
				  p.data)->status, i ? -EMFILE : 0);
	}
	assert_int_equal(prlimit(m.d.pid, RLIMIT_NOFILE, &was, NULL), 0);
	assert_int_equal(tn_manager_end(&m, SIGTERM), 0);
	close(sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_was_opened_cannot_be_shown_without_descriptors,
			setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
