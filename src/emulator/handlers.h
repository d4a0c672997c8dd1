/* The handlers that the table of routes names; each lives in the file of its idea. */
#pragma once

#include "request.h"

/* enrollments.c */
bool individual_put(struct exchange *exchange);
bool individual_get(struct exchange *exchange);
bool individual_delete(struct exchange *exchange);
bool individual_mechanism(struct exchange *exchange);
bool group_put(struct exchange *exchange);
bool group_get(struct exchange *exchange);
bool group_delete(struct exchange *exchange);
bool group_mechanism(struct exchange *exchange);
/* bulk.c */
bool individual_bulk(struct exchange *exchange);
bool group_bulk(struct exchange *exchange);
/* query.c */
bool individual_query(struct exchange *exchange);
bool group_query(struct exchange *exchange);
bool registration_query(struct exchange *exchange);
/* registrations.c */
bool registration_get(struct exchange *exchange);
bool registration_delete(struct exchange *exchange);
bool hub_device_get(struct exchange *exchange);
/* token.c */
bool token_post(struct exchange *exchange);
bool metadata_get(struct exchange *exchange);
/* device-code.c */
bool device_code_post(struct exchange *exchange);
bool device_code_grant(struct exchange *exchange);
bool device_code_decline(struct exchange *exchange);
/* management.c */
bool management_list(struct exchange *exchange);
bool management_get(struct exchange *exchange);
bool management_list_keys(struct exchange *exchange);
/* device.c */
bool device_register(struct exchange *exchange);
bool device_poll(struct exchange *exchange);
bool device_lookup(struct exchange *exchange);
