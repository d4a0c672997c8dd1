/* One TPM asked by a person, not by a job: its worker, opened, and one question after the other. Private to the
 * station. */
#pragma once

#include "muster/config.h"
#include "muster/ek-holdings.h"
#include "muster/worker.h"

struct chip {
	struct worker *worker;
	char tcti[257];
	struct worker_deadlines deadlines; /* of muster.yaml */
	char manufacturer[65];
	char firmware[65];
	char model[65];
};

/* Whether it can be sent to a worker, and written down: CAUSE_TPM_TCTI_REFUSED. */
bool chip_check_name(const char *tcti, struct muster_error *err) MUST_CHECK;
/* Those of muster.yaml. */
struct worker_deadlines chip_deadlines(const struct config *config);
/* A worker, and the request that opens a TPM in it. For jobs, which wait in the loop. */
bool chip_spawn(const struct worker_deadlines *deadlines, struct worker **ret_worker,
		struct muster_error *err) MUST_CHECK;
void chip_open_request(const char *tcti, const struct worker_deadlines *deadlines,
		       struct worker_message *ret_request);

/* Starts the worker, which finds its feet while other things are looked at. The TPM is not touched. */
bool chip_start(const char *tcti, struct chip *ret_chip, struct muster_error *err) MUST_CHECK;
/* Opens it. Blocks as long as the verbs' deadlines say, as all here. */
bool chip_greet(struct chip *chip, struct muster_error *err) MUST_CHECK;
/* Both. */
bool chip_open(const char *tcti, struct chip *ret_chip, struct muster_error *err) MUST_CHECK;
/* Ends the worker, which leaves nothing on the chip; where it cannot, the next opening sweeps. NULL is
 * fine. */
void chip_leave(struct worker *worker);
/* The same; for CLEANUP. */
void chip_close(struct chip *chip);
bool chip_ask(struct chip *chip, const struct worker_message *request,
	      struct worker_message *ret_reply, struct muster_error *err) MUST_CHECK;

#define CHIP_NUMBERS_MAX 1024
struct chip_numbers {
	size_t count;
	uint32_t values[CHIP_NUMBERS_MAX];
};
/* TPM2_CAP_... by number, from `first` on. */
bool chip_capability(struct chip *chip, unsigned capability, uint32_t first,
		     struct chip_numbers *ret_numbers, struct muster_error *err) MUST_CHECK;
