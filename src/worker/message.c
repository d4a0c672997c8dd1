#include "worker-internal.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "muster/secret.h"

/* Wire form: verb u16, is-reply u8, field count u8, then per field: number u16, size u32, value. All big-endian;
 * a U64 is eight bytes. */
enum { HEADER_SIZE = 4, FIELD_HEADER_SIZE = 6 };

void worker_request_init(struct worker_message *message, enum worker_verb verb)
{
	*message = (struct worker_message){ .verb = verb };
}

void worker_reply_init(struct worker_message *message, enum worker_verb verb)
{
	*message = (struct worker_message){ .verb = verb, .is_reply = true };
}

void worker_message_done(struct worker_message *message)
{
	for (size_t i = 0; i < message->count && i < WORKER_FIELDS_MAX; i++)
		bytes_done(&message->values[i].bytes);
	if (message->fd > 0)
		close(message->fd);
	*message = (struct worker_message){ 0 };
}

/* -- Adding -------------------------------------------------------------------------------------------- */

/* A count past the maximum marks a message that could not take everything; encode reports it. */
static struct worker_value *new_value(struct worker_message *message, enum worker_field field)
{
	if (message->count >= WORKER_FIELDS_MAX) {
		message->count = WORKER_FIELDS_MAX + 1;
		return NULL;
	}
	message->values[message->count] = (struct worker_value){ .field = field };
	return &message->values[message->count++];
}

void worker_add_u64(struct worker_message *message, enum worker_field field, uint64_t number)
{
	struct worker_value *value = new_value(message, field);

	if (value)
		value->number = number;
}

void worker_add_bytes(struct worker_message *message, enum worker_field field, const void *data,
		      size_t size)
{
	struct worker_value *value = new_value(message, field);
	struct muster_error ignored;

	if (value && !bytes_copy(&value->bytes, data, size, &ignored))
		message->is_out_of_memory = true;
}

void worker_add_text(struct worker_message *message, enum worker_field field, const char *text)
{
	worker_add_bytes(message, field, text ? text : "", text ? strlen(text) : 0);
}

/* -- Reading ------------------------------------------------------------------------------------------- */

static const struct worker_value *find(const struct worker_message *message,
				       enum worker_field field)
{
	for (size_t i = 0; i < message->count && i < WORKER_FIELDS_MAX; i++)
		if (message->values[i].field == field)
			return &message->values[i];
	return NULL;
}

uint64_t worker_u64(const struct worker_message *message, enum worker_field field)
{
	const struct worker_value *value = find(message, field);

	return value ? value->number : 0;
}

const char *worker_text(const struct worker_message *message, enum worker_field field)
{
	const struct worker_value *value = find(message, field);

	return value ? (const char *)value->bytes.data : NULL;
}

const struct bytes *worker_bytes(const struct worker_message *message, enum worker_field field)
{
	static const struct bytes none;
	const struct worker_value *value = find(message, field);

	return value ? &value->bytes : &none;
}

bool worker_ids_next(struct worker_ids *ids, const uint8_t **ret_id, size_t *ret_size,
		     struct muster_error *err)
{
	size_t left = ids->all->size - ids->at;
	const uint8_t *id, *stop;

	*ret_id = NULL;
	if (left == 0)
		return true;
	id = ids->all->data + ids->at;
	stop = memchr(id, '\n', left);
	if (!stop || stop == id || ids->count == WORKER_IDS_MAX)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "IDs to derive for are 1 to %d lines", WORKER_IDS_MAX);
	*ret_id = id;
	*ret_size = (size_t)(stop - id);
	ids->at += *ret_size + 1;
	ids->count++;
	return true;
}

/* -- The table's rules, the same in both directions ------------------------------------------------------ */

static const struct field_use *find_use(const struct field_use *uses, enum worker_field field)
{
	for (; uses->field; uses++)
		if (uses->field == field)
			return uses;
	return NULL;
}

static bool check_value(const struct worker_value *value, const struct verb_row *verb,
			struct muster_error *err)
{
	const struct field_row *row = worker_field_find(value->field);

	/* Only text and bytes have a buffer, be it empty; so a value added as the wrong kind shows. */
	if ((value->bytes.data != NULL) == (row->kind == KIND_U64))
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "worker message %s: field %s is of another kind", verb->name,
				   row->name);
	if (row->kind == KIND_U64)
		return true;
	if (value->bytes.size > row->max)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "worker message %s: field %s has %zu bytes, %zu are allowed",
				   verb->name, row->name, value->bytes.size, row->max);
	if (row->kind == KIND_TEXT &&
	    (memchr(value->bytes.data, 0, value->bytes.size) ||
	     !text_is_utf8((const char *)value->bytes.data, value->bytes.size)))
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "worker message %s: field %s is not text", verb->name,
				   row->name);
	return true;
}

