#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "components.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "muster/log.h"

enum { MAC_SIZE = 32, CHECK_VALUE_BYTES = 5, BITS_DEFAULT = 256, DISTINCT_BYTES_MIN = 8 };

/* Not a registration ID, so no device's key has anything to do with it. */
#define CHECK_TEXT "muster check value 1"

/* -- Deriving ------------------------------------------------------------------------------------------------------ */

/* One that a person could have typed is found by trying: its check value would even tell when. */
bool master_check_random(const struct secret *master, const char *what, struct muster_error *err)
{
	bool seen[256] = { false };
	size_t distinct = 0, printable = 0;

	for (size_t i = 0; i < master->size; i++) {
		distinct += !seen[master->data[i]];
		seen[master->data[i]] = true;
		printable += master->data[i] >= ' ' && master->data[i] <= '~';
	}
	secret_wipe(seen, sizeof(seen));
	return (distinct >= DISTINCT_BYTES_MIN && printable < master->size) ||
	       muster_fail(err, CAUSE_MASTER_WEAK, "the master key in %s is text or a pattern",
			   what);
}

void master_warn_weak(const struct secret *master, const char *what)
{
	struct muster_error weakness;

	if (!master_check_random(master, what, &weakness))
		log_warning("[E%u] %s: who sees a key of it could find it by trying, going on",
			    weakness.cause, weakness.message);
}

bool master_check_unlike(const uint8_t *primary, const uint8_t *secondary, size_t size,
			 struct muster_error *err)
{
	return CRYPTO_memcmp(primary, secondary, size) != 0 ||
	       muster_fail(err, CAUSE_MASTERS_ALIKE,
			   "both masters are one, so both keys of a device would be alike");
}

static bool open_file(const char *path, struct master *master, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret key = { 0 };

	if (!identity_master_read(path, &key, err) ||
	    !master_check_random(&key, PRINTABLE(path), err))
		return false;
	master->software = hmac_sha256_new(key.data, key.size, err);
	return master->software != NULL;
}

static bool open_tpm(const char *uri, const struct master *other, struct master *master,
		     struct muster_error *err)
{
	master->tpm = calloc(1, sizeof(*master->tpm));
	if (!master->tpm)
		return muster_fail_memory(err);
	return tpm_master_open(uri, other ? other->tpm : NULL, master->tpm, err);
}

bool master_needs_token(const struct station_master_source *source)
{
	return source->uri && !tpm_master_is(source->uri);
}

bool master_open(const struct station_master_source *source, struct custody *custody,
		 const struct master *other, struct master *ret_master, struct muster_error *err)
{
	if (source->file)
		return open_file(source->file, ret_master, err);
	if (tpm_master_is(source->uri))
		return open_tpm(source->uri, other, ret_master, err);
	ret_master->uri = source->uri;
	ret_master->custody = custody;
	return true;
}

void master_done(struct master *master)
{
	hmac_sha256_free(master->software);
	if (master->tpm)
		tpm_master_done(master->tpm);
	free(master->tpm);
	*master = (struct master){ 0 };
}

static bool send_batch(const struct master *master, size_t line, const char *const *texts,
		       size_t count, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(text_done) struct text ids = TEXT_MAX(MASTER_BATCH * 129);

	for (size_t i = 0; i < count; i++) {
		text_add(&ids, texts[i]);
		text_add_char(&ids, '\n');
	}
	worker_request_init(&request, WORKER_HSM_DERIVE);
	worker_add_text(&request, FIELD_KEY_URI, master->uri);
	worker_add_bytes(&request, FIELD_IDS, ids.data, ids.length);
	return text_ok(&ids, err) && worker_queue(master->custody->lines[line], &request, err);
}

static bool receive_batch(const struct master *master, size_t line, size_t count, uint8_t *macs,
			  struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	const struct bytes *made;

	if (!worker_wait(master->custody->lines[line], &reply, err))
		return false;
	made = worker_bytes(&reply, FIELD_MACS);
	if (made->size != count * MAC_SIZE)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "the token made %zu bytes of keys for %zu devices", made->size,
				   count);
	memcpy(macs, made->data, made->size);
	return true;
}

bool master_begin(struct master *master, size_t line, const char *const *texts, size_t count,
		  struct muster_error *err)
{
	return master->software || master->tpm || send_batch(master, line, texts, count, err);
}

bool master_end(struct master *master, size_t line, const char *const *texts, size_t count,
		uint8_t *macs, struct muster_error *err)
{
	if (master->tpm)
		return tpm_master_derive(master->tpm, texts, count, macs, err);
	if (!master->software)
		return receive_batch(master, line, count, macs, err);
	for (size_t i = 0; i < count; i++)
		if (!hmac_sha256_next(master->software, texts[i], strlen(texts[i]),
				      macs + i * MAC_SIZE, err))
			return false;
	return true;
}

/* -- Check values --------------------------------------------------------------------------------------------------- */

