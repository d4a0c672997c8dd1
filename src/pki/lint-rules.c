/* The rules that a certificate of ours keeps: RFC 5280, what DPS and TLS ask of a device's, and the plan. One function
 * per rule, in one table; each has a case that it rejects. */
#include "pki-internal.h"

#include <string.h>

DEFINE_FREEP(BASIC_CONSTRAINTS_freep, BASIC_CONSTRAINTS *, BASIC_CONSTRAINTS_free)
DEFINE_FREEP(CRL_DIST_POINTS_freep, CRL_DIST_POINTS *, CRL_DIST_POINTS_free)
DEFINE_FREEP(ASN1_BIT_STRING_freep, ASN1_BIT_STRING *, ASN1_BIT_STRING_free)
DEFINE_FREEP(ASN1_OCTET_STRING_freep, ASN1_OCTET_STRING *, ASN1_OCTET_STRING_free)
DEFINE_FREEP(AUTHORITY_KEYID_freep, AUTHORITY_KEYID *, AUTHORITY_KEYID_free)
DEFINE_FREEP(EXTENDED_KEY_USAGE_freep, EXTENDED_KEY_USAGE *, EXTENDED_KEY_USAGE_free)

enum { SERIAL_BITS_MIN = 128, SERIAL_BYTES_MAX = 20 };

static bool fail(struct muster_error *err, const char *sentence)
{
	return muster_fail(err, CAUSE_CERTIFICATE_INVALID, "%s", sentence);
}

/* -- Fields ---------------------------------------------------------------------------------------------------- */

static bool rule_version(const X509 *certificate, const struct pki_plan *plan,
			 struct muster_error *err)
{
	(void)plan;
	return X509_get_version(certificate) == X509_VERSION_3 || fail(err, "the version is not 3");
}

/* RFC 5280 4.1.2.2: positive, at most 20 octets. */
static bool rule_serial(const X509 *certificate, const struct pki_plan *plan,
			struct muster_error *err)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	CLEANUP(BIGNUM_freep) BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);

	(void)plan;
	if (!number)
		return pki_fail(err, CAUSE_CRYPTO, "reading the serial number");
	return (!BN_is_negative(number) && BN_num_bits(number) >= SERIAL_BITS_MIN &&
		BN_num_bytes(number) <= SERIAL_BYTES_MAX) ||
	       fail(err, "the serial number is negative, too short or too long");
}

static bool rule_algorithm(const X509 *certificate, const struct pki_plan *plan,
			   struct muster_error *err)
{
	static const int good[] = { NID_ecdsa_with_SHA256,
				    NID_ecdsa_with_SHA384,
				    NID_ecdsa_with_SHA512,
				    NID_sha256WithRSAEncryption,
				    NID_sha384WithRSAEncryption,
				    NID_sha512WithRSAEncryption,
				    NID_ED25519 };
	const X509_ALGOR *outer, *inner = X509_get0_tbs_sigalg(certificate);
	int nid = X509_get_signature_nid(certificate);

	(void)plan;
	X509_get0_signature(NULL, &outer, certificate);
	if (X509_ALGOR_cmp(outer, inner) != 0)
		return fail(err, "the signature algorithm inside is not the one outside");
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (good[i] == nid)
			return true;
	return fail(err, "the signature algorithm is not one for certificates");
}

/* The bytes, not what OpenSSL takes for equal: verifiers compare bytes. */
static bool same_name(const X509_NAME *a, const X509_NAME *b)
{
	const unsigned char *a_der, *b_der;
	size_t a_size, b_size;

	return X509_NAME_get0_der(a, &a_der, &a_size) == 1 &&
	       X509_NAME_get0_der(b, &b_der, &b_size) == 1 && a_size == b_size &&
	       memcmp(a_der, b_der, a_size) == 0;
}

static bool rule_names(const X509 *certificate, const struct pki_plan *plan,
		       struct muster_error *err)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	const X509_NAME *issuer = plan->issuer_certificate
					  ? X509_get_subject_name(plan->issuer_certificate)
					  : subject;

	if (X509_NAME_entry_count(subject) == 0)
		return fail(err, "the subject is empty");
	return same_name(X509_get_issuer_name(certificate), issuer) ||
	       fail(err, "the issuer's name is not the issuer's subject");
}

static bool rule_common_name(const X509 *certificate, const struct pki_plan *plan,
			     struct muster_error *err)
{
	char common_name[PKI_COMMON_NAME_SIZE];

	if (!pki_name_common_name(X509_get_subject_name(certificate), common_name))
		return fail(err, "the subject needs one common name of at most 64 bytes");
	if (!plan->registration_id || strcmp(common_name, plan->registration_id) == 0)
		return true;
	return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
			   "the common name '%s' is not the registration ID '%s'",
			   PRINTABLE(common_name), PRINTABLE(plan->registration_id));
}

