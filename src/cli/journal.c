#include "journal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/text.h"

#include "report.h"

bool journal_verb_path(const char *given, char **ret_path, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };

	if (!given && !report_config_load(&config, err))
		return false;
	return journal_path_choose(given, config.journal, ret_path, err);
}

bool journal_verb_open(const char *given, struct journal **ret_journal, struct muster_error *err)
{
	CLEANUP(freep) char *path = NULL;

	return journal_verb_path(given, &path, err) &&
	       journal_open(path, JOURNAL_READ, ret_journal, err);
}

bool journal_verb_open_to_write(const char *given, struct journal **ret_journal,
				struct muster_error *err)
{
	CLEANUP(freep) char *path = NULL;

	if (!journal_verb_path(given, &path, err))
		return false;
	if (access(path, F_OK) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "journal '%s'",
					 PRINTABLE(path));
	return journal_open(path, JOURNAL_WRITE, ret_journal, err);
}

bool journal_verb_evidence(const char *given, const char *journal, char **ret_directory,
			   struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(freep) char *path = NULL;

	if (!given && !report_config_load(&config, err))
		return false;
	if (!given)
		given = config.out;
	path = given ? strdup(given) : file_beside(journal, "evidence");
	/* The journal tells later runs, wherever they are started, where the evidence lies. */
	*ret_directory = path ? file_absolute(path) : NULL;
	return *ret_directory || muster_fail_memory(err);
}

/* -- Which devices ------------------------------------------------------------------------------------------ */

/* "90s", "30m", "2h", "7d". */
static bool parse_age(const char *text, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	size_t length = strlen(text);
	char digits[16];
	int64_t count;

	if (length < 2 || length > sizeof(digits))
		return false;
	memcpy(digits, text, length - 1);
	digits[length - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (units[i].unit == text[length - 1] &&
		    text_to_int64(digits, 0, 1000000, &count)) {
			*ret_ms = count * units[i].ms;
			return true;
		}
	}
	return false;
}

static bool parse_time(const char *text, int64_t *ret_ms, struct muster_error *err)
{
	int64_t now = clock_wall_ms(), age;
	char with_time[40];

	if (strcmp(text, "today") == 0) {
		*ret_ms = now - now % 86400000;
		return true;
	}
	if (parse_age(text, &age)) {
		*ret_ms = now - age;
		return true;
	}
	snprintf(with_time, sizeof(with_time), "%.20sT00:00:00Z", text);
	if (rfc3339_parse(text, ret_ms) || rfc3339_parse(with_time, ret_ms))
		return true;
	return muster_fail(
		err, CAUSE_USAGE,
		"--since=%s is neither a time (2026-11-23T08:00:00Z), a date, 'today', an age "
		"(90s, 30m, 2h, 7d) nor entry:N",
		PRINTABLE(text));
}

static bool parse_since(const char *text, struct journal_filter *filter, struct muster_error *err)
{
	static const char word[] = "entry:";

	if (text_has_prefix(text, word) &&
	    text_to_int64(text + strlen(word), 0, INT64_MAX, &filter->after))
		return true;
	return parse_time(text, &filter->since_ms, err);
}

const char *const journal_verification_choices[] = { JOURNAL_VERIFIED, JOURNAL_NOT_ASKED,
						     JOURNAL_PUT_OFF, NULL };

bool journal_filter_read(const struct journal_which *which, struct journal_filter *ret_filter,
			 struct muster_error *err)
{
	struct journal_filter filter = { .after = -1, .verification = which->verification };
	const struct option_list *states = &which->states;

	for (size_t i = 0; i < states->count; i++) {
		enum journal_state state;

		if (!journal_state_find(states->words[i], &state))
			return muster_fail(
				err, CAUSE_USAGE,
				"--state=%s is not working, parked, spooled, dead-letter, released, "
				"failed or retired",
				PRINTABLE(states->words[i]));
		filter.states |= 1U << state;
	}
	if (which->since && !parse_since(which->since, &filter, err))
		return false;
	*ret_filter = filter;
	return true;
}

bool journal_filter_takes(const struct journal_filter *filter, const struct journal_device *device)
{
	return device->updated_ms >= filter->since_ms && device->entry > filter->after &&
	       (filter->states == 0 || (filter->states & 1U << device->state)) &&
	       (!filter->verification ||
		(device->verification && strcmp(device->verification, filter->verification) == 0));
}

/* -- One device --------------------------------------------------------------------------------------------- */

const char *const journal_key_choices[] = {
	"any",
	[JOURNAL_BY_REGISTRATION_ID] = "registration-id",
	[JOURNAL_BY_SERIAL] = "serial",
	[JOURNAL_BY_DEVICE_ID] = "device-id",
	[JOURNAL_BY_KEY_DIGEST] = "key",
	[JOURNAL_BY_KEY_ID] = "key-id",
	NULL,
};

/* Digests are shown by others in capitals and with colons. */
static void copy_digest(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 1 < size; text++)
		if (*text != ':' && *text != ' ')
			out[used++] = *text;
	out[used] = '\0';
	text_fold(out);
}

