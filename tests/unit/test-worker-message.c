/* Worker messages: every verb of the table there and back, and nothing that the table does not say. */
#include "unit.h"

#include <stdlib.h>

#include "../../src/worker/worker-internal.h"
#include "muster/worker.h"

static const enum worker_verb verbs[] = {
#define VERB(number, name, worker, deadline, request, reply) WORKER_##name,
#include "muster/worker-verbs.def"
};

static const enum worker_field fields[] = {
#define FIELD(number, name, kind, max) FIELD_##name,
#include "muster/worker-verbs.def"
};

static const struct field_use *uses_of(const struct worker_message *message)
{
	const struct verb_row *row = worker_verb_find(message->verb);

	return message->is_reply ? row->reply : row->request;
}

/* Adds a value of `size` bytes (numbers have eight anyway). */
static void add_value(struct worker_message *message, enum worker_field field, size_t size)
{
	const struct field_row *row = worker_field_find(field);
	CLEANUP(freep) char *data = malloc(size + 1);

	memset(data, 'a', size);
	data[size] = 0;
	if (row->kind == KIND_U64)
		worker_add_u64(message, field, 0xfedcba9876543210u + field);
	else if (row->kind == KIND_TEXT)
		worker_add_text(message, field, data);
	else
		worker_add_bytes(message, field, data, size);
}

/* A message with every field the table knows for it (repeated ones twice), but for `without`. */
static void fill(struct worker_message *message, enum worker_verb verb, bool is_reply,
		 enum worker_field without, bool is_full)
{
	if (is_reply)
		worker_reply_init(message, verb);
	else
		worker_request_init(message, verb);
	for (const struct field_use *use = uses_of(message); use->field; use++) {
		size_t size = is_full ? worker_field_find(use->field)->max : 3;

		if (use->field == without)
			continue;
		add_value(message, use->field, size);
		if (use->is_repeated)
			add_value(message, use->field, 0);
	}
}

static void encode(const struct worker_message *message, struct text *out)
{
	struct muster_error err;

	assert_good(worker_message_encode(message, out, &err), err);
}

static void assert_same(const struct worker_message *a, const struct worker_message *b)
{
	assert_int_equal(a->verb, b->verb);
	assert_int_equal(a->is_reply, b->is_reply);
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_int_equal(a->values[i].field, b->values[i].field);
		assert_true(a->values[i].number == b->values[i].number);
		assert_true(bytes_equal(&a->values[i].bytes, &b->values[i].bytes));
	}
}

/* Runs `check` for both directions of every verb, the error reply among them. */
static void for_every_message(void (*check)(enum worker_verb verb, bool is_reply))
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		check(verbs[i], false);
		check(verbs[i], true);
	}
	check(WORKER_ERROR, true);
}

/* -- There and back ------------------------------------------------------------------------------------ */

static void check_round_trip(enum worker_verb verb, bool is_reply)
{
	for (int is_full = 0; is_full < 2; is_full++) {
		CLEANUP(worker_message_done) struct worker_message message = { 0 };
		CLEANUP(worker_message_done) struct worker_message back = { 0 };
		CLEANUP(text_done) struct text wire = TEXT_MAX(WORKER_MESSAGE_MAX);
		struct muster_error err;

		fill(&message, verb, is_reply, 0, is_full);
		encode(&message, &wire);
		assert_good(worker_message_decode(wire.data, wire.length, &back, &err), err);
		assert_same(&message, &back);
	}
}

static void every_message_goes_there_and_back(void **state)
{
	(void)state;
	for_every_message(check_round_trip);
}

static void the_table_holds_together(void **state)
{
	(void)state;
	for (size_t i = 1; i < ARRAY_SIZE(verbs); i++)
		assert_true(verbs[i] > verbs[i - 1]);
	for (size_t i = 1; i < ARRAY_SIZE(fields); i++)
		assert_true(fields[i] > fields[i - 1]);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const struct verb_row *row = worker_verb_find(verbs[i]);

		assert_int_equal(row->verb, verbs[i]);
		assert_in_range(row->deadline, DEADLINE_NORMAL, DEADLINE_KEYGEN);
		assert_int_equal(row->request[FIELD_USES_MAX - 1].field, 0);
		assert_int_equal(row->reply[FIELD_USES_MAX - 1].field, 0);
	}
	assert_null(worker_verb_find(2));
	assert_null(worker_field_find(0));
}

