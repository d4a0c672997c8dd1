#include "who.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "muster/text.h"

bool who_is_here(struct who *ret_who, const char *given, const char *configured,
		 struct muster_error *err)
{
	const struct passwd *user = getpwuid(getuid());
	const char *name = given ? given : configured;

	if (!name)
		name = user ? user->pw_name : "unknown";
	if (text_is_blank(name))
		return muster_fail(err, CAUSE_USAGE,
				   "the operator's name is empty; give another with --operator");
	/* It stands in every entry of the journal and in the evidence. */
	if (!text_is_utf8(name, strlen(name)))
		return muster_fail(
			err, CAUSE_USAGE,
			"the operator's name '%s' is not UTF-8 text; give another with --operator",
			PRINTABLE(name));
	if (gethostname(ret_who->station, sizeof(ret_who->station) - 1) < 0)
		snprintf(ret_who->station, sizeof(ret_who->station), "unknown");
	if (!text_is_utf8(ret_who->station, strlen(ret_who->station)))
		snprintf(ret_who->station, sizeof(ret_who->station), "unknown");
	ret_who->operator_name = strdup(name);
	return ret_who->operator_name || muster_fail_memory(err);
}

void who_done(struct who *who)
{
	free(who->operator_name);
	*who = (struct who){ 0 };
}
