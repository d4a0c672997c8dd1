/* The TPM worker program as the station asks it, for tests. What fails ends the test; what may fail is ask_...(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/ek.h"
#include "muster/worker.h"

struct bench {
	struct worker *worker;
	struct worker_message reply;
	struct muster_error err;
};

void start_worker(struct bench *bench);
void end_worker(struct bench *bench);

void expect(struct bench *bench, bool good);
void expect_cause(struct bench *bench, bool good, enum muster_cause cause);

/* Takes the request over; the reply lies in bench->reply. */
bool ask(struct bench *bench, struct worker_message *request);
bool ask_open(struct bench *bench, const char *tcti);
bool ask_plain(struct bench *bench, enum worker_verb verb);
bool ask_handle(struct bench *bench, enum worker_verb verb, uint32_t handle);
bool ask_ek_create(struct bench *bench, uint32_t handle);
bool ask_session(struct bench *bench, const struct ek_public *ek);
bool ask_import(struct bench *bench, const struct ek_challenge *challenge);
bool ask_hmac(struct bench *bench, const void *data, size_t size);
void fill_import(struct worker_message *request, const struct ek_challenge *challenge);

struct ek_public replied_public(struct bench *bench);
struct ek_public read_ek(struct bench *bench);
struct ek_public read_srk(struct bench *bench);
void expect_nothing_loaded(struct bench *bench);
/* For the key; what was in *challenge is freed. */
void make_challenge(struct bench *bench, const struct ek_public *ek, const struct ek_public *srk,
		    const struct secret *key, struct ek_challenge *challenge);
void expect_hmac(struct bench *bench, const struct secret *key, const char *text);
