/* The bare ESYS loop that `scripts/bench tpm` holds muster against: the commands and the sessions of one examination of a
 * TPM with a persisted EK, no more. Prints milliseconds per visit.
 *   bare-tpm TCTI COUNT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include "muster/ek-holdings.h"

/* Not the library's names: those shift a signed bit out. */
#define FIRST_TRANSIENT 0x80000000u
#define FIRST_PERSISTENT 0x81000000u

struct visit {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	struct ek_public ek_public, ak_public;
	ESYS_TR ek, ak, session, policy;
	uint32_t persistent[TPM2_MAX_CAP_HANDLES];
	size_t persistent_count;
};

static void check(TSS2_RC rc, const char *what)
{
	if (rc == TSS2_RC_SUCCESS)
		return;
	fprintf(stderr, "bare-tpm: %s: 0x%x\n", what, rc);
	exit(1);
}

static void expect(bool good, const struct muster_error *err)
{
	if (good)
		return;
	fprintf(stderr, "bare-tpm: %s\n", err->message);
	exit(1);
}

/* -- What is there ------------------------------------------------------------------------------------------------- */

static void ask_capability(struct visit *visit, TPM2_CAP capability, uint32_t first,
			   uint32_t handles[TPM2_MAX_CAP_HANDLES], size_t *ret_count)
{
	TPMS_CAPABILITY_DATA *data;
	TPMI_YES_NO more;

	check(Esys_GetCapability(visit->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, capability,
				 first, TPM2_MAX_CAP_HANDLES, &more, &data),
	      "GetCapability");
	*ret_count = 0;
	for (size_t i = 0; capability == TPM2_CAP_HANDLES && i < data->data.handles.count; i++)
		handles[(*ret_count)++] = data->data.handles.handle[i];
	Esys_Free(data);
}

static void ask_capabilities(struct visit *visit, int times)
{
	uint32_t handles[TPM2_MAX_CAP_HANDLES];
	size_t count;

	for (int i = 0; i < times; i++)
		ask_capability(visit, TPM2_CAP_HANDLES, FIRST_TRANSIENT, handles, &count);
}

static void read_clock(struct visit *visit)
{
	TPMS_TIME_INFO *clock;

	check(Esys_ReadClock(visit->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &clock),
	      "ReadClock");
	Esys_Free(clock);
}

/* The counters, what is loaded, and what is persistent. */
static void read_state(struct visit *visit)
{
	read_clock(visit);
	ask_capabilities(visit, 3);
	ask_capability(visit, TPM2_CAP_HANDLES, FIRST_PERSISTENT, visit->persistent,
		       &visit->persistent_count);
}

static ESYS_TR open_reference(struct visit *visit, uint32_t handle)
{
	ESYS_TR reference;

	check(Esys_TR_FromTPMPublic(visit->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				    &reference),
	      "TR_FromTPMPublic");
	return reference;
}

static void read_reference(struct visit *visit, ESYS_TR reference, struct ek_public *ret_public)
{
	TPM2B_PUBLIC *public;
	struct muster_error err;
	uint8_t data[EK_PUBLIC_MAX];
	size_t size = 0;

	check(Esys_ReadPublic(visit->esys, reference, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			      &public, NULL, NULL),
	      "ReadPublic");
	check(Tss2_MU_TPM2B_PUBLIC_Marshal(public, data, sizeof(data), &size), "marshalling");
	expect(ek_public_parse(data, size, ret_public, &err), &err);
	Esys_Free(public);
}

static void read_public(struct visit *visit, uint32_t handle, struct ek_public *ret_public)
{
	ESYS_TR reference = open_reference(visit, handle);

	read_reference(visit, reference, ret_public);
	Esys_TR_Close(visit->esys, &reference);
}

static void read_index(struct visit *visit, uint32_t index)
{
	ESYS_TR reference = open_reference(visit, index);
	TPM2B_NV_PUBLIC *public;
	TPM2B_MAX_NV_BUFFER *content;

	check(Esys_NV_ReadPublic(visit->esys, reference, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				 &public, NULL),
	      "NV_ReadPublic");
	ask_capabilities(visit, 1); /* the largest piece */
	check(Esys_NV_Read(visit->esys, reference, reference, ESYS_TR_PASSWORD, ESYS_TR_NONE,
			   ESYS_TR_NONE, public->nvPublic.dataSize, 0, &content),
	      "NV_Read");
	Esys_Free(public);
	Esys_Free(content);
	Esys_TR_Close(visit->esys, &reference);
}

static void survey(struct visit *visit)
{
	uint32_t handles[TPM2_MAX_CAP_HANDLES];
	struct ek_public public;
	size_t count;

	read_state(visit);
	ask_capability(visit, TPM2_CAP_HANDLES, EK_NV_FIRST, handles, &count);
	for (size_t i = 0; i < count && handles[i] <= EK_NV_LAST; i++) {
		ask_capabilities(visit, 1);
		read_index(visit, handles[i]);
	}
	for (size_t i = 0; i < visit->persistent_count; i++) {
		uint32_t handle = visit->persistent[i];

		ask_capabilities(visit, 1);
		read_public(visit, handle, &public);
		if (handle == EK_HANDLE)
			visit->ek_public = public;
	}
}

/* -- Possession ---------------------------------------------------------------------------------------------------- */

