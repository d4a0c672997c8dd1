/* Certificates read without their keys being decoded, which takes OpenSSL 3.0 ten times as long as all the rest. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

/* For X509_new_ex and the like: a context without algorithms. NULL, the ordinary one, when OpenSSL cannot. */
OSSL_LIB_CTX *x509_bare_context(void);
/* Fields, names and extensions can be read. X509_get0_pubkey gives NULL, nothing can be verified or hashed, and the usages
 * that OpenSSL keeps beside it are not known. NULL, with the reason in OpenSSL's queue, when it is none or there are bytes
 * behind it. */
X509 *x509_read_bare(const uint8_t *data, size_t size);
