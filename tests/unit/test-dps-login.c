#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/dps.h"

#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static void takes_a_connection_string_apart(void **state)
{
	static const char *const texts[] = {
		"HostName=My.azure-devices-provisioning.net;SharedAccessKeyName=owner;"
		"SharedAccessKey=" KEY,
		"SharedAccessKey=" KEY ";HostName=my.azure-devices-provisioning.net;"
		"SharedAccessKeyName=owner",
		"hostname=my.azure-devices-provisioning.net;sharedaccesskeyname=owner;"
		"sharedaccesskey=" KEY ";",
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(dps_login_done) struct dps_login login = { 0 };

		assert_true(dps_login_parse(&login, texts[i], strlen(texts[i]), &err));
		assert_string_equal(login.host, "my.azure-devices-provisioning.net");
		assert_string_equal(login.policy, "owner");
		assert_int_equal(login.key.size, 32);
		assert_int_equal(login.key.data[0], 1);
	}
}

static void keeps_a_port_out_of_the_token(void **state)
{
	static const char text[] = "HostName=localhost:8443;SharedAccessKeyName=owner;"
				   "SharedAccessKey=" KEY;
	CLEANUP(dps_login_done) struct dps_login login = { 0 };
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(dps_login_parse(&login, text, strlen(text), &err));
	assert_string_equal(login.host, "localhost:8443");
	assert_true(dps_login_authorize(&login, 1795420504000, &request, &err));
	assert_non_null(strstr((char *)request.authorization.data, "sr=localhost&"));
	assert_non_null(strstr((char *)request.authorization.data, "&se=1795421104&"));
}

static const char *token_at(struct dps_login *login, int64_t now_ms, char out[512])
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct muster_error err;

	assert_true(dps_login_authorize(login, now_ms, &request, &err));
	snprintf(out, 512, "%s", (char *)request.authorization.data);
	return out;
}

/* Half its life; and not when the clock was set back, or the service did not like it. */
static void a_token_is_used_again(void **state)
{
	static const char text[] = "HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=" KEY;
	CLEANUP(dps_login_done) struct dps_login login = { 0 };
	const int64_t now = 1795420504000;
	struct muster_error err;
	char first[512], other[512];

	(void)state;
	assert_true(dps_login_parse(&login, text, strlen(text), &err));
	token_at(&login, now, first);
	assert_string_equal(token_at(&login, now + 299999, other), first);
	assert_string_not_equal(token_at(&login, now + 300000, other), first);
	assert_string_equal(token_at(&login, now, other), first);
	assert_string_equal(token_at(&login, now + 1000, other), first);
	dps_login_forget(&login);
	assert_string_not_equal(token_at(&login, now + 1000, other), first);
}

static void refuses_what_is_not_one(void **state)
{
	static const char *const texts[] = {
		"",
		"nonsense",
		"HostName=a.b;SharedAccessKeyName=owner",
		"HostName=a.b;SharedAccessKey=" KEY,
		"SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a.b;HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a.b;SharedAccessKeyName=o;SharedAccessKey=" KEY ";SharedAccessKey=" KEY,
		"HostName=a.b; SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a.b;SharedAccessKeyName=owner;SharedAccesKey=" KEY,
		"HostName=;SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a/b.c;SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a.b:0;SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a.b:http;SharedAccessKeyName=owner;SharedAccessKey=" KEY,
		"HostName=a.b;SharedAccessKeyName=;SharedAccessKey=" KEY,
		"HostName=a.b;SharedAccessKeyName=own er;SharedAccessKey=" KEY,
		"HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=",
		"HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=AQEB",
		"HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=Canary-is-no-base64!",
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct dps_login login = { 0 };

		assert_false(dps_login_parse(&login, texts[i], strlen(texts[i]), &err));
		assert_int_equal(err.cause, CAUSE_LOGIN_INVALID);
		assert_null(strstr(err.message, KEY));
		assert_null(strstr(err.message, "Canary"));
		assert_null(login.key.data);
	}
}

static void passes_over_what_else_stands_there(void **state)
{
	static const char *const texts[] = {
		"HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=" KEY ";DeviceId=x",
		"HostName=a.b;;SharedAccessKeyName=owner;SharedAccessKey=" KEY ";;",
		"foo;HostName=a.b;SharedAccessKeyName=owner;SharedAccessKey=" KEY ";=x",
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(dps_login_done) struct dps_login login = { 0 };

		assert_true(dps_login_parse(&login, texts[i], strlen(texts[i]), &err));
		assert_string_equal(login.host, "a.b");
		assert_string_equal(login.policy, "owner");
	}
}

static void knows_where_devices_register(void **state)
{
	static const struct {
		const char *service, *device;
	} hosts[] = {
		{ "my.azure-devices-provisioning.net", "global.azure-devices-provisioning.net" },
		{ "my.azure-devices-provisioning.cn", "global.azure-devices-provisioning.cn" },
		{ "my.azure-devices-provisioning.us:443",
		  "global.azure-devices-provisioning.us:443" },
		{ "localhost:8443", "localhost:8443" },
		{ "dps.example.com", "dps.example.com" },
		{ "evil-azure-devices-provisioning.net", "evil-azure-devices-provisioning.net" },
	};
	char found[DPS_HOST_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		dps_device_host(hosts[i].service, found);
		assert_string_equal(found, hosts[i].device);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_connection_string_apart),
		cmocka_unit_test(keeps_a_port_out_of_the_token),
		cmocka_unit_test(a_token_is_used_again),
		cmocka_unit_test(refuses_what_is_not_one),
		cmocka_unit_test(passes_over_what_else_stands_there),
		cmocka_unit_test(knows_where_devices_register),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
