#include "muster/ek-trust.h"

#include <stdarg.h>
#include <stdio.h>

static struct ek_finding *next_row(struct ek_findings *findings, enum ek_verdict verdict)
{
	if (findings->count < EK_FINDINGS_MAX)
		return &findings->rows[findings->count++];
	return verdict == EK_REFUSED ? &findings->rows[EK_FINDINGS_MAX - 1] : NULL;
}

void ek_find(struct ek_findings *findings, const char *check, enum ek_verdict verdict,
	     enum muster_cause cause, const char *format, ...)
{
	struct ek_finding *row = next_row(findings, verdict);
	va_list arguments;
	if (!row)
		return;
	row->check = check;
	row->verdict = verdict;
	row->cause = cause;
	va_start(arguments, format);
	vsnprintf(row->text, sizeof(row->text), format, arguments);
	va_end(arguments);
}

void ek_find_error(struct ek_findings *findings, const char *check, enum ek_verdict verdict,
		   const struct muster_error *err)
{
	ek_find(findings, check, verdict, err->cause, "%s", err->message);
}

static const struct ek_finding *first_of(const struct ek_findings *findings,
					 enum ek_verdict verdict)
{
	for (size_t i = 0; i < findings->count; i++)
		if (findings->rows[i].verdict == verdict)
			return &findings->rows[i];
	return NULL;
}

const struct ek_finding *ek_findings_worst(const struct ek_findings *findings)
{
	const struct ek_finding *refusal = first_of(findings, EK_REFUSED);
	return refusal ? refusal : first_of(findings, EK_WARNED);
}

bool ek_findings_settle(const struct ek_findings *findings, struct muster_error *err)
{
	const struct ek_finding *refusal = first_of(findings, EK_REFUSED);
	return !refusal || muster_fail(err, refusal->cause, "%s", refusal->text);
}
