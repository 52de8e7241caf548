/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static const size_t body_bytes[TN_MSG_N_OPS] = {
	[TN_MSG_HELLO] = sizeof(struct tn_hello),
	[TN_MSG_CREATE] = sizeof(struct tn_create),
	[TN_MSG_DESTROY] = sizeof(struct tn_by_name),
	[TN_MSG_STAT] = sizeof(struct tn_by_name),
	[TN_MSG_LIST] = sizeof(struct tn_by_name),
	[TN_MSG_OPEN] = sizeof(struct tn_open),
	[TN_MSG_LEAVE] = sizeof(struct tn_leave),
	[TN_MSG_CONTROLS] = sizeof(struct tn_controls),
	[TN_MSG_REVOKE] = sizeof(struct tn_by_name),
	[TN_MSG_COMPACT] = sizeof(struct tn_compact_request),
	[TN_MSG_MOVE] = sizeof(struct tn_move_request),
};

static int has_name(uint16_t op)
{
	return op == TN_MSG_CREATE || op == TN_MSG_DESTROY ||
	       op == TN_MSG_STAT || op == TN_MSG_LIST || op == TN_MSG_OPEN ||
	       op == TN_MSG_CONTROLS || op == TN_MSG_REVOKE ||
	       op == TN_MSG_COMPACT;
}

/* A well-formed request of each op. */
static void make(struct tn_packet *p, uint16_t op)
{
	uint8_t body[128] = { 0 };

	if (has_name(op))
		memcpy(body, "a.b_c-1", 7);
	tn_raw_request(p, op, 1, body, body_bytes[op]);
}

static int check(const struct tn_packet *p)
{
	/* a copy at an odd address, no longer than the packet */
	uint8_t *exact = malloc(p->bytes + 1);
	int r;

	assert_non_null(exact);
	memcpy(exact + 1, p->data, p->bytes);
	r = tn_wire_check_request(exact + 1, p->bytes);
	free(exact);
	return r;
}

static void put32(struct tn_packet *p, size_t off, uint32_t v)
{
	memcpy(p->data + off, &v, sizeof(v));
}

static void each_well_formed_request_passes(void **state)
{
	struct tn_packet p;

	(void)state;
	for (uint16_t op = 1; op < TN_MSG_N_OPS; op++) {
		make(&p, op);
		assert_int_equal(check(&p), 0);
	}
}

static void what_has_no_header_is_no_message(void **state)
{
	struct tn_packet p;

	(void)state;
	make(&p, TN_MSG_PING);
	for (p.bytes = 0; p.bytes < sizeof(struct tn_msg); p.bytes++)
		assert_int_equal(check(&p), -EBADMSG);
	make(&p, TN_MSG_PING);
	p.data[0] ^= 1;
	assert_int_equal(check(&p), -EBADMSG);
	assert_int_equal(tn_wire_check_request(p.data, TN_MSG_MAX + 1),
			 -EBADMSG);
}

static void a_length_that_is_not_the_packets_is_refused(void **state)
{
	static const uint32_t wrong[] = {
		0, 1, 23, 25, 4096, 4097, 0x7fffffff, 0x80000000, 0xffffffff,
	};
	struct tn_packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		make(&p, TN_MSG_PING);
		put32(&p, 8, wrong[i]);
		assert_int_equal(check(&p), -EPROTO);
	}
}

static void a_body_of_another_length_is_refused(void **state)
{
	struct tn_packet p;
	uint32_t bytes;

	(void)state;
	for (uint16_t op = 1; op < TN_MSG_N_OPS; op++) {
		for (bytes = sizeof(struct tn_msg); bytes <= TN_MSG_MAX;
		     bytes++) {
			make(&p, op);
			if (bytes == p.bytes)
				continue;
			p.bytes = bytes;
			put32(&p, 8, bytes);
			assert_int_equal(check(&p), -EPROTO);
		}
	}
}

static void what_a_request_leaves_zero_must_be_zero(void **state)
{
	struct tn_packet p;

	(void)state;
	for (size_t off = 6; off < 24; off++) {
		if (off >= 8 && off < 16)
			continue; /* bytes, id */
		make(&p, TN_MSG_PING);
		p.data[off] = 1;
		assert_int_equal(check(&p), -EPROTO);
	}
}

static void reserved_fields_must_be_zero(void **state)
{
	static const struct { uint16_t op; size_t off, n; } reserved[] = {
		{ TN_MSG_HELLO, 8, 16 }, /* no session is named */
		{ TN_MSG_CREATE, 71, 1 },
		{ TN_MSG_OPEN, 44, 4 },
		{ TN_MSG_LEAVE, 4, 4 },
		{ TN_MSG_CONTROLS, 44, 4 },
	};
	struct tn_packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
		for (size_t b = 0; b < reserved[i].n; b++) {
			make(&p, reserved[i].op);
			p.data[sizeof(struct tn_msg) + reserved[i].off + b] = 1;
			assert_int_equal(check(&p), -EPROTO);
		}
	}
}

