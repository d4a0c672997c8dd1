/* How vendors' services are asked for an EK certificate, and what of their answers is taken. The names are those that
 * Python's hashlib gives. */
#include "unit.h"

#include <stdlib.h>

#include "muster/ek-service.h"

static const char sample[] =
	"AToAAQALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAgAAAAAAAEAxsj2gUScTk1UjuioeTlf"
	"GYZrrimExB+bScH75adUMRIi2UOMxG1kw4y+9RW/IVoMl4e620VxZad0ARX2gUqVjYO7KPVt3dyKhZS3dkcvfBisBhP1XH9B33Vq"
	"HG9SHnbnQXdBUaCgKAfxome8UmBKfe+naTsE5fkvjb/do3/dD6l4sGBwFCnKRdln4XpM03zLpoHFao8zOwt8l/uP3qUIxmCYv9A7"
	"m69Ms+5/pCkTu/rK4mRDsfhZ0QLfbzVI6zQFOKF/rwsfBtFeWlWtcuJMKlXdD8TXWElTzgh7JS4qhFzreL0c1mI0GCj+Aws0usZh"
	"7dLIVPnlgZcBhgy1SSDQMQ==";

static void expect_url(const char *base, enum ek_service_form form, const char *expected)
{
	struct muster_error err;
	struct ek_public ek;
	assert_good(ek_public_from_base64(sample, strlen(sample), &ek, &err), err);
	CLEANUP(freep) char *url = ek_service_url(base, form, &ek);
	assert_non_null(url);
	assert_string_equal(url, expected);
}

static void names_a_key_as_each_service_wants_it(void **state)
{
	(void)state;
	expect_url("https://a/b", EK_SERVICE_INTEL,
		   "https://a/b/_RkV7vUnij2Wzo9oFP61EcZ-JYnbnC83rFxAzKxeXFM%3D");
	expect_url("https://a/b/", EK_SERVICE_AMD, "https://a/b/1469cbccbc99e7c18e514e0842021a86");
}

static void knows_the_services_of_two_vendors(void **state)
{
	(void)state;
	assert_int_equal(ek_service_find("INTC")->form, EK_SERVICE_INTEL);
	assert_int_equal(ek_service_find("AMD")->form, EK_SERVICE_AMD);
	assert_null(ek_service_find("IFX"));
	assert_null(ek_service_find(""));
}

static void takes_no_answer_without_a_certificate(void **state)
{
	static const char *const answers[] = { "",
					       "{",
					       "{}",
					       "{\"certificate\": 5}",
					       "{\"certificate\": \"\"}",
					       "{\"certificate\": \"!!\"}",
					       "{\"certificate\": \"MAA%3D\"}",
					       "<html>" };
	struct muster_error err;
	X509 *certificate = NULL;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		if (ek_service_answer(answers[i], strlen(answers[i]), &certificate, &err))
			fail_msg("'%s' was taken", answers[i]);
		assert_null(certificate);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_a_key_as_each_service_wants_it),
		cmocka_unit_test(knows_the_services_of_two_vendors),
		cmocka_unit_test(takes_no_answer_without_a_certificate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
