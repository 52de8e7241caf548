/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what examples/producer sends, until its last letter. */
#include "examples/mailbox.h"

static struct letter *receive(struct tarn_pool *pool, struct mailbox *box)
{
	uint64_t n = box->n_read;
	tarn_ref ref;

	while (!(ref = tarn_claim(pool, &box->cell[n % MAIL_CELLS]))) {
		if (n < box->n_sent)
			n++; /* a consumer died with this one in its hands */
		else
			usleep(1000); /* empty */
	}
	box->n_read = n + 1;
	return tarn_ptr(pool, ref);
}

int main(void)
{
	struct tarn_pool *pool = mail_open();
	struct letter *letter;
	tarn_ref root;
	size_t n_bytes;

	while (!(root = tarn_root_get(pool, MAIL_ROOT)))
		usleep(1000); /* the producer makes it */
	do {
		letter = receive(pool, tarn_ptr(pool, root));
		n_bytes = letter->n_bytes;
		fwrite(letter->text, 1, n_bytes, stdout);
		fflush(stdout);
		tarn_free(pool, letter); /* the producer allocated it */
	} while (n_bytes > 0);
	tarn_pool_close(pool);
	return 0;
}