static ESYS_TR start_session(struct visit *visit, TPM2_SE type)
{
	TPMT_SYM_DEF cipher = { .algorithm = type == TPM2_SE_POLICY ? TPM2_ALG_NULL : TPM2_ALG_AES,
				.keyBits.aes = 128,
				.mode.aes = TPM2_ALG_CFB };
	ESYS_TR session;

	check(Esys_StartAuthSession(visit->esys, visit->ek, ESYS_TR_NONE, ESYS_TR_NONE,
				    ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &cipher,
				    TPM2_ALG_SHA256, &session),
	      "StartAuthSession");
	return session;
}

static void make_ak(struct visit *visit)
{
	static const TPM2B_SENSITIVE_CREATE no_auth;
	static const TPM2B_DATA no_information;
	static const TPML_PCR_SELECTION no_pcrs;
	struct ek_public template;
	struct muster_error err;
	TPM2B_PUBLIC wanted, *made;
	uint8_t data[EK_PUBLIC_MAX];
	size_t offset = 0, size = 0;

	memset(&wanted, 0, sizeof(wanted));
	expect(ek_template_ak(&template, &err), &err);
	check(Tss2_MU_TPM2B_PUBLIC_Unmarshal(template.data, template.size, &offset, &wanted),
	      "the template");
	check(Esys_CreatePrimary(visit->esys, ESYS_TR_RH_ENDORSEMENT, visit->session, ESYS_TR_NONE,
				 ESYS_TR_NONE, &no_auth, &wanted, &no_information, &no_pcrs,
				 &visit->ak, &made, NULL, NULL, NULL),
	      "CreatePrimary");
	check(Tss2_MU_TPM2B_PUBLIC_Marshal(made, data, sizeof(data), &size), "marshalling");
	expect(ek_public_parse(data, size, &visit->ak_public, &err), &err);
	Esys_Free(made);
}

static void prove(struct visit *visit)
{
	CLEANUP(secret_done) struct secret credential = { 0 };
	CLEANUP(bytes_done) struct bytes id_object = { 0 }, secret = { 0 };
	struct muster_error err;
	uint8_t name[EK_NAME_SIZE];
	TPM2B_ID_OBJECT sealed;
	TPM2B_ENCRYPTED_SECRET seed;
	TPM2B_DIGEST *got;
	size_t sealed_size = 0, seed_size = 0;

	expect(secret_new(&credential, 16, &err) && random_bytes(credential.data, 16, &err) &&
		       ek_public_name(&visit->ak_public, name, &err) &&
		       ek_credential_make(&visit->ek_public, name, &credential, &id_object, &secret,
					  &err),
	       &err);
	check(Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id_object.data, id_object.size, &sealed_size,
						&sealed),
	      "the credential");
	check(Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret.data, secret.size, &seed_size, &seed),
	      "the credential's seed");
	visit->policy = start_session(visit, TPM2_SE_POLICY);
	check(Esys_PolicySecret(visit->esys, ESYS_TR_RH_ENDORSEMENT, visit->policy, visit->session,
				ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL),
	      "PolicySecret");
	check(Esys_ActivateCredential(visit->esys, visit->ak, visit->ek, visit->session,
				      visit->policy, ESYS_TR_NONE, &sealed, &seed, &got),
	      "ActivateCredential");
	if (got->size != 16 || CRYPTO_memcmp(got->buffer, credential.data, 16) != 0)
		check(1, "another credential came back");
	Esys_Free(got);
}

/* -- A visit --------------------------------------------------------------------------------------------------------- */

static void run(const char *tcti)
{
	struct visit visit = { 0 };
	struct ek_public again;

	check(Tss2_TctiLdr_Initialize(tcti, &visit.tcti), "connecting");
	check(Esys_Initialize(&visit.esys, visit.tcti, NULL), "Esys_Initialize");
	ask_capabilities(&visit, 5); /* what is loaded, and who made it */
	survey(&visit);

	ask_capabilities(&visit, 1);
	visit.ek = open_reference(&visit, EK_HANDLE);
	visit.session = start_session(&visit, TPM2_SE_HMAC);
	check(Esys_TRSess_SetAttributes(visit.esys, visit.session,
					TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT |
						TPMA_SESSION_ENCRYPT,
					0xff),
	      "setting up a session");
	make_ak(&visit);
	prove(&visit);

	read_state(&visit);
	ask_capabilities(&visit, 1);
	read_reference(&visit, visit.ek, &again);
	check(Esys_FlushContext(visit.esys, visit.ak), "FlushContext");
	check(Esys_FlushContext(visit.esys, visit.policy), "FlushContext");
	check(Esys_FlushContext(visit.esys, visit.session), "FlushContext");
	read_state(&visit);
	Esys_Finalize(&visit.esys);
	Tss2_TctiLdr_Finalize(&visit.tcti);
}

int main(int argc, char **argv)
{
	struct timespec begin, end;
	long count = argc == 3 ? atol(argv[2]) : 0;

	if (count <= 0) {
		fprintf(stderr, "bare-tpm: TCTI COUNT\n");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = 0; i < count; i++)
		run(argv[1]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.3f\n", ((double)(end.tv_sec - begin.tv_sec) * 1e3 +
			  (double)(end.tv_nsec - begin.tv_nsec) / 1e6) /
				 (double)count);
	return 0;
}
