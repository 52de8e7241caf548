/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

#define ERRORS_MAX 8
#define LOOKS 3 /* picked: some calls are made in time in one run of two */

static const struct {
	const char *name;
	int errors[ERRORS_MAX]; /* 0 at the end */
} kinds[TN_FAULT_N_KINDS] = {
#define KIND(name, ...) [TN_FAULT_##name] = { #name, { __VA_ARGS__, 0 } },
	TN_FAULT_KINDS(KIND)
#undef KIND
};

void tn_fault_init(struct tn_fault_table *t, const char *dir)
{
	int fd;

	memset(t, 0, sizeof(*t));
	snprintf(t->path, sizeof(t->path), "%s/fault", dir);
	fd = open(t->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(*t->page)), 0);
	t->page = mmap(NULL, sizeof(*t->page), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);
	assert_true(t->page != MAP_FAILED);
	close(fd);
	personality(ADDR_NO_RANDOMIZE);
}

void tn_fault_fini(struct tn_fault_table *t)
{
	munmap(t->page, sizeof(*t->page));
	unlink(t->path);
}

void tn_fault_manager(struct tn_fault_table *t, struct tn_manager *m,
		      const char *env)
{
	char path[4096];

	tn_manager_init(m, TN_STORED_MAX);
	close(m->listen_fd);
	m->listen_fd = -1;
	unlink(m->d.socket);
	tn_fault_init(t, m->d.dir);
	snprintf(t->notify, sizeof(t->notify), "NOTIFY_SOCKET=%s", m->notify);
	snprintf(t->preload, sizeof(t->preload), "LD_PRELOAD=%s",
		 tn_fault_library(path, sizeof(path)));
	snprintf(t->found_by, sizeof(t->found_by), TN_FAULT_ENV "=%s", t->path);
	t->env[0] = t->notify;
	t->env[1] = t->preload;
	t->env[2] = t->found_by;
	t->env[3] = env;
	m->d.env = t->env;
	tn_manager_run(m);
}

void tn_fault_forget(struct tn_manager *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->n_stored)
		tn_manager_drop(m, &m->stored[m->n_stored - 1]);
	pthread_mutex_unlock(&m->lock);
}

const char *tn_fault_library(char *buf, size_t bytes)
{
	return tn_test_program("tests/fault/inject.so", buf, bytes);
}

void tn_fault_arm(struct tn_fault_table *t, const struct tn_fault *f)
{
	struct tn_fault_page *page = t->page;

	for (unsigned i = 0; i < TN_FAULT_N_KINDS; i++)
		page->n[i] = 0;
	page->n_failed = 0;
	page->failed_site = 0;
	page->kind = f->kind;
	page->at = f->at;
	page->for_ever = f->for_ever;
	page->error = f->error;
	page->armed = true;
}

bool tn_fault_disarm(struct tn_fault_table *t)
{
	t->page->armed = false;
	for (unsigned i = 0; i < TN_FAULT_N_KINDS; i++)
		if (!t->page->for_ever && t->rows[i].n < t->page->n[i])
			t->rows[i].n = t->page->n[i];
	return t->page->n_failed;
}

static bool passes(int error)
{
	return error == EINTR || error == EAGAIN;
}

static unsigned n_errors(enum tn_fault_kind kind)
{
	unsigned n = 0;

	while (n < ERRORS_MAX && kinds[kind].errors[n])
		n++;
	return n;
}

/* The Nth call of the kind fails. Return: did any? */
static bool nth(struct tn_fault_table *t, tn_fault_run *run,
		enum tn_fault_kind kind, uint64_t at, bool full)
{
	struct tn_fault_row *row = &t->rows[kind];
	unsigned n = n_errors(kind);
	bool any = false;

	for (unsigned i = 0; i < (full ? n : 1); i++) {
		struct tn_fault f = {
			.kind = kind, .at = at,
			.error = kinds[kind].errors[full ? i : at % n],
		};
		bool failed = run(t, &f, row);

		row->once += failed;
		any = any || failed;
		if (!failed || passes(f.error) || (!full && at % 2 == 0))
			continue;
		f.for_ever = true;
		row->for_ever += run(t, &f, row);
	}
	return any;
}

/* Is there an Nth? One run need not make it: what another thread is to do may
 * still be to be done when the run is over. */
static bool any_nth(struct tn_fault_table *t, tn_fault_run *run,
		    enum tn_fault_kind kind, uint64_t at, bool full)
{
	for (int i = 0; i < (full ? LOOKS : 1); i++)
		if (nth(t, run, kind, at, full))
			return true;
	return false;
}

void tn_fault_all(struct tn_fault_table *t, tn_fault_run *run)
{
	bool full = getenv("TARN_FAULT_FULL");
	const char *only = getenv("TARN_FAULT_KIND");
	const char *first = getenv("TARN_FAULT_AT");
	uint64_t at;

	for (unsigned kind = 0; kind < TN_FAULT_N_KINDS; kind++) {
		if (only && strcmp(only, kinds[kind].name))
			continue;
		at = first ? strtoull(first, NULL, 10) : 1;
		while (any_nth(t, run, kind, at, full))
			at += full || at < 2 ? 1 : at / 2;
	}
}

void tn_fault_say(const struct tn_fault_table *t, const struct tn_fault *f,
		  const char *what)
{
	print_error("%s: %s number %llu fails%s with %s, called at %p\n", what,
		    kinds[f->kind].name, (unsigned long long)f->at,
		    f->for_ever ? " for ever" : "",
		    f->error == TN_FAULT_CTRUNC ? "cut descriptors"
						: strerror(f->error),
		    (void *)t->page->failed_site);
}

static unsigned n_sites(const struct tn_fault_table *t, unsigned kind)
{
	unsigned n = 0;

	while (n < TN_FAULT_SITES_MAX && t->page->sites[kind][n])
		n++;
	return n;
}

unsigned tn_fault_print(const struct tn_fault_table *t, const char *title)
{
	struct tn_fault_row sum = { 0 };
	unsigned sites = 0;

	printf("# %s\n# %-20s %5s %5s %6s %8s %7s %5s %5s %7s\n", title, "call",
	       "sites", "N", "once", "for ever", "crashes", "hangs", "leaks",
	       "refused");
	for (unsigned i = 0; i < TN_FAULT_N_KINDS; i++) {
		const struct tn_fault_row *r = &t->rows[i];

		if (!r->n)
			continue;
		printf("# %-20s %5u %5llu %6u %8u %7u %5u %5u %7u\n",
		       kinds[i].name, n_sites(t, i), (unsigned long long)r->n,
		       r->once, r->for_ever, r->crashes, r->hangs, r->leaks,
		       r->refused);
		sites += n_sites(t, i);
		sum.n += r->n;
		sum.once += r->once;
		sum.for_ever += r->for_ever;
		sum.crashes += r->crashes;
		sum.hangs += r->hangs;
		sum.leaks += r->leaks;
		sum.refused += r->refused;
	}
	printf("# %-20s %5u %5llu %6u %8u %7u %5u %5u %7u\n", "all", sites,
	       (unsigned long long)sum.n, sum.once, sum.for_ever, sum.crashes,
	       sum.hangs, sum.leaks, sum.refused);
	return sum.crashes + sum.hangs + sum.leaks + sum.refused;
}
