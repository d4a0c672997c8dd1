#include "guard.h"

#include <string.h>

#include "muster/encoding.h"
#include "muster/log.h"
#include "muster/text.h"
#include "muster/token-uri.h"

/* As attributes are read back. */
static const char *const faults[] = { "sensitive=false", "extractable=true" };

static bool has_word(const char *attributes, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = attributes; (at = strstr(at, word)) != NULL; at += length)
		if ((at == attributes || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return true;
	return false;
}

static const char *name_of(const struct token_uri *uri, const char *text, char hex[2 * 64 + 1])
{
	if (uri->object)
		return uri->object;
	return uri->id.data && uri->id.size <= 64 ? hex_encode(hex, uri->id.data, uri->id.size)
						  : text;
}

void guard_warn(const char *kind, const char *uri, const char *attributes)
{
	CLEANUP(token_uri_done) struct token_uri parsed = { 0 };
	CLEANUP(text_done) struct text bad = TEXT_MAX(128);
	bool is_master = strcmp(kind, "master") == 0;
	struct muster_error ignored;
	char hex[2 * 64 + 1];

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (attributes && has_word(attributes, faults[i]))
			text_addf(&bad, "%s%s", bad.length > 0 ? ", " : "", faults[i]);
	if (bad.length == 0 || !text_ok(&bad, &ignored) || !token_uri_parse(uri, &parsed, &ignored))
		return;
	log_warning("the %s key '%s' can be copied out of its token by whoever has the PIN (%s): "
		    "make another one with muster %s, and have it take over, going on",
		    kind, PRINTABLE(name_of(&parsed, uri, hex)), bad.data,
		    is_master ? "key generate-master" : "cert self-sign or cert request");
}
