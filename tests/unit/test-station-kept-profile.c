/* By which copy of its profile a device is finished. */
#include "unit.h"

#include "temporary.h"

#include "../../src/station/kept-profile.h"

static struct muster_error err;

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TEXT(file)                              \
	"profile: line\n"                       \
	"attestation:\n"                        \
	"  type: symmetricKey\n"                \
	"  symmetricKey:\n"                     \
	"    primaryMaster: {file: " file "}\n" \
	"    secondaryMaster: {file: /k/secondary.key}\n"

static void load(const char *path, struct profile *ret_profile)
{
	struct profile_report report = { 0 };

	if (!profile_load(path, ret_profile, &report, &err))
		fail_msg("%s", err.message);
	profile_report_done(&report);
}

static void make_profile(const char *directory, const char *folder, const char *text,
			 struct profile *ret_profile)
{
	char *path = text_format("%s/%s", directory, folder);
	char *file;

	assert_int_equal(mkdir(path, 0700), 0);
	file = temporary_file(path, "line.yaml", text, 0600);
	load(file, ret_profile);
	free(file);
	free(path);
}

static void assert_primary(const char *journal, const char *digest, const char *name,
			   const char *expected)
{
	struct profile_report report = { 0 };
	struct profile kept = { 0 };

	if (!kept_profile_load(journal, digest, name, &kept, &report, &err))
		fail_msg("%s", err.message);
	assert_string_equal(kept.digest, digest);
	assert_string_equal(kept.master.primary.file, expected);
	profile_done(&kept);
	profile_report_done(&report);
}

static void same_text_is_kept_for_each_folder_that_it_names_files_in(void **state)
{
	char *journal = text_format("%s/journal.db", (char *)*state);
	char names[2][SHA256_HEX_SIZE];
	struct profile profiles[2] = { 0 };

	make_profile(*state, "a", TEXT("p.key"), &profiles[0]);
	make_profile(*state, "b", TEXT("p.key"), &profiles[1]);
	assert_string_equal(profiles[0].digest, profiles[1].digest);
	for (size_t i = 0; i < 2; i++) {
		assert_true(kept_profile_keep(journal, &profiles[i], &err));
		assert_true(kept_profile_name(&profiles[i], names[i], &err));
	}
	assert_string_not_equal(names[0], names[1]);
	for (size_t i = 0; i < 2; i++) {
		assert_primary(journal, profiles[i].digest, names[i],
			       profiles[i].master.primary.file);
		profile_done(&profiles[i]);
	}
	free(journal);
}

static void same_text_that_names_none_is_kept_once(void **state)
{
	char *journal = text_format("%s/journal.db", (char *)*state);
	char name[SHA256_HEX_SIZE];
	struct profile profile = { 0 };

	make_profile(*state, "a", TEXT("/k/p.key"), &profile);
	assert_true(kept_profile_name(&profile, name, &err));
	assert_string_equal(name, profile.digest);
	profile_done(&profile);
	free(journal);
}

/* As they were written when the digest was all that named them. */
static void copies_of_before_are_found(void **state)
{
	char *journal = text_format("%s/journal.db", (char *)*state);
	char *folder = text_format("%s/profiles", (char *)*state);
	struct profile profile = { 0 };
	cJSON *copy = cJSON_CreateObject();
	char *line, *name, *path;

	make_profile(*state, "a", TEXT("p.key"), &profile);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_true(cJSON_AddStringToObject(copy, "path", profile.path));
	assert_true(cJSON_AddStringToObject(copy, "text", TEXT("p.key")));
	line = cJSON_PrintUnformatted(copy);
	name = text_format("%s.json", profile.digest);
	path = temporary_file(folder, name, line, 0600);
	assert_primary(journal, profile.digest, profile.digest, profile.master.primary.file);
	cJSON_free(line);
	cJSON_Delete(copy);
	free(name);
	free(path);
	free(folder);
	free(journal);
	profile_done(&profile);
}

static void follow(char name[SHA256_HEX_SIZE], const char *stage, enum journal_kind kind,
		   const char *body)
{
	const struct journal_entry entry = { .stage = stage, .kind = kind, .body = body };
	cJSON *tree = cJSON_Parse(body);

	assert_non_null(tree);
	kept_profile_follow(name, &entry, tree);
	cJSON_Delete(tree);
}

static void last_note_says_which(void **state)
{
	char name[SHA256_HEX_SIZE] = "";

	(void)state;
	follow(name, "enroll", JOURNAL_NOTE, "{\"spooled\":{},\"keptProfile\":\"" KEY_A "\"}");
	assert_string_equal(name, KEY_A);
	follow(name, "enroll", JOURNAL_INTENT, "{\"operation\":\"create\"}");
	assert_string_equal(name, KEY_A);
	follow(name, "enroll", JOURNAL_NOTE, "{\"terms\":{},\"keptProfile\":\"" KEY_B "\"}");
	assert_string_equal(name, KEY_B);
	follow(name, "enroll", JOURNAL_NOTE, "{\"spooled\":{}}");
	assert_string_equal(name, "");
	follow(name, "enroll", JOURNAL_NOTE, "{\"terms\":{},\"keptProfile\":\"" KEY_B "\"}");
	follow(name, "retire", JOURNAL_OUTCOME, "{\"enrollment\":\"deleted\"}");
	assert_string_equal(name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(same_text_is_kept_for_each_folder_that_it_names_files_in),
		test_with_directory(same_text_that_names_none_is_kept_once),
		test_with_directory(copies_of_before_are_found),
		cmocka_unit_test(last_note_says_which),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
