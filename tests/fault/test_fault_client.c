/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call of libtarn fails, one after the other, in a process that does all
 * that the library can do: pools, objects, roots, caches, sharing, statistics,
 * trim and audit; on over another connection when the first is cut; on in a
 * forked child; and in a thread.
 *
 *	for each failure    a new process, for which the library is new, too
 *	   it goes through it with the failure     errors, but no crash
 *	   it goes through it twice without        no error
 *	   it counts                               as many descriptors and
 *	                                           allocations as without any
 *
 * tarnd's limits have room for this one process just as it should be, so that
 * what it would leave behind there makes the next one fail.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/stats.h"
#include "tarn/tarn.h"
#include "tests/lib/tn_fault.h"
#include "tests/lib/tn_test.h"

#define RUN_SECONDS 40
#define FDS_MAX 64

static const char *const args[] = {
	"--limit", "connections=2", "--limit", "attachments=4",
	"--limit", "pools=2", "--limit", "bytes=3M", NULL,
};

static struct tn_test_daemon d;
static struct tn_fault_table table;
static int daemon_fds;

/* What the process under test has to say. */
static struct report {
	int fds;
	int64_t live;
	char wrong[400];
} *report, reference;

/* One pass; .must: nothing may fail. */
struct pass {
	bool must;
	struct tarn *t;
	struct tarn_pool *pool;
};

static void complain(const char *what, int r)
{
	if (!report->wrong[0])
		snprintf(report->wrong, sizeof(report->wrong), "%s: %s", what,
			 strerror(r < 0 ? -r : errno));
}

/* An errno, and none at all if nothing was to fail. Return: success? */
static bool check(const struct pass *p, int r, const char *what)
{
	if (r < -4095 || (r < 0 && p->must))
		complain(what, r);
	return r >= 0;
}
#define DO(p, call) check(p, call, #call)

static void *got(const struct pass *p, void *ptr, const char *what)
{
	if (!ptr && (p->must || errno <= 0))
		complain(what, 0);
	return ptr;
}
#define GET(p, call) (errno = 0, got(p, call, #call))

static void objects(const struct pass *p)
{
	static const size_t sizes[] = { 16, 100, 5000, 70000, 300000 };
	tarn_ref ref;
	void *obj;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		obj = GET(p, tarn_alloc(p->pool, sizes[i]));
		if (!obj)
			continue;
		ref = tarn_ref_of(p->pool, obj);
		if (DO(p, tarn_share(p->pool, ref)) &&
		    !DO(p, tarn_release(p->pool, ref)))
			continue;
		obj = GET(p, tarn_alloc(p->pool, sizes[i]));
		if (obj)
			DO(p, tarn_free(p->pool, obj));
	}
	obj = GET(p, tarn_zalloc(p->pool, 64));
	if (!obj)
		return;
	ref = tarn_ref_of(p->pool, obj);
	if (DO(p, tarn_detach(p->pool, ref)) &&
	    DO(p, tarn_root_set(p->pool, "root", ref)) &&
	    DO(p, tarn_root_set(p->pool, "root", TARN_REF_NONE)))
		DO(p, tarn_free(p->pool, obj));
}

static void caches(const struct pass *p)
{
	struct tarn_cache *cache;
	void *obj;

	if (!DO(p, tarn_cache_open(p->pool, "cache", 72, 8, &cache)))
		return;
	obj = GET(p, tarn_cache_alloc(cache));
	if (obj)
		DO(p, tarn_cache_free(cache, obj));
	tarn_cache_close(cache);
}

static void looks(const struct pass *p)
{
	struct tarn_audit audit = { .sz = sizeof(audit) };
	struct tarn_stats stats = { .sz = sizeof(stats) };
	struct tarn_pool_info *list, info;
	uint64_t bytes;

	if (DO(p, tarn_stats(p->pool, &stats)))
		tarn_stats_free(&stats);
	DO(p, tarn_trim(p->pool, &bytes));
	if (DO(p, tarn_pool_list(p->t, &list)))
		free(list);
	DO(p, tarn_pool_stat(p->t, "f", &info));
	if (DO(p, tarn_audit(p->t, "f", 0, &audit)) &&
	    audit.finding.sentence[0])
		complain(audit.finding.text, 0);
}

/* As if tarnd had gone: libtarn notices at its next call. */
static void cut_connections(void)
{
	struct stat st;

	for (int fd = 3; fd < FDS_MAX; fd++)
		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			shutdown(fd, SHUT_RDWR);
}

