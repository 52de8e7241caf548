/* SPDX-License-Identifier: BSD-2-Clause */
/* The worker thread, with a recovery of our own in place of pool/recover, and
 * a membarrier of our own: the linker takes these rather than the library's. */
#include "daemon/reaper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

#define N 8

/* How each client's recovery goes: what its steps return, in order. */
static const int *script[N];
static _Atomic unsigned at[N];
static _Atomic int in_pool[2]; /* slices under way, by pool */
static _Atomic bool overlapped;
static _Atomic unsigned n_begun, n_fences, n_no_fence;
static _Atomic bool too_early; /* a step before the fence */
static char order[64];         /* the clients, as they were done */
static int n_done, result[N];

static struct tn_pool pools[2];
static struct reaper_queue queues[2];
static struct reaper_job jobs[N];
static struct reaper *reaper;

void tn_recover_begin(struct tn_recover *r, struct tn_pool *pool,
		      void *control, uint32_t client, struct tn_lane_ref self)
{
	(void)self;
	n_begun++;
	*r = (struct tn_recover){ .pool = pool, .control = control,
				  .client = client };
}

/* The first .n_no_fence times it is not to be had. */
long syscall(long number, ...)
{
	if (number == SYS_membarrier && !n_no_fence) {
		n_fences++;
		return 0;
	}
	if (number == SYS_membarrier)
		n_no_fence--;
	errno = ENOSYS;
	return -1;
}

int tn_recover_step(struct tn_recover *r, unsigned budget)
{
	int pool = (int)(r->pool - pools), ret;

	assert_true(budget > 0);
	if (in_pool[pool]++)
		overlapped = true;
	if (n_fences < n_begun && !at[r->client])
		too_early = true;
	ret = script[r->client][at[r->client]++];
	usleep(200);
	in_pool[pool]--;
	return ret;
}

static void on_done(struct reaper_job *job)
{
	int i = (int)(job - jobs);

	order[n_done++] = (char)('0' + i);
	result[i] = job->result;
}

static int setup(void **state)
{
	tn_test_setup(state);
	n_done = 0;
	n_begun = n_fences = n_no_fence = 0;
	overlapped = too_early = false;
	memset(order, 0, sizeof(order));
	for (int i = 0; i < 2; i++) {
		reaper_queue_init(&queues[i], (uid_t)i);
		queues[i].pool = &pools[i];
	}
	return reaper_new(&reaper);
}

static int teardown(void **state)
{
	reaper_free(reaper);
	return tn_test_teardown(state);
}

static void post(int i, int pool, const int *steps)
{
	script[i] = steps;
	at[i] = 0;
	jobs[i] = (struct reaper_job){ .client = (uint32_t)i,
				       .done = on_done };
	tn_list_init(&jobs[i].link);
	reaper_post(reaper, &queues[pool], &jobs[i]);
}

static void wait_for(int n)
{
	struct pollfd pfd = { .fd = reaper_fd(reaper), .events = POLLIN };

	while (n_done < n) {
		assert_int_equal(poll(&pfd, 1, 10000), 1);
		reaper_dispatch(reaper);
	}
}

static const int at_once[] = { 0 };
static const int five_slices[] = { 1, 1, 1, 1, 0 };
static const int many_slices[] = {
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0,
};
static const int in_the_way[] = {
	1, TN_RECOVER_LATER, 1, TN_RECOVER_LATER, 1, 0,
};
static const int contradiction[] = { 1, -EUCLEAN };

static void jobs_of_a_pool_are_done_in_their_order(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		post(i, 0, five_slices);
	wait_for(4);
	assert_string_equal(order, "0123");
	assert_false(overlapped);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(at[i], 5);
		assert_int_equal(result[i], 0);
	}
}

static void clients_are_fenced_before_a_first_step(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		post(i, i % 2, five_slices);
	wait_for(4);
	assert_false(too_early);
	assert_int_equal(n_fences, 4);
}

static void who_cannot_fence_them_rests_first(void **state)
{
	int64_t begin = tn_test_now_ms();

	(void)state;
	n_no_fence = 1;
	post(0, 0, at_once);
	wait_for(1);
	assert_int_equal(at[0], 1);
	assert_int_equal(n_fences, 0);
	assert_true(tn_test_now_ms() - begin >= 4);
}

static void a_long_job_holds_up_no_other_pool(void **state)
{
	(void)state;
	post(0, 0, many_slices);
	post(1, 1, five_slices);
	wait_for(2);
	assert_string_equal(order, "10");
}

static void who_must_wait_lets_others_go_first(void **state)
{
	int64_t begin = tn_test_now_ms();

	(void)state;
	post(0, 0, in_the_way);
	post(1, 0, five_slices);
	post(2, 0, at_once);
	wait_for(3);
	assert_string_equal(order, "120");
	assert_int_equal(at[0], 6);
	/* rested twice, the second time for longer */
	assert_true(tn_test_now_ms() - begin >= 4 + 8);
	assert_false(overlapped);
}

static void a_contradiction_ends_that_job_alone(void **state)
{
	(void)state;
	post(0, 0, contradiction);
	post(1, 0, at_once);
	wait_for(2);
	assert_int_equal(result[0], -EUCLEAN);
	assert_int_equal(result[1], 0);
}

static void the_end_does_not_wait_for_all_jobs(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++)
		post(i, i % 2, i % 3 ? many_slices : in_the_way);
	usleep(2000);
	/* teardown ends it; nothing is called any more */
}

static void a_reaper_at_rest_is_healthy(void **state)
{
	(void)state;
	assert_true(reaper_healthy(reaper));
	post(0, 0, five_slices);
	assert_true(reaper_healthy(reaper));
	wait_for(1);
	assert_true(reaper_healthy(reaper));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(jobs_of_a_pool_are_done_in_their_order),
		TEST(clients_are_fenced_before_a_first_step),
		TEST(who_cannot_fence_them_rests_first),
		TEST(a_long_job_holds_up_no_other_pool),
		TEST(who_must_wait_lets_others_go_first),
		TEST(a_contradiction_ends_that_job_alone),
		TEST(the_end_does_not_wait_for_all_jobs),
		TEST(a_reaper_at_rest_is_healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
