/* Azure Resource Manager, as far as it finds a provisioning service by name: requests and the reading of answers. Pure. */
#pragma once

#include "muster/dps-client.h"

#define MANAGEMENT_ID_MAX 1024
#define MANAGEMENT_PAGES_MAX 100

/* Which service is meant; borrowed. */
struct management_target {
	const char *endpoint;     /* https://management.azure.com */
	const char *subscription; /* NULL: not known yet */
	const char *group;        /* NULL: anywhere in the subscription */
	const char *name;
};

/* What was found. */
struct management_service {
	char id[MANAGEMENT_ID_MAX]; /* path of the resource */
	char host[DPS_HOST_SIZE];
};

/* IDs and names that can stand in a path. CAUSE_USAGE. */
bool management_target_check(const struct management_target *target, struct muster_error *err)
	MUST_CHECK;

/* The services of the subscription, or with a group the one of that name. */
bool management_find(const struct management_target *target, struct http_request *ret_request,
		     struct muster_error *err) MUST_CHECK;
bool management_list_keys(const struct management_target *target,
			  const struct management_service *service,
			  struct http_request *ret_request, struct muster_error *err) MUST_CHECK;

/* The document of a success; else CAUSE_MANAGEMENT_REFUSED, CAUSE_SERVICE_NOT_FOUND and others with the API's words. */
bool management_read(const struct http_answer *answer, const char *what, cJSON **ret_document,
		     struct muster_error *err) MUST_CHECK;
/* Where the next page is; NULL when this is the last. A place outside the endpoint is CAUSE_MANAGEMENT_ANSWER: the
 * token goes nowhere else. Borrowed. */
bool management_next_page(const struct management_target *target, const cJSON *page,
			  const char **ret_url, struct muster_error *err) MUST_CHECK;
/* Adds the services of that name, of a page or a single one, to *service and counts them. */
bool management_match(const struct management_target *target, const cJSON *document,
		      struct management_service *service, size_t *count, struct muster_error *err)
	MUST_CHECK;
/* The first policy with the rights ServiceConfig and EnrollmentWrite; *ret_found false when the page has none. */
bool management_pick_policy(const cJSON *page, const char *host, struct dps_login *ret_login,
			    bool *ret_found, struct muster_error *err) MUST_CHECK;
