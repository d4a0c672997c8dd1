/* Twins as people write them: what is taken is an object that reads back as the same. */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "muster/dps-enrollment.h"
#include "muster/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *text = strndup((const char *)data, size);
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	CLEANUP(cJSON_freep) cJSON *again = NULL;
	CLEANUP(freep) char *line = NULL;
	struct muster_error err;

	assert(text);
	if (!dps_twin_parse(text, "the twin", &object, &err)) {
		assert(err.code != MUSTER_OK);
		return 0;
	}
	assert(cJSON_IsObject(object));
	line = json_print_line(object);
	if (line && strlen(line) <= JSON_SIZE_MAX) {
		assert(dps_twin_parse(line, "the same", &again, &err));
		assert(json_equal(object, again));
	}
	return 0;
}
