/* Runs a fuzz target without a fuzzing engine: over every file of the directories named, each whole and cut at
 * every byte. Fails when there was nothing to run. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "muster/file.h"

enum { INPUT_MAX = 64 * 1024 };

/* In a buffer of its own size, so that a read beyond it is seen. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static bool replay_file(const char *path)
{
	CLEANUP(bytes_done) struct bytes input = { 0 };
	struct muster_error err;

	if (!file_read(path, INPUT_MAX, &input, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return false;
	}
	for (size_t size = 0; size <= input.size; size++)
		run(input.data, size);
	return true;
}

static bool replay_directory(const char *directory, size_t *count)
{
	DIR *stream = opendir(directory);
	const struct dirent *entry;
	bool good = stream != NULL;

	while (good && (entry = readdir(stream))) {
		CLEANUP(freep) char *path = text_format("%s/%s", directory, entry->d_name);

		if (*entry->d_name == '.')
			continue;
		good = replay_file(path);
		(*count)++;
	}
	if (stream)
		closedir(stream);
	return good;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++)
		if (!replay_directory(argv[i], &count))
			return 1;
	printf("%zu inputs\n", count);
	return count > 0 ? 0 : 1;
}
