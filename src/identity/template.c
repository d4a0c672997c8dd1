#include "muster/identity.h"

#include <string.h>

#include "muster/text.h"

#include "identity-internal.h"

/* -- What there is to put in ----------------------------------------------------------------------------- */

#define FOR(kind) (1u << (kind))
#define FOR_ALL                                                                            \
	(FOR(TEMPLATE_REGISTRATION_ID) | FOR(TEMPLATE_DEVICE_ID) | FOR(TEMPLATE_SUBJECT) | \
	 FOR(TEMPLATE_LABEL))

/* Subjects and labels belong to X.509 devices, which have no EK. */
#define FOR_TPM (FOR(TEMPLATE_REGISTRATION_ID) | FOR(TEMPLATE_DEVICE_ID))

struct placeholder {
	const char *name;
	size_t value;   /* offset in struct identity_values */
	bool is_folded; /* to lower case */
	unsigned kinds;
};

static const struct placeholder placeholders[] = {
	{ "serial", offsetof(struct identity_values, serial), false, FOR_ALL },
	{ "serial.lower", offsetof(struct identity_values, serial), true, FOR_ALL },
	{ "ek.sha256.base32", offsetof(struct identity_values, ek_sha256_base32), false, FOR_TPM },
	{ "registrationId", offsetof(struct identity_values, registration_id), false,
	  FOR_ALL & ~FOR(TEMPLATE_REGISTRATION_ID) },
};

static bool in_text(char c)
{
	return (unsigned char)c >= 0x20 && c != 0x7f;
}

/* The characters that may stand literally, by kind. */
static bool (*const literals[])(char c) = {
	[TEMPLATE_REGISTRATION_ID] = identity_in_registration_id,
	[TEMPLATE_DEVICE_ID] = identity_in_device_id,
	[TEMPLATE_SUBJECT] = in_text,
	[TEMPLATE_LABEL] = identity_is_printable,
};

static const struct placeholder *find_placeholder(const char *name, size_t length,
						  enum identity_template kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++) {
		const struct placeholder *placeholder = &placeholders[i];

		if ((placeholder->kinds & FOR(kind)) && strlen(placeholder->name) == length &&
		    strncmp(placeholder->name, name, length) == 0)
			return placeholder;
	}
	return NULL;
}

/* "{serial}, {serial.lower} and ..." of those the kind allows. */
static const char *list_placeholders(enum identity_template kind, struct text *list)
{
	for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++) {
		if (placeholders[i].kinds & FOR(kind))
			text_addf(list, "%s{%s}", list->length ? ", " : "", placeholders[i].name);
	}
	return list->failed ? "?" : list->data;
}

/* -- One walk serves checking and expanding ----------------------------------------------------------------- */

struct piece {
	const char *text; /* literal text, or the placeholder with its braces */
	size_t length;
	const struct placeholder *placeholder; /* NULL: literal */
};

enum step { STEP_PIECE, STEP_END, STEP_UNBALANCED, STEP_UNKNOWN, STEP_CHARACTER };

/* Takes the next piece; on a mistake ret_piece says where it is. */
static enum step next_piece(const char **cursor, enum identity_template kind,
			    struct piece *ret_piece)
{
	const char *at = *cursor, *end;

	*ret_piece = (struct piece){ .text = at, .length = 1 };
	if (!*at)
		return STEP_END;
	if (*at == '}')
		return STEP_UNBALANCED;
	if (*at != '{') {
		if (!literals[kind](*at))
			return STEP_CHARACTER;
		*cursor = at + 1;
		return STEP_PIECE;
	}
	end = at + 1 + strcspn(at + 1, "{}");
	ret_piece->length = (size_t)(end - at) + 1;
	if (*end != '}') {
		ret_piece->length = 1;
		return STEP_UNBALANCED;
	}
	ret_piece->placeholder = find_placeholder(at + 1, (size_t)(end - at) - 1, kind);
	if (!ret_piece->placeholder)
		return STEP_UNKNOWN;
	*cursor = end + 1;
	return STEP_PIECE;
}

