#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "muster/config.h"
#include "muster/file.h"

static char directory[] = "/tmp/muster-test-XXXXXX";
static char path[64];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/muster.yaml", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static void write_config(const char *content, unsigned mode)
{
	struct muster_error err = { 0 };

	if (!file_write(path, content, strlen(content), mode, true, &err))
		fail_msg("%s", err.message);
	assert_int_equal(chmod(path, mode), 0);
}

static void settings_and_modules(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(freep) char **environment = NULL;
	const struct config_module *module;
	struct muster_error err = { 0 };
	char expected[128];

	(void)state;
	write_config("modules:\n"
		     "  softhsm:\n"
		     "    path: /usr/lib/softhsm/libsofthsm2.so\n"
		     "    environment: [MUSTER_TEST_CONF, MUSTER_TEST_UNSET, \"DEBUG=a=b\"]\n"
		     "  other: {path: /usr/lib/other.so, initArguments: \"configdir='sql:/x'\"}\n"
		     "loginFile: login.txt\n"
		     "operator: jk\n"
		     "tpmDeadlines: {command: 7, keyCreation: 300}\n",
		     0600);
	setenv("MUSTER_TEST_CONF", "/tmp/softhsm2.conf", 1);
	if (!config_load_file(path, &config, &report, &err))
		fail_msg("%s: %s", err.message, report.count ? report.rows[0].message : "");
	snprintf(expected, sizeof(expected), "%s/login.txt", directory);
	assert_string_equal(config.login_file, expected);
	assert_string_equal(config.operator_name, "jk");
	assert_int_equal(config.tpm_deadlines.command, 7);
	assert_int_equal(config.tpm_deadlines.activation, 0);
	assert_int_equal(config.tpm_deadlines.key_creation, 300);
	assert_int_equal(config.module_count, 2);
	assert_int_equal(config.paths.count, 1);
	module = config_module_find(&config, "softhsm");
	assert_non_null(module);
	assert_string_equal(module->path, "/usr/lib/softhsm/libsofthsm2.so");
	assert_true(config_module_environment(module, &environment, &err));
	assert_string_equal(environment[0], "MUSTER_TEST_CONF=/tmp/softhsm2.conf");
	assert_string_equal(environment[1], "DEBUG=a=b");
	assert_null(environment[2]);
	assert_null(module->init_arguments);
	assert_string_equal(config_module_find(&config, "other")->init_arguments,
			    "configdir='sql:/x'");
	assert_null(config_module_find(&config, "soft"));
}

static void the_later_file_wins(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	write_config("modules: {a: {path: /lib/a1.so}}\nidScope: one\noperator: x\n", 0600);
	assert_true(config_load_file(path, &config, &report, &err));
	write_config("modules: {a: {path: /lib/a2.so}, b: {path: /lib/b.so}}\nidScope: two\n",
		     0600);
	assert_true(config_load_file(path, &config, &report, &err));
	assert_string_equal(config.id_scope, "two");
	assert_string_equal(config.operator_name, "x");
	assert_int_equal(config.module_count, 2);
	assert_string_equal(config_module_find(&config, "a")->path, "/lib/a2.so");
}

/* A curious operator has a file of his own. */
static void approvals_are_for_the_first_file_to_say(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	write_config("operator: x\n", 0600);
	assert_true(config_load_file(path, &config, &report, &err));
	write_config("approvals: {needed: 2, approvers: keys.pem}\n", 0600);
	assert_true(config_load_file(path, &config, &report, &err));
	assert_int_equal(config.approvals.needed, 2);
	assert_null(config.approvals.requesters);
	write_config("operator: y\n", 0600);
	assert_true(config_load_file(path, &config, &report, &err));
	assert_int_equal(config.approvals.needed, 2);
	write_config("operator: z\napprovals: {needed: 3, approvers: keys.pem}\n", 0600);
	assert_false(config_load_file(path, &config, &report, &err));
	assert_int_equal(report.mistakes, 1);
	assert_int_equal(report.rows[0].cause, CAUSE_APPROVALS_FIXED);
	assert_int_equal(report.rows[0].line, 2);
}

