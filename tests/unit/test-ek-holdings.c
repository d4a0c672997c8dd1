/* The list of what a TPM holds, and makers by their numbers. */
#include "unit.h"

#include "muster/ek-holdings.h"

static bool parse(const char *bytes, size_t size, struct ek_holdings *holdings)
{
	struct muster_error err;
	bool good = ek_holdings_parse(bytes, size, holdings, &err);
	if (!good)
		assert_int_equal(err.cause, CAUSE_TPM_ANSWER_INVALID);
	return good;
}
#define PARSE(literal, holdings) parse(literal, sizeof(literal) - 1, holdings)

static void takes_content_and_what_cannot_be_read(void **state)
{
	(void)state;
	CLEANUP(ek_holdings_done) struct ek_holdings holdings = { 0 };
	assert_true(PARSE("\x01\xc0\x00\x02\x00\x03"
			  "abc"
			  "\x01\xc0\x00\x03\x00\x00"
			  "\x81\x01\x00\x01\xff\xff",
			  &holdings));
	assert_int_equal(holdings.count, 3);
	const struct ek_holding *row = ek_holdings_find(&holdings, EK_CERTIFICATE_INDEX);
	assert_true(row && row->is_readable && row->size == 3);
	assert_memory_equal(row->data, "abc", 3);
	assert_true(ek_holdings_find(&holdings, 0x01c00003)->is_readable);
	assert_false(ek_holdings_find(&holdings, EK_HANDLE)->is_readable);
	assert_null(ek_holdings_find(&holdings, SRK_HANDLE));
}

static void takes_nothing(void **state)
{
	(void)state;
	struct ek_holdings holdings = { 0 };
	assert_true(parse(NULL, 0, &holdings));
	assert_int_equal(holdings.count, 0);
}

static void refuses_what_is_cut_or_out_of_order(void **state)
{
	(void)state;
	struct ek_holdings holdings = { 0 };
	assert_false(PARSE("\x01\xc0\x00\x02\x00", &holdings));
	assert_false(PARSE("\x01\xc0\x00\x02\x00\x04"
			   "abc",
			   &holdings));
	assert_false(PARSE("\x81\x01\x00\x01\xff\xff\x01\xc0\x00\x02\xff\xff", &holdings));
	assert_false(PARSE("\x81\x01\x00\x01\xff\xff\x81\x01\x00\x01\xff\xff", &holdings));
}

static void refuses_more_than_there_is_room_for(void **state)
{
	(void)state;
	struct ek_holdings holdings = { 0 };
	char bytes[(EK_HOLDINGS_MAX + 1) * 6] = { 0 };
	for (int i = 0; i <= EK_HOLDINGS_MAX; i++)
		bytes[i * 6 + 3] = (char)i;
	assert_false(parse(bytes, sizeof(bytes), &holdings));
	assert_true(parse(bytes, sizeof(bytes) - 6, &holdings));
	ek_holdings_done(&holdings);
}

static void knows_the_indices_of_certificates(void **state)
{
	(void)state;
	static const uint32_t certificates[] = { 0x01c00002, 0x01c0000a, 0x01c00012, 0x01c00016,
						 0x01c0001c };
	static const uint32_t others[] = { 0x01c00003, 0x01c00004, 0x01c0000b,
					   0x01c00013, 0x01c00100, 0x01c08000 };
	for (size_t i = 0; i < ARRAY_SIZE(certificates); i++)
		assert_true(ek_index_is_certificate(certificates[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(ek_index_is_certificate(others[i]));
}

static void names_makers_however_they_are_spelt(void **state)
{
	(void)state;
	assert_string_equal(ek_vendor_name("STM"), "STMicroelectronics");
	assert_string_equal(ek_vendor_name("id:53544D20"), "STMicroelectronics");
	assert_string_equal(ek_vendor_name("id:4e544300"), "Nuvoton");
	assert_string_equal(ek_vendor_name("id:00001014"), "IBM");
	assert_null(ek_vendor_name("id:5354"));
	assert_null(ek_vendor_name("id:zz"));
	assert_null(ek_vendor_name("ST"));
	assert_null(ek_vendor_name(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_content_and_what_cannot_be_read),
		cmocka_unit_test(takes_nothing),
		cmocka_unit_test(refuses_what_is_cut_or_out_of_order),
		cmocka_unit_test(refuses_more_than_there_is_room_for),
		cmocka_unit_test(knows_the_indices_of_certificates),
		cmocka_unit_test(names_makers_however_they_are_spelt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
