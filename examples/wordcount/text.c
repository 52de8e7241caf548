/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files, and their pieces. A piece names file, offset and length, so that
 * its bytes can be read a second time when they were lost with a worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/wordcount/wordcount.h"

void text_init(struct text *text, unsigned n_repeat)
{
	*text = (struct text){ .n_repeat = n_repeat, .fd = -1 };
}

void text_fini(struct text *text)
{
	for (size_t i = 0; i < text->n_files; i++)
		free(text->file[i].path);
	free(text->file);
	if (text->fd >= 0)
		close(text->fd);
}

/* As grep does: what has a NUL near its beginning is no text. */
static bool looks_like_text(const char *path)
{
	char head[512];
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, head, sizeof(head));
	close(fd);
	return n > 0 && !memchr(head, 0, (size_t)n);
}

static void add_file(struct text *text, const char *path, off_t n_bytes)
{
	if (n_bytes == 0)
		return;
	if (text->n_files == text->cap_files) {
		text->cap_files = text->cap_files ? text->cap_files * 2 : 64;
		text->file = reallocarray(text->file, text->cap_files,
					  sizeof(*text->file));
		if (!text->file)
			wc_die("list of files", -ENOMEM);
	}
	text->file[text->n_files].path = strdup(path);
	if (!text->file[text->n_files].path)
		wc_die("list of files", -ENOMEM);
	text->file[text->n_files++].n_bytes = n_bytes;
	text->n_bytes += (uint64_t)n_bytes;
}

void text_add(struct text *text, const char *path)
{
	char *roots[] = { (char *)path, NULL };
	FTSENT *e;
	FTS *fts;

	/* What the user named is followed if it is a link, and counted
	 * whatever it is; what lies below must be a file and text. */
	fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR,
		       NULL);
	if (!fts)
		wc_die(path, -errno);
	while ((e = fts_read(fts))) {
		if (e->fts_info == FTS_NS || e->fts_info == FTS_DNR ||
		    e->fts_info == FTS_ERR)
			wc_die(e->fts_path, -e->fts_errno);
		if (e->fts_info == FTS_F &&
		    (e->fts_level == 0 || looks_like_text(e->fts_path)))
			add_file(text, e->fts_path, e->fts_statp->st_size);
	}
	fts_close(fts);
}

static void open_file(struct text *text, size_t file)
{
	if (text->fd >= 0 && text->open_file == file)
		return;
	if (text->fd >= 0)
		close(text->fd);
	text->fd = open(text->file[file].path, O_RDONLY | O_CLOEXEC);
	if (text->fd < 0)
		wc_die(text->file[file].path, -errno);
	text->open_file = file;
}

/* The first place at or after @at where no word goes on. */
static off_t cut(struct text *text, off_t at, off_t size)
{
	char buf[256];

	while (at < size) {
		ssize_t n = pread(text->fd, buf, sizeof(buf), at);

		if (n < 0)
			wc_die("read", -errno);
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if (!is_letter(buf[i]))
				return at + i < size ? at + i : size;
		at += n;
	}
	return size;
}

bool text_next(struct text *text, struct piece *ret)
{
	off_t size, end;

	if (text->next_file == text->n_files) {
		text->next_file = 0;
		text->round++;
	}
	if (text->n_files == 0 || text->round >= text->n_repeat)
		return false;
	size = text->file[text->next_file].n_bytes;
	open_file(text, text->next_file);
	end = cut(text, text->next_at + WC_CHUNK_BYTES, size);
	*ret = (struct piece){
		.file = text->next_file,
		.at = text->next_at,
		.n_bytes = (size_t)(end - text->next_at),
	};
	text->next_at = end;
	if (end == size) {
		text->next_at = 0;
		text->next_file++;
	}
	return true;
}

void text_read(struct text *text, const struct piece *piece, void *dst)
{
	size_t done = 0;

	open_file(text, piece->file);
	while (done < piece->n_bytes) {
		ssize_t n = pread(text->fd, (char *)dst + done,
				  piece->n_bytes - done,
				  piece->at + (off_t)done);

		if (n < 0)
			wc_die(text->file[piece->file].path, -errno);
		if (n == 0)
			wc_die("a file became shorter while it was read", 0);
		done += (size_t)n;
	}
}
