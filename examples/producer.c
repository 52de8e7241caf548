/* SPDX-License-Identifier: BSD-2-Clause */
/* Sends each line of its input to examples/consumer, without copying it. */
#include "examples/mailbox.h"

static struct mailbox *box_make(struct tarn_pool *pool)
{
	struct mailbox *box;
	tarn_ref ref = tarn_root_get(pool, MAIL_ROOT);

	if (ref)
		return tarn_ptr(pool, ref);
	box = tarn_zalloc(pool, sizeof(*box));
	if (!box)
		mail_die("mailbox", -errno);
	ref = tarn_ref_of(pool, box);
	/* First the pool's, then known: nobody finds a box that may vanish. */
	tarn_detach(pool, ref);
	tarn_root_set(pool, MAIL_ROOT, ref);
	return box;
}

static void send(struct tarn_pool *pool, struct mailbox *box,
		 const char *text, size_t n_bytes)
{
	struct letter *letter = tarn_alloc(pool, sizeof(*letter) + n_bytes);
	uint64_t n = box->n_sent;
	int r;

	if (!letter)
		mail_die("letter", -errno);
	letter->n_bytes = n_bytes;
	memcpy(letter->text, text, n_bytes);
	while ((r = tarn_publish(pool, &box->cell[n % MAIL_CELLS],
				 tarn_ref_of(pool, letter))) == -EBUSY) {
		if (n - box->n_read < MAIL_CELLS)
			n++; /* of a producer that died before it counted */
		else
			usleep(1000); /* full */
	}
	if (r < 0)
		mail_die("publish", r);
	box->n_sent = n + 1;
}

int main(void)
{
	struct tarn_pool *pool = mail_open();
	struct mailbox *box = box_make(pool);
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0)
		send(pool, box, line, (size_t)n);
	send(pool, box, "", 0);
	free(line);
	tarn_pool_close(pool);
	return 0;
}
