/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static struct ledger ledger;
static char why[LEDGER_WHY_BYTES];

static int setup(void **state)
{
	tn_test_setup(state);
	*why = '\0';
	return ledger_new(&ledger);
}

static int teardown(void **state)
{
	ledger_fini(&ledger);
	return tn_test_teardown(state);
}

/* What the next tarnd would say of it; what it would see if @ret. */
static int reopen(struct ledger *ret)
{
	struct ledger l;
	int r = ledger_open(&l, dup(ledger.file.fd), why);

	if (r == 0 && ret)
		*ret = l;
	else
		ledger_fini(&l);
	return r;
}

static uint32_t pool(const char *name)
{
	struct ledger_pool *p;
	uint32_t i;

	assert_int_equal(ledger_take(&ledger, LEDGER_POOLS, &i), 0);
	p = ledger_pool(&ledger, i);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->bytes = 1 << 20;
	p->mark = 0x1234;
	p->kind = TN_KIND_SLAB;
	p->policy = TN_FIRST_FIT;
	p->layout_major = TN_LAYOUT_MAJOR;
	p->layout_minor = TN_LAYOUT_MINOR;
	return i;
}

static uint32_t session(uint32_t id, uint64_t connection)
{
	struct ledger_session *s;
	uint32_t i;

	assert_int_equal(ledger_take(&ledger, LEDGER_SESSIONS, &i), 0);
	s = ledger_session(&ledger, i);
	s->id = id;
	tn64_store_relaxed(&s->connection, connection);
	ledger_commit(&ledger, LEDGER_SESSIONS, i, LEDGER_THERE);
	return i;
}

static uint32_t attachment(uint32_t p, uint32_t s, uint32_t client,
			   uint32_t number)
{
	struct ledger_attachment *a;
	uint32_t i;

	assert_int_equal(ledger_take(&ledger, LEDGER_ATTACHMENTS, &i), 0);
	a = ledger_attachment(&ledger, i);
	a->pool = p;
	a->session = s;
	a->client = client;
	a->number = number;
	a->role = TN_PRODUCER;
	ledger_commit(&ledger, LEDGER_ATTACHMENTS, i, LEDGER_THERE);
	return i;
}

static uint32_t pool_there(const char *name)
{
	uint32_t i = pool(name);

	ledger_commit(&ledger, LEDGER_POOLS, i, LEDGER_THERE);
	return i;
}

static void a_record_is_there_once_it_is_committed(void **state)
{
	struct ledger next;
	uint32_t p = pool("p"), q = pool("q");

	(void)state;
	ledger_commit(&ledger, LEDGER_POOLS, p, LEDGER_THERE);
	assert_int_equal(reopen(&next), 0);
	assert_int_equal(ledger_state(&next, LEDGER_POOLS, p), LEDGER_THERE);
	assert_int_equal(ledger_n(&next, LEDGER_POOLS), 1);
	assert_string_equal(ledger_pool(&next, p)->name, "p");
	ledger_fini(&next);
	ledger_commit(&ledger, LEDGER_POOLS, q, LEDGER_THERE);
	ledger_commit(&ledger, LEDGER_POOLS, p, LEDGER_THERE | LEDGER_POISONED |
		      LEDGER_UNLINKED);
	assert_int_equal(reopen(&next), 0);
	assert_int_equal(ledger_state(&next, LEDGER_POOLS, p), LEDGER_THERE |
			 LEDGER_POISONED | LEDGER_UNLINKED);
	ledger_fini(&next);
	ledger_give(&ledger, LEDGER_POOLS, p);
	assert_int_equal(reopen(&next), 0);
	assert_int_equal(ledger_state(&next, LEDGER_POOLS, p), 0);
	assert_int_equal(ledger_state(&next, LEDGER_POOLS, q), LEDGER_THERE);
	ledger_fini(&next);
}

