/* The small grammar of --throttle and --fault: parts between colons, each NAME or NAME=VALUE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"
#include "muster/text.h"

struct spec_part {
	char name[64];
	char value[1024];
	bool has_value;
};

/* Takes the next part off *rest. False at the end (then **rest is NUL) and when a part is empty or too long. */
bool spec_next(const char **rest, struct spec_part *ret_part) MUST_CHECK;
/* The index of word in a table of words. */
bool spec_choice(const char *word, const char *const *words, size_t count, size_t *ret_index)
	MUST_CHECK;
