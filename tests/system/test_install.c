/* SPDX-License-Identifier: BSD-2-Clause */
/* What `make install` leaves suffices to build and run a program. */
#include "tests/system/tool.h"

#include <stdlib.h>
#include <unistd.h>

#include <tarn/version.h>

static char root[256];

static const char program[] =
	"#include <stdio.h>\n"
	"#include <tarn/admin.h>\n"
	"#include <tarn/stats.h>\n"
	"#include <tarn/tarn.h>\n"
	"int main(void)\n"
	"{\n"
	"	struct tarn_pool *pool;\n"
	"	struct tarn *t;\n"
	"	if (tarn_connect(NULL, &t) < 0)\n"
	"		return 2;\n"
	"	if (tarn_pool_open(t, \"p\", TARN_PRODUCER, &pool) < 0)\n"
	"		return 3;\n"
	"	int *p = (int *)tarn_zalloc(pool, sizeof(int));\n"
	"	int r = p ? tarn_free(pool, p) : 4;\n"
	"	tarn_pool_close(pool);\n"
	"	tarn_disconnect(t);\n"
	"	puts(TARN_VERSION);\n"
	"	return r;\n"
	"}\n";

/* A sanitized library cannot be linked into just any program. */
static bool sanitized(void)
{
	const char *build = getenv("TARN_BUILD");

	return build && (strstr(build, "asan") || strstr(build, "tsan"));
}

#define SKIP_IF_SANITIZED() \
	do { \
		if (sanitized()) { \
			print_message("needs a plain build\n"); \
			skip(); \
		} \
	} while (0)

/* Below a root of our own, as a packager does it. */
static int install(void **state)
{
	char path[512];

	(void)state;
	tn_test_mkdtemp(root, sizeof(root));
	snprintf(path, sizeof(path), "%s/p.c", root);
	tn_test_write_file(path, program);
	return tool_run("unset MAKEFLAGS MAKELEVEL; make -s install BUILD=$B "
			"PREFIX=/usr DESTDIR=%s/dest", root);
}

static int remove_it(void **state)
{
	(void)state;
	tn_test_rmtree(root);
	return 0;
}

/* pkg-config sees nothing of tarn but what is in the root. */
#define PKG "PKG_CONFIG_SYSROOT_DIR=%s/dest " \
	    "PKG_CONFIG_LIBDIR=%s/dest/usr/lib/pkgconfig pkg-config "
#define LIB "LD_LIBRARY_PATH=%s/dest/usr/lib "
#define BIN "%s/dest/usr/bin/"

static void the_tree_is_complete(void **state)
{
	(void)state;
	assert_int_equal(tool_run("cd %s/dest/usr && find . ! -type d", root),
			 0);
	assert_said("./lib/libtarn.so\n");
	assert_said("./lib/libtarn.so.0\n");
	assert_said("./lib/libtarn.so." TARN_VERSION "\n");
	assert_said("./lib/libtarn-malloc.so\n");
	assert_said("./lib/libtarn.a\n");
	assert_said("./lib/pkgconfig/tarn.pc\n");
	assert_said("./include/tarn/tarn.h\n");
	assert_said("./include/tarn/stats.h\n");
	assert_said("./include/tarn/admin.h\n");
	assert_said("./include/tarn/version.h\n");
	assert_said("./sbin/tarnd\n");
	assert_said("./bin/tarnctl\n");
	assert_said("./bin/tarn-run\n");
	assert_said("./share/man/man1/tarnctl.1\n");
	assert_said("./share/man/man1/tarn-malloc.1\n");
	assert_said("./share/man/man3/tarn_free.3\n");
	assert_said("./lib/systemd/system/tarnd.service\n");
	assert_said("./lib/systemd/system/tarnd.socket\n");
	assert_said("./lib/systemd/user/tarnd.socket\n");
	assert_said("./lib/sysusers.d/tarn.conf\n");
	assert_said("./lib/tmpfiles.d/tarn.conf\n");
	assert_int_equal(tool_run("grep -rIE '@([A-Z]*DIR|PREFIX|VERSION|"
				  "SYSTEMD_[0-9]*)@' %s/dest", root), 1);
	assert_int_equal(tool_run("grep -h ExecStart= %s/dest/usr/lib/systemd/"
				  "system/tarnd.service", root), 0);
	assert_said("ExecStart=/usr/sbin/tarnd");
}

static void a_program_builds_by_pkg_config_alone(void **state)
{
	(void)state;
	SKIP_IF_SANITIZED();
	assert_int_equal(tool_run("cd %s && cc -Wall -Werror -o p p.c $("
				  PKG "--cflags --libs tarn)", root, root,
				  root), 0);
	assert_int_equal(tool_run(PKG "--modversion tarn", root, root), 0);
	assert_string_equal(tool_said, TARN_VERSION "\n");
	assert_int_equal(tool_run(LIB BIN "tarn-run --pool p=1M %s/p", root,
				  root, root), 0);
	assert_string_equal(tool_said, TARN_VERSION "\n");
}

static void a_program_links_statically(void **state)
{
	(void)state;
	SKIP_IF_SANITIZED();
	assert_int_equal(tool_run("cd %s && cc -o s p.c -I dest/usr/include "
				  "dest/usr/lib/libtarn.a -pthread", root), 0);
	assert_int_equal(tool_run(BIN "tarn-run --pool p=1M %s/s", root, root),
			 0);
}

static void a_cxx_program_builds_too(void **state)
{
	(void)state;
	SKIP_IF_SANITIZED();
	if (tool_run("command -v c++ >/dev/null")) {
		print_message("needs a C++ compiler\n");
		skip();
	}
	assert_int_equal(tool_run("cd %s && c++ -std=c++17 -Wall -Wextra "
				  "-Werror -x c++ p.c -o x $("
				  PKG "--cflags --libs tarn)", root, root,
				  root), 0);
	assert_int_equal(tool_run(LIB BIN "tarn-run --pool p=1M %s/x", root,
				  root, root), 0);
}

static void uninstall_leaves_no_file(void **state)
{
	(void)state;
	assert_int_equal(tool_run("unset MAKEFLAGS MAKELEVEL; make -s "
				  "uninstall BUILD=$B PREFIX=/usr "
				  "DESTDIR=%s/dest && "
				  "find %s/dest ! -type d", root, root), 0);
	assert_string_equal(tool_said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(the_tree_is_complete),
		TN_TEST(a_program_builds_by_pkg_config_alone),
		TN_TEST(a_program_links_statically),
		TN_TEST(a_cxx_program_builds_too),
		TN_TEST(uninstall_leaves_no_file),
	};

	return cmocka_run_group_tests_name("system: install", tests, install,
					   remove_it);
}