static void unknown_ways_to_move_are_refused(void **state)
{
	struct tn_move_request move = { .flags = 0 };
	struct tn_packet p;

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		move.flags = 1U << i;
		tn_raw_request(&p, TN_MSG_MOVE, 1, &move, sizeof(move));
		assert_int_equal(check(&p), move.flags & TN_MOVE_FLAGS_KNOWN ?
				 0 : -EPROTO);
	}
}

static void unknown_ops_are_not_implemented(void **state)
{
	struct tn_packet p;

	(void)state;
	for (uint32_t op = 0; op <= 0xffff; op++) {
		if (op && op < TN_MSG_N_OPS)
			continue;
		tn_raw_request(&p, (uint16_t)op, 1, NULL, 0);
		assert_int_equal(tn_wire_check_request(p.data, p.bytes),
				 -ENOSYS);
	}
}

static void versions_must_be_a_range(void **state)
{
	struct tn_hello hello = { .min_version = 2, .max_version = 1 };
	struct tn_packet p;

	(void)state;
	tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	assert_int_equal(check(&p), -EPROTO);
}

static void a_secret_comes_with_a_session(void **state)
{
	struct tn_hello hello = { .features = TN_FEATURE_SESSION };
	struct tn_packet p;

	(void)state;
	for (int i = 0; i < 8; i++) {
		hello.session = i & 1;
		hello.known = (uint32_t)(i & 2);
		hello.secret = (uint64_t)(i & 4);
		tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
		assert_int_equal(check(&p), i & 1 || !i ? 0 : -EPROTO);
	}
	hello.session = 1;
	hello.features = 0;
	tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	assert_int_equal(check(&p), -EPROTO);
}

static void names_are_of_permitted_characters_only(void **state)
{
	char name[TN_NAME_BYTES] = { 0 };

	(void)state;
	assert_false(tn_name_ok(name));
	for (int c = 1; c < 256; c++) {
		int ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			 (c >= '0' && c <= '9') || c == '_' || c == '-' ||
			 c == '.';

		memset(name, 0, sizeof(name));
		name[0] = 'x';
		name[1] = (char)c;
		assert_int_equal(tn_name_ok(name), ok);
		name[0] = (char)c;
		name[1] = 0;
		assert_int_equal(tn_name_ok(name), ok && c != '.');
	}
}

static void names_are_terminated_and_padded_with_zero(void **state)
{
	char name[TN_NAME_BYTES];

	(void)state;
	memset(name, 'n', sizeof(name));
	assert_false(tn_name_ok(name));
	name[TN_NAME_BYTES - 1] = 0;
	assert_true(tn_name_ok(name));
	name[5] = 0;
	assert_false(tn_name_ok(name));
	memset(name + 5, 0, sizeof(name) - 5);
	assert_true(tn_name_ok(name));
}

static void only_a_list_may_have_no_name(void **state)
{
	static const struct tn_by_name none;
	struct tn_packet p;

	(void)state;
	tn_raw_request(&p, TN_MSG_LIST, 1, &none, sizeof(none));
	assert_int_equal(check(&p), 0);
	tn_raw_request(&p, TN_MSG_STAT, 1, &none, sizeof(none));
	assert_int_equal(check(&p), -EPROTO);
	tn_raw_request(&p, TN_MSG_DESTROY, 1, &none, sizeof(none));
	assert_int_equal(check(&p), -EPROTO);
}

static int check_reply(uint16_t op, int32_t status, uint32_t n_fds,
		       const void *body, size_t bytes)
{
	struct tn_packet p;

	tn_raw_request(&p, op, 5, body, bytes);
	memcpy(p.data + 16, &status, sizeof(status));
	put32(&p, 20, n_fds);
	return tn_wire_check_reply(p.data, p.bytes, op, 5, n_fds);
}

