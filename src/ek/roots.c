/* Pinned roots and revocation lists, from folders of files. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "trust.h"

enum { FILES_MAX = 4096, FILE_SIZE_MAX = 16 * 1024 * 1024 };

DEFINE_FREEP(BIO_freep, BIO *, BIO_free)
DEFINE_FREEP(X509_freep, X509 *, X509_free)
DEFINE_FREEP(X509_CRL_freep, X509_CRL *, X509_CRL_free)

typedef bool (*take_fn)(struct ek_trust *trust, const char *path, const struct bytes *content,
			struct muster_error *err);

static bool has_ending(const char *name, const char *ending)
{
	size_t length = strlen(name), tail = strlen(ending);
	return length > tail && strcmp(name + length - tail, ending) == 0;
}

/* -- Certificates ------------------------------------------------------------------------------------------------ */

static bool take_certificate(struct ek_trust *trust, const X509 *certificate)
{
	trust->root_count +=
		(X509_get_extension_flags((X509 *)(uintptr_t)certificate) & EXFLAG_SS) != 0;
	return X509_STORE_add_cert(trust->store, (X509 *)(uintptr_t)certificate) == 1;
}

/* The next of a file of them; NULL at its end, and at what is none. */
static bool take_next_root(struct ek_trust *trust, BIO *bio, bool *ret_taken)
{
	CLEANUP(X509_freep) X509 *certificate = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL);
	*ret_taken = certificate;
	return !certificate || take_certificate(trust, certificate);
}

static bool take_next_list(struct ek_trust *trust, BIO *bio, bool *ret_taken)
{
	CLEANUP(X509_CRL_freep)
	X509_CRL *list = PEM_read_bio_X509_CRL(bio, NULL, pem_no_password, NULL);
	*ret_taken = list;
	return !list || X509_STORE_add_crl(trust->store, list) == 1;
}

/* All that a PEM file has. Only its end may end the reading. */
static bool take_pem(struct ek_trust *trust, const char *path, const struct bytes *content,
		     const char *what, bool (*take_next)(struct ek_trust *, BIO *, bool *),
		     struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new_mem_buf(content->data, (int)content->size);
	size_t count = 0;
	bool taken = false;
	if (!bio)
		return muster_fail_memory(err);
	do {
		if (!take_next(trust, bio, &taken))
			return muster_fail_memory(err);
		count += taken;
	} while (taken);
	bool is_at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	if (count > 0 && is_at_end)
		return true;
	return muster_fail(err, CAUSE_VENDOR_ROOTS,
			   count > 0 ? "'%s' has a damaged %s behind %zu good ones"
				     : "'%s' has no %s in PEM (%zu)",
			   PRINTABLE(path), what, count);
}

static bool take_roots(struct ek_trust *trust, const char *path, const struct bytes *content,
		       struct muster_error *err)
{
	return take_pem(trust, path, content, "certificate", take_next_root, err);
}

/* -- Revocation lists -------------------------------------------------------------------------------------------- */

static bool is_der(const struct bytes *content)
{
	return content->size > 0 && content->data[0] == (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED);
}

static bool take_lists(struct ek_trust *trust, const char *path, const struct bytes *content,
		       struct muster_error *err)
{
	const unsigned char *next = content->data;
	if (!is_der(content))
		return take_pem(trust, path, content, "revocation list", take_next_list, err);
	CLEANUP(X509_CRL_freep)
	X509_CRL *list = d2i_X509_CRL(NULL, &next, (long)content->size);
	if (!list || next != content->data + content->size)
		return muster_fail(err, CAUSE_VENDOR_ROOTS,
				   "'%s' is not one revocation list and nothing else",
				   PRINTABLE(path));
	return X509_STORE_add_crl(trust->store, list) == 1 || muster_fail_memory(err);
}

/* -- Folders ----------------------------------------------------------------------------------------------------- */

static bool take_file(struct ek_trust *trust, const char *directory, const char *name, take_fn take,
		      struct muster_error *err)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);
	CLEANUP(bytes_done) struct bytes content = { 0 };
	if (!path)
		return muster_fail_memory(err);
	if (!file_read_owned(path, FILE_SIZE_MAX, &content, err))
		return false;
	ERR_set_mark();
	bool taken = take(trust, path, &content, err);
	ERR_pop_to_mark();
	return taken;
}

static bool take_folder(struct ek_trust *trust, const char *directory, const char *const *endings,
			take_fn take, struct muster_error *err)
{
	CLEANUP(closedirp) DIR *stream = opendir(directory);
	const struct dirent *entry;
	size_t count = 0;
	if (!stream)
		return muster_fail_errno(err, CAUSE_VENDOR_ROOTS, errno, "opening the folder '%s'",
					 PRINTABLE(directory));
	for (;;) {
		bool is_wanted = false;
		if (!directory_next(stream, directory, &entry, err))
			return false;
		if (!entry)
			return true;
		for (const char *const *ending = endings; *ending; ending++)
			is_wanted = is_wanted || has_ending(entry->d_name, *ending);
		/* What nobody sees in a listing nobody means to trust. */
		if (!is_wanted || entry->d_name[0] == '.')
			continue;
		if (++count > FILES_MAX)
			return muster_fail(err, CAUSE_VENDOR_ROOTS,
					   "the folder '%s' has more than %d files",
					   PRINTABLE(directory), FILES_MAX);
		if (!take_file(trust, directory, entry->d_name, take, err))
			return false;
	}
}

void ek_trust_free(struct ek_trust *trust)
{
	if (!trust)
		return;
	X509_STORE_free(trust->store);
	free(trust);
}

bool ek_trust_load(const char *roots, const char *crls, struct ek_trust **ret_trust,
		   struct muster_error *err)
{
	static const char *const root_endings[] = { ".pem", NULL };
	static const char *const list_endings[] = { ".pem", ".crl", NULL };
	CLEANUP(ek_trust_freep) struct ek_trust *trust = calloc(1, sizeof(*trust));
	if (!trust || !(trust->store = X509_STORE_new()))
		return muster_fail_memory(err);
	if (!take_folder(trust, roots, root_endings, take_roots, err) ||
	    (crls && !take_folder(trust, crls, list_endings, take_lists, err)))
		return muster_error_prefix(err, "loading the vendors' roots");
	if (trust->root_count == 0)
		return muster_fail(err, CAUSE_VENDOR_ROOTS,
				   "the folder '%s' has no self-signed certificate in a *.pem file",
				   PRINTABLE(roots));
	*ret_trust = TAKE_PTR(trust);
	return true;
}
