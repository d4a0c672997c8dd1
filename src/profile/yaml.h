/* YAML text as a tree of our own, with the place of everything. What profiles do not allow (aliases, anchors, tags,
 * duplicate keys, several documents, too many levels) is reported while the tree is made. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "report.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	struct span span; /* of a list or map: that of its key, or of its first child */

	char *text;    /* scalar, UTF-8 without NUL */
	bool is_plain; /* scalar without quotes: may be a number, true, null */

	struct yaml_pair *pairs;  /* map */
	struct yaml_node **items; /* list */
	size_t count;
};

struct yaml_pair {
	char *key;
	struct span span;
	struct yaml_node *value; /* NULL when it had a mistake that is reported */
};

/* False only without memory; *ret_root is NULL when there is no usable tree (the report says why). */
bool yaml_parse(struct source *source, struct yaml_node **ret_root, struct muster_error *err)
	MUST_CHECK;
void yaml_node_free(struct yaml_node *node);
DEFINE_FREEP(yaml_node_freep, struct yaml_node *, yaml_node_free)

/* The pair of that key, or NULL. Borrowed. */
const struct yaml_pair *yaml_get(const struct yaml_node *map, const char *key);
/* By a path of keys with dots between them: "attestation.type". */
const struct yaml_pair *yaml_at(const struct yaml_node *root, const char *path);

enum yaml_type {
	YAML_STRING,
	YAML_NULL,
	YAML_BOOL,
	YAML_NUMBER,     /* as JSON writes numbers */
	YAML_ODD_NUMBER, /* 012, 0x1f, .5, .inf: readers of YAML do not agree on what it is */
	YAML_COLLECTION,
};
enum yaml_type yaml_type_of(const struct yaml_node *node);
/* "a text", "a list" ... for messages. */
const char *yaml_describe(const struct yaml_node *node);