static void the_wire_form_stays_as_it_is(void **state)
{
	static const uint8_t expected[] = { 0, 102, 1, 2, 0, 14, 0,  0, 0, 8, 0, 0,    0,
					    0, 0,   0, 0, 1, 0,  13, 0, 0, 0, 2, 0xab, 0xcd };
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(text_done) struct text wire = TEXT_MAX(WORKER_MESSAGE_MAX);

	(void)state;
	worker_reply_init(&message, WORKER_TPM_READ_PUBLIC);
	worker_add_u64(&message, FIELD_FOUND, 1);
	worker_add_bytes(&message, FIELD_PUBLIC, "\xab\xcd", 2);
	encode(&message, &wire);
	assert_int_equal(wire.length, sizeof(expected));
	assert_memory_equal(wire.data, expected, sizeof(expected));
}

static void missing_values_read_as_nothing(void **state)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };

	(void)state;
	worker_reply_init(&message, WORKER_HSM_KEY_FIND);
	worker_add_u64(&message, FIELD_FOUND, 0);
	worker_add_text(&message, FIELD_KEY_TYPE, NULL);
	assert_int_equal(worker_u64(&message, FIELD_FOUND), 0);
	assert_string_equal(worker_text(&message, FIELD_KEY_TYPE), "");
	assert_null(worker_text(&message, FIELD_ATTRIBUTES));
	assert_null(worker_bytes(&message, FIELD_PUBLIC)->data);
	assert_int_equal(worker_bytes(&message, FIELD_PUBLIC)->size, 0);
}

/* -- What encode refuses ------------------------------------------------------------------------------- */

static void assert_not_encoded(const struct worker_message *message)
{
	CLEANUP(text_done) struct text wire = TEXT_MAX(WORKER_MESSAGE_MAX);
	struct muster_error err;

	assert_fails(worker_message_encode(message, &wire, &err), err, CAUSE_WORKER_PROTOCOL);
}

static void check_missing(enum worker_verb verb, bool is_reply)
{
	const struct verb_row *row = worker_verb_find(verb);

	for (const struct field_use *use = is_reply ? row->reply : row->request; use->field;
	     use++) {
		CLEANUP(worker_message_done) struct worker_message message = { 0 };
		CLEANUP(text_done) struct text wire = TEXT_MAX(WORKER_MESSAGE_MAX);

		fill(&message, verb, is_reply, use->field, false);
		if (use->is_optional || use->is_repeated)
			encode(&message, &wire);
		else
			assert_not_encoded(&message);
	}
}

static void a_missing_field_is_refused(void **state)
{
	(void)state;
	for_every_message(check_missing);
}

static void check_foreign(enum worker_verb verb, bool is_reply)
{
	const struct verb_row *row = worker_verb_find(verb);

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		CLEANUP(worker_message_done) struct worker_message message = { 0 };
		const struct field_use *use = is_reply ? row->reply : row->request;

		while (use->field && use->field != fields[i])
			use++;
		if (use->is_repeated)
			continue;
		/* Either it is not in the table's row, or it is there already. */
		fill(&message, verb, is_reply, 0, false);
		add_value(&message, fields[i], 3);
		assert_not_encoded(&message);
	}
}

static void a_foreign_or_second_field_is_refused(void **state)
{
	(void)state;
	for_every_message(check_foreign);
}

