#include "attest-key.h"

#include <stdlib.h>

#include "muster/cleanup.h"

void attest_key_close(struct attest_key *key)
{
	EVP_PKEY_free(TAKE_PTR(key->key));
	free(TAKE_PTR(key->signer));
}

void attest_forget_wrapped(struct attest_key *key)
{
	free(TAKE_PTR(key->wrapped.file));
	key->wrapped.recipient[0] = '\0';
}

void attest_key_done(struct attest_key *key)
{
	attest_key_close(key);
	bytes_done(&key->id);
	bytes_done(&key->spki);
	free(key->attributes);
	bytes_done(&key->certificate);
	bytes_done(&key->request);
	bytes_done(&key->certificates);
	free(key->token_serial);
	free(key->token_label);
	free(key->wrapped.file);
	free(key->wrapped.method);
	cJSON_Delete(key->wrapped.announced);
	cJSON_Delete(key->namesakes);
	cJSON_Delete(key->terms);
	*key = (struct attest_key){ 0 };
}
