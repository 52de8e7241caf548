/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Without libFuzzer: replay_NAME runs what fuzz_NAME has found so far, that is
 * the files given or all of tests/fuzz/corpus/NAME. So every compiler and
 * every sanitizer sees the corpus, and its coverage can be counted.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX 65536U

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes);

static int replay(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *in = malloc(INPUT_BYTES_MAX), *exact;
	size_t n;

	if (!f || !in)
		return perror(path), 1;
	n = fread(in, 1, INPUT_BYTES_MAX, f);
	fclose(f);
	/* of just its size, for a look past its end to be seen */
	exact = realloc(in, n ? n : 1);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

static int replay_all(const char *dir)
{
	char path[4096];
	struct dirent *e;
	DIR *d = opendir(dir);
	unsigned n = 0;
	int r = 0;

	if (!d)
		return perror(dir), 1;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		r |= replay(path);
		n++;
	}
	closedir(d);
	printf("%u inputs\n", n);
	return r || !n;
}

int main(int argc, char *argv[])
{
	const char *name = strrchr(argv[0], '_');
	char dir[256];
	int r = 0;

	snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s",
		 name ? name + 1 : "");
	if (argc < 2)
		return replay_all(dir);
	for (int i = 1; i < argc; i++)
		r |= replay(argv[i]);
	return r;
}