static void check_too_long(enum worker_verb verb, bool is_reply)
{
	const struct verb_row *row = worker_verb_find(verb);

	for (const struct field_use *use = is_reply ? row->reply : row->request; use->field;
	     use++) {
		CLEANUP(worker_message_done) struct worker_message message = { 0 };
		const struct field_row *field = worker_field_find(use->field);

		if (field->kind == KIND_U64)
			continue;
		fill(&message, verb, is_reply, use->field, false);
		add_value(&message, use->field, field->max + 1);
		assert_not_encoded(&message);
	}
}

static void a_field_that_is_too_long_is_refused(void **state)
{
	(void)state;
	for_every_message(check_too_long);
}

static void a_value_of_another_kind_is_refused(void **state)
{
	CLEANUP(worker_message_done) struct worker_message text = { 0 };
	CLEANUP(worker_message_done) struct worker_message number = { 0 };

	(void)state;
	worker_request_init(&text, WORKER_TPM_OPEN);
	worker_add_u64(&text, FIELD_TCTI, 5);
	assert_not_encoded(&text);
	worker_request_init(&number, WORKER_TPM_READ_PUBLIC);
	worker_add_text(&number, FIELD_HANDLE, "5");
	assert_not_encoded(&number);
}

static void too_many_fields_are_refused(void **state)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(text_done) struct text wire = TEXT_MAX(WORKER_MESSAGE_MAX);

	(void)state;
	worker_reply_init(&message, WORKER_HSM_KEYS);
	worker_add_u64(&message, FIELD_COUNT, WORKER_FIELDS_MAX - 1);
	for (int i = 0; i < WORKER_FIELDS_MAX - 1; i++)
		worker_add_bytes(&message, FIELD_KEY_ID, "x", 1);
	encode(&message, &wire);
	worker_add_bytes(&message, FIELD_KEY_ID, "x", 1);
	worker_add_bytes(&message, FIELD_KEY_ID, "x", 1);
	assert_not_encoded(&message);
}

static void an_unknown_verb_is_refused(void **state)
{
	struct worker_message unknown, error;

	(void)state;
	worker_request_init(&unknown, (enum worker_verb)99);
	assert_not_encoded(&unknown);
	worker_request_init(&error, WORKER_ERROR);
	assert_not_encoded(&error);
}

/* -- What decode refuses ------------------------------------------------------------------------------- */

struct wire {
	uint8_t data[512];
	size_t size;
};

static void put(struct wire *wire, uint64_t number, size_t size)
{
	while (size-- > 0)
		wire->data[wire->size++] = (uint8_t)(number >> (8 * size));
}

static struct wire header(unsigned verb, unsigned is_reply, unsigned count)
{
	struct wire wire = { .size = 0 };

	put(&wire, verb, 2);
	put(&wire, is_reply, 1);
	put(&wire, count, 1);
	return wire;
}

static void put_field(struct wire *wire, unsigned field, const void *data, size_t size)
{
	put(wire, field, 2);
	put(wire, size, 4);
	memcpy(wire->data + wire->size, data, size);
	wire->size += size;
}

static bool is_taken(const struct wire *wire)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(freep) uint8_t *exact = malloc(wire->size);
	struct muster_error err = { 0 };

	/* Of its own size, so that a read beyond it is seen. */
	memcpy(exact, wire->data, wire->size);
	if (worker_message_decode(exact, wire->size, &message, &err))
		return true;
	assert_int_equal(err.cause, CAUSE_WORKER_PROTOCOL);
	assert_int_equal(message.count, 0);
	return false;
}

static bool is_text_taken(const void *data, size_t size)
{
	struct wire wire = header(WORKER_TPM_OPEN, 0, 1);

	put_field(&wire, FIELD_TCTI, data, size);
	return is_taken(&wire);
}

static void text_is_utf8_without_nul(void **state)
{
	(void)state;
	assert_true(is_text_taken("device:/dev/tpmrm0", 18));
	assert_true(is_text_taken("", 0));
	assert_true(is_text_taken("\xc3\xa4", 2));
	assert_false(is_text_taken("a\0b", 3));
	assert_false(is_text_taken("\0", 1));
	assert_false(is_text_taken("\xc3", 1));
	assert_false(is_text_taken("\xff", 1));
	assert_false(is_text_taken("\xed\xa0\x80", 3));
}

