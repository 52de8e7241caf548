/* SPDX-License-Identifier: BSD-2-Clause */
/* tarnctl against a real tarnd. */
#include "tests/system/tool.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tarn/handle.h>
#include <tarn/tarn.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_view.h"

#define CTL "$B/tools/tarnctl "

static struct tn_test_daemon tarnd;

static int setup(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&tarnd);
	tn_test_daemon_start(&tarnd, NULL);
	return r;
}

static int teardown(void **state)
{
	tn_test_daemon_stop(&tarnd);
	return tn_test_teardown(state);
}

/* One JSON value at @s; the end of it, or NULL. */
static const char *json_value(const char *s);

static const char *json_blank(const char *s)
{
	return s + strspn(s, " \n\t");
}

static const char *json_string(const char *s)
{
	if (*s++ != '"')
		return NULL;
	for (; *s && *s != '"'; s++)
		s += *s == '\\' && s[1];
	return *s ? s + 1 : NULL;
}

static const char *json_members(const char *s, char close)
{
	s = json_blank(s);
	if (*s == close)
		return s + 1;
	for (;; s++) {
		if (close == '}') {
			s = json_string(json_blank(s));
			s = s ? json_blank(s) : s;
			if (!s || *s++ != ':')
				return NULL;
		}
		s = json_value(json_blank(s));
		s = s ? json_blank(s) : s;
		if (!s || (*s != ',' && *s != close))
			return NULL;
		if (*s == close)
			return s + 1;
	}
}

static const char *json_value(const char *s)
{
	if (*s == '{')
		return json_members(s + 1, '}');
	if (*s == '[')
		return json_members(s + 1, ']');
	if (*s == '"')
		return json_string(s);
	if (!isalnum((unsigned char)*s) && *s != '-')
		return NULL;
	while (isalnum((unsigned char)*s) || strchr("+-.", *s))
		s++;
	return s;
}

static void assert_said_json(void)
{
	const char *end = json_value(json_blank(tool_said));

	if (!end || *json_blank(end))
		fail_msg("this is no JSON:\n%s", tool_said);
}

static struct tarn_pool *open_pool(const char *name)
{
	struct tarn_pool *pool = NULL;
	struct tarn *t;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_open(t, name, TARN_PRODUCER, &pool), 0);
	tarn_disconnect(t);
	return pool;
}

static void a_pool_is_created_listed_and_destroyed(void **state)
{
	(void)state;
	assert_int_equal(tool_run(CTL "list"), 0);
	assert_not_said("heap");
	assert_int_equal(tool_run(CTL "create heap --bytes 64M --kind buddy "
				  "--policy best --mode 0660"), 0);
	assert_string_equal(tool_said, "");
	assert_int_equal(tool_run(CTL "list"), 0);
	assert_said("heap");
	assert_said("buddy");
	assert_said("best");
	assert_said("64M");
	assert_said("0660");
	assert_int_equal(tool_run(CTL "destroy heap"), 0);
	assert_int_equal(tool_run(CTL "list"), 0);
	assert_not_said("heap");
}

static void lists_as_json_are_json(void **state)
{
	(void)state;
	assert_int_equal(tool_run(CTL "list --json"), 0);
	assert_said_json();
	assert_int_equal(tool_run(CTL "create a --bytes 1M && "
				  CTL "create b --bytes 2MiB "
				  "--abort-on-misuse"), 0);
	assert_int_equal(tool_run(CTL "list --json"), 0);
	assert_said_json();
	assert_said("\"pools\"");
	assert_said("\"name\": \"a\"");
	assert_said("\"bytes\": 1048576");
	assert_said("\"bytes\": 2097152");
	assert_said("\"abort_on_misuse\": true");
	assert_said("\"abort_on_misuse\": false");
}