static void mistakes_have_a_place(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	write_config("modules:\n  soft hsm: {path: /a.so}\n  x: {path: a.so}\n  y: {}\nlogin: x\n",
		     0600);
	assert_false(config_load_file(path, &config, &report, &err));
	assert_int_equal(err.cause, CAUSE_PROFILE_INVALID);
	assert_int_equal(report.mistakes, 4);
	assert_int_equal(report.rows[0].line, 2);
	assert_int_equal(report.rows[1].cause, CAUSE_PROFILE_VALUE);
	assert_int_equal(report.rows[1].column, 13);
	assert_int_equal(report.rows[2].cause, CAUSE_PROFILE_MISSING);
	assert_int_equal(report.rows[3].cause, CAUSE_PROFILE_KEY_UNKNOWN);
}

static void an_empty_file_is_fine(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	write_config("# nothing yet\n", 0600);
	assert_true(config_load_file(path, &config, &report, &err));
}

static void expect_setting(const struct config *config, const char *key, const char *value,
			   bool is_set)
{
	char room[CONFIG_NUMBER_SIZE];
	const char *from, *found = config_setting(config, key, room, &from);

	assert_true(found == value || (found && value && strcmp(found, value) == 0));
	assert_int_equal(from != NULL, is_set);
}

static void each_setting_of_a_group_has_its_own_origin(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	write_config("tpmDeadlines: {command: 7}\nhooks: {mes: {on: [unit-done], folder: /x}}\n",
		     0600);
	assert_true(config_load_file(path, &config, &report, &err));
	write_config("tpmDeadlines: {activation: 9}\ntpmNetwork: true\noperator: jk\n", 0600);
	assert_true(config_load_file(path, &config, &report, &err));
	expect_setting(&config, "tpmDeadlines.command", "7", true);
	expect_setting(&config, "tpmDeadlines.activation", "9", true);
	expect_setting(&config, "tpmDeadlines.keyCreation", "120", false);
	expect_setting(&config, "tpmNetwork", "true", true);
	expect_setting(&config, "operator", "jk", true);
	expect_setting(&config, "journal", NULL, false);
	expect_setting(&config, "hooks.mes", NULL, true);
	expect_setting(&config, "hooks.other", NULL, false);
	expect_setting(&config, "tpmDeadlines.other", NULL, false);
}

static void a_file_others_could_change_is_refused(void **state)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	write_config("operator: x\n", 0622);
	assert_false(config_load_file(path, &config, &report, &err));
	assert_int_equal(err.cause, CAUSE_FILE_OWNER);
}

static void where_it_is_looked_for(void **state)
{
	struct muster_error err = { 0 };
	char expected[128];

	(void)state;
	write_config("operator: named\n", 0600);
	setenv("MUSTER_CONFIG", path, 1);
	{
		CLEANUP(config_done) struct config config = { 0 };
		CLEANUP(profile_report_done) struct profile_report report = { 0 };

		assert_true(config_load(&config, &report, &err));
		assert_string_equal(config.operator_name, "named");
	}
	snprintf(expected, sizeof(expected), "%s/none.yaml", directory);
	setenv("MUSTER_CONFIG", expected, 1);
	{
		CLEANUP(config_done) struct config config = { 0 };
		CLEANUP(profile_report_done) struct profile_report report = { 0 };

		assert_false(config_load(&config, &report, &err));
		assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	}
	unsetenv("MUSTER_CONFIG");
	setenv("XDG_CONFIG_HOME", directory, 1); /* has no muster/muster.yaml */
	{
		CLEANUP(config_done) struct config config = { 0 };
		CLEANUP(profile_report_done) struct profile_report report = { 0 };

		assert_true(config_load(&config, &report, &err));
		assert_null(config.operator_name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_and_modules),
		cmocka_unit_test(the_later_file_wins),
		cmocka_unit_test(approvals_are_for_the_first_file_to_say),
		cmocka_unit_test(mistakes_have_a_place),
		cmocka_unit_test(each_setting_of_a_group_has_its_own_origin),
		cmocka_unit_test(an_empty_file_is_fine),
		cmocka_unit_test(a_file_others_could_change_is_refused),
		cmocka_unit_test(where_it_is_looked_for),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