static void decode_holds_to_the_table_too(void **state)
{
	struct wire wire = header(WORKER_TPM_OPEN, 0, 0);

	(void)state;
	assert_false(is_taken(&wire)); /* missing */
	wire = header(WORKER_TPM_OPEN, 0, 2);
	put_field(&wire, FIELD_TCTI, "a", 1);
	put_field(&wire, FIELD_TCTI, "a", 1);
	assert_false(is_taken(&wire)); /* twice */
	wire = header(WORKER_HELLO, 0, 1);
	put_field(&wire, FIELD_TCTI, "a", 1);
	assert_false(is_taken(&wire)); /* foreign */
	wire = header(WORKER_HELLO, 0, 1);
	put_field(&wire, 9999, "a", 1);
	assert_false(is_taken(&wire)); /* unknown field */
	wire = header(WORKER_HELLO, 0, 1);
	put_field(&wire, 0, "", 0);
	assert_false(is_taken(&wire)); /* the field that ends a list */
	wire = header(99, 0, 0);
	assert_false(is_taken(&wire)); /* unknown verb */
	wire = header(WORKER_ERROR, 0, 0);
	assert_false(is_taken(&wire)); /* an error is no request */
	wire = header(WORKER_HELLO, 2, 0);
	assert_false(is_taken(&wire)); /* neither request nor reply */
	wire = header(WORKER_HELLO, 0, 0);
	assert_true(is_taken(&wire));
	put(&wire, 0, 1);
	assert_false(is_taken(&wire)); /* a byte behind the end */
}

static void lengths_that_cannot_be_true_are_refused(void **state)
{
	static const uint32_t sizes[] = {
		2, 3, 100, 0x7fffffff, 0x80000000, 0xfffffffa, 0xffffffff
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct wire wire = header(WORKER_TPM_OPEN, 0, 1);

		put(&wire, FIELD_TCTI, 2);
		put(&wire, sizes[i], 4);
		put(&wire, 'a', 1);
		assert_false(is_taken(&wire));
	}
	for (size_t size = 0; size < 10; size++) {
		struct wire wire = header(WORKER_TPM_READ_PUBLIC, 0, 1);

		put_field(&wire, FIELD_HANDLE, "\0\0\0\0\0\0\0\0\0", size);
		assert_int_equal(is_taken(&wire), size == 8);
	}
	for (unsigned count = 1; count < 256; count++) {
		struct wire wire = header(WORKER_HELLO, 0, count);

		assert_false(is_taken(&wire));
	}
}

static void more_than_the_largest_message_is_refused(void **state)
{
	CLEANUP(freep) uint8_t *data = calloc(1, WORKER_MESSAGE_MAX + 1);
	struct worker_message message = { 0 };
	struct muster_error err;

	(void)state;
	data[1] = WORKER_HELLO;
	assert_fails(worker_message_decode(data, WORKER_MESSAGE_MAX + 1, &message, &err), err,
		     CAUSE_WORKER_PROTOCOL);
	assert_fails(worker_message_decode(NULL, 0, &message, &err), err, CAUSE_WORKER_PROTOCOL);
}

/* How many IDs there are in the text; -1 when it is refused. */
static int count_ids(const char *text, size_t size)
{
	const struct bytes all = { (uint8_t *)(uintptr_t)text, size };
	struct worker_ids ids = { .all = &all };
	struct muster_error err;
	const uint8_t *id;
	size_t id_size, seen = 0;

	do {
		if (!worker_ids_next(&ids, &id, &id_size, &err)) {
			assert_int_equal(err.cause, CAUSE_WORKER_PROTOCOL);
			return -1;
		}
		seen += id ? id_size + 1 : 0;
	} while (id);
	assert_int_equal(seen, size);
	return (int)ids.count;
}