/* The child is a client of its own; it leaves like any process. */
static void fork_and_go_on(const struct pass *p)
{
	int64_t live = table.page->live;
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return complain("fork", -errno);
	if (pid == 0) {
		alarm(RUN_SECONDS);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		objects(p);
		tarn_pool_close(p->pool);
		tarn_disconnect(p->t);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	table.page->live = live; /* its allocations are none of ours */
	if (status)
		complain("a forked child crashes", -EFAULT);
}

static void *in_thread(void *arg)
{
	objects(arg);
	return NULL;
}

/* Its end takes part, too: the lane goes back. */
static void thread(struct pass *p)
{
	pthread_t id;

	if (DO(p, -pthread_create(&id, NULL, in_thread, p)))
		pthread_join(id, NULL);
}

static void with_pool(struct pass *p)
{
	struct tarn_pool *again;

	if (!DO(p, tarn_pool_open(p->t, "f", TARN_PRODUCER, &p->pool)))
		return;
	objects(p);
	caches(p);
	looks(p);
	thread(p);
	cut_connections();
	DO(p, tarn_ping(p->t));
	if (DO(p, tarn_pool_open(p->t, "f", TARN_CONSUMER, &again)))
		tarn_pool_close(again);
	objects(p);
	tarn_pool_close(p->pool);
}

static void child_of_pool(struct pass *p)
{
	if (!DO(p, tarn_pool_open(p->t, "f", TARN_PRODUCER, &p->pool)))
		return;
	objects(p);
	fork_and_go_on(p);
	tarn_pool_close(p->pool);
}

static bool daemon_settles(void)
{
	int64_t end = tn_test_now_ms() + TN_TEST_PATIENCE_MS;

	while (tn_test_fd_count(d.pid) > daemon_fds) {
		if (tn_test_now_ms() > end)
			return false;
		usleep(200);
	}
	return true;
}

static void go_through(bool must)
{
	struct pass p = { .must = must };

	/* the limits have no room for what tarnd has not noticed yet */
	if (must && !daemon_settles())
		complain("tarnd keeps descriptors", -EMFILE);
	if (!DO(&p, tarn_connect(d.socket, &p.t)))
		return;
	DO(&p, tarn_pool_create(p.t, "f", TARN_POOL_OPTS(.bytes = 2 << 20)));
	with_pool(&p);
	child_of_pool(&p);
	DO(&p, tarn_pool_destroy(p.t, "f"));
	tarn_disconnect(p.t);
}

/* It is there if the reply to CREATE or DESTROY was lost. */
static void remove_pool(void)
{
	struct tarn *t;

	tn_test_eventually(tarn_connect(d.socket, &t) == 0);
	tarn_pool_destroy(t, "f");
	tarn_disconnect(t);
}

static int under_test(void *arg)
{
	alarm(RUN_SECONDS);
	if (arg)
		tn_fault_arm(&table, arg);
	go_through(!arg);
	tn_fault_disarm(&table);
	if (report->wrong[0])
		return 1;
	remove_pool();
	go_through(true);
	go_through(true);
	report->fds = tn_test_fd_count(0);
	report->live = table.page->live;
	return 0;
}

/* A descriptor of which the kernel does not say what it is may be another's
 * by now, so it stays. (The kernel does, of an open memfd.) */
static bool has_left_something(const struct tn_fault *f)
{
	return report->live > reference.live ||
	       (report->fds != reference.fds && f->kind != TN_FAULT_fstat);
}

static const char *judge(const struct tn_fault *f, int status,
			 struct tn_fault_row *row)
{
	if (status == 128 + SIGALRM) {
		row->hangs++;
		return "it hangs";
	}
	if (status > 128) {
		row->crashes++;
		return "it crashes";
	}
	if (status || report->wrong[0]) {
		row->refused++;
		return report->wrong;
	}
	if (has_left_something(f)) {
		row->leaks++;
		return "something is left";
	}
	if (!daemon_settles()) {
		row->leaks++;
		return "something is left in tarnd";
	}
	return NULL;
}

static int test(const struct tn_fault *f)
{
	alarm(TN_TEST_SECONDS);
	memset(report, 0, sizeof(*report));
	table.page->live = 0;
	return tn_test_wait(tn_test_spawn(under_test, (void *)f));
}

static bool run(struct tn_fault_table *t, const struct tn_fault *f,
		struct tn_fault_row *row)
{
	const char *wrong;

	/* who is gone is gone for one connection. From all of them, the
	 * library would wait five seconds to hear why */
	if (f->for_ever && f->kind == TN_FAULT_sendmsg &&
	    (f->error == EPIPE || f->error == ECONNRESET))
		return false;
	wrong = judge(f, test(f), row);
	if (wrong) {
		tn_fault_say(t, f, wrong);
		print_error("descriptors %d, %d without; allocations %lld, "
			    "%lld without\n", report->fds, reference.fds,
			    (long long)report->live,
			    (long long)reference.live);
		remove_pool();
		daemon_settles();
	}
	return tn_fault_disarm(t);
}

static void every_call_of_the_library_may_fail(void **state)
{
	(void)state;
	tn_fault_skip_unless_possible();
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, args);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(report != MAP_FAILED);
	daemon_fds = tn_test_fd_count(d.pid);
	if (test(NULL))
		fail_msg("without any failure: %s", report->wrong);
	reference = *report;
	tn_fault_all(&table, run);
	assert_int_equal(tn_fault_print(&table, "libtarn"), 0);
	munmap(report, sizeof(*report));
	tn_test_daemon_stop(&d);
}

/* The page is found when the program begins. So it begins anew. */
static int begin_anew(char *argv[])
{
	char path[4096], dir[128];

	tn_test_mkdtemp(dir, sizeof(dir));
	tn_fault_init(&table, dir);
	setenv("LD_PRELOAD", tn_fault_library(path, sizeof(path)), 1);
	setenv(TN_FAULT_ENV, table.path, 1);
	setenv("TARN_FAULT_DIR", dir, 1);
	execv("/proc/self/exe", argv);
	return 1;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		TN_TEST(every_call_of_the_library_may_fail),
	};
	const char *dir = getenv("TARN_FAULT_DIR");
	int r;

	(void)argc;
	if (!dir && TN_FAULT_POSSIBLE)
		return begin_anew(argv);
	/* not for tarnd */
	unsetenv("LD_PRELOAD");
	unsetenv(TN_FAULT_ENV);
	if (dir)
		tn_fault_init(&table, dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	if (dir)
		tn_test_rmtree(dir);
	return r;
}
