/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tarnd: hands out pools of shared memory. Exit status: 0 after SIGTERM or
 * SIGINT, --help, --version; 1 if it could not start or go on; 2 for a mistake
 * in the configuration, but 1 if the service manager holds pools: these are
 * there as long as it tries again.
 */
#include <errno.h>
#include <sys/resource.h>

#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/systemd.h"

/* Three descriptors a connection, one an attachment, three a pool: take all
 * that we may have. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char *argv[])
{
	static struct config config;
	static struct server server;
	int r;

	log_init(false);
	r = config_init(&config, argc, argv);
	if (r)
		return r == CONFIG_DONE ? 0 : systemd_inherited() ? 1 : 2;
	log_init(config.verbose);
	raise_fd_limit();
	r = server_init(&server, &config, argc, argv);
	if (r == 0)
		r = server_run(&server);
	server_fini(&server);
	if (r == 0)
		return 0;
	/* 2 is not tried again, and then the manager closes what it holds */
	return r == -EINVAL && !systemd_inherited() ? 2 : 1;
}