static bool fail_ambiguous(const char *name, enum journal_key first_key,
			   const struct journal_device *first, enum journal_key key,
			   const struct journal_device *other, struct muster_error *err)
{
	return muster_fail(err, CAUSE_DEVICE_AMBIGUOUS,
			   "'%s' is the %s of device '%s' and the %s of device '%s'",
			   PRINTABLE(name), journal_key_choices[first_key],
			   PRINTABLE(first->registration_id), journal_key_choices[key],
			   PRINTABLE(other->registration_id));
}

struct finding {
	const char *name;
	enum journal_key key;
	const struct journal_device *device;
};

static bool check_other(void *context, const struct journal_device *other, struct muster_error *err)
{
	const struct finding *finding = context;

	return !journal_state_is_live(other->state) ||
	       strcmp(finding->device->registration_id, other->registration_id) == 0 ||
	       fail_ambiguous(finding->name, finding->key, finding->device, finding->key, other,
			      err);
}

/* What has ended is not meant where one is live; two that are, at two hubs say, can both be meant. */
static bool find_by(struct journal *journal, enum journal_key key, const char *name,
		    struct journal_device *ret_device, bool *ret_found, struct muster_error *err)
{
	struct finding finding = { name, key, ret_device };
	char digest[JOURNAL_NAME_SIZE];
	const char *value = name;

	if (key == JOURNAL_BY_KEY_DIGEST || key == JOURNAL_BY_KEY_ID) {
		copy_digest(digest, sizeof(digest), name);
		value = digest;
	}
	if (!journal_device_find(journal, key, value, ret_device, ret_found, err))
		return false;
	if (*ret_found)
		return journal_device_find_each(journal, key, value, check_other, &finding, err);
	return value == name ||
	       journal_device_find_second(journal, key, value, ret_device, ret_found, err);
}

static bool find_now(struct journal *journal, int by, const char *name,
		     struct journal_device *ret_device, bool *ret_found, struct muster_error *err)
{
	enum journal_key first = by ? (enum journal_key)by : JOURNAL_BY_REGISTRATION_ID;
	enum journal_key last = by ? (enum journal_key)by : JOURNAL_BY_KEY_ID;
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	enum journal_key found_by = 0;

	for (enum journal_key key = first; key <= last; key++) {
		CLEANUP(journal_device_done) struct journal_device other = { 0 };
		bool is_found = false;

		if (!find_by(journal, key, name, &other, &is_found, err))
			return false;
		if (!is_found)
			continue;
		if (found_by && strcmp(device.registration_id, other.registration_id) != 0)
			return fail_ambiguous(name, found_by, &device, key, &other, err);
		if (!found_by) {
			device = other;
			other = (struct journal_device){ 0 };
			found_by = key;
		}
	}
	*ret_found = found_by;
	*ret_device = device;
	device = (struct journal_device){ 0 };
	return true;
}

static bool find_former(struct journal *journal, int by, const char *key,
			struct journal_device *ret_device, bool *ret_found,
			struct muster_error *err)
{
	*ret_found = false;
	for (int kind = JOURNAL_BY_KEY_DIGEST; kind <= JOURNAL_BY_KEY_ID && !*ret_found; kind++)
		if ((by == 0 || by == kind) &&
		    !journal_device_find_former(journal, (enum journal_key)kind, key, ret_device,
						ret_found, err))
			return false;
	return true;
}

bool journal_verb_find_ever(struct journal *journal, int by, const char *name,
			    struct journal_device *ret_device, char ret_former[JOURNAL_NAME_SIZE],
			    struct muster_error *err)
{
	bool is_found = false;

	ret_former[0] = '\0';
	if (!find_now(journal, by, name, ret_device, &is_found, err))
		return false;
	if (is_found)
		return true;
	copy_digest(ret_former, JOURNAL_NAME_SIZE, name);
	return find_former(journal, by, ret_former, ret_device, &is_found, err) &&
	       (is_found || muster_fail(err, CAUSE_DEVICE_NOT_IN_JOURNAL,
					"no device '%s' in the journal", PRINTABLE(name)));
}

/* What is decided of a device is never meant for the one that took its place. */
bool journal_verb_find(struct journal *journal, int by, const char *name,
		       struct journal_device *ret_device, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	char former[JOURNAL_NAME_SIZE];

	if (!journal_verb_find_ever(journal, by, name, &device, former, err))
		return false;
	if (former[0])
		return muster_fail(
			err, CAUSE_DEVICE_NOT_IN_JOURNAL,
			"no device has '%s' now: it was the key of '%s' before, which has another one since",
			PRINTABLE(name), PRINTABLE(device.registration_id));
	*ret_device = device;
	device = (struct journal_device){ 0 };
	return true;
}

bool journal_print_members(const cJSON *object, const cJSON *without, struct muster_error *err)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, object)
	{
		CLEANUP(freep)
		char *value = cJSON_IsString(row) ? strdup(row->valuestring) : json_print_line(row);

		if (!value)
			return muster_fail_memory(err);
		if (row != without)
			printf("%-16s %s\n", row->string, value);
	}
	return true;
}
