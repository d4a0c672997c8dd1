/* Certificates from outside: PEM, DER, base64 of either. */
#include "pki-internal.h"

#include <ctype.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/encoding.h"

#define CERTIFICATES_MAX 64

/* -- The certificates of one input ---------------------------------------------------------------------------- */

struct found {
	X509 *certificates[CERTIFICATES_MAX];
	size_t count;
	bool is_full; /* there were more */
};

static void found_done(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		X509_free(found->certificates[i]);
}

static void add_der(struct found *found, const uint8_t *data, long size)
{
	const uint8_t *cursor = data;
	X509 *certificate;

	found->is_full = found->is_full || found->count == CERTIFICATES_MAX;
	if (found->is_full)
		return;
	certificate = d2i_X509(NULL, &cursor, size);
	if (certificate && cursor == data + size)
		found->certificates[found->count++] = certificate;
	else
		X509_free(certificate);
}

static bool is_certificate_block(const char *name)
{
	return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0;
}

static void read_pem(struct found *found, const void *data, size_t size)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new_mem_buf(data, (int)size);
	char *name = NULL, *header = NULL;
	uint8_t *block = NULL;
	long block_size = 0;

	while (bio && PEM_read_bio(bio, &name, &header, &block, &block_size) == 1) {
		if (is_certificate_block(name))
			add_der(found, block, block_size);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(block, (size_t)block_size); /* may be a private key */
	}
}

static bool looks_like_pem(const void *data, size_t size)
{
	static const char mark[] = "-----BEGIN ";

	return memmem(data, size, mark, sizeof(mark) - 1) != NULL;
}

/* False when it is neither PEM nor one DER sequence. */
static bool read_plain(struct found *found, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	if (looks_like_pem(data, size)) {
		read_pem(found, data, size);
		return true;
	}
	if (size == 0 || bytes[0] != 0x30)
		return false;
	add_der(found, data, (long)size);
	return true;
}

static void read_base64(struct found *found, const char *data, size_t size)
{
	CLEANUP(text_done) struct text packed = TEXT_MAX(1024 * 1024);
	CLEANUP(bytes_done) struct bytes decoded = { 0 };

	for (size_t i = 0; i < size; i++) {
		if (!isspace((unsigned char)data[i]))
			text_add_char(&packed, data[i]);
	}
	if (packed.failed || !packed.length || !base64_decode(packed.data, packed.length, &decoded))
		return;
	(void)read_plain(found, decoded.data, decoded.size);
}

/* -- Which of them ----------------------------------------------------------------------------------------------- */

static bool has_issued_another(const struct found *found, size_t which)
{
	for (size_t i = 0; i < found->count; i++) {
		if (i != which && X509_check_issued(found->certificates[which],
						    found->certificates[i]) == X509_V_OK)
			return true;
	}
	return false;
}

static X509 *choose_leaf(const struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		if (!has_issued_another(found, i))
			return found->certificates[i];
	}
	return found->certificates[0];
}

static bool read_all(struct found *found, const void *data, size_t size, const char *what,
		     struct muster_error *err)
{
	if (size > 1024 * 1024)
		return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "%s has %zu bytes", what, size);
	ERR_set_mark();
	if (!read_plain(found, data, size))
		read_base64(found, data, size);
	ERR_pop_to_mark();
	if (found->is_full)
		return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "%s holds more than %d certificates",
				   what, CERTIFICATES_MAX);
	return found->count > 0 ||
	       muster_fail(err, CAUSE_CERTIFICATE_UNREADABLE, "%s holds no certificate", what);
}

bool pki_certificate_read(const void *data, size_t size, const char *what, X509 **ret_certificate,
			  struct muster_error *err)
{
	CLEANUP(found_done) struct found found = { .count = 0 };
	X509 *leaf;

	if (!read_all(&found, data, size, what, err))
		return false;
	leaf = choose_leaf(&found);
	X509_up_ref(leaf);
	*ret_certificate = leaf;
	return true;
}

bool pki_certificates_read(const void *data, size_t size, const char *what,
			   STACK_OF(X509) **ret_certificates, struct muster_error *err)
{
	CLEANUP(found_done) struct found found = { .count = 0 };
	CLEANUP(X509_stack_freep) STACK_OF(X509) *certificates = sk_X509_new_null();

	if (!certificates)
		return muster_fail_memory(err);
	if (!read_all(&found, data, size, what, err))
		return false;
	while (found.count > 0) {
		if (!sk_X509_unshift(certificates, found.certificates[found.count - 1]))
			return muster_fail_memory(err);
		found.count--;
	}
	*ret_certificates = TAKE_PTR(certificates);
	return true;
}
