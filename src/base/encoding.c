/* For the digest below: the functions in its place ask for memory. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "muster/encoding.h"

char *base64_encode(const void *data, size_t size)
{
	char *text = malloc((size + 2) / 3 * 4 + 1);

	if (!text)
		return NULL;
	EVP_EncodeBlock((unsigned char *)text, data, (int)size);
	return text;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, size_t length, struct bytes *ret_bytes)
{
	size_t padding = 0, used = 0;
	uint8_t *data;

	if (length % 4 != 0)
		return false;
	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	data = malloc(length / 4 * 3 + 1);
	if (!data)
		return false;
	for (size_t i = 0; i < length; i += 4) {
		size_t skipped = i + 4 == length ? padding : 0;
		uint32_t group = 0;

		for (size_t j = 0; j < 4; j++) {
			int value = j >= 4 - skipped ? 0 : base64_value(text[i + j]);

			if (value < 0) {
				free(data);
				return false;
			}
			group = group << 6 | (uint32_t)value;
		}
		if ((skipped == 1 && (group & 0xff) != 0) ||
		    (skipped == 2 && (group & 0xffff) != 0)) {
			free(data);
			return false;
		}
		for (size_t j = 0; j < 3 - skipped; j++)
			data[used++] = (uint8_t)(group >> (16 - 8 * j));
	}
	data[used] = 0;
	*ret_bytes = (struct bytes){ data, used };
	return true;
}

static void replace_char(char *text, char from, char to)
{
	while ((text = strchr(text, from)))
		*text++ = to;
}

char *base64url_encode(const void *data, size_t size)
{
	char *text = base64_encode(data, size);

	if (!text)
		return NULL;
	replace_char(text, '+', '-');
	replace_char(text, '/', '_');
	text[strcspn(text, "=")] = 0;
	return text;
}

bool base64url_decode(const char *text, size_t length, struct bytes *ret_bytes)
{
	CLEANUP(freep) char *padded = NULL;
	size_t padding = (4 - length % 4) % 4;

	if (padding == 3 || memchr(text, 0, length) || memchr(text, '+', length) ||
	    memchr(text, '/', length))
		return false;
	padded = text_format("%.*s%.*s", (int)length, text, (int)padding, "==");
	if (!padded)
		return false;
	replace_char(padded, '-', '+');
	replace_char(padded, '_', '/');
	/* Padding of the caller's own would make the whole too long. */
	return !memchr(text, '=', length) && base64_decode(padded, length + padding, ret_bytes);
}

char *base32_encode_lower(const void *data, size_t size)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	const uint8_t *bytes = data;
	char *text = malloc((size * 8 + 4) / 5 + 1);
	uint32_t bits = 0;
	unsigned count = 0;
	size_t used = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | bytes[i];
		for (count += 8; count >= 5; count -= 5)
			text[used++] = alphabet[bits >> (count - 5) & 31];
	}
	if (count > 0)
		text[used++] = alphabet[bits << (5 - count) & 31];
	text[used] = 0;
	return text;
}

char *hex_encode(char *out, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * size] = 0;
	return out;
}

