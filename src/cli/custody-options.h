/* The options of a key custodian's verbs: the same rows in each. `options` is the verb's option struct. */
#pragma once

#include "muster/station-custody.h"

#include "token-options.h"

extern const char *const custody_key_types[]; /* verb-cert.c */

/* clang-format off */
/* `member`: struct station_custody. */
#define CUSTODY_ROWS(options, member) \
	TOKEN_ROWS(options, member.token), \
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station", \
	  offsetof(options, member.journal_path), "MUSTER_JOURNAL", NULL, 0 }, \
	OPERATOR_ROW(options, member.operator_name)

/* `member`: struct station_key_choice. */
#define KEY_CHOICE_ROWS(options, member) \
	{ 0, "key", NULL, OPTION_TEXT, "URI", "The key to use, pkcs11:object=... or pkcs11:id=...", \
	  offsetof(options, member.uri), NULL, NULL, 0 }, \
	{ 0, "key-type", NULL, OPTION_ONE_OF, "TYPE", "Make a key: ec-p256, ec-p384, ec-p521, ed25519, rsa-2048, rsa-3072, rsa-4096", \
	  offsetof(options, member.type), NULL, custody_key_types, 0 }, \
	{ 0, "label", NULL, OPTION_TEXT, "TEXT", "Label of the key to be made", \
	  offsetof(options, member.label), NULL, NULL, 0 }

/* `member`: struct station_certificate_terms. */
#define TERMS_ROWS(options, member) \
	{ 0, "days", NULL, OPTION_NUMBER, "N", "Days that it is valid", \
	  offsetof(options, member.valid_days), NULL, NULL, 0 }, \
	{ 0, "ca", NULL, OPTION_FLAG, NULL, "Make it an authority's", \
	  offsetof(options, member.is_authority), NULL, NULL, 0 }, \
	{ 0, "path-length", NULL, OPTION_NUMBER_0, "N", "Authorities that may follow below it; default: 0", \
	  offsetof(options, member.path_length), NULL, NULL, 0 }, \
	{ 0, "crl-url", NULL, OPTION_TEXT, "URL", "Where its issuer's CRL is to be had", \
	  offsetof(options, member.crl_url), NULL, NULL, 0 }

/* `member`: struct station_master_source; `name` a literal. */
#define SOURCE_ROWS(options, member, name, help) \
	{ 0, name, NULL, OPTION_TEXT, "URI", help ", in a token (pkcs11:object=...) or a TPM (tpm:handle=...;tcti=...)", \
	  offsetof(options, member.uri), NULL, NULL, 0 }, \
	{ 0, name "-file", NULL, OPTION_TEXT, "FILE", help ", in a file of mode 0600, base64", \
	  offsetof(options, member.file), NULL, NULL, 0 }

/* `member`: struct station_certificate_output. */
#define OUTPUT_ROWS(options, member) \
	{ 0, "out", NULL, OPTION_TEXT, "FILE", "Create this file; otherwise the PEM is printed", \
	  offsetof(options, member.out), NULL, NULL, 0 }, \
	{ 0, "der", NULL, OPTION_FLAG, NULL, "Write DER instead of PEM", \
	  offsetof(options, member.is_der), NULL, NULL, 0 }
/* clang-format on */
