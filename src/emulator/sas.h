/* Shared access signatures as the service verifies them: HMAC over the raw text of sr, whatever its encoding. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/text.h"

#define SAS_TEXT_MAX 1024
/* Clocks may differ by so much. */
#define SAS_SKEW_MS (5 * 60 * 1000)

struct sas {
	char raw_resource[SAS_TEXT_MAX]; /* sr as it stands in the token */
	char resource[SAS_TEXT_MAX];     /* percent-decoded, lower case */
	char key_name[130];              /* skn, decoded; empty when missing */
	char expiry_text[24];            /* se as it stands */
	int64_t expiry_s;
	uint8_t signature[32];
};

/* "SharedAccessSignature sr=..&sig=..&se=..[&skn=..]" in any order; false when it is anything else. */
bool sas_parse(const char *header, struct sas *ret_sas) MUST_CHECK;
bool sas_is_signed_by(const struct sas *sas, const void *key, size_t key_size) MUST_CHECK;
bool sas_has_expired(const struct sas *sas, int64_t now_ms);
/* Is `resource` the path itself or a prefix of it that ends at a '/'? Both lower case. */
bool sas_covers_path(const char *resource, const char *path);
/* The same for "host[:port][/path]": the host must be one of names, the path covered. `names` in lower case. */
bool sas_covers_host(const char *resource, const char *const *names, size_t name_count,
		     const char *path);

/* Percent-decoding into out; false when malformed, too long or with a NUL. '+' stays '+'. */
bool url_decode(const char *text, size_t length, char *out, size_t out_size) MUST_CHECK;
