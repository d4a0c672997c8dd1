/* Are the rules that name the ports there, and are they run? */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/text.h"

#include "attached.h"

#define RULES "71-muster.rules"

bool udevd_runs(void)
{
	return access("/run/udev/control", F_OK) == 0;
}

void udev_rules_done(struct udev_rules *rules)
{
	free(rules->file);
	free(rules->first);
	*rules = (struct udev_rules){ 0 };
}

/* The first one holds, also when it is a link to /dev/null, or empty: then rules are masked. */
static bool find_file(const char *const *directories, char **ret_file, struct muster_error *err)
{
	for (; *directories; directories++) {
		CLEANUP(freep) char *file = text_format("%s/" RULES, *directories);
		struct stat status;

		if (!file)
			return muster_fail_memory(err);
		if (stat(file, &status) < 0)
			continue;
		if (S_ISREG(status.st_mode) && status.st_size > 0)
			*ret_file = TAKE_PTR(file);
		break;
	}
	return true;
}

static bool count_missed(struct udev_rules *rules, struct muster_error *err)
{
	static const struct socket_map no_map;
	CLEANUP(attached_tpms_done) struct attached_tpms tpms = { 0 };

	if (!attached_tpms_list(&no_map, &tpms, err))
		return false;
	rules->tpms = tpms.count;
	for (size_t i = 0; i < tpms.count; i++) {
		if (tpms.rows[i].is_ruled)
			continue;
		if (rules->missed++ == 0)
			rules->first = TAKE_PTR(tpms.rows[i].node);
	}
	return true;
}

bool udev_rules_find(const char *const *directories, struct udev_rules *ret_rules,
		     struct muster_error *err)
{
	static const char *const usual[] = { "/etc/udev/rules.d",           "/run/udev/rules.d",
					     "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d",
					     "/lib/udev/rules.d",           NULL };
	CLEANUP(udev_rules_done) struct udev_rules rules = { .has_udevd = udevd_runs() };

	if (!find_file(directories ? directories : usual, &rules.file, err) ||
	    !count_missed(&rules, err))
		return false;
	*ret_rules = rules;
	rules = (struct udev_rules){ 0 };
	return true;
}