bool hex_is_lower(const char *text, size_t shortest, size_t longest)
{
	size_t length = text ? strspn(text, "0123456789abcdef") : 0;

	return text && !text[length] && length >= shortest && length <= longest;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Consonants carry four bits, vowels two: arXiv:0901.4016. */
char *words_encode(char *out, const void *data, size_t size)
{
	static const char consonants[] = "bdfghjklmnprstvz", vowels[] = "aiou";
	const uint8_t *bytes = data;
	char *next = out;

	for (size_t i = 0; i + 1 < size; i += 2) {
		unsigned word = (unsigned)bytes[i] << 8 | bytes[i + 1];

		if (i > 0)
			*next++ = '-';
		*next++ = consonants[word >> 12 & 15];
		*next++ = vowels[word >> 10 & 3];
		*next++ = consonants[word >> 6 & 15];
		*next++ = vowels[word >> 4 & 3];
		*next++ = consonants[word & 15];
	}
	*next = '\0';
	return out;
}

bool hex_decode(const char *text, size_t length, struct bytes *ret_bytes)
{
	uint8_t *data;

	if (length % 2 != 0)
		return false;
	data = malloc(length / 2 + 1);
	if (!data)
		return false;
	for (size_t i = 0; i < length; i += 2) {
		int high = hex_value(text[i]), low = hex_value(text[i + 1]);

		if (high < 0 || low < 0) {
			free(data);
			return false;
		}
		data[i / 2] = (uint8_t)(high << 4 | low);
	}
	data[length / 2] = 0;
	*ret_bytes = (struct bytes){ data, length / 2 };
	return true;
}

/* Needs nothing, and so cannot fail. */
void sha256(uint8_t digest[SHA256_SIZE], const void *data, size_t size)
{
	SHA256_CTX context;

	SHA256_Init(&context);
	SHA256_Update(&context, data, size);
	SHA256_Final(digest, &context);
}

char *sha256_hex(char out[SHA256_HEX_SIZE], const void *data, size_t size)
{
	uint8_t digest[SHA256_SIZE];

	sha256(digest, data, size);
	return hex_encode(out, digest, sizeof(digest));
}

/* Without a key: looking MAC and digest up by their names takes longer than a MAC does. */
static EVP_MAC_CTX *keyless_hmac;

static void make_keyless_hmac(void)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char digest[] = "SHA256";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	keyless_hmac = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (keyless_hmac && EVP_MAC_CTX_set_params(keyless_hmac, parameters) != 1) {
		EVP_MAC_CTX_free(keyless_hmac);
		keyless_hmac = NULL;
	}
}

/* An EVP_MAC_CTX by a name of our own. */
struct hmac_sha256 *hmac_sha256_new(const void *key, size_t key_size, struct muster_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	EVP_MAC_CTX *context;

	pthread_once(&once, make_keyless_hmac);
	context = keyless_hmac ? EVP_MAC_CTX_dup(keyless_hmac) : NULL;
	if (context && EVP_MAC_init(context, key, key_size, NULL) == 1)
		return (struct hmac_sha256 *)context;
	EVP_MAC_CTX_free(context);
	muster_fail(err, CAUSE_CRYPTO, "preparing an HMAC-SHA256");
	return NULL;
}

bool hmac_sha256_next(struct hmac_sha256 *hmac, const void *data, size_t size,
		      uint8_t mac[SHA256_SIZE], struct muster_error *err)
{
	EVP_MAC_CTX *context = (EVP_MAC_CTX *)hmac;
	size_t mac_size;

	/* Without a key the one of before holds. */
	return (EVP_MAC_init(context, NULL, 0, NULL) == 1 &&
		EVP_MAC_update(context, data, size) == 1 &&
		EVP_MAC_final(context, mac, &mac_size, SHA256_SIZE) == 1) ||
	       muster_fail(err, CAUSE_CRYPTO, "computing an HMAC-SHA256");
}

void hmac_sha256_free(struct hmac_sha256 *hmac)
{
	EVP_MAC_CTX_free((EVP_MAC_CTX *)hmac);
}

bool hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
		 uint8_t mac[SHA256_SIZE], struct muster_error *err)
{
	struct hmac_sha256 *hmac = hmac_sha256_new(key, key_size, err);
	bool is_made = hmac && hmac_sha256_next(hmac, data, size, mac, err);

	hmac_sha256_free(hmac);
	return is_made;
}

bool random_bytes(void *data, size_t size, struct muster_error *err)
{
	if (RAND_bytes(data, (int)size) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "drawing %zu random bytes", size);
	return true;
}

int pem_no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer, (void)size, (void)writing, (void)context;
	return -1;
}