static bool add_check_value(struct master *master, cJSON *result, struct muster_error *err)
{
	static const char *const text[] = { CHECK_TEXT };
	char hex[MASTER_CHECK_VALUE_SIZE];
	uint8_t mac[MAC_SIZE];

	if (!master_begin(master, 0, text, 1, err) || !master_end(master, 0, text, 1, mac, err))
		return false;
	hex_encode(hex, mac, CHECK_VALUE_BYTES);
	secret_wipe(mac, sizeof(mac));
	return (json_add_text(result, "checkValue", hex) &&
		json_add_text(result, "method", STATION_CHECK_VALUE_METHOD)) ||
	       muster_fail_memory(err);
}

bool master_compare(const struct secret *master, const char *what, const char *check_value,
		    struct muster_error *err)
{
	char hex[MASTER_CHECK_VALUE_SIZE];
	uint8_t mac[MAC_SIZE];

	if (!hmac_sha256(master->data, master->size, CHECK_TEXT, strlen(CHECK_TEXT), mac, err))
		return false;
	hex_encode(hex, mac, CHECK_VALUE_BYTES);
	secret_wipe(mac, sizeof(mac));
	return text_equal_folded(hex, check_value) ||
	       muster_fail(err, CAUSE_CHECK_VALUE_DIFFERS,
			   "%s is not the one whose check value is %s", what,
			   PRINTABLE(check_value));
}

bool master_check_value(struct worker *worker, const char *uri,
			char ret_hex[MASTER_CHECK_VALUE_SIZE], struct muster_error *err)
{
	struct token_master token;
	uint8_t mac[MAC_SIZE];

	token_master_init(&token, worker, uri);
	if (!token.key.hmac(&token.key, CHECK_TEXT, strlen(CHECK_TEXT), mac, err))
		return false;
	hex_encode(ret_hex, mac, CHECK_VALUE_BYTES);
	secret_wipe(mac, sizeof(mac));
	return true;
}

static char *uri_of_id(const struct bytes *id)
{
	CLEANUP(text_done) struct text uri = TEXT_MAX(512);
	struct muster_error ignored;

	text_add(&uri, "pkcs11:type=secret-key;id=");
	for (size_t i = 0; i < id->size; i++)
		text_addf(&uri, "%%%02X", id->data[i]);
	return text_take(&uri, &ignored);
}

bool master_check_value_of(struct worker *worker, const struct bytes *id,
			   char ret_hex[MASTER_CHECK_VALUE_SIZE], struct muster_error *err)
{
	CLEANUP(freep) char *uri = uri_of_id(id);

	return uri ? master_check_value(worker, uri, ret_hex, err) : muster_fail_memory(err);
}

static bool check_source(const struct station_check_value *request, struct muster_error *err)
{
	return !!request->master.uri + !!request->master.file + !!request->component == 1 ||
	       muster_fail(
		       err, CAUSE_USAGE,
		       "a master is needed: --master URI in a token, --master-file FILE, or a --component");
}

static bool open_component(const char *source, struct master *master, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret key = { 0 };

	if (!component_read(source, "the component", NULL, &key, err))
		return false;
	master->software = hmac_sha256_new(key.data, key.size, err);
	return master->software != NULL;
}

bool station_master_check_value(const struct station_check_value *request, cJSON **ret_result,
				struct muster_error *err)
{
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(master_done) struct master master = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();

