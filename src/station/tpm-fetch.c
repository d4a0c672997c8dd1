#include "tpm-fetch.h"

#include <string.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/log.h"

enum { ANSWER_MAX = 64 * 1024, DEADLINE_MS = 15000, STATUS_OK = 200, STATUS_NOT_FOUND = 404 };

void fetch_done(struct fetch *fetch)
{
	free(fetch->url);
	free(fetch->kept);
	*fetch = (struct fetch){ 0 };
}

/* -- Where --------------------------------------------------------------------------------------------------------- */

static const struct config_ek_service *configured(const struct config *config, const char *vendor)
{
	for (size_t i = 0; i < config->ek_service_count; i++)
		if (strcmp(config->ek_services[i].name, vendor) == 0)
			return &config->ek_services[i];
	return NULL;
}

static char *kept_path(const struct config *config, const struct ek_public *ek)
{
	CLEANUP(freep) char *state = directory_state();
	CLEANUP(freep)
	char *folder = config->ek_certificate_cache ? strdup(config->ek_certificate_cache)
		       : state                      ? text_format("%s/ek-certificates", state)
						    : NULL;
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	ek_public_digest(ek, digest);
	return folder ? text_format("%s/%s.der", folder, hex_encode(hex, digest, sizeof(digest)))
		      : NULL;
}

bool fetch_plan(const struct config *config, const char *manufacturer, const struct ek_public *ek,
		struct fetch *ret_fetch, bool *ret_known, struct muster_error *err)
{
	const struct ek_service *service = ek_service_find(manufacturer);
	const struct config_ek_service *own = configured(config, manufacturer);
	enum ek_service_form form = service ? service->form : EK_SERVICE_INTEL;
	CLEANUP(fetch_done) struct fetch fetch = { 0 };
	struct muster_error ignored;

	*ret_known = (service || own) && ek_check_dps(ek, &ignored);
	if (!*ret_known)
		return true;
	if (own && own->form)
		form = (enum ek_service_form)(own->form - 1);
	fetch.url = ek_service_url(own ? own->url : service->url, form, ek);
	fetch.kept = kept_path(config, ek);
	if (!fetch.url || !fetch.kept)
		return muster_fail_memory(err);
	*ret_fetch = fetch;
	fetch = (struct fetch){ 0 };
	return true;
}

/* -- Kept ---------------------------------------------------------------------------------------------------------- */

X509 *fetch_recall(const struct fetch *fetch)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };
	struct muster_error ignored;
	X509 *certificate = NULL;

	if (access(fetch->kept, F_OK) != 0 ||
	    !file_read(fetch->kept, ANSWER_MAX, &content, &ignored) ||
	    !ek_certificate_parse(content.data, content.size, &certificate, NULL, &ignored))
		return NULL;
	return certificate;
}

/* What cannot be kept is fetched again next time. */
static void keep(const struct fetch *fetch, X509 *certificate)
{
	CLEANUP(freep) char *folder = strdup(fetch->kept);
	struct muster_error err;
	unsigned char *der = NULL;
	int size = i2d_X509(certificate, &der);

	if (folder)
		*strrchr(folder, '/') = '\0';
	if (size > 0 && folder &&
	    !(directory_make(folder, &err) &&
	      file_write(fetch->kept, der, (size_t)size, 0644, true, &err)))
		log_warning("the fetched certificate could not be kept: %s, going on", err.message);
	OPENSSL_free(der);
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */

bool fetch_request(const struct fetch *fetch, struct http_request *ret_request,
		   struct muster_error *err)
{
	*ret_request = (struct http_request){
		.method = HTTP_GET,
		.url = TEXT_MAX(2048),
		.deadline_ms = DEADLINE_MS,
		.reply_max = ANSWER_MAX,
	};
	text_add(&ret_request->url, fetch->url);
	return text_ok(&ret_request->url, err);
}

bool fetch_take(const struct fetch *fetch, const struct http_answer *answer, X509 **ret_certificate,
		struct muster_error *err)
{
	if (answer->outcome != HTTP_ANSWERED)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_FETCH, "asking '%s': %s",
				   PRINTABLE(fetch->url), answer->error.message);
	if (answer->status == STATUS_NOT_FOUND)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_NOT_ISSUED,
				   "the vendor has no certificate at '%s'", PRINTABLE(fetch->url));
	if (answer->status != STATUS_OK)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_FETCH, "'%s' answers with status %d",
				   PRINTABLE(fetch->url), answer->status);
	if (!ek_service_answer(answer->body.data, answer->body.length, ret_certificate, err)) {
		err->cause = CAUSE_EK_CERTIFICATE_FETCH;
		err->code = MUSTER_E_AGAIN;
		return muster_error_prefix(err, "reading the answer of '%s'",
					   PRINTABLE(fetch->url));
	}
	keep(fetch, *ret_certificate);
	return true;
}
