/* A public area as a chip shows it: what is taken marshals back to the same bytes, and every question about it has an
 * answer. */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "muster/ek-trust.h"

static void check_text_form(const struct ek_public *public)
{
	CLEANUP(freep) char *text = ek_public_to_base64(public);
	struct ek_public again;
	struct muster_error err;

	assert(text && ek_public_from_base64(text, strlen(text), &again, &err));
	assert(ek_public_equal(public, &again));
}

static void check_twin(const struct ek_public *public)
{
	struct ek_public twin, back;

	if (!ek_public_twin(public, &twin))
		return;
	assert(!ek_public_equal(public, &twin));
	assert(ek_public_twin(&twin, &back) && ek_public_equal(public, &back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *pem = NULL;
	struct ek_findings findings = { 0 };
	struct ek_public public;
	struct muster_error err;
	uint8_t name[EK_NAME_SIZE];
	char words[96];

	if (!ek_public_parse(data, size, &public, &err))
		return 0;
	assert(public.size == size && memcmp(public.data, data, size) == 0);
	check_text_form(&public);
	check_twin(&public);
	assert(*ek_public_describe(&public, words));
	(void)!ek_public_name(&public, name, &err);
	(void)!ek_public_pem(&public, &pem, &err);
	(void)!ek_check_dps(&public, &err);
	(void)!ek_check_srk(&public, &err);
	ek_check_strength(&public, &findings);
	return 0;
}
