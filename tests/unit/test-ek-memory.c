/* Judging who issued an EK's certificate while memory runs out. */
#include "memory.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "../../src/ek/trust.h"
#include "muster/clock.h"
#include "muster/ek-trust.h"

static X509 *root;
static struct ek_trust trust;

/* On whether there are lists of what was revoked, the callback is asked. */
static bool judge(const void *context)
{
	const struct ek_terms terms = { .trust = &trust,
					.revocation = context ? EK_REVOCATION_IF_PRESENT
							      : EK_REVOCATION_OFF,
					.now_ms = clock_wall_ms() };
	struct ek_findings findings = { 0 };
	struct muster_error err;

	ek_check_chain(root, NULL, &terms, &findings);
	return ek_findings_settle(&findings, &err);
}

static void a_chain(void **state)
{
	(void)state;
	each_allocation_fails_of("chain", judge, NULL);
	each_allocation_fails_of("chain and lists", judge, &root);
}

static int make_root(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_NAME *name;

	(void)state;
	root = X509_new();
	assert_true(key && root && X509_set_version(root, X509_VERSION_3));
	name = X509_get_subject_name(root);
	assert_true(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					       (const unsigned char *)"root", -1, -1, 0));
	assert_true(X509_set_issuer_name(root, name) && X509_set_pubkey(root, key) &&
		    X509_gmtime_adj(X509_getm_notBefore(root), -3600) &&
		    X509_gmtime_adj(X509_getm_notAfter(root), 3600) &&
		    X509_sign(root, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
	trust.store = X509_STORE_new();
	trust.root_count = 1;
	assert_true(trust.store && X509_STORE_add_cert(trust.store, root));
	return 0;
}

static int drop_root(void **state)
{
	(void)state;
	X509_STORE_free(trust.store);
	X509_free(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain),
	};

	memory_begin();
	return cmocka_run_group_tests(tests, make_root, drop_root);
}
