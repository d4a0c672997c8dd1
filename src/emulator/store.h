/* What survives a restart: JSON documents by id, in a few tables of one shape. One SQLite connection in WAL mode,
 * locked for this process alone; every function but open, lock and close expects the lock to be held. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"
#include "muster/error.h"

enum store_table {
	STORE_ENROLLMENTS,
	STORE_GROUPS,
	STORE_REGISTRATIONS, /* parent: the group's id, or empty */
	STORE_OPERATIONS,    /* parent: the registration id */
	STORE_CHALLENGES,    /* by registration id */
	STORE_DEVICES,       /* "hub/device": the twins on the hubs' side */
	STORE_TABLE_COUNT,
};

struct store;

/* Makes the file (0600) when missing. A store that another process has open is an error. */
bool store_open(const char *path, struct store **ret_store, struct muster_error *err) MUST_CHECK;
void store_close(struct store *store);

void store_lock(struct store *store);
void store_unlock(struct store *store);
/* Several changes as one; without these each change commits by itself. */
bool store_begin(struct store *store, struct muster_error *err) MUST_CHECK;
bool store_commit(struct store *store, struct muster_error *err) MUST_CHECK;
void store_rollback(struct store *store);

/* *ret_document is NULL when there is none; the caller frees it. */
bool store_get(struct store *store, enum store_table table, const char *id, char **ret_document,
	       struct muster_error *err) MUST_CHECK;
/* *ret_inserted is false when the id is taken; then nothing changed. */
bool store_insert(struct store *store, enum store_table table, const char *id, const char *parent,
		  const char *document, bool *ret_inserted, struct muster_error *err) MUST_CHECK;
/* Inserts or replaces. */
bool store_put(struct store *store, enum store_table table, const char *id, const char *parent,
	       const char *document, struct muster_error *err) MUST_CHECK;
bool store_delete(struct store *store, enum store_table table, const char *id, bool *ret_deleted,
		  struct muster_error *err) MUST_CHECK;
bool store_delete_children(struct store *store, enum store_table table, const char *parent,
			   struct muster_error *err) MUST_CHECK;

/* Up to `limit` rows whose id is greater than `after`, in order; only those of `parent` unless it is NULL. The
 * callback borrows the strings; returning false stops. */
typedef bool (*store_visit)(void *context, const char *id, const char *document);
bool store_page(struct store *store, enum store_table table, const char *parent, const char *after,
		int limit, store_visit visit, void *context, struct muster_error *err) MUST_CHECK;