static void what_is_refused_is_told_with_its_reason(void **state)
{
	(void)state;
	assert_int_equal(tool_run(CTL "create p --bytes 1M"), 0);
	assert_int_equal(tool_run(CTL "create p --bytes 1M"), 1);
	assert_said("tarnctl: there is a pool named 'p' already\n");
	assert_int_equal(tool_run(CTL "create .p --bytes 1M"), 1);
	assert_said("cannot make pool '.p': a name is");
	assert_int_equal(tool_run(CTL "create tiny --bytes 1000"), 1);
	assert_said("a size 1M to 1T");
	assert_int_equal(tool_run(CTL "destroy q"), 1);
	assert_said("tarnctl: no pool named 'q'\n");
	assert_int_equal(tool_run(CTL "stat q"), 1);
	assert_said("tarnctl: no pool named 'q'\n");
	assert_int_equal(tool_run(CTL "trim q"), 1);
	assert_said("tarnctl: no pool named 'q'\n");
	assert_int_equal(tool_run(CTL "--socket /none list"), 1);
	assert_said("there is no tarnd at /none");
}

static void wrong_command_lines_give_status_2(void **state)
{
	static const char *const lines[] = {
		"", "foo", "list x", "stat", "stat a b", "list --mode 0600",
		"create", "create x", "create x --bytes", "create x --bytes -1",
		"create x --bytes 1X", "create x --bytes 99999999999T",
		"create x --bytes 1M --kind slob", "--nonsense",
		"create x --bytes 1M --mode 0888", "trim x --json",
		"create x --bytes 1M --group no-such-group",
		"audit", "audit a b", "audit a --mode 0600",
		"stat a --quiescent",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (tool_run(CTL "%s", lines[i]) != 2)
			fail_msg("tarnctl %s: not 2\n%s", lines[i], tool_said);
		assert_said("tarnctl: ");
	}
	assert_int_equal(tool_run(CTL "--help"), 0);
	assert_said("Usage: tarnctl");
	assert_int_equal(tool_run(CTL "--version"), 0);
	assert_said("tarnctl " TARN_VERSION);
}

static void stat_tells_who_holds_how_much(void **state)
{
	struct tarn_cache *cache;
	struct tarn_pool *pool;
	void *p[10];
	char want[64];

	(void)state;
	assert_int_equal(tool_run(CTL "create p --bytes 16M"), 0);
	pool = open_pool("p");
	for (int i = 0; i < 10; i++)
		assert_non_null(p[i] = tarn_alloc(pool, 1024));
	assert_int_equal(tarn_detach(pool, tarn_ref_of(pool, p[0])), 0);
	assert_int_equal(tarn_cache_open(pool, "nodes", 100, 0, &cache), 0);
	assert_non_null(p[1] = tarn_cache_alloc(cache));
	assert_non_null(p[2] = tarn_run_alloc(pool, 3, 0));
	assert_int_equal(tool_run(CTL "stat p"), 0);
	assert_not_said("movable");
	assert_true(tarn_halloc(pool, 3000));

	assert_int_equal(tool_run(CTL "stat p"), 0);
	assert_said("pool p: slab of 16M, first fit, mode");
	assert_said("movable   3K of it in objects of 1 handles");
	assert_said("(movable)");
	assert_said("compacted if 25% more than needed, down to 5%, by 5% of "
		    "a processor; 0 times, 0 of them asked");
	assert_said("in 13 objects; 12K of it in page runs");
	assert_said("nodes");
	assert_said("pool"); /* the holder of the detached one */

	assert_int_equal(tool_run(CTL "stat p --json"), 0);
	assert_said_json();
	snprintf(want, sizeof(want), "\"pid\": %d,", (int)getpid());
	assert_said(want);
	snprintf(want, sizeof(want), "\"id\": %u,", tarn_client_id(pool));
	assert_said(want);
	assert_said("\"command\": \"test_tarnctl\"");
	assert_said("\"objects\": 12");
	assert_said("\"objects\": 1,");
	assert_said("\"live_objects\": 13");
	assert_said("\"handles\": 1,");
	assert_said("\"movable_bytes\": 3072");
	assert_said("\"movable\": true");
	assert_said("\"run_bytes\": 12288");
	tarn_cache_close(cache);
	tarn_pool_close(pool);
}