static bool rule_key(const X509 *certificate, const struct pki_plan *plan, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes certified = { 0 }, wanted = { 0 };

	if (!pki_certificate_spki(certificate, &certified, err) ||
	    !pki_public_key_der(plan->key, &wanted, err))
		return false;
	if (!bytes_equal(&certified, &wanted))
		return fail(err, "the key is not the subject's");
	return pki_key_check(plan->key, err);
}

/* -- Validity -------------------------------------------------------------------------------------------------- */

/* RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on. */
static bool has_right_form(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 &&
	       ASN1_STRING_type(time) ==
		       (tm.tm_year < 150 ? V_ASN1_UTCTIME : V_ASN1_GENERALIZEDTIME);
}

static bool rule_validity(const X509 *certificate, const struct pki_plan *plan,
			  struct muster_error *err)
{
	const ASN1_TIME *begin = X509_get0_notBefore(certificate);
	const ASN1_TIME *end = X509_get0_notAfter(certificate);

	(void)plan;
	if (!has_right_form(begin) || !has_right_form(end))
		return fail(err, "the validity is not written as RFC 5280 wants it");
	return ASN1_TIME_compare(begin, end) < 0 || fail(err, "the validity ends at once");
}

static bool rule_issuer_validity(const X509 *certificate, const struct pki_plan *plan,
				 struct muster_error *err)
{
	X509 *issuer = plan->issuer_certificate;
	time_t now = (time_t)(plan->now_ms / 1000);

	if (!issuer)
		return true;
	if (ASN1_TIME_compare(X509_get0_notAfter(certificate), X509_get0_notAfter(issuer)) > 0)
		return fail(err, "the certificate would be valid longer than its issuer's");
	return X509_cmp_time(X509_get0_notBefore(issuer), &now) < 0 ||
	       fail(err, "the issuer's certificate is not valid yet");
}

/* -- Extensions ------------------------------------------------------------------------------------------------ */

struct extension_rule {
	int nid;
	bool is_critical;
};

static const struct extension_rule *rule_of(int nid)
{
	static const struct extension_rule rows[] = {
		{ NID_basic_constraints, true },
		{ NID_key_usage, true },
		{ NID_ext_key_usage, false },
		{ NID_subject_key_identifier, false },
		{ NID_authority_key_identifier, false },
		{ NID_crl_distribution_points, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].nid == nid)
			return &rows[i];
	return NULL;
}

/* Nothing that no rule knows, nothing twice, and critical where RFC 5280 says so. */
static bool rule_extensions(const X509 *certificate, const struct pki_plan *plan,
			    struct muster_error *err)
{
	(void)plan;
	for (int i = 0; i < X509_get_ext_count(certificate); i++) {
		X509_EXTENSION *extension = X509_get_ext(certificate, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
		const struct extension_rule *rule = rule_of(nid);

		if (!rule || X509_get_ext_by_NID(certificate, nid, i) >= 0 ||
		    X509_EXTENSION_get_critical(extension) != rule->is_critical)
			return muster_fail(
				err, CAUSE_CERTIFICATE_INVALID,
				"the extension %s is unknown, there twice, or wrongly critical",
				OBJ_nid2sn(nid));
	}
	return true;
}

/* -1: none. */
static long path_length_of(const X509 *certificate, bool *ret_is_authority)
{
	CLEANUP(BASIC_CONSTRAINTS_freep)
	BASIC_CONSTRAINTS *constraints =
		X509_get_ext_d2i(certificate, NID_basic_constraints, NULL, NULL);

	*ret_is_authority = constraints && constraints->ca;
	return constraints && constraints->pathlen ? ASN1_INTEGER_get(constraints->pathlen) : -1;
}

static bool rule_constraints(const X509 *certificate, const struct pki_plan *plan,
			     struct muster_error *err)
{
	bool is_authority;
	long length = path_length_of(certificate, &is_authority);
	long wanted =
		plan->role == PKI_AUTHORITY && plan->path_length >= 0 ? plan->path_length : -1;

	if (X509_get_ext_by_NID(certificate, NID_basic_constraints, -1) < 0)
		return fail(err, "there are no basic constraints");
	return (is_authority == (plan->role == PKI_AUTHORITY) && length == wanted) ||
	       fail(err, "the basic constraints are not those of its role");
}

static bool rule_path(const X509 *certificate, const struct pki_plan *plan,
		      struct muster_error *err)
{
	bool is_authority;
	long above = plan->issuer_certificate
			     ? path_length_of(plan->issuer_certificate, &is_authority)
			     : -1;
	long below = path_length_of(certificate, &is_authority);

