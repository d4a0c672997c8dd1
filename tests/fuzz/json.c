/* The strict JSON reader: what it takes prints, reads back as the same, and prints the same again. */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "muster/json.h"

static cJSON *parse(const char *data, size_t size)
{
	struct muster_error err;
	cJSON *root = NULL;

	return json_parse(data, size, "the input", &root, &err) ? root : NULL;
}

static void check_printed(const cJSON *root, const char *text)
{
	CLEANUP(cJSON_freep) cJSON *again = NULL;
	CLEANUP(freep) char *line = NULL;
	CLEANUP(freep) char *line_again = NULL;

	assert(text);
	if (strlen(text) > JSON_SIZE_MAX)
		return;
	again = parse(text, strlen(text));
	assert(again && json_equal(root, again) && json_equal(again, root));
	line = json_print_line(root);
	line_again = json_print_line(again);
	assert(strcmp(line, line_again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cJSON_freep) cJSON *root = parse((const char *)data, size);
	CLEANUP(freep) char *line = NULL;
	CLEANUP(freep) char *pretty = NULL;

	if (!root)
		return 0;
	line = json_print_line(root);
	check_printed(root, line);
	json_sort(root);
	pretty = json_print_pretty(root);
	check_printed(root, pretty);
	return 0;
}