static void stat_of_a_pool_nobody_uses_is_short(void **state)
{
	(void)state;
	assert_int_equal(tool_run(CTL "create p --bytes 1M --kind buddy "
				  "--percent 0"), 0);
	assert_int_equal(tool_run(CTL "compact p --percent 0"), 2);
	assert_int_equal(tool_run(CTL "compact p"), 0);
	assert_int_equal(tool_run(CTL "stat p"), 0);
	assert_said("compacted never but when asked; 1 times, 1 of them asked");
	assert_said("0B in 0 objects");
	assert_not_said("CLIENT");
	assert_not_said("SLABS");
	assert_int_equal(tool_run(CTL "stat p --json"), 0);
	assert_said_json();
}

static void trim_returns_what_is_free(void **state)
{
	struct tarn_pool *pool;
	void *p;

	(void)state;
	assert_int_equal(tool_run(CTL "create p --bytes 64M"), 0);
	pool = open_pool("p");
	assert_non_null(p = tarn_alloc(pool, 16 << 20));
	memset(p, 1, 16 << 20);
	assert_int_equal(tarn_free(pool, p), 0);
	tarn_pool_close(pool);
	assert_int_equal(tool_run(CTL "trim p"), 0);
	assert_said("16M returned to the system\n");
	assert_int_equal(tool_run(CTL "trim p"), 0);
	assert_said("0B returned to the system\n");
}

static int stat_as_another(void *arg)
{
	return tool_run(CTL "stat %s", (char *)arg);
}

/* The child's words are its own; ask for the status alone. */
static int status_as_nobody(const char *pool)
{
	return tn_test_wait(tn_test_spawn_as(65534, 65534, stat_as_another,
					     (void *)pool));
}

static void stat_shows_only_what_the_mode_allows(void **state)
{
	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tool_run(CTL "create mine --bytes 1M && "
				  CTL "create taken --bytes 1M --mode 0602 && "
				  CTL "create seen --bytes 1M --mode 0604"), 0);
	assert_int_equal(status_as_nobody("mine"), 1);
	assert_int_equal(status_as_nobody("taken"), 0);
	assert_int_equal(status_as_nobody("seen"), 0);
}

static void a_poisoned_pool_is_shown_as_one(void **state)
{
	int sock = tn_raw_hello(tarnd.socket);

	(void)state;
	assert_int_equal(tool_run(CTL "create good --bytes 1M"), 0);
	assert_int_equal(tool_run(CTL "create bad --bytes 1M"), 0);
	assert_int_equal(tool_run(CTL "list | grep -c poisoned"), 1);
	tn_raw_poison(sock, "bad");
	close(sock);
	assert_int_equal(tool_run(CTL "list | grep '^bad .*poisoned'"), 0);
	assert_int_equal(tool_run(CTL "list | grep '^good .*poisoned'"), 1);
	assert_int_equal(tool_run(CTL "stat bad"), 0);
	assert_said("poisoned ");
	assert_int_equal(tool_run(CTL "stat bad --json"), 0);
	assert_said_json();
	assert_said("\"poisoned\": true");
	assert_int_equal(tool_run(CTL "stat good --json"), 0);
	assert_said("\"poisoned\": false");
	assert_int_equal(tool_run(CTL "trim bad"), 1);
	assert_int_equal(tool_run(CTL "destroy bad"), 0);
}

static int allocate_until_killed(void *arg)
{
	struct tarn_pool *pool = open_pool("p");
	void *p[64] = { NULL };
	tarn_ref ref;

	(void)arg;
	for (unsigned i = 0, size = 1;; i = (i + 7) % 64) {
		size = (size * 75 + 74) % 65537;
		tarn_free(pool, p[i]);
		p[i] = tarn_alloc(pool, size + 1);
		ref = tarn_ref_of(pool, p[i]);
		if (!p[i] || (i % 5 == 0 && tarn_share(pool, ref)))
			return 1;
		if (i % 5 == 0 && tarn_release(pool, ref))
			return 2;
		if (i % 5 == 0)
			p[i] = NULL;
	}
}

