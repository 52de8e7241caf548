/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_trace.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/tn_ops.h"

static struct tn_world *acting; /* of the child that learns what is written */

__attribute__((noreturn, format(printf, 2, 3)))
static void die(const struct tn_trace *s, const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	fprintf(stderr, "step of %s, %s, instruction %llu: ",
		s->op ? s->op->name : "nothing", s->op ? s->op->edge : "",
		(unsigned long long)s->n);
	vfprintf(stderr, what, ap);
	fprintf(stderr, " (errno %d)\n", errno);
	va_end(ap);
	abort();
}

const char *tn_trace_impossible(void)
{
	int status;
	pid_t pid;

	if (TN_SANITIZED)
		return "under a sanitizer most instructions are its own";
	pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			raise(SIGSTOP);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return "no process can be made";
	if (!WIFSTOPPED(status))
		return "ptrace is not allowed here";
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return NULL;
}

/* The child */

static void act(struct tn_world *w, const struct tn_deed *op)
{
	w->board->begun = 1;
	op->act(w, op);
	w->board->done = 1;
}

static void set_up(struct tn_trace *s)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!s->op->setup)
		return;
	s->world->dead = tn_heap_lane(&s->world->heap, TN_DEAD, 1);
	s->op->setup(s->world, s->op);
}

static void on_write(int sig, siginfo_t *info, void *context)
{
	uint8_t *p = (uint8_t *)((uintptr_t)info->si_addr &
				 ~(uintptr_t)(TN_PAGE_BYTES - 1));
	struct tn_board *b = acting->board;

	(void)sig;
	(void)context;
	if (b->n_written == TN_WATCH_MAX ||
	    mprotect(p, TN_PAGE_BYTES, PROT_READ | PROT_WRITE) < 0)
		_exit(1);
	b->written[b->n_written++] = (uintptr_t)p;
}

static void protect(void *p, uint64_t bytes)
{
	if (mprotect(p, bytes, PROT_READ) < 0)
		_exit(1);
}

__attribute__((noreturn)) static void learn(struct tn_trace *s)
{
	struct sigaction sa = {
		.sa_sigaction = on_write,
		.sa_flags = SA_SIGINFO,
	};
	struct tn_world *w = s->world;

	set_up(s);
	acting = w;
	sigaction(SIGSEGV, &sa, NULL);
	protect(w->heap.pool.meta, w->heap.pool.geo.meta_bytes);
	for (unsigned c = 0; c <= TN_HEAP_CLIENTS; c++)
		protect(w->heap.control[c], w->heap.pool.geo.control_bytes);
	act(w, s->op);
	_exit(0);
}

/* The parent */

static void renew(struct tn_trace *s)
{
	tn_world_copy(s->world, s->blank);
	s->world->board->begun = s->world->board->done = 0;
	s->world->board->n_written = 0;
	s->n = 0;
}

/* Both on one processor: no waking of another one at each step. */
static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

void tn_trace_init(struct tn_trace *s, struct tn_world *world,
		  const struct tn_world *blank, const struct tn_deed *op)
{
	int status;
	pid_t pid;

	*s = (struct tn_trace){ .world = world, .blank = blank, .op = op };
	stay_here();
	renew(s);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die(s, "fork");
	if (pid == 0)
		learn(s);
	if (waitpid(pid, &status, 0) != pid || status)
		die(s, "it failed unstepped, status %#x", status);
	s->n_pages = world->board->n_written;
	for (unsigned i = 0; i < s->n_pages; i++) {
		s->page[i] = (uint8_t *)(uintptr_t)world->board->written[i];
		if (!tn_world_copies(world, s->page[i]))
			die(s, "it writes where no copy is made of");
	}
	s->shadow = malloc(s->n_pages * TN_PAGE_BYTES + 1);
	if (!s->shadow)
		die(s, "malloc");
}

void tn_trace_fini(struct tn_trace *s)
{
	if (s->pid)
		tn_trace_kill(s);
	free(s->shadow);
}

static void wait_stopped(struct tn_trace *s)
{
	int status;

	if (waitpid(s->pid, &status, __WALL) != s->pid)
		die(s, "waitpid");
	if (!WIFSTOPPED(status))
		die(s, "it ended, status %#x", status);
	if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
		die(s, "signal %d", WSTOPSIG(status));
}

static void single_step(struct tn_trace *s)
{
	if (ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL) < 0)
		die(s, "PTRACE_SINGLESTEP");
	wait_stopped(s);
}

void tn_trace_begin(struct tn_trace *s)
{
	renew(s);
	fflush(NULL);
	s->pid = fork();
	if (s->pid < 0)
		die(s, "fork");
	if (s->pid == 0) {
		set_up(s);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			raise(SIGSTOP);
		act(s->world, s->op);
		_exit(0);
	}
	wait_stopped(s);
	while (!s->world->board->begun)
		single_step(s);
	for (unsigned i = 0; i < s->n_pages; i++)
		memcpy(s->shadow + i * TN_PAGE_BYTES, s->page[i],
		       TN_PAGE_BYTES);
	s->word = tn_world_word(s->world);
}

bool tn_trace_next(struct tn_trace *s)
{
	single_step(s);
	if (s->world->board->done)
		return false;
	if (++s->n > 50000000)
		die(s, "it comes to no end");
	return true;
}

bool tn_trace_changed(struct tn_trace *s)
{
	uint64_t word = tn_world_word(s->world);
	bool changed = word != s->word;

	s->word = word;
	for (unsigned i = 0; i < s->n_pages; i++) {
		uint8_t *was = s->shadow + i * TN_PAGE_BYTES;

		if (memcmp(was, s->page[i], TN_PAGE_BYTES) == 0)
			continue;
		memcpy(was, s->page[i], TN_PAGE_BYTES);
		changed = true;
	}
	return changed;
}

void tn_trace_kill(struct tn_trace *s)
{
	int status;

	kill(s->pid, SIGKILL);
	if (waitpid(s->pid, &status, __WALL) != s->pid ||
	    !WIFSIGNALED(status))
		die(s, "it would not be killed");
	s->pid = 0;
}

void tn_trace_finish(struct tn_trace *s)
{
	int status;

	if (ptrace(PTRACE_DETACH, s->pid, NULL, NULL) < 0)
		die(s, "PTRACE_DETACH");
	if (waitpid(s->pid, &status, 0) != s->pid || status)
		die(s, "it did not end well, status %#x", status);
	s->pid = 0;
}
