#include <stdio.h>

#include "hsm-internal.h"

enum demand { ANY, TRUE_ONLY, FALSE_ONLY, NOT_FALSE, NOT_TRUE };

/* Of a key that was made elsewhere the token has to say so. */
static bool is_about_origin(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_LOCAL || type == CKA_ALWAYS_SENSITIVE || type == CKA_NEVER_EXTRACTABLE;
}

/* What a key of ours must be when it is read back. Where a module may not know an attribute (it is for another class
 * of key, or newer than the module), the third state is let pass; what makes a key safe must be known. */
/* clang-format off */
static const struct {
	CK_ATTRIBUTE_TYPE type;
	const char *name;
	enum demand demand;
} rules[] = {
	{ CKA_TOKEN,               "token",               TRUE_ONLY },
	{ CKA_PRIVATE,             "private",             TRUE_ONLY },
	{ CKA_LOCAL,               "local",               NOT_FALSE },
	{ CKA_SENSITIVE,           "sensitive",           TRUE_ONLY },
	{ CKA_ALWAYS_SENSITIVE,    "always-sensitive",    NOT_FALSE },
	{ CKA_EXTRACTABLE,         "extractable",         FALSE_ONLY },
	{ CKA_NEVER_EXTRACTABLE,   "never-extractable",   NOT_FALSE },
	{ CKA_SIGN,                "sign",                TRUE_ONLY },
	{ CKA_SIGN_RECOVER,        "sign-recover",        ANY },
	{ CKA_VERIFY,              "verify",              ANY },
	{ CKA_ENCRYPT,             "encrypt",             NOT_TRUE },
	{ CKA_DECRYPT,             "decrypt",             NOT_TRUE },
	{ CKA_WRAP,                "wrap",                NOT_TRUE },
	{ CKA_UNWRAP,              "unwrap",              NOT_TRUE },
	{ CKA_DERIVE,              "derive",              NOT_TRUE },
	{ CKA_ALWAYS_AUTHENTICATE, "always-authenticate", NOT_TRUE },
	{ CKA_MODIFIABLE,          "modifiable",          ANY },
};
/* clang-format on */

static bool is_as_demanded(enum demand demand, enum hsm_state state)
{
	switch (demand) {
	case TRUE_ONLY:
		return state == HSM_TRUE;
	case FALSE_ONLY:
		return state == HSM_FALSE;
	case NOT_FALSE:
		return state != HSM_FALSE;
	case NOT_TRUE:
		return state != HSM_TRUE;
	case ANY:
		break;
	}
	return true;
}

static enum demand demand_of(const struct hsm *hsm, size_t row, unsigned traits)
{
	CK_ATTRIBUTE_TYPE type = rules[row].type;

	/* One bit of a TPM's key is called both "sign" and "encrypt"; a private half cannot do the latter. */
	if (hsm->is_of_a_tpm && type == CKA_ENCRYPT)
		return ANY;
	if ((traits & HSM_IMPORTED) && is_about_origin(type))
		return NOT_TRUE;
	if ((traits & HSM_SESSION) && type == CKA_TOKEN)
		return FALSE_ONLY;
	if ((traits & HSM_LEAVES) && type == CKA_EXTRACTABLE)
		return TRUE_ONLY;
	if ((traits & HSM_LEAVES) && type == CKA_NEVER_EXTRACTABLE)
		return NOT_TRUE;
	return rules[row].demand;
}

static bool is_good(const struct hsm *hsm, size_t row, unsigned traits, enum hsm_state state)
{
	return is_as_demanded(demand_of(hsm, row, traits), state);
}

/* `bad` may be NULL. */
static bool read_words(struct hsm *hsm, CK_OBJECT_HANDLE key, unsigned traits,
		       char words[HSM_ATTRIBUTES_SIZE], struct text *bad, struct muster_error *err)
{
	static const char *const names[] = { "false", "true", "unknown" };
	CLEANUP(text_done) struct text all = TEXT_MAX(HSM_ATTRIBUTES_SIZE - 1);

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		enum hsm_state state;

		if (!hsm_attribute_state(hsm, key, rules[i].type, &state, err))
			return false;
		text_addf(&all, "%s%s=%s", i > 0 ? " " : "", rules[i].name, names[state]);
		if (bad && !is_good(hsm, i, traits, state))
			text_addf(bad, " %s=%s", rules[i].name, names[state]);
	}
	if (!text_ok(&all, err))
		return false;
	snprintf(words, HSM_ATTRIBUTES_SIZE, "%s", all.data);
	return true;
}

bool hsm_attributes_read(struct hsm *hsm, CK_OBJECT_HANDLE key, char words[HSM_ATTRIBUTES_SIZE],
			 struct muster_error *err)
{
	return read_words(hsm, key, 0, words, NULL, err);
}

bool hsm_attributes_hold(struct hsm *hsm, CK_OBJECT_HANDLE key, unsigned traits,
			 char words[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	CLEANUP(text_done) struct text bad = TEXT_MAX(HSM_ATTRIBUTES_SIZE - 1);

	if (!read_words(hsm, key, traits, words, &bad, err))
		return false;
	return bad.length == 0 ||
	       muster_fail(err, CAUSE_KEY_ATTRIBUTES, "the key reads back with%s", bad.data);
}
