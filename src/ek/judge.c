/* Step by step to the findings: the key that is presented, the certificate that counts, and the two held together. */
#include "muster/ek-judge.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "ek-internal.h"

static const char check_key[] = "endorsement key";
static const char check_certificate[] = "certificate";

static const char *short_digest(const struct ek_public *public, char out[SHA256_HEX_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	ek_public_digest(public, digest);
	return hex_encode(out, digest, sizeof(digest));
}
#define DIGEST(public) short_digest(public, (char[SHA256_HEX_SIZE]){ 0 })
#define KIND(public) ek_public_describe(public, (char[96]){ 0 })

/* -- The key that is presented ----------------------------------------------------------------------------------- */

static bool take_presented(const struct ek_case *facts, struct ek_judgement *judgement)
{
	struct muster_error err;
	if (facts->presented) {
		judgement->presented = *facts->presented;
		judgement->has_presented = true;
	} else if (!ek_holdings_public(facts->holdings, EK_HANDLE, &judgement->has_presented,
				       &judgement->presented, &err)) {
		ek_find_error(&judgement->findings, check_key, EK_REFUSED, &err);
		return false;
	}
	return true;
}

static const struct ek_made *find_made(const struct ek_case *facts, enum ek_template which)
{
	for (size_t i = 0; i < facts->made_count; i++)
		if (facts->made[i].which == which)
			return &facts->made[i];
	return NULL;
}

static void find_absent(const struct ek_case *facts, struct ek_findings *findings)
{
	const struct ek_made *tcg = find_made(facts, EK_TEMPLATE_L1);
	const struct ek_made *azure = find_made(facts, EK_TEMPLATE_AZURE);
	if (tcg && azure)
		ek_find(findings, check_key, EK_WARNED, CAUSE_EK_NOT_PERSISTED,
			"nothing is persisted at 0x%08x: the C and Node SDKs would make and present "
			"%.16s..., C# and the identity service %.16s..., which is the TCG's",
			EK_HANDLE, DIGEST(&azure->public), DIGEST(&tcg->public));
	else if (tcg || !facts->was_tried)
		ek_find(findings, check_key, EK_WARNED, CAUSE_EK_NOT_PERSISTED,
			"nothing is persisted at 0x%08x", EK_HANDLE);
	else
		ek_find(findings, check_key, EK_REFUSED, CAUSE_EK_ECC_ONLY,
			"nothing is persisted at 0x%08x, and the TPM makes no RSA-2048 key",
			EK_HANDLE);
}

static void find_presented(const struct ek_case *facts, struct ek_judgement *judgement)
{
	const struct ek_public *presented = &judgement->presented;
	struct ek_findings *findings = &judgement->findings;
	struct muster_error err;
	if (!judgement->has_presented) {
		find_absent(facts, findings);
		return;
	}
	ek_check_strength(presented, findings);
	if (ek_check_dps(presented, &err))
		ek_find(findings, check_key, EK_PASSED, CAUSE_NONE,
			"%s at 0x%08x, which the device's software reads first and presents (SHA-256 %s)",
			KIND(presented), EK_HANDLE, DIGEST(presented));
	else
		ek_find(findings, check_key, EK_REFUSED, err.cause, "at 0x%08x %s", EK_HANDLE,
			err.message);
}

/* -- The certificate that counts ----------------------------------------------------------------------------------- */

struct choice {
	X509 *certificate; /* owned */
	struct bytes bytes;
	uint32_t index; /* 0: from elsewhere */
	unsigned rank;
};

static void choice_done(struct choice *choice)
{
	X509_free(choice->certificate);
	bytes_done(&choice->bytes);
}

enum { RANK_NONE, RANK_ECC, RANK_RSA, RANK_MADE, RANK_PRESENTED };

static const struct ek_made *made_for(const struct ek_case *facts, const X509 *certificate)
{
	struct muster_error ignored;
	for (size_t i = 0; i < facts->made_count; i++)
		if (ek_certificate_check_key(certificate, &facts->made[i].public, &ignored))
			return &facts->made[i];
	return NULL;
}

static unsigned rank_of(const struct ek_case *facts, const struct ek_judgement *judgement,
			const X509 *certificate)
{
	struct muster_error ignored;
	if (judgement->has_presented &&
	    ek_certificate_check_key(certificate, &judgement->presented, &ignored))
		return RANK_PRESENTED;
	const struct ek_made *made = made_for(facts, certificate);
	if (made && made->which == EK_TEMPLATE_L1)
		return RANK_MADE;
	return ek_certificate_is_rsa(certificate) ? RANK_RSA : RANK_ECC;
}

/* A better one takes the place of the one that was found before. */
static void consider(const struct ek_case *facts, struct ek_judgement *judgement,
		     const struct ek_holding *row, struct choice *best)
{
	CLEANUP(choice_done) struct choice own = { .index = row->handle };
	struct muster_error err;
	if (!row->is_readable) {
		ek_find(&judgement->findings, check_certificate, EK_WARNED, CAUSE_TPM_AUTH,
			"NV index 0x%08x cannot be read", row->handle);
		return;
	}
	if (!ek_certificate_parse(row->data, row->size, &own.certificate, &own.bytes, &err)) {
		bool is_empty = err.cause == CAUSE_EK_CERTIFICATE_EMPTY;
		judgement->is_index_empty = judgement->is_index_empty || is_empty;
		ek_find(&judgement->findings, check_certificate, is_empty ? EK_NOTED : EK_REFUSED,
			is_empty ? CAUSE_NONE : err.cause, "NV index 0x%08x: %s", row->handle,
			err.message);
		return;
	}
	own.rank = rank_of(facts, judgement, own.certificate);
	if (own.rank > best->rank) {
		struct choice worse = *best;
		*best = own;
		own = worse;
	}
}

static void take_elsewhere(const struct ek_case *facts, struct choice *best)
{
	struct muster_error ignored;
	unsigned char *der = NULL;
	int size = i2d_X509(facts->certificate, &der);
	if (size > 0)
		(void)!bytes_copy(&best->bytes, der, (size_t)size, &ignored);
	OPENSSL_free(der);
	X509_up_ref(facts->certificate);
	best->certificate = facts->certificate;
}

static bool choose(const struct ek_case *facts, struct ek_judgement *judgement, struct choice *best)
{
	if (facts->certificate) {
		take_elsewhere(facts, best);
		best->rank = rank_of(facts, judgement, best->certificate);
		return true;
	}
	for (size_t i = 0; i < facts->holdings->count; i++)
		if (ek_index_is_certificate(facts->holdings->rows[i].handle))
			consider(facts, judgement, &facts->holdings->rows[i], best);
	return best->rank != RANK_NONE;
}

static const char *place_of(const struct ek_case *facts, const struct choice *choice, char out[32])
{
	if (!choice->index)
		return facts->certificate_place;
	snprintf(out, 32, "NV index 0x%08x", choice->index);
	return out;
}

/* -- Both held together -------------------------------------------------------------------------------------------- */

static void find_mismatch(const struct ek_case *facts, const struct ek_judgement *judgement,
			  const struct choice *choice, struct ek_findings *findings)
{
	const struct ek_made *made = made_for(facts, choice->certificate);
	const char *place = place_of(facts, choice, (char[32]){ 0 });
	if (made && made->which == EK_TEMPLATE_L1 && judgement->has_presented)
		ek_find(findings, check_certificate, EK_REFUSED, CAUSE_EK_OTHER_PERSISTED,
			"the certificate in %s is for the key of %s (%.16s...), and %.16s... is "
			"persisted at 0x%08x and would be presented",
			place, ek_template_name(made->which), DIGEST(&made->public),
			DIGEST(&judgement->presented), EK_HANDLE);
	else if (made && made->which == EK_TEMPLATE_L1)
		ek_find(findings, check_certificate, EK_PASSED, CAUSE_NONE,
			"the certificate in %s is for the key of %s, which provisioning persists",
			place, ek_template_name(made->which));
	else if (made)
		ek_find(findings, check_certificate, EK_REFUSED, CAUSE_EK_CERTIFIED_TEMPLATE,
			"the certificate in %s is for the key of %s, which DPS does not take",
			place, ek_template_name(made->which));
	else if (judgement->has_presented || facts->was_tried)
		ek_find(findings, check_certificate, EK_REFUSED, CAUSE_EK_CERTIFICATE_MISMATCH,
			"the certificate in %s is for none of the TPM's keys%s", place,
			facts->was_tried ? ", nor one that its templates make" : " at hand");
}

static void find_certified(const struct ek_case *facts, enum ek_certificate_need need,
			   struct ek_judgement *judgement, const struct choice *choice)
{
	struct ek_findings *findings = &judgement->findings;
	const char *place = place_of(facts, choice, (char[32]){ 0 });
	switch (choice->rank) {
	case RANK_PRESENTED:
		ek_find(findings, check_certificate, EK_PASSED, CAUSE_NONE,
			"the certificate in %s is for the key at 0x%08x", place, EK_HANDLE);
		break;
	case RANK_ECC:
		ek_find(findings, check_certificate,
			need == EK_CERTIFICATE_REQUIRED ? EK_REFUSED : EK_WARNED, CAUSE_EK_ECC_ONLY,
			"the certificate in %s is for an elliptic-curve key, and there is none for an "
			"RSA key",
			place);
		break;
	default:
		judgement->needs_templates = !facts->was_tried;
		find_mismatch(facts, judgement, choice, findings);
	}
}

static void find_missing(const struct ek_case *facts, enum ek_certificate_need need,
			 struct ek_judgement *judgement)
{
	enum ek_verdict verdict = need == EK_CERTIFICATE_REQUIRED ? EK_REFUSED : EK_WARNED;
	if (facts->why_missing) {
		ek_find_error(&judgement->findings, check_certificate, verdict, facts->why_missing);
		return;
	}
	ek_find(&judgement->findings, check_certificate, verdict,
		judgement->is_index_empty ? CAUSE_EK_CERTIFICATE_EMPTY
					  : CAUSE_EK_CERTIFICATE_MISSING,
		"the TPM holds no EK certificate, so that no vendor vouches for its key");
}

/* -- Who issued it ------------------------------------------------------------------------------------------------- */

static void x509_stackp(STACK_OF(X509) **stack)
{
	sk_X509_pop_free(*stack, X509_free);
}

/* Certificates one behind the other, with fill between them; what is none ends the list. */
static void take_chain(const uint8_t *data, size_t size, STACK_OF(X509) *helpers)
{
	const unsigned char *at = data, *end = data + size;
	while (at < end) {
		while (at < end && (*at == 0x00 || *at == 0xff))
			at++;
		X509 *certificate = at < end ? d2i_X509(NULL, &at, (long)(end - at)) : NULL;
		if (!certificate)
			return;
		if (!sk_X509_push(helpers, certificate)) {
			X509_free(certificate);
			return;
		}
	}
}

/* Chains run over the extra indices as over one file. */
static STACK_OF(X509) *read_helpers(const struct ek_holdings *holdings)
{
	CLEANUP(text_done) struct text all = TEXT_MAX(EK_HOLDINGS_SIZE_MAX);
	STACK_OF(X509) *helpers = sk_X509_new_null();
	for (size_t i = 0; i < holdings->count; i++) {
		const struct ek_holding *row = &holdings->rows[i];
		if (row->handle >= EK_NV_CHAIN_FIRST && row->handle <= EK_NV_LAST &&
		    row->is_readable)
			text_add_bytes(&all, row->data, row->size);
	}
	if (helpers && all.length > 0)
		take_chain((const uint8_t *)all.data, all.length, helpers);
	return helpers;
}

static void find_vendor(const struct ek_case *facts, const X509 *certificate,
			struct ek_findings *findings)
{
	struct ek_certificate_info info;
	struct muster_error ignored;
	if (!facts->manufacturer || !ek_certificate_describe(certificate, &info, &ignored))
		return;
	const char *chip = ek_vendor_name(facts->manufacturer);
	const char *certified = ek_vendor_name(info.manufacturer);
	if (chip && certified && strcmp(chip, certified) != 0)
		ek_find(findings, "profile", EK_WARNED, CAUSE_EK_VENDOR_DIFFERS,
			"the chip says that it is of %s, its certificate of %s", chip, certified);
}

static void examine(const struct ek_case *facts, const struct ek_terms *terms,
		    struct ek_judgement *judgement)
{
	CLEANUP(x509_stackp) STACK_OF(X509) *helpers = NULL;
	ERR_set_mark();
	helpers = read_helpers(facts->holdings);
	ERR_pop_to_mark();
	ek_check_certificate(judgement->certificate, terms, &judgement->findings);
	find_vendor(facts, judgement->certificate, &judgement->findings);
	ek_check_chain(judgement->certificate, helpers, terms, &judgement->findings);
}

void ek_judge(const struct ek_case *facts, enum ek_certificate_need need,
	      const struct ek_terms *terms, struct ek_judgement *ret_judgement)
{
	CLEANUP(choice_done) struct choice choice = { 0 };
	struct ek_findings *findings = &ret_judgement->findings;
	if (!take_presented(facts, ret_judgement))
		return;
	find_presented(facts, ret_judgement);
	if (need == EK_CERTIFICATE_IGNORED) {
		ek_find(findings, check_certificate, EK_NOTED, CAUSE_NONE, "not looked at");
		return;
	}
	if (!choose(facts, ret_judgement, &choice)) {
		find_missing(facts, need, ret_judgement);
		return;
	}
	find_certified(facts, need, ret_judgement, &choice);
	ret_judgement->certificate = TAKE_PTR(choice.certificate);
	ret_judgement->certificate_bytes = choice.bytes;
	choice.bytes = (struct bytes){ 0 };
	examine(facts, terms, ret_judgement);
}

void ek_judgement_done(struct ek_judgement *judgement)
{
	X509_free(judgement->certificate);
	bytes_done(&judgement->certificate_bytes);
	*judgement = (struct ek_judgement){ 0 };
}
