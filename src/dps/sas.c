#include <inttypes.h>
#include <string.h>

#include "muster/encoding.h"

#include "muster/dps.h"

#define SAS_TEXT_MAX 2048

bool dps_sas_string_to_sign(const struct dps_sas_terms *terms, struct text *ret_text,
			    struct muster_error *err)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(SAS_TEXT_MAX);

	text_add_url(&text, terms->resource);
	text_addf(&text, "\n%" PRId64, terms->expiry_s);
	if (!text_ok(&text, err))
		return false;
	text_done(ret_text);
	*ret_text = text;
	text = (struct text){ 0 };
	return true;
}

/* The buffer is wiped when it goes: text_done() does. */
bool dps_sas_assemble(const struct dps_sas_terms *terms, const uint8_t mac[32],
		      struct secret *ret_token, struct muster_error *err)
{
	CLEANUP(text_done) struct text token = TEXT_MAX(SAS_TEXT_MAX);
	CLEANUP(secret_done) struct secret signature = { 0 };

	if (!secret_to_base64(&signature, mac, 32, err))
		return false;
	text_add(&token, "SharedAccessSignature sr=");
	text_add_url(&token, terms->resource);
	text_add(&token, "&sig=");
	text_add_url(&token, (const char *)signature.data);
	text_addf(&token, "&se=%" PRId64 "&skn=", terms->expiry_s);
	text_add_url(&token, terms->policy);
	return text_ok(&token, err) && secret_copy(ret_token, token.data, token.length, err);
}

/* A secret that stands in for a key that lives elsewhere. */
static bool sign_with_secret(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
			     struct muster_error *err)
{
	const struct secret *secret = key->context;

	return hmac_sha256(secret->data, secret->size, data, size, mac, err);
}

bool dps_sas_make(const struct dps_sas_terms *terms, const struct secret *key,
		  struct secret *ret_token, struct muster_error *err)
{
	struct secret borrowed = *key;
	struct hmac_key by_secret = { .hmac = sign_with_secret, .context = &borrowed };

	return dps_sas_make_with(terms, &by_secret, ret_token, err);
}

bool dps_sas_make_with(const struct dps_sas_terms *terms, struct hmac_key *key,
		       struct secret *ret_token, struct muster_error *err)
{
	CLEANUP(text_done) struct text to_sign = TEXT_MAX(SAS_TEXT_MAX);
	uint8_t mac[32];
	bool is_made;

	is_made = dps_sas_string_to_sign(terms, &to_sign, err) &&
		  key->hmac(key, to_sign.data, to_sign.length, mac, err) &&
		  dps_sas_assemble(terms, mac, ret_token, err);
	secret_wipe(mac, sizeof(mac));
	return is_made;
}
