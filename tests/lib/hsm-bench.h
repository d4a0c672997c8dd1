/* Soft tokens and a worker program, for the tests of the HSM room. SoftHSM is part of these tests: without it they
 * fail. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/worker.h"

#define PIN "246813579"
#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

/* Made by make_tokens on a tmpfs: two tokens "twin", one "lone", and the empty one that SoftHSM always shows. */
extern char directory[64];
extern char serials[3][64]; /* of the twins and of the lone one */

extern const char *module; /* that open_uri names; MODULE at first */

extern struct worker *worker;     /* of the test that runs */
extern struct muster_error error; /* of the last call */

int make_tokens(void **state);
int remove_tokens(void **state);
int start_worker(void **state);
/* With up to two more "NAME=value" in its environment. */
int start_worker_with(const char *variable, const char *another);
int stop_worker(void **state);
#define WITH_WORKER(test) cmocka_unit_test_setup_teardown(test, start_worker, stop_worker)

void run(const char *command);
void must(bool good);
void must_fail(bool good, enum muster_cause cause);

/* Takes the request and asks the worker; the caller is done with the reply. */
bool ask(struct worker_message *request, struct worker_message *reply);
bool open_uri(const char *uri, struct worker_message *reply);
bool login(const char *pin);
bool login_in_state(const char *pin, uint64_t pin_state);
const char *lone_uri(void);
const char *twin_uri(void);
void open_and_login(void);

/* Puts a generic secret onto the token "lone" as another program would. */
void import_secret(const char *label, const char *value);
