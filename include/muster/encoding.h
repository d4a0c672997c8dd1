/* Encodings and digests of values that are not secret. For secrets see secret.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65

/* RFC 4648 section 4, padded. Caller frees; NULL when out of memory. */
char *base64_encode(const void *data, size_t size);
/* Strict: padded, no white space, no non-zero trailing bits. False when malformed or out of memory. */
bool base64_decode(const char *text, size_t length, struct bytes *ret_bytes) MUST_CHECK;
/* RFC 4648 section 5, without padding. Caller frees; NULL when out of memory. */
char *base64url_encode(const void *data, size_t size);
/* As strict. False when malformed or out of memory. */
bool base64url_decode(const char *text, size_t length, struct bytes *ret_bytes) MUST_CHECK;
/* RFC 4648 section 6, lower case, padding removed. Caller frees; NULL when out of memory. */
char *base32_encode_lower(const void *data, size_t size);
/* Lower-case hex; out has 2 * size + 1 bytes. Returns out. */
char *hex_encode(char *out, const void *data, size_t size);
/* Proquints: five letters for each two bytes, words joined by dashes, for reading aloud. size is even; out has 3 * size
 * bytes. Returns out. */
char *words_encode(char *out, const void *data, size_t size);
/* So many lower-case hex digits and nothing else; NULL is none. */
bool hex_is_lower(const char *text, size_t shortest, size_t longest);
/* Even number of hex digits, any case. */
bool hex_decode(const char *text, size_t length, struct bytes *ret_bytes) MUST_CHECK;

/* These abort the program when the crypto library cannot do SHA-256 at all. */
void sha256(uint8_t digest[SHA256_SIZE], const void *data, size_t size);
char *sha256_hex(char out[SHA256_HEX_SIZE], const void *data, size_t size);

/* HMAC-SHA256; key of 1..SECRET_MAX bytes. Software only. */
bool hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
		 uint8_t mac[SHA256_SIZE], struct muster_error *err) MUST_CHECK;
/* The same for many texts under one key, which is prepared once. */
struct hmac_sha256;
struct hmac_sha256 *hmac_sha256_new(const void *key, size_t key_size, struct muster_error *err);
bool hmac_sha256_next(struct hmac_sha256 *hmac, const void *data, size_t size,
		      uint8_t mac[SHA256_SIZE], struct muster_error *err) MUST_CHECK;
void hmac_sha256_free(struct hmac_sha256 *hmac);
DEFINE_FREEP(hmac_sha256_freep, struct hmac_sha256 *, hmac_sha256_free)
/* From OpenSSL's generator; a failure stops the caller, there is no fallback. */
bool random_bytes(void *data, size_t size, struct muster_error *err) MUST_CHECK;

/* The password callback for OpenSSL's readers of PEM. Without one they ask whoever sits at the terminal, and wait, for a
 * block that says of itself that it is encrypted. */
int pem_no_password(char *buffer, int size, int writing, void *context);