static bool check_message(const struct worker_message *message, struct muster_error *err)
{
	const struct verb_row *verb = worker_verb_find(message->verb);
	const struct field_use *uses;

	if (message->is_out_of_memory)
		return muster_fail_memory(err);
	if (!verb || (message->verb == WORKER_ERROR && !message->is_reply))
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "worker message of unknown verb %u",
				   message->verb);
	if (message->count > WORKER_FIELDS_MAX)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "worker message %s has too many fields", verb->name);
	uses = message->is_reply ? verb->reply : verb->request;
	for (size_t i = 0; i < message->count; i++) {
		const struct field_use *use = find_use(uses, message->values[i].field);

		if (!use || (!use->is_repeated && find(message, use->field) != &message->values[i]))
			return muster_fail(err, CAUSE_WORKER_PROTOCOL,
					   "worker message %s: field %u is not expected",
					   verb->name, message->values[i].field);
		if (!check_value(&message->values[i], verb, err))
			return false;
	}
	for (; uses->field; uses++)
		if (!uses->is_optional && !uses->is_repeated && !find(message, uses->field))
			return muster_fail(err, CAUSE_WORKER_PROTOCOL,
					   "worker message %s: field %u is missing", verb->name,
					   uses->field);
	return true;
}

/* -- Wire form ------------------------------------------------------------------------------------------- */

static void put_number(struct text *out, uint64_t number, size_t size)
{
	for (size_t i = size; i > 0; i--)
		text_add_char(out, (char)(number >> (8 * (i - 1))));
}

static uint64_t get_number(const uint8_t *data, size_t size)
{
	uint64_t number = 0;

	for (size_t i = 0; i < size; i++)
		number = number << 8 | data[i];
	return number;
}

static size_t size_of(const struct worker_message *message)
{
	size_t size = HEADER_SIZE;

	for (size_t i = 0; i < message->count; i++) {
		const struct worker_value *value = &message->values[i];
		bool is_number = worker_field_find(value->field)->kind == KIND_U64;

		size += FIELD_HEADER_SIZE + (is_number ? 8 : value->bytes.size);
	}
	return size;
}

bool worker_message_encode(const struct worker_message *message, struct text *out,
			   struct muster_error *err)
{
	if (!check_message(message, err))
		return false;
	if (size_of(message) > WORKER_MESSAGE_MAX)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "worker message of verb %u is too large", message->verb);
	put_number(out, message->verb, 2);
	put_number(out, message->is_reply, 1);
	put_number(out, message->count, 1);
	for (size_t i = 0; i < message->count; i++) {
		const struct worker_value *value = &message->values[i];
		bool is_number = worker_field_find(value->field)->kind == KIND_U64;

		put_number(out, value->field, 2);
		put_number(out, is_number ? 8 : value->bytes.size, 4);
		if (is_number)
			put_number(out, value->number, 8);
		else
			text_add_bytes(out, value->bytes.data, value->bytes.size);
	}
	return text_ok(out, err);
}

static bool malformed(struct muster_error *err)
{
	return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a worker message is malformed");
}

static bool decode_fields(const uint8_t *data, size_t size, size_t count,
			  struct worker_message *message, struct muster_error *err)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		const struct field_row *row;
		size_t value_size;

		if (size - at < FIELD_HEADER_SIZE)
			return malformed(err);
		row = worker_field_find((unsigned)get_number(data + at, 2));
		value_size = get_number(data + at + 2, 4);
		at += FIELD_HEADER_SIZE;
		if (!row || value_size > size - at || (row->kind == KIND_U64 && value_size != 8))
			return malformed(err);
		if (row->kind == KIND_U64)
			worker_add_u64(message, row->field, get_number(data + at, 8));
		else
			worker_add_bytes(message, row->field, data + at, value_size);
		at += value_size;
	}
	return at == size || malformed(err);
}

bool worker_message_decode(const void *data, size_t size, struct worker_message *ret_message,
			   struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	const uint8_t *bytes = data;

	if (size < HEADER_SIZE || size > WORKER_MESSAGE_MAX || bytes[2] > 1 ||
	    bytes[3] > WORKER_FIELDS_MAX)
		return malformed(err);
	message.verb = (enum worker_verb)get_number(bytes, 2);
	message.is_reply = bytes[2] == 1;
	if (!decode_fields(bytes + HEADER_SIZE, size - HEADER_SIZE, bytes[3], &message, err) ||
	    !check_message(&message, err))
		return false;
	*ret_message = message;
	message = (struct worker_message){ 0 };
	return true;
}