static void audit_finds_nothing_while_a_client_is_at_work(void **state)
{
	pid_t child;

	(void)state;
	assert_int_equal(tool_run(CTL "create p --bytes 64M"), 0);
	child = tn_test_spawn(allocate_until_killed, NULL);
	for (int i = 0; i < 20; i++) {
		if (tool_run(CTL "audit p"))
			fail_msg("it is not so: %s", tool_said);
		assert_said("pool p: every sentence holds (16384 pages: ");
	}
	kill(child, SIGSTOP);
	assert_int_equal(tool_run(CTL "audit p --json"), 0);
	assert_said_json();
	assert_said("\"holds\": true");
	assert_said("\"all\": 16384");
	assert_not_said("\"finding\"");
	kill(child, SIGKILL);
	assert_int_equal(tn_test_wait(child), 128 + SIGKILL);
	tn_test_eventually(tool_run(CTL "stat p") == 0 &&
			   strstr(tool_said, "0B in 0 objects"));
	assert_int_equal(tool_run(CTL "audit p --quiescent"), 0);
	assert_said("(16384 pages: 16384 free, 0 in runs, 0 in slabs, "
		    "0 in hands)\n");
	assert_not_said("weak");
	assert_not_said("busy");
}

/* Gives an object to a client that there is not, behind everybody's back. */
static int scribble(void *arg)
{
	struct tarn_pool *pool = open_pool("p");
	void *p = tarn_alloc(pool, 64);

	(void)arg;
	if (!p)
		return 1;
	*tn_view_tag(pool, p) = TN_TAG_HELD | 77;
	kill(getpid(), SIGSTOP);
	return 0;
}

static void audit_names_the_sentence_that_a_scribble_breaks(void **state)
{
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(tool_run(CTL "create p --bytes 16M"), 0);
	child = tn_test_spawn(scribble, NULL);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(tool_run(CTL "audit p"), 1);
	assert_said("pool p: a holder is gone: area 0 page 0 slot ");
	assert_said(", saw 0x4d and 0 (TAG_HOLDER)\n");
	assert_int_equal(tool_run(CTL "audit p --json"), 1);
	assert_said_json();
	assert_said("\"holds\": false");
	assert_said("\"sentence\": \"TAG_HOLDER\"");
	assert_said("\"seen\": \"0x4d\"");
	kill(child, SIGKILL);
	tn_test_wait(child);
}

static int audit_as_another(void *arg)
{
	return tool_run(CTL "audit %s", (char *)arg);
}

static void an_audit_that_cannot_be_made_gives_status_2(void **state)
{
	(void)state;
	assert_int_equal(tool_run(CTL "audit q"), 2);
	assert_said("tarnctl: no pool named 'q'\n");
	assert_int_equal(tool_run(CTL "--socket /none audit q"), 2);
	assert_said("there is no tarnd at /none");
	tn_test_skip_unless_root();
	assert_int_equal(tool_run(CTL "create p --bytes 1M --mode 0606"), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn_as(65534, 65534,
					audit_as_another, "p")), 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_pool_is_created_listed_and_destroyed),
		CASE(lists_as_json_are_json),
		CASE(what_is_refused_is_told_with_its_reason),
		CASE(wrong_command_lines_give_status_2),
		CASE(stat_tells_who_holds_how_much),
		CASE(stat_of_a_pool_nobody_uses_is_short),
		CASE(trim_returns_what_is_free),
		CASE(stat_shows_only_what_the_mode_allows),
		CASE(a_poisoned_pool_is_shown_as_one),
		CASE(audit_finds_nothing_while_a_client_is_at_work),
		CASE(audit_names_the_sentence_that_a_scribble_breaks),
		CASE(an_audit_that_cannot_be_made_gives_status_2),
	};

	return cmocka_run_group_tests_name("system: tarnctl", tests, NULL,
					   NULL);
}