static void ids_come_one_after_another(void **state)
{
	char many[2 * WORKER_IDS_MAX + 2];

	(void)state;
	assert_int_equal(count_ids("", 0), 0);
	assert_int_equal(count_ids("a\nlonger\n", 9), 2);
	assert_int_equal(count_ids("a\nunended", 9), -1);
	assert_int_equal(count_ids("a\n\nb\n", 5), -1);
	for (size_t i = 0; i < sizeof(many); i += 2)
		memcpy(many + i, "x\n", 2);
	assert_int_equal(count_ids(many, sizeof(many) - 2), WORKER_IDS_MAX);
	assert_int_equal(count_ids(many, sizeof(many)), -1);
}

static void check_truncation(enum worker_verb verb, bool is_reply)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(text_done) struct text encoded = TEXT_MAX(WORKER_MESSAGE_MAX);
	struct wire wire = { .size = 0 };

	fill(&message, verb, is_reply, 0, false);
	encode(&message, &encoded);
	assert_true(encoded.length <= sizeof(wire.data));
	memcpy(wire.data, encoded.data, encoded.length);
	for (wire.size = 0; wire.size < encoded.length; wire.size++)
		if (is_taken(&wire))
			fail_msg("verb %u: %zu of %zu bytes are taken", verb, wire.size,
				 encoded.length);
	assert_true(is_taken(&wire));
}

static void every_cut_is_refused(void **state)
{
	(void)state;
	for_every_message(check_truncation);
}

/* What is taken must be what would be sent: decoding and encoding again gives the same bytes. */
static void check_bytes(const struct wire *wire)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(text_done) struct text again = TEXT_MAX(WORKER_MESSAGE_MAX);
	struct muster_error err;

	if (!worker_message_decode(wire->data, wire->size, &message, &err))
		return;
	encode(&message, &again);
	assert_int_equal(again.length, wire->size);
	assert_memory_equal(again.data, wire->data, wire->size);
}

static void random_bytes_never_harm(void **state)
{
	(void)state;
	srand(11);
	for (int round = 0; round < 20000; round++) {
		struct wire wire = { .size = (size_t)(rand() % 80) };

		for (size_t i = 0; i < wire.size; i++)
			wire.data[i] = (uint8_t)(rand() % 4 ? rand() % 32 : rand());
		check_bytes(&wire);
	}
}

static void check_damage(enum worker_verb verb, bool is_reply)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(text_done) struct text encoded = TEXT_MAX(WORKER_MESSAGE_MAX);

	fill(&message, verb, is_reply, 0, false);
	encode(&message, &encoded);
	for (int round = 0; round < 200; round++) {
		struct wire wire = { .size = encoded.length };

		memcpy(wire.data, encoded.data, encoded.length);
		for (int hits = 1 + rand() % 3; hits > 0; hits--)
			wire.data[(size_t)rand() % wire.size] ^= (uint8_t)(1 << rand() % 8);
		check_bytes(&wire);
	}
}

static void damaged_messages_never_harm(void **state)
{
	(void)state;
	srand(13);
	for_every_message(check_damage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_goes_there_and_back),
		cmocka_unit_test(the_table_holds_together),
		cmocka_unit_test(the_wire_form_stays_as_it_is),
		cmocka_unit_test(missing_values_read_as_nothing),
		cmocka_unit_test(a_missing_field_is_refused),
		cmocka_unit_test(a_foreign_or_second_field_is_refused),
		cmocka_unit_test(a_field_that_is_too_long_is_refused),
		cmocka_unit_test(a_value_of_another_kind_is_refused),
		cmocka_unit_test(too_many_fields_are_refused),
		cmocka_unit_test(an_unknown_verb_is_refused),
		cmocka_unit_test(text_is_utf8_without_nul),
		cmocka_unit_test(decode_holds_to_the_table_too),
		cmocka_unit_test(lengths_that_cannot_be_true_are_refused),
		cmocka_unit_test(more_than_the_largest_message_is_refused),
		cmocka_unit_test(ids_come_one_after_another),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(random_bytes_never_harm),
		cmocka_unit_test(damaged_messages_never_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