static void an_index_is_taken_again_once_it_is_given(void **state)
{
	uint32_t first = pool_there("a"), second = pool_there("b"), i;
	struct ledger next;

	(void)state;
	assert_int_not_equal(first, second);
	ledger_give(&ledger, LEDGER_POOLS, first);
	assert_int_equal(pool_there("c"), first);
	/* the next tarnd takes none that is in use */
	assert_int_equal(reopen(&next), 0);
	for (int n = 0; n < 10; n++) {
		assert_int_equal(ledger_take(&next, LEDGER_POOLS, &i), 0);
		assert_true(i != first && i != second);
	}
	ledger_fini(&next);
}

static void a_table_that_is_full_says_so(void **state)
{
	uint32_t i;

	(void)state;
	for (uint32_t n = 0; n < LEDGER_CONNECTIONS_MAX; n++)
		assert_int_equal(ledger_take(&ledger, LEDGER_CONNECTIONS, &i),
				 0);
	assert_int_equal(ledger_take(&ledger, LEDGER_CONNECTIONS, &i),
			 -ENOSPC);
	ledger_give(&ledger, LEDGER_CONNECTIONS, 77);
	assert_int_equal(ledger_take(&ledger, LEDGER_CONNECTIONS, &i), 0);
	assert_int_equal(i, 77);
}