static void a_reply_answers_its_request(void **state)
{
	struct tn_open_reply reply = { 0 };
	struct tn_packet p;

	(void)state;
	assert_int_equal(check_reply(TN_MSG_PING, 0, 0, NULL, 0), 0);
	assert_int_equal(check_reply(TN_MSG_OPEN, 0, 3, &reply, sizeof(reply)),
			 0);
	assert_int_equal(check_reply(TN_MSG_OPEN, -ENOENT, 0, NULL, 0), 0);
	tn_raw_request(&p, TN_MSG_PING, 5, NULL, 0);
	assert_int_equal(tn_wire_check_reply(p.data, p.bytes, TN_MSG_PING,
					     6, 0), -EBADMSG);
	assert_int_equal(tn_wire_check_reply(p.data, p.bytes, TN_MSG_STAT,
					     5, 0), -EBADMSG);
	assert_int_equal(tn_wire_check_reply(p.data, p.bytes, TN_MSG_PING,
					     5, 1), -EBADMSG);
}

static void only_a_new_session_brings_its_live_file(void **state)
{
	struct tn_hello_reply reply = { .version = 1 };

	(void)state;
	for (uint32_t features = 0; features < 2; features++) {
		for (uint32_t flags = 0; flags < 2; flags++) {
			unsigned n_fds = features && !flags;

			reply.features = features;
			reply.flags = flags;
			for (unsigned n = 0; n < 3; n++)
				assert_int_equal(check_reply(
					TN_MSG_HELLO, 0, n, &reply,
					sizeof(reply)),
					n == n_fds ? 0 : -EBADMSG);
		}
	}
}

static void a_reply_of_another_shape_is_refused(void **state)
{
	struct tn_open_reply reply = { 0 };

	(void)state;
	assert_int_equal(check_reply(TN_MSG_PING, 1, 0, NULL, 0), -EBADMSG);
	assert_int_equal(check_reply(TN_MSG_PING, 0, 0, &reply, 8), -EBADMSG);
	assert_int_equal(check_reply(TN_MSG_OPEN, 0, 2, &reply, sizeof(reply)),
			 -EBADMSG);
	assert_int_equal(check_reply(TN_MSG_OPEN, -ENOENT, 3, NULL, 0),
			 -EBADMSG);
	assert_int_equal(check_reply(TN_MSG_OPEN, -ENOENT, 0, &reply,
				     sizeof(reply)), -EBADMSG);
}

static void a_list_has_as_many_entries_as_it_says(void **state)
{
	uint8_t body[sizeof(struct tn_list_reply) + 2 * sizeof(struct tn_info)];
	struct tn_list_reply list = { .n = 2 };
	struct tn_info info = { .name = "p" };

	(void)state;
	memcpy(body + sizeof(list), &info, sizeof(info));
	memcpy(body + sizeof(list) + sizeof(info), &info, sizeof(info));
	for (list.n = 0; list.n < 4; list.n++) {
		memcpy(body, &list, sizeof(list));
		assert_int_equal(check_reply(TN_MSG_LIST, 0, 0, body,
					     sizeof(body)),
				 list.n == 2 ? 0 : -EBADMSG);
	}
	list.n = 0xffffffff;
	memcpy(body, &list, sizeof(list));
	assert_int_equal(check_reply(TN_MSG_LIST, 0, 0, body, sizeof(body)),
			 -EBADMSG);
	list.n = 2;
	memcpy(body, &list, sizeof(list));
	body[sizeof(list)] = '/';
	assert_int_equal(check_reply(TN_MSG_LIST, 0, 0, body, sizeof(body)),
			 -EBADMSG);
}

static void random_bytes_are_never_read_beyond_their_end(void **state)
{
	struct tn_packet p;

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		make(&p, (uint16_t)(1 + rand() % (TN_MSG_N_OPS - 1)));
		for (int k = rand() % 4; k > 0; k--)
			p.data[rand() % p.bytes] = (uint8_t)rand();
		p.bytes = (size_t)rand() % (p.bytes + 8);
		check(&p); /* ASan is the judge */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(each_well_formed_request_passes),
		TN_TEST(what_has_no_header_is_no_message),
		TN_TEST(a_length_that_is_not_the_packets_is_refused),
		TN_TEST(a_body_of_another_length_is_refused),
		TN_TEST(what_a_request_leaves_zero_must_be_zero),
		TN_TEST(reserved_fields_must_be_zero),
		TN_TEST(unknown_ops_are_not_implemented),
		TN_TEST(unknown_ways_to_move_are_refused),
		TN_TEST(versions_must_be_a_range),
		TN_TEST(a_secret_comes_with_a_session),
		TN_TEST(names_are_of_permitted_characters_only),
		TN_TEST(names_are_terminated_and_padded_with_zero),
		TN_TEST(only_a_list_may_have_no_name),
		TN_TEST(a_reply_answers_its_request),
		TN_TEST(only_a_new_session_brings_its_live_file),
		TN_TEST(a_reply_of_another_shape_is_refused),
		TN_TEST(a_list_has_as_many_entries_as_it_says),
		TN_TEST(random_bytes_are_never_read_beyond_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
