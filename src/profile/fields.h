/* The table of fields: one row says how a value is read, checked, explained and described in the JSON Schema. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/identity.h"

#include "report.h"
#include "yaml.h"

#define FIELD_CHARACTERS_MAX 256 /* of a text, unless its row says otherwise */
#define FIELD_ITEMS_MAX 50       /* of a list: DPS's limit of linked hubs, the longest there is */

enum field_kind {
	FIELD_TEXT,     /* char * */
	FIELD_PATH,     /* char *, resolved against the file's directory */
	FIELD_TEMPLATE, /* char * */
	FIELD_WORD,     /* int or an enum: the row's word */
	FIELD_WORD_BOOL,
	FIELD_WORD_TEXT, /* char *, one of the words */
	FIELD_BOOL,      /* bool */
	FIELD_INTEGER,   /* int64_t */
	FIELD_LIST,      /* struct profile_list of texts */
	FIELD_JSON,      /* cJSON *, an object */
	FIELD_GROUP,     /* a mapping with fields of its own, in the struct at the row's offset */
	FIELD_WORD_OR_GROUP, /* int, or the group; with the group, the int is `group_value` */
	FIELD_MAP,           /* struct field_map: any names, each with the group's fields */
};

struct word {
	const char *word; /* NULL ends the list */
	int value;
};

struct fields {
	const struct field *rows;
	size_t count;
	bool is_one_of; /* exactly one of the rows has to be there */
	size_t size;    /* of the struct of one entry; FIELD_MAP only */
};
#define FIELDS(table) .rows = (table), .count = ARRAY_SIZE(table)

/* What FIELD_MAP fills; an entry begins with `char *name`. */
struct field_map {
	void *entries;
	size_t count;
};

struct field {
	const char *name;
	enum field_kind kind;
	bool is_required;
	bool is_number_too; /* TEXT: a number that stands there without quotes is its text */
	bool is_secret; /* PATH: may also be another source of a secret (secret_read_source) or a PKCS#11 URI */
	size_t offset;
	const char *fallback; /* as it would be written */
	const char *help;     /* for people and for the schema */

	const char
		*pattern; /* texts and list items; reads the same as POSIX ERE and as ECMA regex */
	const char *form; /* the pattern in words: "a host name" */
	const char *forbidden; /* a stretch of text that must not occur, and why */
	const char *forbidden_why;
	size_t max; /* characters of a text; 0: FIELD_CHARACTERS_MAX */
	int64_t least, most;
	const struct word *words;
	const struct fields *group;
	int group_value;
	enum identity_template template_kind;
};

/* Reads the tree into the struct; mistakes go to the report. What the tree does not name stays as it was: the
 * defaults, or the settings of an earlier file. */
void fields_read(struct source *source, const struct fields *fields, const struct yaml_node *root,
		 void *base);
/* A root that is no map. A text is not shown: it may be a key that was given for the file. */
void fields_refuse_root(struct source *source, const struct yaml_node *root, const char *what);
/* Of the groups inside the struct too, not of a map's entries. The struct has to be zero. */
void fields_set_defaults(struct source *source, const struct fields *fields, void *base);
/* Whether a text has the row's length and pattern. */
bool field_takes(const struct field *field, const char *value);
/* Frees what the fields own and zeroes it. */
void fields_free(const struct fields *fields, void *base);
/* The schema of a mapping with these fields; NULL without memory. */
cJSON *fields_schema(const struct fields *fields);
/* Takes the item over, also when it fails; a NULL item or list counts as failed. */
bool schema_append(cJSON *list, cJSON *item);
/* [text]; NULL without memory. */
cJSON *schema_list_of(const char *text);

/* The tree as JSON, numbers as written (cJSON_Raw); NULL when there are mistakes (reported) or no memory. */
cJSON *yaml_to_json(struct source *source, const struct yaml_node *node);

/* -- Rules between fields -------------------------------------------------------------------------------------- */

enum rule_kind {
	RULE_REQUIRE,  /* `then` has to be there */
	RULE_FORBID,   /* `then` must not be there */
	RULE_ONE_ITEM, /* the list `then` has exactly one item */
	RULE_EQUALS,   /* `then` has to be there and be `value` */
	RULE_WITHOUT,  /* the text `then` must not have `value` in it */
};

/* When `when` is there (and is `equals`, unless that is NULL), `kind` has to hold for `then`. Paths have dots. */
struct rule {
	const char *when;
	const char *equals;
	enum rule_kind kind;
	const char *then;
	const char *value;
	const char *message; /* for REQUIRE the reason, else the whole sentence */
};

void rules_check(struct source *source, const struct rule *rules, size_t count,
		 const struct yaml_node *root);
/* Adds "allOf" to the schema. */
bool rules_schema(const struct rule *rules, size_t count, cJSON *schema);