	if (!is_authority || above < 0)
		return true;
	return (below >= 0 && below < above) ||
	       muster_fail(err, CAUSE_CERTIFICATE_INVALID,
			   "the issuer's path length %ld does not allow this authority below it",
			   above);
}

/* One octet has all that is wanted. */
static bool rule_usage(const X509 *certificate, const struct pki_plan *plan,
		       struct muster_error *err)
{
	CLEANUP(ASN1_BIT_STRING_freep)
	ASN1_BIT_STRING *usage = X509_get_ext_d2i(certificate, NID_key_usage, NULL, NULL);
	int wanted =
		plan->role == PKI_AUTHORITY ? KU_KEY_CERT_SIGN | KU_CRL_SIGN : KU_DIGITAL_SIGNATURE;

	return (usage && ASN1_STRING_length(usage) == 1 &&
		*ASN1_STRING_get0_data(usage) == wanted) ||
	       fail(err, "the key usage is not that of its role");
}

static bool rule_extended_usage(const X509 *certificate, const struct pki_plan *plan,
				struct muster_error *err)
{
	CLEANUP(EXTENDED_KEY_USAGE_freep)
	EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	bool is_client = sk_ASN1_OBJECT_num(usage) == 1 &&
			 OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, 0)) == NID_client_auth;

	if (plan->role == PKI_AUTHORITY
		    ? X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1) < 0
		    : is_client)
		return true;
	return fail(err, "the extended key usage is not that of its role");
}

static bool rule_key_identifiers(const X509 *certificate, const struct pki_plan *plan,
				 struct muster_error *err)
{
	CLEANUP(ASN1_OCTET_STRING_freep)
	ASN1_OCTET_STRING *subject =
		X509_get_ext_d2i(certificate, NID_subject_key_identifier, NULL, NULL);
	CLEANUP(AUTHORITY_KEYID_freep)
	AUTHORITY_KEYID *authority =
		X509_get_ext_d2i(certificate, NID_authority_key_identifier, NULL, NULL);
	const ASN1_OCTET_STRING *issuer =
		plan->issuer_certificate ? X509_get0_subject_key_id(plan->issuer_certificate)
					 : subject;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size;

	if (X509_pubkey_digest(certificate, EVP_sha1(), digest, &size) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "hashing a public key");
	if (!subject || ASN1_STRING_length(subject) != (int)size ||
	    memcmp(ASN1_STRING_get0_data(subject), digest, size) != 0)
		return fail(err, "the subject key identifier is not the key's");
	return (authority && authority->keyid && issuer &&
		ASN1_OCTET_STRING_cmp(authority->keyid, issuer) == 0) ||
	       fail(err, "the authority key identifier is not the issuer's");
}

static bool is_uri(const DIST_POINT *point, const char *url)
{
	const GENERAL_NAMES *names = point->distpoint && point->distpoint->type == 0
					     ? point->distpoint->name.fullname
					     : NULL;
	const GENERAL_NAME *name =
		names && sk_GENERAL_NAME_num(names) == 1 ? sk_GENERAL_NAME_value(names, 0) : NULL;

	return name && name->type == GEN_URI &&
	       ASN1_STRING_length(name->d.uniformResourceIdentifier) == (int)strlen(url) &&
	       memcmp(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), url, strlen(url)) ==
		       0;
}

static bool rule_crl(const X509 *certificate, const struct pki_plan *plan, struct muster_error *err)
{
	CLEANUP(CRL_DIST_POINTS_freep)
	CRL_DIST_POINTS *points =
		X509_get_ext_d2i(certificate, NID_crl_distribution_points, NULL, NULL);

	if (!plan->crl_url && !points)
		return true;
	return (plan->crl_url && points && sk_DIST_POINT_num(points) == 1 &&
		is_uri(sk_DIST_POINT_value(points, 0), plan->crl_url)) ||
	       fail(err, "the CRL distribution point is not the one that was asked for");
}

/* -- All of them ------------------------------------------------------------------------------------------------- */

bool pki_lint_rules(const X509 *certificate, const struct pki_plan *plan, struct muster_error *err)
{
	static bool (*const rules[])(const X509 *certificate, const struct pki_plan *plan,
				     struct muster_error *err) = {
		rule_version,
		rule_serial,
		rule_algorithm,
		rule_names,
		rule_common_name,
		rule_key,
		rule_validity,
		rule_issuer_validity,
		rule_extensions,
		rule_constraints,
		rule_path,
		rule_usage,
		rule_extended_usage,
		rule_key_identifiers,
		rule_crl,
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (!rules[i](certificate, plan, err))
			return false;
	return true;
}
