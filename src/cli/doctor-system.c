/* The doctor on the machine: memory, core dumps, clock, environment, TPM nodes. */
#include <errno.h>
#include <glob.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/process.h"
#include "muster/secret.h"
#include "muster/text.h"

#include "doctor.h"

/* No station's clock is right when it is before this program was written. */
#define EARLIEST_MS 1764547200000 /* 2025-12-01 */

void doctor_environment(struct doctor *doctor)
{
	CLEANUP(text_done) struct text names = TEXT_MAX(1024);

	for (const char *const *name = process_removed_variables(); *name; name++)
		text_addf(&names, "%s%s", names.length > 0 ? ", " : "", *name);
	if (names.length == 0)
		doctor_find(doctor, VERDICT_OK, NULL, "no variable that changes what libraries do");
	else
		doctor_find(doctor, VERDICT_WARN,
			    "Unset them where this program is started; muster itself ignores them.",
			    "set, and ignored: %s", names.data);
}

void doctor_memory(struct doctor *doctor)
{
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err = { 0 };
	struct rlimit limit = { 0, 0 };

	if (!secret_new(&secret, SECRET_MAX, &err)) {
		doctor_find_error(doctor, VERDICT_FAIL, &err);
		return;
	}
	if (getenv("MUSTER_INSECURE_MEMORY")) {
		doctor_find(doctor, VERDICT_WARN, "Unset MUSTER_INSECURE_MEMORY on a real station.",
			    "secrets may be swapped out: MUSTER_INSECURE_MEMORY is set");
		return;
	}
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || geteuid() == 0)
		doctor_find(doctor, VERDICT_OK, NULL, "secrets can be locked, without limit");
	else if (limit.rlim_cur < 1024 * 1024)
		doctor_find(doctor, VERDICT_WARN, "Raise the limit (ulimit -l, LimitMEMLOCK=).",
			    "only %llu KiB can be locked",
			    (unsigned long long)limit.rlim_cur / 1024);
	else
		doctor_find(doctor, VERDICT_OK, NULL, "secrets can be locked, up to %llu KiB",
			    (unsigned long long)limit.rlim_cur / 1024);
}

void doctor_core(struct doctor *doctor)
{
	struct rlimit limit = { 0, 0 };

	getrlimit(RLIMIT_CORE, &limit);
	if (secret_wiping_is_off())
		doctor_find(
			doctor, VERDICT_FAIL, "Install a regular build.",
			"this build keeps secrets in memory; it is made for the secret scanner");
	else if (prctl(PR_GET_DUMPABLE) != 0 || limit.rlim_max != 0)
		doctor_find(doctor, VERDICT_FAIL,
			    "Report it: muster switches core dumps off itself.",
			    "core dumps of this process are possible");
	else
		doctor_find(doctor, VERDICT_OK, NULL,
			    "no core dumps of muster, whatever the system's pattern");
}

void doctor_clock(struct doctor *doctor)
{
	static const char remedy[] = "Set the clock: timedatectl set-ntp true.";
	struct timex state = { 0 };
	char now[RFC3339_SIZE];

	rfc3339_format(now, clock_wall_ms());
	if (clock_wall_ms() < EARLIEST_MS)
		doctor_find(doctor, VERDICT_FAIL, remedy, "%s cannot be right", now);
	else if (adjtimex(&state) < 0 || (state.status & STA_UNSYNC))
		doctor_find(doctor, VERDICT_WARN, remedy, "%s, not synchronised", now);
	else
		doctor_find(doctor, VERDICT_OK, NULL, "%s, synchronised", now);
}

void doctor_tpm_devices(struct doctor *doctor)
{
	glob_t nodes = { 0 };

	if (glob("/dev/tpmrm*", 0, NULL, &nodes) != 0) {
		doctor_find(doctor, VERDICT_OK, NULL, "no TPM device node on this machine");
		return;
	}
	for (size_t i = 0; i < nodes.gl_pathc; i++) {
		if (access(nodes.gl_pathv[i], R_OK | W_OK) == 0)
			doctor_find(doctor, VERDICT_OK, NULL, "%s can be used", nodes.gl_pathv[i]);
		else
			doctor_find(
				doctor, VERDICT_FAIL,
				"Join the group: sudo usermod -aG tss $USER, then log in again.",
				"%s: %s", nodes.gl_pathv[i], strerror(errno));
	}
	globfree(&nodes);
}
