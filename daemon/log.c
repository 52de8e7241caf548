/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"

#define LINE_BYTES 1024

static bool debug_lines;
static bool to_journal;

/* systemd sets JOURNAL_STREAM to device:inode of the stderr it made; it is
 * inherited by children whose stderr may be another. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	       st.st_ino == ino;
}

void log_init(bool verbose)
{
	debug_lines = verbose;
	to_journal = stderr_is_journal();
}

struct fields {
	char text[6][LINE_BYTES];
	struct iovec iov[6];
	int n;
};

__attribute__((format(printf, 2, 3)))
static void add_field(struct fields *f, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(f->text[f->n], LINE_BYTES, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	f->iov[f->n].iov_base = f->text[f->n];
	f->iov[f->n].iov_len = n < LINE_BYTES ? (size_t)n : LINE_BYTES - 1;
	f->n++;
}

static void write_journal(int level, const struct log_about *about,
			  const char *text)
{
	struct fields f = { .n = 0 };

	add_field(&f, "MESSAGE=%s", text);
	add_field(&f, "PRIORITY=%d", level);
	if (about && about->pool)
		add_field(&f, "TARN_POOL=%s", about->pool);
	if (about && about->has_peer) {
		add_field(&f, "TARN_PEER_PID=%d", (int)about->pid);
		add_field(&f, "TARN_PEER_UID=%u", (unsigned)about->uid);
	}
	if (about && about->client)
		add_field(&f, "TARN_CLIENT=%" PRIu32, about->client);
	sd_journal_sendv(f.iov, f.n);
}

static void write_stderr(const struct log_about *about, const char *text)
{
	char pool[64] = "", peer[64] = "", line[LINE_BYTES + 160];
	int n;

	if (about && about->pool)
		snprintf(pool, sizeof(pool), "pool %s: ", about->pool);
	if (about && about->has_peer)
		snprintf(peer, sizeof(peer), "pid %d, uid %u: ",
			 (int)about->pid, (unsigned)about->uid);
	n = snprintf(line, sizeof(line), "tarnd: %s%s%s\n", pool, peer, text);
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody is left to tell */
}

static void log_text(int level, const struct log_about *about, const char *fmt,
		     va_list ap)
{
	char text[LINE_BYTES];
	int saved = errno;

	if (level == LOG_DEBUG && !debug_lines)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	if (to_journal)
		write_journal(level, about, text);
	else
		write_stderr(about, text);
	errno = saved;
}

void log_line(int level, const struct log_about *about, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(level, about, fmt, ap);
	va_end(ap);
}

void log_peer(const struct log_about *about, const char *fmt, ...)
{
	static struct { time_t second; unsigned said, left_out; } talk[61];
	typeof(&talk[0]) t = &talk[about->uid % TN_ARRAY_LEN(talk)];
	struct timespec now;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != t->second) {
		if (t->left_out)
			log_warning("%u lines about clients of uid %u left out",
				    t->left_out, (unsigned)about->uid);
		t->second = now.tv_sec;
		t->said = t->left_out = 0;
	}
	if (t->said++ >= LOG_PEER_PER_SECOND) {
		t->left_out++;
		return;
	}
	va_start(ap, fmt);
	log_text(LOG_NOTICE, about, fmt, ap);
	va_end(ap);
}
