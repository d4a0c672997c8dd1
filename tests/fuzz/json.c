/* The strict JSON reader: what it takes prints, reads back as the same, and prints the same again; and cJSON, which reads more
 * laxly, makes the same tree of it and prints ours as we do. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "muster/json.h"

static cJSON *parse(const char *data, size_t size)
{
	struct muster_error err;
	cJSON *root = NULL;

	return json_parse(data, size, "the input", &root, &err) ? root : NULL;
}

static void check_line(const cJSON *root, const char *line)
{
	char *of_cjson = cJSON_PrintUnformatted(root);

	assert(of_cjson && strcmp(line, of_cjson) == 0);
	cJSON_free(of_cjson);
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

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static bool is_same(const cJSON *item, const cJSON *of_cjson)
{
	if (cJSON_IsNumber(of_cjson))
		return cJSON_IsRaw(item) &&
		       strtod(item->valuestring, NULL) == of_cjson->valuedouble;
	return item->type == of_cjson->type &&
	       is_same_text(item->valuestring, of_cjson->valuestring);
}

static void check_tree(const cJSON *item, const cJSON *of_cjson)
{
	assert(is_same(item, of_cjson) && is_same_text(item->string, of_cjson->string));
	item = item->child;
	of_cjson = of_cjson->child;
	for (; item && of_cjson; item = item->next, of_cjson = of_cjson->next)
		check_tree(item, of_cjson);
	assert(!item && !of_cjson);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cJSON_freep) cJSON *root = parse((const char *)data, size);
	CLEANUP(freep) char *line = NULL;
	CLEANUP(cJSON_freep) cJSON *of_cjson = NULL;
	CLEANUP(freep) char *pretty = NULL;

	if (!root)
		return 0;
	of_cjson = cJSON_ParseWithLength((const char *)data, size);
	assert(of_cjson);
	check_tree(root, of_cjson);
	line = json_print_line(root);
	check_line(root, line);
	check_printed(root, line);
	json_sort(root);
	pretty = json_print_pretty(root);
	check_printed(root, pretty);
	return 0;
}
