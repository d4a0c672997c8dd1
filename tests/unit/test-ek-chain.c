/* From an EK's certificate to a root: keys that OpenSSL does not read by itself, and files with several lists. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "muster/clock.h"
#include "muster/ek-trust.h"

enum { SERIAL_OF_LEAF = 7 };

static EVP_PKEY *root_keys[2], *leaf_key;
static X509 *roots[2];
static char directory[64], roots_directory[96];
static struct muster_error err;

static void name_it(X509_NAME *name, const char *text)
{
	assert_true(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					       (const unsigned char *)text, -1, -1, 0));
}

static X509 *make(const char *subject, EVP_PKEY *key, const char *issuer, EVP_PKEY *signs)
{
	X509 *certificate = X509_new();

	assert_true(certificate && X509_set_version(certificate, X509_VERSION_3) &&
		    ASN1_INTEGER_set(X509_get_serialNumber(certificate), SERIAL_OF_LEAF));
	name_it(X509_get_subject_name(certificate), subject);
	name_it(X509_get_issuer_name(certificate), issuer);
	assert_true(X509_set_pubkey(certificate, key) &&
		    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
		    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
	if (key == signs) {
		X509_EXTENSION *is_authority =
			X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

		assert_true(X509_add_ext(certificate, is_authority, -1));
		X509_EXTENSION_free(is_authority);
	}
	assert_true(X509_sign(certificate, signs, EVP_sha256()) > 0);
	return certificate;
}

/* As it comes out of a TPM: read from its encoding. */
static X509 *read_again(X509 *certificate)
{
	unsigned char *der = NULL;
	int size = i2d_X509(certificate, &der);
	const unsigned char *next = der;
	X509 *read = d2i_X509(NULL, &next, size);

	assert_non_null(read);
	OPENSSL_free(der);
	X509_free(certificate);
	return read;
}

static X509 *make_leaf_marked_for_oaep(EVP_PKEY *signs)
{
	X509 *leaf = make("leaf", leaf_key, "root-0", root_keys[0]);
	unsigned char *key = NULL;
	int size = i2d_PublicKey(leaf_key, &key);

	assert_true(X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(leaf), OBJ_nid2obj(NID_rsaesOaep),
					   V_ASN1_UNDEF, NULL, key, size) &&
		    X509_sign(leaf, signs, EVP_sha256()) > 0);
	return read_again(leaf);
}

static FILE *open_in(const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	return file;
}

static void drop(const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);

	unlink(path);
}

static enum muster_cause judge(X509 *certificate, const char *crls, enum ek_revocation revocation)
{
	CLEANUP(ek_trust_freep) struct ek_trust *trust = NULL;
	struct ek_terms terms = { .revocation = revocation, .now_ms = clock_wall_ms() };
	struct ek_findings findings = { 0 };
	struct muster_error why = { 0 };

	assert_good(ek_trust_load(roots_directory, crls, &trust, &err), err);
	terms.trust = trust;
	ek_check_chain(certificate, NULL, &terms, &findings);
	return ek_findings_settle(&findings, &why) ? CAUSE_NONE : why.cause;
}

static void a_key_marked_for_oaep_has_a_chain_too(void **state)
{
	X509 *good = make_leaf_marked_for_oaep(root_keys[0]);
	X509 *forged = make_leaf_marked_for_oaep(root_keys[1]);

	(void)state;
	assert_null(X509_get0_pubkey(good));
	assert_int_equal(judge(good, NULL, EK_REVOCATION_OFF), CAUSE_NONE);
	assert_int_equal(judge(forged, NULL, EK_REVOCATION_OFF), CAUSE_EK_CHAIN_FORGED);
	assert_null(X509_get0_pubkey(good));
	X509_free(good);
	X509_free(forged);
}

static X509_CRL *make_list(size_t root, bool revokes)
{
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *before = X509_gmtime_adj(NULL, -60), *after = X509_gmtime_adj(NULL, 3600);

	assert_true(list && X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
		    X509_CRL_set_issuer_name(list, X509_get_subject_name(roots[root])) &&
		    X509_CRL_set1_lastUpdate(list, before) &&
		    X509_CRL_set1_nextUpdate(list, after));
	if (revokes) {
		X509_REVOKED *entry = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_new();

		assert_true(ASN1_INTEGER_set(serial, SERIAL_OF_LEAF) &&
			    X509_REVOKED_set_serialNumber(entry, serial) &&
			    X509_REVOKED_set_revocationDate(entry, before) &&
			    X509_CRL_add0_revoked(list, entry));
		ASN1_INTEGER_free(serial);
	}
	assert_true(X509_CRL_sign(list, root_keys[root], EVP_sha256()) > 0);
	ASN1_TIME_free(before);
	ASN1_TIME_free(after);
	return list;
}

