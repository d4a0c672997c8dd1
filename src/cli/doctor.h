/* What the doctor's verb and its checks share: a check is a row, and adds findings. */
#pragma once

#include "muster/config.h"
#include "muster/dps-http.h"

#include "cli-internal.h"

struct doctor_options {
	const char *token;
	const char *login_file;
	struct http_terms network;
	const char *journal;
	const char *socket_map;
};

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct doctor {
	struct doctor_options options; /* after the check "configuration" with its defaults */
	struct config config;
	cJSON *findings; /* array */
	size_t failures;
	bool is_out_of_memory;
	const char *check; /* the name of the row being run */
};

/* `remedy` NULL for VERDICT_OK. */
void doctor_find(struct doctor *doctor, enum verdict verdict, const char *remedy,
		 const char *format, ...) PRINTF_LIKE(4, 5);
/* A failure as an error tells it, with its cause's remedy. */
void doctor_find_error(struct doctor *doctor, enum verdict verdict, const struct muster_error *err);

struct doctor_check {
	const char *name;
	void (*look)(struct doctor *doctor);
};

/* doctor-system.c: what the machine allows. */
void doctor_environment(struct doctor *doctor);
void doctor_memory(struct doctor *doctor);
void doctor_core(struct doctor *doctor);
void doctor_clock(struct doctor *doctor);
void doctor_tpm_devices(struct doctor *doctor);

/* doctor-parts.c: what muster itself needs. */
void doctor_configuration(struct doctor *doctor);
void doctor_journal(struct doctor *doctor);
void doctor_state(struct doctor *doctor);
void doctor_hooks(struct doctor *doctor);
void doctor_sockets(struct doctor *doctor);
void doctor_udev(struct doctor *doctor);
void doctor_workers(struct doctor *doctor);
void doctor_sandbox(struct doctor *doctor);
void doctor_modules(struct doctor *doctor);
void doctor_roots(struct doctor *doctor);
void doctor_proxy(struct doctor *doctor);
void doctor_login(struct doctor *doctor);
