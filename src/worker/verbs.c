#include "worker-internal.h"

#define KIND_OF(kind) KIND_##kind

static const struct field_row fields[] = {
#define FIELD(number, name, kind, max) { FIELD_##name, #name, KIND_OF(kind), max },
#include "muster/worker-verbs.def"
};

enum { USE_OPTIONAL = 1 << 16, USE_REPEATED = 1 << 17 };

/* What may stand in a verb's field list: NAME, O_NAME or R_NAME. */
enum {
#define FIELD(number, name, kind, max)                             \
	USE_##name = number, USE_O_##name = number | USE_OPTIONAL, \
	USE_R_##name = number | USE_REPEATED,
#include "muster/worker-verbs.def"
};

#define ROW(use) { (use)&0xffff, ((use)&USE_OPTIONAL) != 0, ((use)&USE_REPEATED) != 0 },
#define EACH_1(a) ROW(USE_##a)
#define EACH_2(a, ...) ROW(USE_##a) EACH_1(__VA_ARGS__)
#define EACH_3(a, ...) ROW(USE_##a) EACH_2(__VA_ARGS__)
#define EACH_4(a, ...) ROW(USE_##a) EACH_3(__VA_ARGS__)
#define EACH_5(a, ...) ROW(USE_##a) EACH_4(__VA_ARGS__)
#define EACH_6(a, ...) ROW(USE_##a) EACH_5(__VA_ARGS__)
#define EACH_7(a, ...) ROW(USE_##a) EACH_6(__VA_ARGS__)
#define EACH_8(a, ...) ROW(USE_##a) EACH_7(__VA_ARGS__)
#define EACH_9(a, ...) ROW(USE_##a) EACH_8(__VA_ARGS__)
#define PICK(a, b, c, d, e, f, g, h, i, chosen, ...) chosen
#define EACH(...)                                                                                 \
	PICK(__VA_ARGS__, EACH_9, EACH_8, EACH_7, EACH_6, EACH_5, EACH_4, EACH_3, EACH_2, EACH_1, \
	     0)                                                                                   \
	(__VA_ARGS__)
#define USES(...)                             \
	{                                     \
		__VA_OPT__(EACH(__VA_ARGS__)) \
		{                             \
			0                     \
		}                             \
	}

static const struct verb_row verbs[] = {
	{ WORKER_ERROR,
	  "ERROR",
	  DEADLINE_NORMAL,
	  { { 0 } },
	  USES(ERROR_CAUSE, ERROR_ORIGIN, ERROR_NATIVE, ERROR_MESSAGE) },
#define VERB(number, name, worker, deadline, request, reply) \
	{ WORKER_##name, #name, DEADLINE_##deadline, USES request, USES reply },
#include "muster/worker-verbs.def"
};

const struct field_row *worker_field_find(unsigned number)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].field == number)
			return &fields[i];
	return NULL;
}

const struct verb_row *worker_verb_find(unsigned number)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].verb == number)
			return &verbs[i];
	return NULL;
}
