/* Profiles and configuration while memory runs out. */
#include "memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include "muster/config.h"
#include "muster/profile.h"

static bool load_profile(const void *context)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(profile_done) struct profile profile = { 0 };
	CLEANUP(text_done) struct text line = { 0 };
	struct muster_error err;
	bool good = profile_load(context, &profile, &report, &err);

	for (size_t i = 0; i < report.count; i++)
		profile_mistake_print(&report, i, &line);
	return good;
}

static bool load_config(const void *context)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(config_done) struct config config = { 0 };
	struct muster_error err;

	return config_load_file(context, &config, &report, &err);
}

/* Whole, or not at all. */
static bool print_schema(const void *context)
{
	CLEANUP(text_done) struct text schema = TEXT_MAX(1024 * 1024);
	struct muster_error err;

	if (!profile_schema(&schema, &err)) {
		assert_int_equal(err.cause, CAUSE_MEMORY);
		return false;
	}
	assert_string_equal(schema.data, context);
	return true;
}

static const char *const examples[] = { "derived-key", "hsm-x509", "tpm" };

static void profiles(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		CLEANUP(freep)
		char *path = text_format("%s/profiles/%s.yaml", MUSTER_SOURCE_DIR, examples[i]);

		each_allocation_fails_of(path, load_profile, path);
	}
}

/* Every mistake is looked for, be there memory for it or not. */
static void profiles_with_mistakes(void **state)
{
	static const char text[] =
		"schema: muster.profile/9\nname: 7\nattestation: {tpm: x, hsm: {}}\n"
		"allocationPolicy: statics\niotHubs: [a.b, 1]\nregistrationId: \"{serail}\"\n"
		"initialTwin: {tags: [1]}\nverify: sometimes\nunknown: 1\n";
	CLEANUP(freep)
	char *path = text_format("%s/muster-mistakes-%d.yaml", "/tmp", (int)getpid());
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	each_allocation_fails(path, load_profile, path);
	unlink(path);
}

static void configuration(void **state)
{
	static const char text[] = "journal: /j.db\nservice: a.azure-devices-provisioning.net\n"
				   "modules:\n  - path: /usr/lib/softhsm/libsofthsm2.so\n"
				   "    environment: {SOFTHSM2_CONF: /c}\n"
				   "hooks:\n  - name: h\n    folder: /f\n";
	CLEANUP(freep) char *path = text_format("%s/muster-config-%d.yaml", "/tmp", (int)getpid());
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	chmod(path, 0600);
	each_allocation_fails(path, load_config, path);
	unlink(path);
}

static void schema(void **state)
{
	CLEANUP(text_done) struct text whole = TEXT_MAX(1024 * 1024);
	struct muster_error err;

	(void)state;
	assert_good(profile_schema(&whole, &err), err);
	each_allocation_fails_of("the schema", print_schema, whole.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles),
		cmocka_unit_test(profiles_with_mistakes),
		cmocka_unit_test(configuration),
		cmocka_unit_test(schema),
	};

	memory_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
