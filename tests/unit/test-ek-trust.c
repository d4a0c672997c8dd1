/* The same chip or not, one key in two writings, templates with what a vendor left in NV, and findings that add up. */
#include "unit.h"

#include <tss2/tss2_mu.h>

#include "../../src/ek/ek-internal.h"
#include "muster/ek-judge.h"

static const struct ek_witness start = { .reset_count = 7,
					 .restart_count = 1,
					 .clock_ms = 100000,
					 .at_ms = 5000,
					 .has_key = true,
					 .key = { 1, 2, 3 } };

/* CAUSE_NONE: it is the same chip. */
static void expect_witness(const struct ek_witness *later, enum muster_cause cause)
{
	struct muster_error err = { 0 };
	if (cause == CAUSE_NONE)
		assert_good(ek_witness_check(&start, later, &err), err);
	else
		assert_fails(ek_witness_check(&start, later, &err), err, cause);
}

static void a_chip_that_ran_on_is_the_same(void **state)
{
	(void)state;
	struct ek_witness later = start;
	expect_witness(&later, CAUSE_NONE);
	later.at_ms += 3000;
	later.clock_ms += 3000;
	expect_witness(&later, CAUSE_NONE);
	later.clock_ms += 2500; /* a fast clock */
	expect_witness(&later, CAUSE_NONE);
}

static void a_chip_that_was_reset_or_exchanged_is_not(void **state)
{
	(void)state;
	struct ek_witness later = start;
	later.reset_count++;
	expect_witness(&later, CAUSE_TPM_RESET);
	later = start;
	later.restart_count++;
	expect_witness(&later, CAUSE_TPM_RESET);
	later = start;
	later.key[31] = 1;
	expect_witness(&later, CAUSE_TPM_SWAPPED);
	later = start;
	later.has_key = false;
	expect_witness(&later, CAUSE_TPM_SWAPPED);
}

static void a_clock_that_jumps_is_another_chips(void **state)
{
	(void)state;
	struct ek_witness later = start;
	later.clock_ms--;
	expect_witness(&later, CAUSE_TPM_SWAPPED);
	later = start;
	later.at_ms += 1000;
	later.clock_ms += 3600 * 1000;
	expect_witness(&later, CAUSE_TPM_SWAPPED);
}

static void one_key_has_two_writings(void **state)
{
	(void)state;
	struct ek_public template, twin, back, ecc;
	struct muster_error err;
	assert_good(ek_template_ek(&template, &err), err);
	assert_true(ek_public_twin(&template, &twin));
	assert_false(ek_public_equal(&template, &twin));
	assert_true(ek_public_twin(&twin, &back));
	assert_true(ek_public_equal(&template, &back));
	assert_good(ek_template_make(EK_TEMPLATE_L2, NULL, &ecc, &err), err);
	assert_false(ek_public_twin(&ecc, &twin));
}

static void add(struct text *out, uint32_t handle, const void *data, size_t size)
{
	const uint8_t head[] = { (uint8_t)(handle >> 24), (uint8_t)(handle >> 16),
				 (uint8_t)(handle >> 8),  (uint8_t)handle,
				 (uint8_t)(size >> 8),    (uint8_t)size };
	text_add_bytes(out, head, sizeof(head));
	text_add_bytes(out, data, size);
}

static void the_low_template_is_the_one_that_provisioning_persists(void **state)
{
	(void)state;
	struct ek_public persisted, listed, azure;
	struct muster_error err;
	assert_good(ek_template_ek(&persisted, &err), err);
	assert_good(ek_template_make(EK_TEMPLATE_L1, NULL, &listed, &err), err);
	assert_true(ek_public_equal(&persisted, &listed));
	assert_good(ek_template_make(EK_TEMPLATE_AZURE, NULL, &azure, &err), err);
	assert_int_equal(azure.size, persisted.size - 256);
}

static void a_nonce_and_a_template_in_nv_are_taken_in(void **state)
{
	(void)state;
	CLEANUP(text_done) struct text list = TEXT_MAX(4096);
	CLEANUP(ek_holdings_done) struct ek_holdings holdings = { 0 };
	struct ek_public high, low;
	struct muster_error err;
	TPMT_PUBLIC area;
	assert_good(ek_template_make(EK_TEMPLATE_H1, NULL, &high, &err), err);
	add(&list, 0x01c00003, "nonce", 5);
	add(&list, 0x01c0000c, high.data + 2, high.size - 2);
	assert_good(ek_holdings_parse(list.data, list.length, &holdings, &err), err);
	assert_good(ek_template_make(EK_TEMPLATE_L1, &holdings, &low, &err), err);
	assert_good(ek_public_unpack(&low, &area, &err), err);
	assert_int_equal(area.unique.rsa.size, 256);
	assert_memory_equal(area.unique.rsa.buffer, "nonce\0\0", 7);
	assert_good(ek_template_make(EK_TEMPLATE_L2, &holdings, &low, &err), err);
	assert_true(ek_public_equal(&low, &high));
}

static void what_is_no_template_is_refused(void **state)
{
	(void)state;
	CLEANUP(text_done) struct text list = TEXT_MAX(4096);
	CLEANUP(ek_holdings_done) struct ek_holdings holdings = { 0 };
	struct ek_public template;
	struct muster_error err;
	add(&list, 0x01c00004, "nothing", 7);
	assert_good(ek_holdings_parse(list.data, list.length, &holdings, &err), err);
	assert_fails(ek_template_make(EK_TEMPLATE_L1, &holdings, &template, &err), err,
		     CAUSE_EK_MALFORMED);
}

static void the_first_refusal_settles_and_is_never_lost(void **state)
{
	(void)state;
	struct ek_findings findings = { 0 };
	struct muster_error err;
	assert_good(ek_findings_settle(&findings, &err), err);
	assert_null(ek_findings_worst(&findings));
	for (int i = 0; i < EK_FINDINGS_MAX + 5; i++)
		ek_find(&findings, "chain", EK_WARNED, CAUSE_EK_ISSUER_NOT_JUDGED, "warning %d", i);
	assert_good(ek_findings_settle(&findings, &err), err);
	assert_string_equal(ek_findings_worst(&findings)->text, "warning 0");
	ek_find(&findings, "chain", EK_REFUSED, CAUSE_EK_ISSUER_UNKNOWN, "refused");
	assert_int_equal(findings.count, EK_FINDINGS_MAX);
	assert_fails(ek_findings_settle(&findings, &err), err, CAUSE_EK_ISSUER_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chip_that_ran_on_is_the_same),
		cmocka_unit_test(a_chip_that_was_reset_or_exchanged_is_not),
		cmocka_unit_test(a_clock_that_jumps_is_another_chips),
		cmocka_unit_test(one_key_has_two_writings),
		cmocka_unit_test(the_low_template_is_the_one_that_provisioning_persists),
		cmocka_unit_test(a_nonce_and_a_template_in_nv_are_taken_in),
		cmocka_unit_test(what_is_no_template_is_refused),
		cmocka_unit_test(the_first_refusal_settles_and_is_never_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
