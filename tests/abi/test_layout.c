/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other builds of tarn rely on: where each field of what is shared, sent
 * or passed in lies. tests/abi/layout.txt is the golden copy; a change of it
 * is a change of TN_LAYOUT_MAJOR, TN_WIRE_VERSION or the library's soname.
 */
#include "tests/lib/tn_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tarn/admin.h>
#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "proto/layout.h"
#include "proto/wire.h"

#define SIZE(type) fprintf(f, "struct %s %zu\n", #type, sizeof(struct type))
#define FIELD(type, field) \
	fprintf(f, "%5zu %5zu %s\n", offsetof(struct type, field), \
		sizeof(((struct type *)0)->field), #field)

static void print_pool(FILE *f)
{
	fprintf(f, "layout %d.%d\n", TN_LAYOUT_MAJOR, TN_LAYOUT_MINOR);
	SIZE(tn_header);
	FIELD(tn_header, magic);
	FIELD(tn_header, major);
	FIELD(tn_header, minor);
	FIELD(tn_header, kind);
	FIELD(tn_header, policy);
	FIELD(tn_header, flags);
	FIELD(tn_header, data_bytes);
	FIELD(tn_header, mark);
	FIELD(tn_header, poison);
	FIELD(tn_header, name);
	FIELD(tn_header, wanted);
	FIELD(tn_header, reserved);
	SIZE(tn_root);
	FIELD(tn_root, key);
	FIELD(tn_root, ref);
	FIELD(tn_root, name);
	SIZE(tn_cache_entry);
	FIELD(tn_cache_entry, key);
	FIELD(tn_cache_entry, shape);
	FIELD(tn_cache_entry, name);
	SIZE(tn_client);
	FIELD(tn_client, state);
	FIELD(tn_client, pid_uid);
	SIZE(tn_area);
	FIELD(tn_area, row);
	FIELD(tn_area, partial);
	FIELD(tn_area, born);
	SIZE(tn_page);
	FIELD(tn_page, word);
	FIELD(tn_page, slab);
	SIZE(tn_handle);
	FIELD(tn_handle, place);
	FIELD(tn_handle, ref);
}

static void print_control(FILE *f)
{
	SIZE(tn_control);
	FIELD(tn_control, magic);
	FIELD(tn_control, major);
	FIELD(tn_control, minor);
	FIELD(tn_control, client);
	FIELD(tn_control, data_bytes);
	FIELD(tn_control, mark);
	FIELD(tn_control, lanes);
	FIELD(tn_control, long_pins);
	SIZE(tn_lane);
	FIELD(tn_lane, state);
	FIELD(tn_lane, op);
	FIELD(tn_lane, progress);
	FIELD(tn_lane, ref);
	FIELD(tn_lane, word);
	FIELD(tn_lane, section);
	SIZE(tn_long_pin);
	FIELD(tn_long_pin, ref);
	FIELD(tn_long_pin, count);
	SIZE(tn_move);
	FIELD(tn_move, handle);
	FIELD(tn_move, from);
	FIELD(tn_move, to);
}

static void print_requests(FILE *f)
{
	fprintf(f, "wire %d\n", TN_WIRE_VERSION);
	SIZE(tn_msg);
	FIELD(tn_msg, magic);
	FIELD(tn_msg, op);
	FIELD(tn_msg, bytes);
	FIELD(tn_msg, id);
	FIELD(tn_msg, status);
	FIELD(tn_msg, n_fds);
	SIZE(tn_hello);
	FIELD(tn_hello, min_version);
	FIELD(tn_hello, max_version);
	FIELD(tn_hello, features);
	FIELD(tn_hello, session);
	FIELD(tn_hello, known);
	FIELD(tn_hello, secret);
	SIZE(tn_create);
	FIELD(tn_create, name);
	FIELD(tn_create, bytes);
	FIELD(tn_create, kind);
	FIELD(tn_create, policy);
	FIELD(tn_create, flags);
	FIELD(tn_create, mode);
	FIELD(tn_create, gid);
	SIZE(tn_by_name);
	FIELD(tn_by_name, name);
	SIZE(tn_open);
	FIELD(tn_open, name);
	FIELD(tn_open, role);
	SIZE(tn_leave);
	FIELD(tn_leave, attach);
	SIZE(tn_controls);
	FIELD(tn_controls, name);
	FIELD(tn_controls, after);
}

static void print_replies(FILE *f)
{
	SIZE(tn_hello_reply);
	FIELD(tn_hello_reply, version);
	FIELD(tn_hello_reply, layout_major);
	FIELD(tn_hello_reply, features);
	FIELD(tn_hello_reply, session);
	FIELD(tn_hello_reply, flags);
	FIELD(tn_hello_reply, secret);
	SIZE(tn_info);
	FIELD(tn_info, name);
	FIELD(tn_info, bytes);
	FIELD(tn_info, data_resident);
	FIELD(tn_info, meta_resident);
	FIELD(tn_info, kind);
	FIELD(tn_info, policy);
	FIELD(tn_info, flags);
	FIELD(tn_info, mode);
	FIELD(tn_info, uid);
	FIELD(tn_info, gid);
	FIELD(tn_info, n_clients);
	SIZE(tn_list_reply);
	FIELD(tn_list_reply, n);
	FIELD(tn_list_reply, more);
	fprintf(f, "%5zu     * info\n", offsetof(struct tn_list_reply, info));
	SIZE(tn_open_reply);
	FIELD(tn_open_reply, data_bytes);
	FIELD(tn_open_reply, meta_bytes);
	FIELD(tn_open_reply, control_bytes);
	FIELD(tn_open_reply, mark);
	FIELD(tn_open_reply, kind);
	FIELD(tn_open_reply, policy);
	FIELD(tn_open_reply, flags);
	FIELD(tn_open_reply, role);
	FIELD(tn_open_reply, client);
	FIELD(tn_open_reply, attach);
	SIZE(tn_controls_reply);
	FIELD(tn_controls_reply, client);
	FIELD(tn_controls_reply, state);
	FIELD(tn_controls_reply, control_bytes);
	FIELD(tn_controls_reply, more);
}

static void print_public(FILE *f)
{
	SIZE(tarn_pool_opts);
	FIELD(tarn_pool_opts, sz);
	FIELD(tarn_pool_opts, bytes);
	FIELD(tarn_pool_opts, kind);
	FIELD(tarn_pool_opts, policy);
	FIELD(tarn_pool_opts, flags);
	FIELD(tarn_pool_opts, mode);
	FIELD(tarn_pool_opts, gid);
	FIELD(tarn_pool_opts, compact_percent);
	FIELD(tarn_pool_opts, compact_start);
	FIELD(tarn_pool_opts, compact_stop);
	SIZE(tarn_pool_info);
	FIELD(tarn_pool_info, name);
	FIELD(tarn_pool_info, kind);
	FIELD(tarn_pool_info, policy);
	FIELD(tarn_pool_info, flags);
	FIELD(tarn_pool_info, uid);
	FIELD(tarn_pool_info, gid);
	FIELD(tarn_pool_info, mode);
	FIELD(tarn_pool_info, n_clients);
	FIELD(tarn_pool_info, bytes);
	FIELD(tarn_pool_info, data_resident);
	FIELD(tarn_pool_info, meta_resident);
	SIZE(tarn_class_stat);
	FIELD(tarn_class_stat, object_bytes);
	FIELD(tarn_class_stat, name);
	FIELD(tarn_class_stat, movable);
	FIELD(tarn_class_stat, slabs);
	FIELD(tarn_class_stat, slots);
	FIELD(tarn_class_stat, live);
	FIELD(tarn_class_stat, cached);
	SIZE(tarn_client_stat);
	FIELD(tarn_client_stat, id);
	FIELD(tarn_client_stat, pid);
	FIELD(tarn_client_stat, uid);
	FIELD(tarn_client_stat, objects);
	FIELD(tarn_client_stat, bytes);
	FIELD(tarn_client_stat, cached_bytes);
}

static void print_public_stats(FILE *f)
{
	SIZE(tarn_stats);
	FIELD(tarn_stats, sz);
	FIELD(tarn_stats, kind);
	FIELD(tarn_stats, policy);
	FIELD(tarn_stats, bytes);
	FIELD(tarn_stats, live_bytes);
	FIELD(tarn_stats, live_objects);
	FIELD(tarn_stats, run_bytes);
	FIELD(tarn_stats, cached_bytes);
	FIELD(tarn_stats, free_pages);
	FIELD(tarn_stats, largest_run);
	FIELD(tarn_stats, handles);
	FIELD(tarn_stats, movable_bytes);
	FIELD(tarn_stats, data_resident);
	FIELD(tarn_stats, meta_resident);
	FIELD(tarn_stats, n_classes);
	FIELD(tarn_stats, n_clients);
	FIELD(tarn_stats, classes);
	FIELD(tarn_stats, clients);
}

/* What it is now is written beside the build, to compare and to copy. */
static FILE *open_now(char *path, size_t bytes)
{
	const char *build = getenv("TARN_BUILD");

	snprintf(path, bytes, "%s/layout.txt", build ? build : "build");
	return fopen(path, "we+");
}

static void shared_structs_lie_as_the_golden_copy_says(void **state)
{
	char path[4096], now_line[128], golden_line[128];
	FILE *golden = fopen("tests/abi/layout.txt", "re");
	FILE *now = open_now(path, sizeof(path));
	char *n, *g;
	int line = 0;

	(void)state;
	assert_non_null(golden);
	assert_non_null(now);
	print_pool(now);
	print_control(now);
	print_requests(now);
	print_replies(now);
	print_public(now);
	print_public_stats(now);
	rewind(now);
	do {
		line++;
		n = fgets(now_line, sizeof(now_line), now);
		g = fgets(golden_line, sizeof(golden_line), golden);
		if (!n != !g || (n && strcmp(n, g) != 0))
			fail_msg("tests/abi/layout.txt:%d says\n%sbut it is\n%s"
				 "all of it: %s", line, g ? g : "(end)\n",
				 n ? n : "(end)\n", path);
	} while (n);
	fclose(now);
	fclose(golden);
}

/* The library passes these on as they are. */
static void public_numbers_are_those_of_the_shared_files(void **state)
{
	(void)state;
	assert_int_equal((int)TARN_KIND_SLAB, (int)TN_KIND_SLAB);
	assert_int_equal((int)TARN_KIND_BUDDY, (int)TN_KIND_BUDDY);
	assert_int_equal((int)TARN_FIRST_FIT, (int)TN_FIRST_FIT);
	assert_int_equal((int)TARN_BEST_FIT, (int)TN_BEST_FIT);
	assert_int_equal((int)TARN_WORST_FIT, (int)TN_WORST_FIT);
	assert_int_equal((int)TARN_PRODUCER, (int)TN_PRODUCER);
	assert_int_equal((int)TARN_CONSUMER, (int)TN_CONSUMER);
	assert_int_equal((int)TARN_OBSERVER, (int)TN_OBSERVER);
	assert_int_equal(TARN_POOL_ABORT_ON_MISUSE, TN_POOL_ABORT_ON_MISUSE);
	assert_int_equal(TARN_NAME_MAX + 1, TN_NAME_BYTES);
	assert_int_equal(TARN_POOL_MIN, TN_POOL_BYTES_MIN);
	assert_int_equal(TARN_POOL_MAX, TN_POOL_BYTES_MAX);
	assert_int_equal(TARN_PAGE, TN_PAGE_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(shared_structs_lie_as_the_golden_copy_says),
		TN_TEST(public_numbers_are_those_of_the_shared_files),
	};

	return cmocka_run_group_tests_name("abi: layout", tests, NULL, NULL);
}
