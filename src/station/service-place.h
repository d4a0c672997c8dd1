/* The service that a device's enrollment was sent to, or is in, in the life that it has; by the entries of the journal. Private to
 * the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/journal.h"

struct service_place {
	bool is_unknown;  /* an older muster did not say */
	char host[256];   /* the last one's; "" for none */
	char attempt[64]; /* which sent it; "" where that is not known */
};

/* Zero before the first entry. */
struct service_sendings {
	struct service_place before, last; /* without the last one, and with it */
	bool last_was_refused;
};

bool service_sendings_follow(struct service_sendings *sendings, const struct journal_entry *entry,
			     const cJSON *body, struct muster_error *err) MUST_CHECK;
const struct service_place *service_place(const struct service_sendings *sendings);
/* By the names of their hosts: a service may be at another port since. */
bool service_is_same(const char *a, const char *b);
/* Not at this host; false where either is not known. One whose ID scope is the same may be at another port since, but not under
 * another name. */
bool service_place_is_elsewhere(const struct service_place *place, const char *host,
				bool has_same_scope);
