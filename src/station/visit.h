/* One token outside of a job: in a worker of its own, asked one thing after the other. Each call blocks until the worker
 * answers or its deadline has passed. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/station.h"
#include "muster/token-uri.h"
#include "muster/worker.h"

#include "job.h"

struct visit {
	struct worker *worker;
	struct station_module module;
	struct token_uri uri;
	char *uri_text; /* without PIN, module and object attributes */
	struct token_facts token;
	bool is_logged_in;
	bool shows_public; /* visit_objects adds "index" and "public", for who asks for more of an object */
};

/* Finds the module and starts its worker; no token is open. */
bool visit_begin(struct visit *visit, const char *token_uri, struct muster_error *err) MUST_CHECK;
/* The same with the one token that the URI matches. */
bool visit_open(struct visit *visit, const char *token_uri, struct muster_error *err) MUST_CHECK;
bool visit_login(struct visit *visit, const struct station_pin *pin, struct muster_error *err)
	MUST_CHECK;
void visit_done(struct visit *visit);

/* Adds an object as visit_describe makes it for each token of the modules that muster.yaml names, and for a module without a token
 * or an answer one with "error" (token-list.c). */
bool token_list_configured(cJSON *tokens, struct muster_error *err) MUST_CHECK;

/* Whether the module has the token of that label and serial, in whatever slot. */
bool visit_has_token(struct visit *visit, const char *label, const char *serial, bool *ret_has,
		     struct muster_error *err) MUST_CHECK;
/* Adds an object for each of the token's objects: "kind", "label", "id", "keyType", "attributes", "publicSha256",
 * "certificateSha256", "note". */
bool visit_objects(struct visit *visit, cJSON *array, struct muster_error *err) MUST_CHECK;
/* "module", "path", "label", ..., "flags" and a "uri" that names this token alone. */
bool visit_describe(const struct station_module *module, const struct token_facts *token,
		    cJSON *object, struct muster_error *err) MUST_CHECK;
/* "initialized login-required" as an array of words. */
bool visit_add_words(cJSON *object, const char *name, const char *words, struct muster_error *err)
	MUST_CHECK;
