/* Profiles: whatever is read, it ends in a profile without mistakes or in mistakes that can be shown in their place. */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "muster/profile.h"

static void print_mistakes(const struct profile_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		CLEANUP(text_done) struct text line = TEXT_MAX(1024 * 1024);

		assert(report->rows[i].line >= 1 && report->rows[i].column >= 1);
		profile_mistake_print(report, i, &line);
		assert(!line.failed && line.length > 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(profile_done) struct profile profile = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };
	bool is_read = profile_parse("/p.yaml", (const char *)data, size, &profile, &report, &err);

	print_mistakes(&report);
	assert(is_read == (report.mistakes == 0 && err.code == MUSTER_OK));
	if (!is_read)
		return 0;
	assert(profile.name && profile.registration_id && profile.path);
	assert(profile_attestation_word(profile.attestation));
	return 0;
}
