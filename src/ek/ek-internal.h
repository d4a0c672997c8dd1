/* What the files of this room share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tss2/tss2_mu.h>

#include "muster/ek.h"

/* The public area as the TSS sees it. Never fails for one that ek_public_parse let through. */
bool ek_public_unpack(const struct ek_public *public, TPMT_PUBLIC *ret_area,
		      struct muster_error *err) MUST_CHECK;
bool ek_public_pack(const TPMT_PUBLIC *area, struct ek_public *ret_public, struct muster_error *err)
	MUST_CHECK;

/* The policy of template L-1: PolicySecret(TPM_RH_ENDORSEMENT). */
extern const uint8_t ek_policy_l1[SHA256_SIZE];
#define EK_ATTRIBUTES 0x000300b2u
#define SRK_ATTRIBUTES 0x00030472u

/* RSA-2048, SHA-256, AES-128-CFB, no scheme, exponent 65537: all that the wraps of this room can speak to. */
bool ek_check_storage(const TPMT_PUBLIC *area, const char *what, struct muster_error *err)
	MUST_CHECK;

/* NULL when it cannot be read; leaves its errors in OpenSSL's queue. Caller frees. */
EVP_PKEY *ek_certificate_key(const X509 *certificate);

/* ek_check_strength, of a key as OpenSSL has it. */
struct ek_findings;
void ek_check_certified_strength(const EVP_PKEY *key, struct ek_findings *findings);

/* The outer wrap of Part 1, 24 (credentials) and 23.3 (duplicates), which is one and the same: a fresh seed goes
 * to the parent's key under `label`, keys for AES and HMAC come from the seed. *ret_sealed is the TPM2B of
 * integrity and ciphertext, *ret_seed the TPM2B_ENCRYPTED_SECRET. */
bool ek_seal(const struct ek_public *parent, const char *label, const uint8_t name[EK_NAME_SIZE],
	     const struct secret *plain, struct bytes *ret_sealed, struct bytes *ret_seed,
	     struct muster_error *err) MUST_CHECK;
/* AES-128-CFB with a zero IV, in place. */
bool ek_encrypt(const struct secret *key, uint8_t *data, size_t size, struct muster_error *err)
	MUST_CHECK;

/* Writing big-endian values, one after the other, into room that is known to be enough. */
struct ek_writer {
	uint8_t *at;
};
void ek_write_u16(struct ek_writer *writer, size_t value);
void ek_write_bytes(struct ek_writer *writer, const void *data, size_t size);
/* A TPM2B: size and content. */
void ek_write_sized(struct ek_writer *writer, const void *data, size_t size);
