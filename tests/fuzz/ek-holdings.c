/* All that a chip says it holds: taken apart, templates made of it, and judged as a whole. */
#include <assert.h>

#include "fuzz.h"
#include "muster/ek-judge.h"

static void make_templates(const struct ek_holdings *holdings)
{
	struct ek_public template;
	struct muster_error err;

	for (enum ek_template which = 0; which < EK_TEMPLATE_COUNT; which++)
		(void)!ek_template_make(which, holdings, &template, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ek_terms terms = { .now_ms = 1764547200000 };
	CLEANUP(ek_holdings_done) struct ek_holdings holdings = { 0 };
	CLEANUP(ek_judgement_done) struct ek_judgement judgement = { 0 };
	struct ek_case facts = { .holdings = &holdings, .manufacturer = "IBM" };
	struct muster_error err;

	if (!ek_holdings_parse(data, size, &holdings, &err))
		return 0;
	make_templates(&holdings);
	ek_judge(&facts, EK_CERTIFICATE_OPTIONAL, &terms, &judgement);
	assert(judgement.findings.count > 0 && judgement.findings.count <= EK_FINDINGS_MAX);
	return 0;
}