/* Every bit of what a record's sum is over, and of its head. */
static void any_flipped_bit_is_found(void **state)
{
	uint32_t p = pool_there("p");
	uint8_t *at = (uint8_t *)ledger_pool(&ledger, p);

	(void)state;
	for (unsigned bit = 0; bit < LEDGER_SUMMED_END * 8; bit++) {
		at[bit / 8] ^= (uint8_t)(1U << bit % 8);
		if (bit < 8 || bit >= 32) /* between them nothing is said */
			assert_int_not_equal(reopen(NULL), 0);
		at[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_int_equal(reopen(NULL), 0);
}

static void records_that_do_not_fit_together_are_refused(void **state)
{
	uint32_t p = pool_there("p"), s = session(5, 1), i;

	(void)state;
	attachment(p, s, 1, 1);
	assert_int_equal(reopen(NULL), 0);
	i = pool_there("p");
	assert_int_equal(reopen(NULL), -EUCLEAN);
	assert_non_null(strstr(why, "two pools are named p"));
	ledger_commit(&ledger, LEDGER_POOLS, i, LEDGER_THERE | LEDGER_UNLINKED);
	assert_int_equal(reopen(NULL), 0);
	i = session(5, 2);
	assert_int_equal(reopen(NULL), -EUCLEAN);
	ledger_give(&ledger, LEDGER_SESSIONS, i);
	i = session(6, 1);
	assert_int_equal(reopen(NULL), -EUCLEAN);
	ledger_give(&ledger, LEDGER_SESSIONS, i);
	i = attachment(p, s, 1 + TN_N_CLIENTS, 2); /* the same slot */
	assert_int_equal(reopen(NULL), -EUCLEAN);
	ledger_give(&ledger, LEDGER_ATTACHMENTS, i);
	i = attachment(p, s, 2, 1); /* the same number */
	assert_int_equal(reopen(NULL), -EUCLEAN);
	ledger_give(&ledger, LEDGER_ATTACHMENTS, i);
	i = attachment(p, s, TN_DAEMON_SLOT, 3);
	assert_int_equal(reopen(NULL), -EUCLEAN);
	ledger_give(&ledger, LEDGER_ATTACHMENTS, i);
	ledger_give(&ledger, LEDGER_POOLS, p);
	assert_int_equal(reopen(NULL), -EUCLEAN);
	assert_non_null(strstr(why, "not there"));
}

static void set_versions(unsigned major, unsigned minor, unsigned layout,
			 unsigned layout_minor)
{
	tn64_store_relaxed(&ledger.header->versions, (uint64_t)major |
			   (uint64_t)minor << 16 | (uint64_t)layout << 32 |
			   (uint64_t)layout_minor << 48);
}

static void another_version_is_refused_but_for_one_minor_older(void **state)
{
	(void)state;
	assert_true(ledger_version_ok(3, 4, 3, 4));
	assert_true(ledger_version_ok(3, 3, 3, 4));
	assert_false(ledger_version_ok(3, 2, 3, 4));
	assert_false(ledger_version_ok(3, 5, 3, 4));
	assert_false(ledger_version_ok(2, 4, 3, 4));
	assert_false(ledger_version_ok(4, 4, 3, 4));
	set_versions(LEDGER_MAJOR + 1, LEDGER_MINOR, TN_LAYOUT_MAJOR,
		     TN_LAYOUT_MINOR);
	assert_int_equal(reopen(NULL), -EPROTONOSUPPORT);
	set_versions(LEDGER_MAJOR, LEDGER_MINOR + 1, TN_LAYOUT_MAJOR,
		     TN_LAYOUT_MINOR);
	assert_int_equal(reopen(NULL), -EPROTONOSUPPORT);
	assert_non_null(strstr(why, "version"));
	set_versions(LEDGER_MAJOR, LEDGER_MINOR, TN_LAYOUT_MAJOR,
		     TN_LAYOUT_MINOR + 1);
	assert_int_equal(reopen(NULL), -EPROTONOSUPPORT);
	assert_non_null(strstr(why, "layout"));
	set_versions(LEDGER_MAJOR, LEDGER_MINOR - 1, TN_LAYOUT_MAJOR,
		     TN_LAYOUT_MINOR);
	assert_int_equal(reopen(NULL), 0);
	assert_int_equal(ledger_claim(&ledger), 1);
	assert_int_equal(ledger_claim(&ledger), 2);
	assert_int_equal(reopen(NULL), 0);
}

static void another_file_is_refused(void **state)
{
	struct backing other;
	struct ledger l;

	(void)state;
	assert_int_equal(backing_init(&other, "tarn:ledger", LEDGER_BYTES, 0),
			 0);
	assert_int_equal(ledger_open(&l, other.fd, why), -EUCLEAN);
	ledger_fini(&l);
	assert_int_equal(backing_init(&other, "tarn:ledger", 4096, 0), 0);
	assert_int_equal(ledger_open(&l, other.fd, why), -EFBIG);
	ledger_fini(&l);
	assert_int_equal(backing_init(&other, "tarn:p:meta", LEDGER_BYTES, 0),
			 0);
	assert_int_equal(ledger_open(&l, other.fd, why), -EINVAL);
	ledger_fini(&l);
}

/* As tarnd does: what names another is there for a shorter time. */
static int churn(void *arg)
{
	(void)arg;
	for (;;) {
		uint32_t p = pool_there("p"), s = session(1, 1);
		uint32_t a = attachment(p, s, 1, 1);

		ledger_commit(&ledger, LEDGER_ATTACHMENTS, a,
			      LEDGER_THERE | LEDGER_ENDING);
		ledger_commit(&ledger, LEDGER_POOLS, p,
			      LEDGER_THERE | LEDGER_UNLINKED);
		ledger_give(&ledger, LEDGER_ATTACHMENTS, a);
		ledger_give(&ledger, LEDGER_POOLS, p);
		ledger_give(&ledger, LEDGER_SESSIONS, s);
	}
	return 0;
}

static void a_kill_at_any_moment_leaves_it_whole(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++) {
		pid_t pid = tn_test_spawn(churn, NULL);

		usleep((useconds_t)(200 + i * 7));
		kill(pid, SIGKILL);
		tn_test_wait(pid);
		if (reopen(NULL) < 0)
			fail_msg("%s", why);
		/* as one that adopts and then ends all of it */
		ledger_fini(&ledger);
		assert_int_equal(ledger_new(&ledger), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_there_once_it_is_committed),
		TEST(an_index_is_taken_again_once_it_is_given),
		TEST(a_table_that_is_full_says_so),
		TEST(any_flipped_bit_is_found),
		TEST(records_that_do_not_fit_together_are_refused),
		TEST(another_version_is_refused_but_for_one_minor_older),
		TEST(another_file_is_refused),
		TEST(a_kill_at_any_moment_leaves_it_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