	if (!check_source(request, err) ||
	    (master_needs_token(&request->master) &&
	     !custody_open(&custody, &request->custody, request->master.uri, CUSTODY_LOOKS, err)) ||
	    !(request->component ? open_component(request->component, &master, err)
				 : master_open(&request->master, &custody, NULL, &master, err)))
		return false;
	if (!result)
		return muster_fail_memory(err);
	if (master.uri && !master_look(custody.hsm, &custody.token, master.uri, NULL, err))
		return false;
	if (!add_check_value(&master, result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}

/* -- Making and importing ------------------------------------------------------------------------------------------- */

/* By their check values, which tell whose they were. */
static bool add_components(cJSON *object, const struct station_master *request)
{
	const struct station_components *components = &request->components;

	return components->count == 0 ||
	       json_add_item(
		       object, "components",
		       cJSON_CreateStringArray(components->check_values, (int)components->count));
}

static bool announce(struct custody *custody, const struct station_master *request,
		     const char *origin, const struct bytes *id, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = custody_entry(custody, "master", "keyId", id);

	if (!body || !json_add_bool(body, "makesKey", true) ||
	    !json_add_text(body, "origin", origin) ||
	    !json_add_text(body, "label", request->label) || !add_components(body, request))
		return muster_fail_memory(err);
	return custody_record(custody, JOURNAL_INTENT, TAKE_PTR(body), err);
}

static bool settle(struct custody *custody, const char *origin, const struct bytes *id,
		   cJSON *result, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = custody_entry(custody, "master", "keyId", id);

	if (!body || !json_add_text(body, "origin", origin) ||
	    !json_add_text(body, "attributes", json_text(result, "keyAttributes")) ||
	    !json_add_text(body, "checkValue", json_text(result, "checkValue")) ||
	    !json_add_text(body, "method", STATION_CHECK_VALUE_METHOD))
		return muster_fail_memory(err);
	return custody_record(custody, JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

static bool describe(const struct custody *custody, const struct station_master *request,
		     const char *origin, const struct bytes *id, const char *attributes,
		     cJSON *result)
{
	char hex[2 * 64 + 1];

	return json_add_text(result, "label", request->label) &&
	       json_add_text(result, "origin", origin) && add_components(result, request) &&
	       json_add_text(result, "keyId", hex_encode(hex, id->data, id->size)) &&
	       json_add_text(result, "keyAttributes", attributes) &&
	       json_add_text(result, "token", custody->token.label) &&
	       json_add_text(result, "tokenSerial", custody->token.serial) &&
	       custody_add_destroyed(custody, result);
}

/* The worker's message says how; `asked` gets ID and label here. */
static bool make(struct custody *custody, const struct station_master *request, const char *origin,
		 struct worker_message *asked, cJSON *result, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(bytes_done) struct bytes id = { 0 };
	CLEANUP(freep) char *uri = NULL;
	struct master master = { .custody = custody };

	if (!custody_id_make(&id, err) || !announce(custody, request, origin, &id, err))
		return false;
	worker_add_bytes(asked, FIELD_KEY_ID, id.data, id.size);
	worker_add_text(asked, FIELD_LABEL, request->label);
	if (!worker_call(custody->hsm, asked, &reply, err))
		return false;
	master.uri = uri = uri_of_id(&id);
	if (!uri ||
	    !describe(custody, request, origin, &id, worker_text(&reply, FIELD_ATTRIBUTES), result))
		return muster_fail_memory(err);
	return add_check_value(&master, result, err) && settle(custody, origin, &id, result, err);
}

static bool run(const struct station_master *request, const char *origin,
		struct worker_message *asked, cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();

	if (!result)
		return muster_fail_memory(err);
	if (!request->label)
		return muster_fail(err, CAUSE_USAGE, "a master needs a --label");
	if (!custody_open(&custody, &request->custody, NULL, CUSTODY_CHANGES, err) ||
	    !make(&custody, request, origin, asked, result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}

bool station_master_generate(const struct station_master *request, cJSON **ret_result,
			     struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message asked;
	int64_t bits = request->bits ? request->bits : BITS_DEFAULT;

	worker_request_init(&asked, WORKER_HSM_MASTER_GENERATE);
	if (bits < 256 || bits > 512 || bits % 8 != 0)
		return muster_fail(err, CAUSE_USAGE, "--bits is 256 to 512, a multiple of 8");
	worker_add_u64(&asked, FIELD_BITS, (uint64_t)bits);
	return run(request, "generated", &asked, ret_result, err);
}

/* What was read and looked at goes to the worker through a pipe, which has room for all of it. */
static int pipe_with(const struct secret *text, struct muster_error *err)
{
	int ends[2];
	bool good;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		muster_fail_errno(err, CAUSE_INTERNAL, errno, "making a pipe");
		return -1;
	}
	good = write(ends[1], text->data, text->size) == (ssize_t)text->size ||
	       muster_fail_errno(err, CAUSE_INTERNAL, errno, "writing to a pipe");
	close(ends[1]);
	if (good)
		return ends[0];
	close(ends[0]);
	return -1;
}

static bool take_descriptor(int64_t fd, struct secret *ret_key, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };
	char source[32], what[48];

	snprintf(source, sizeof(source), "fd:%lld", (long long)fd);
	snprintf(what, sizeof(what), "descriptor %lld", (long long)fd);
	return secret_read_source(&text, source, PIPE_BUF, what, err) &&
	       identity_master_decode(&text, what, ret_key, err) &&
	       master_check_random(ret_key, what, err);
}

static bool read_key(const struct station_master *request, struct secret *ret_key,
		     struct muster_error *err)
{
	if (!!request->from + !!request->from_fd + !!request->components.count != 1)
		return muster_fail(
			err, CAUSE_USAGE,
			"where is the master? pass --from FILE, --from-fd N, or each --component");
	if (request->components.count > 0)
		return components_combine(&request->components, ret_key, err);
	if (request->from_fd)
		return take_descriptor(request->from_fd, ret_key, err);
	return identity_master_read(request->from, ret_key, err) &&
	       master_check_random(ret_key, PRINTABLE(request->from), err);
}

bool station_master_import(const struct station_master *request, cJSON **ret_result,
			   struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message asked;
	CLEANUP(secret_done) struct secret key = { 0 }, text = { 0 };

	worker_request_init(&asked, WORKER_HSM_MASTER_IMPORT);
	if (!read_key(request, &key, err) ||
	    (request->check_value &&
	     !master_compare(&key, "the master", request->check_value, err)) ||
	    !secret_to_base64(&text, key.data, key.size, err))
		return false;
	asked.fd = pipe_with(&text, err);
	return asked.fd >= 0 && run(request, "imported", &asked, ret_result, err);
}