static void every_list_of_a_file_counts(void **state)
{
	X509 *leaf = read_again(make("leaf", leaf_key, "root-0", root_keys[0]));
	X509_CRL *of_other = make_list(1, false), *of_issuer = make_list(0, true);
	FILE *file = open_in("lists.crl");

	(void)state;
	assert_true(PEM_write_X509_CRL(file, of_other) && PEM_write_X509_CRL(file, of_issuer));
	fclose(file);
	assert_int_equal(judge(leaf, directory, EK_REVOCATION_IF_PRESENT),
			 CAUSE_EK_CERTIFICATE_REVOKED);
	file = open_in("lists.crl");
	assert_true(PEM_write_X509_CRL(file, of_other));
	fclose(file);
	assert_int_equal(judge(leaf, directory, EK_REVOCATION_IF_PRESENT), CAUSE_NONE);
	file = open_in("lists.crl");
	assert_true(i2d_X509_CRL_fp(file, of_issuer));
	fclose(file);
	assert_int_equal(judge(leaf, directory, EK_REVOCATION_IF_PRESENT),
			 CAUSE_EK_CERTIFICATE_REVOKED);
	X509_CRL_free(of_other);
	X509_CRL_free(of_issuer);
	X509_free(leaf);
	drop("lists.crl");
}

static void a_file_that_is_not_lists_alone_is_refused(void **state)
{
	CLEANUP(ek_trust_freep) struct ek_trust *trust = NULL;
	X509_CRL *list = make_list(0, true);

	(void)state;
	for (int pem = 0; pem < 2; pem++) {
		FILE *file = open_in("lists.crl");

		assert_true(pem ? PEM_write_X509_CRL(file, list) : i2d_X509_CRL_fp(file, list));
		fputs("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", file);
		fclose(file);
		assert_fails(ek_trust_load(roots_directory, directory, &trust, &err), err,
			     CAUSE_VENDOR_ROOTS);
	}
	X509_CRL_free(list);
	drop("lists.crl");
}

static void what_is_hidden_in_a_folder_is_not_trusted(void **state)
{
	static const char *const names[] = { "roots/hidden.pem", "roots/.hidden.pem" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(ek_trust_freep) struct ek_trust *trust = NULL;
		FILE *file = open_in(names[i]);

		fputs("no certificate", file);
		fclose(file);
		if (i == 0)
			assert_fails(ek_trust_load(roots_directory, NULL, &trust, &err), err,
				     CAUSE_VENDOR_ROOTS);
		else
			assert_good(ek_trust_load(roots_directory, NULL, &trust, &err), err);
		drop(names[i]);
	}
}

static int set_up(void **state)
{
	FILE *file;

	(void)state;
	strcpy(directory, "/tmp/muster-chain-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(roots_directory, sizeof(roots_directory), "%s/roots", directory);
	if (mkdir(roots_directory, 0700) < 0)
		return -1;
	leaf_key = EVP_RSA_gen(2048);
	file = open_in("roots/all.pem");
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		char name[] = { 'r', 'o', 'o', 't', '-', (char)('0' + i), 0 };

		root_keys[i] = EVP_EC_gen("P-256");
		roots[i] = make(name, root_keys[i], name, root_keys[i]);
		assert_true(PEM_write_X509(file, roots[i]));
	}
	return fclose(file);
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		X509_free(roots[i]);
		EVP_PKEY_free(root_keys[i]);
	}
	EVP_PKEY_free(leaf_key);
	drop("roots/all.pem");
	return rmdir(roots_directory) || rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_marked_for_oaep_has_a_chain_too),
		cmocka_unit_test(every_list_of_a_file_counts),
		cmocka_unit_test(a_file_that_is_not_lists_alone_is_refused),
		cmocka_unit_test(what_is_hidden_in_a_folder_is_not_trusted),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
