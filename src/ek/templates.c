/* The templates of the TCG's EK Credential Profile as one table. */
#include "muster/ek-judge.h"

#include <string.h>

#include "ek-internal.h"

/* PolicyOR of PolicySecret(endorsement) and a policy in NV (annex B.3.4): SHA-256 and SHA-384. */
static const uint8_t policy_b_sha256[] = {
	0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34,
	0x24, 0x14, 0xef, 0xcf, 0xb3, 0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd,
	0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
};
static const uint8_t policy_b_sha384[] = {
	0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc,
	0xf5, 0xfd, 0x3a, 0x1a, 0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4,
	0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47, 0xba, 0x09,
	0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
};

#define HIGH_ATTRIBUTES (EK_ATTRIBUTES | TPMA_OBJECT_USERWITHAUTH)

struct row {
	const char *name;
	uint16_t bits;  /* RSA; 0: a curve */
	uint16_t curve; /* TPM2_ECC_... */
	uint16_t hash;
	uint16_t aes_bits;
	uint32_t attributes;
	const uint8_t *policy;
	uint16_t policy_size;
	uint16_t unique_size;                 /* zero bytes in each part of `unique` */
	uint32_t template_index, nonce_index; /* 0: the profile has none */
};

#define LOW EK_ATTRIBUTES, ek_policy_l1, sizeof(ek_policy_l1)
#define HIGH_256 HIGH_ATTRIBUTES, policy_b_sha256, sizeof(policy_b_sha256)
#define HIGH_384 HIGH_ATTRIBUTES, policy_b_sha384, sizeof(policy_b_sha384)

/* clang-format off */
static const struct row rows[] = {
	[EK_TEMPLATE_L1] = { "TCG L-1, RSA-2048", 2048, 0, TPM2_ALG_SHA256, 128, LOW, 256, 0x01c00004, 0x01c00003 },
	[EK_TEMPLATE_L2] = { "TCG L-2, ECC P-256", 0, TPM2_ECC_NIST_P256, TPM2_ALG_SHA256, 128, LOW, 32, 0x01c0000c, 0x01c0000b },
	[EK_TEMPLATE_H1] = { "TCG H-1, RSA-2048", 2048, 0, TPM2_ALG_SHA256, 128, HIGH_256, 0, 0x01c00013, 0 },
	[EK_TEMPLATE_H2] = { "TCG H-2, ECC P-256", 0, TPM2_ECC_NIST_P256, TPM2_ALG_SHA256, 128, HIGH_256, 0, 0x01c00015, 0 },
	[EK_TEMPLATE_H3] = { "TCG H-3, ECC P-384", 0, TPM2_ECC_NIST_P384, TPM2_ALG_SHA384, 256, HIGH_384, 0, 0x01c00017, 0 },
	[EK_TEMPLATE_H6] = { "TCG H-6, RSA-3072", 3072, 0, TPM2_ALG_SHA384, 256, HIGH_384, 0, 0x01c0001d, 0 },
	[EK_TEMPLATE_AZURE] = { "older Azure SDKs' RSA-2048 (empty unique)", 2048, 0, TPM2_ALG_SHA256, 128, LOW, 0, 0, 0 },
};
/* clang-format on */

const char *ek_template_name(enum ek_template which)
{
	return rows[which].name;
}

static TPMT_PUBLIC area_of(const struct row *row)
{
	TPMT_PUBLIC area = {
		.type = row->bits ? TPM2_ALG_RSA : TPM2_ALG_ECC,
		.nameAlg = row->hash,
		.objectAttributes = row->attributes,
		.authPolicy.size = row->policy_size,
	};
	TPMT_SYM_DEF_OBJECT cipher = {
		.algorithm = TPM2_ALG_AES,
		.keyBits.aes = row->aes_bits,
		.mode.aes = TPM2_ALG_CFB,
	};
	memcpy(area.authPolicy.buffer, row->policy, row->policy_size);
	if (row->bits) {
		area.parameters.rsaDetail.symmetric = cipher;
		area.parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
		area.parameters.rsaDetail.keyBits = row->bits;
		area.unique.rsa.size = row->unique_size;
	} else {
		area.parameters.eccDetail.symmetric = cipher;
		area.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
		area.parameters.eccDetail.curveID = row->curve;
		area.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
		area.unique.ecc.x.size = area.unique.ecc.y.size = row->unique_size;
	}
	return area;
}

static const struct ek_holding *find(const struct ek_holdings *holdings, uint32_t index)
{
	const struct ek_holding *row = holdings && index ? ek_holdings_find(holdings, index) : NULL;
	return row && row->is_readable ? row : NULL;
}

/* What the vendor left is a TPMT_PUBLIC. */
static bool unpack_nv(const struct ek_holding *row, TPMT_PUBLIC *ret_area, struct muster_error *err)
{
	size_t offset = 0;
	TPMT_PUBLIC area = { 0 };
	TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Unmarshal(row->data, row->size, &offset, &area);
	if (rc != TSS2_RC_SUCCESS)
		return muster_fail_native(err, CAUSE_EK_MALFORMED, ORIGIN_TSS, rc,
					  "NV index 0x%08x holds no key template", row->handle);
	*ret_area = area;
	return true;
}

/* The nonce stands in front in `unique`, zeros behind it. */
static void put_nonce(const struct ek_holding *nonce, TPMT_PUBLIC *area)
{
	bool is_rsa = area->type == TPM2_ALG_RSA;
	uint8_t *unique = is_rsa ? area->unique.rsa.buffer : area->unique.ecc.x.buffer;
	size_t room = is_rsa ? area->unique.rsa.size : area->unique.ecc.x.size;
	memcpy(unique, nonce->data, nonce->size < room ? nonce->size : room);
}

bool ek_template_make(enum ek_template which, const struct ek_holdings *holdings,
		      struct ek_public *ret_template, struct muster_error *err)
{
	const struct ek_holding *template = find(holdings, rows[which].template_index);
	const struct ek_holding *nonce = find(holdings, rows[which].nonce_index);
	TPMT_PUBLIC area = area_of(&rows[which]);
	if (template && !unpack_nv(template, &area, err))
		return false;
	if (nonce)
		put_nonce(nonce, &area);
	return ek_public_pack(&area, ret_template, err);
}