static bool fail_unknown(const struct piece *piece, enum identity_template kind,
			 struct muster_error *err)
{
	CLEANUP(text_done) struct text list = TEXT_MAX(256);
	CLEANUP(text_done) struct text name = TEXT_MAX(4096);

	text_add_bytes(&name, piece->text, piece->length);
	return muster_fail(err, CAUSE_PROFILE_VALUE,
			   "nothing stands for %s; there are %s (without blanks inside)",
			   name.failed ? "this" : PRINTABLE(name.data),
			   list_placeholders(kind, &list));
}

static bool fail_step(enum step step, const struct piece *piece, enum identity_template kind,
		      struct muster_error *err)
{
	char c[2] = { piece->text[0], 0 };

	if (step == STEP_UNKNOWN)
		return fail_unknown(piece, kind, err);
	if (step == STEP_UNBALANCED)
		return muster_fail(err, CAUSE_PROFILE_VALUE, "the brace '%s' has no partner", c);
	return muster_fail(err, CAUSE_PROFILE_VALUE, "the character '%s' may not stand here",
			   PRINTABLE(c));
}

bool identity_template_check(const char *text, enum identity_template kind, size_t *mistake_at,
			     size_t *mistake_length, struct muster_error *err)
{
	const char *cursor = text;
	struct piece piece;
	enum step step;

	while ((step = next_piece(&cursor, kind, &piece)) == STEP_PIECE)
		;
	if (step == STEP_END)
		return true;
	*mistake_at = (size_t)(piece.text - text);
	*mistake_length = piece.length;
	return fail_step(step, &piece, kind, err);
}

static bool uses_value(const char *text, size_t value)
{
	for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++) {
		const char *name = placeholders[i].name, *at = text;

		while (placeholders[i].value == value && (at = strchr(at, '{'))) {
			at++;
			if (text_has_prefix(at, name) && at[strlen(name)] == '}')
				return true;
		}
	}
	return false;
}

bool identity_template_uses_serial(const char *text)
{
	return uses_value(text, offsetof(struct identity_values, serial));
}

/* -- Expanding ------------------------------------------------------------------------------------------------ */

/* RFC 4514 section 2.4: what would end or change the value gets a backslash. */
static void add_escaped(struct text *out, const char *value)
{
	for (const char *c = value; *c; c++) {
		bool is_edge_space = *c == ' ' && (c == value || !c[1]);

		if (strchr(",+\"\\<>;=", *c) || is_edge_space || (*c == '#' && c == value))
			text_add_char(out, '\\');
		text_add_char(out, *c);
	}
}

static bool add_value(const struct piece *piece, enum identity_template kind,
		      const struct identity_values *values, struct text *out,
		      struct muster_error *err)
{
	const struct placeholder *placeholder = piece->placeholder;
	const char *value =
		*(const char *const *)(const void *)((const char *)values + placeholder->value);
	CLEANUP(freep) char *copy = NULL;

	if (!value && placeholder->value == offsetof(struct identity_values, serial))
		return muster_fail(err, CAUSE_SERIAL_MISSING, "the profile asks for {%s}",
				   placeholder->name);
	if (!value)
		return muster_fail(err, CAUSE_PROFILE_CONTRADICTION,
				   "the profile asks for {%s}, which this device does not have",
				   placeholder->name);
	copy = strdup(value);
	if (!copy)
		return muster_fail_memory(err);
	if (placeholder->is_folded)
		text_fold(copy);
	if (kind == TEMPLATE_SUBJECT)
		add_escaped(out, copy);
	else
		text_add(out, copy);
	return true;
}

bool identity_template_expand(const char *text, enum identity_template kind,
			      const struct identity_values *values, char **ret_text,
			      struct muster_error *err)
{
	CLEANUP(text_done) struct text out = TEXT_MAX(4096);
	const char *cursor = text;
	struct piece piece;
	enum step step;

	while ((step = next_piece(&cursor, kind, &piece)) == STEP_PIECE) {
		if (!piece.placeholder)
			text_add_char(&out, *piece.text);
		else if (!add_value(&piece, kind, values, &out, err))
			return false;
	}
	if (step != STEP_END)
		return fail_step(step, &piece, kind, err);
	*ret_text = text_take(&out, err);
	return *ret_text != NULL;
}
