/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that is linked with libtarn.so and with nothing else of tarn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/stats.h>
#include <tarn/tarn.h>

static void *library(void)
{
	void *lib = dlopen("libtarn.so.0", RTLD_NOW | RTLD_NOLOAD);

	assert_non_null(lib);
	return lib;
}

static void every_golden_symbol_is_there_in_its_version(void **state)
{
	FILE *f = fopen("tests/abi/symbols.txt", "re");
	char name[128];
	void *lib = library();
	int n = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(name, sizeof(name), f)) {
		name[strcspn(name, "\n")] = '\0';
		if (!dlvsym(lib, name, "TARN_0.1"))
			fail_msg("%s is not in the library", name);
		n++;
	}
	assert_true(n > 30);
	fclose(f);
	dlclose(lib);
}

static void internal_names_are_not_exported(void **state)
{
	void *lib = library();

	(void)state;
	assert_null(dlsym(lib, "tn_geo_init"));
	assert_null(dlsym(lib, "tn_pool_attach"));
	assert_null(dlsym(lib, "tn_wire_check_request"));
	dlclose(lib);
}

/* Another copy of it: the one that we are linked with could not go anyway. */
static void the_library_stays_when_it_is_closed(void **state)
{
	const char *build = getenv("TARN_BUILD");
	char path[] = "/tmp/libtarn.XXXXXX", line[4096];
	int fd = mkstemp(path);
	void *lib;

	(void)state;
	assert_true(fd >= 0);
	snprintf(line, sizeof(line), "cp '%s/libtarn.so' %s",
		 build ? build : "build", path);
	assert_int_equal(system(line), 0);
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	assert_non_null(lib);
	assert_int_equal(dlclose(lib), 0);
	assert_non_null(dlopen(path, RTLD_NOW | RTLD_NOLOAD));
	unlink(path);
	close(fd);
}

static void a_missing_daemon_is_told_at_once(void **state)
{
	struct tarn *t = NULL;

	(void)state;
	assert_int_equal(tarn_connect("/nonexistent/tarn.sock", &t), -ENOENT);
	assert_null(t);
	tarn_disconnect(NULL);
	tarn_pool_close(NULL);
	tarn_cache_close(NULL);
}

static void freeing_zeroed_statistics_is_fine(void **state)
{
	struct tarn_stats s = { .sz = sizeof(s) };

	(void)state;
	tarn_stats_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_golden_symbol_is_there_in_its_version),
		cmocka_unit_test(internal_names_are_not_exported),
		cmocka_unit_test(the_library_stays_when_it_is_closed),
		cmocka_unit_test(a_missing_daemon_is_told_at_once),
		cmocka_unit_test(freeing_zeroed_statistics_is_fine),
	};

	return cmocka_run_group_tests_name("abi: .so alone", tests, NULL, NULL);
}
