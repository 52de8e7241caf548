/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: a client of its own, which knows the pool by name, the job table
 * by its root and the dispatcher by a socket. It may die anywhere; there is
 * nothing here that cares.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "examples/wordcount/wordcount.h"

static void tell(int fd, const struct wc_msg *msg)
{
	if (send(fd, msg, sizeof(*msg), MSG_NOSIGNAL) < 0)
		wc_die("dispatcher", -errno);
}

static void do_job(struct tarn_pool *pool, struct wc_jobs *jobs,
		   struct words *words, const struct wc_msg *job)
{
	char *chunk = tarn_ptr(pool, job->chunk);
	void *result;
	int r;

	r = tarn_take(pool, job->chunk);
	if (r < 0)
		wc_die("take a chunk", r);
	words_clear(words);
	words_count(words, chunk, job->n_bytes);
	result = alloc_patiently(pool, words_packed_bytes(words),
				 "room for a result");
	words_pack(words, result);
	r = tarn_publish(pool, &jobs->cell[job->n], tarn_ref_of(pool, result));
	if (r < 0)
		wc_die("publish a result", r);
	r = tarn_free(pool, chunk); /* the dispatcher allocated it */
	if (r < 0)
		wc_die("free a chunk", r);
}

int work(int fd, const char *pool_name)
{
	struct words words = { 0 };
	struct tarn_pool *pool;
	struct wc_jobs *jobs;
	struct wc_msg msg;
	struct tarn *t;
	int r;

	prctl(PR_SET_NAME, "worker"); /* exec made it "exe" */
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* we are of no use alone */
	r = tarn_connect(NULL, &t);
	if (r < 0)
		wc_die("worker: tarnd", r);
	r = tarn_pool_open(t, pool_name, TARN_PRODUCER, &pool);
	if (r < 0)
		wc_die("worker: pool", r);
	tarn_disconnect(t);
	jobs = tarn_ptr(pool, tarn_root_get(pool, WC_ROOT));
	if (!jobs)
		wc_die("worker: no job table", 0);
	tell(fd, &(struct wc_msg){ .kind = WC_HELLO,
				   .n = tarn_client_id(pool) });
	while (recv(fd, &msg, sizeof(msg), 0) == sizeof(msg)) {
		do_job(pool, jobs, &words, &msg);
		tell(fd, &(struct wc_msg){ .kind = WC_DONE, .n = msg.n });
	}
	words_fini(&words);
	tarn_pool_close(pool);
	return 0;
}
