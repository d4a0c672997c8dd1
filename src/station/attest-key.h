/* A key pair that stands for a device: where it is, what certifies it, and what became of it. Private to the station. */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "muster/encoding.h"
#include "muster/identity.h"
#include "muster/pki.h"

struct job;
struct token_signer;

/* The secondary certificate is of the primary key, unless the profile gives it a key of its own. */
enum attest_which { ATTEST_PRIMARY, ATTEST_SECONDARY, ATTEST_KEYS };

struct attest_key {
	struct bytes id;    /* CKA_ID; empty: there is no such key, or none yet */
	char *token_serial; /* where the journal has it; NULL: nothing is said */
	char *token_label;  /* likewise */
	struct bytes spki;
	char *attributes;
	struct bytes certificate; /* DER */
	struct bytes
		request; /* PKCS#10, DER: shows possession of the key; empty when self-signed */
	bool certificate_is_new;   /* made by this run */
	struct bytes certificates; /* SHA-256 of each that the journal has since the key was made */
	cJSON *terms; /* by which it was made; NULL: an older muster did not say, or there is none */
	EVP_PKEY *key;               /* works through the token */
	struct token_signer *signer; /* behind key */
	struct {
		char *file, *method;
		char digest[65], recipient[65]; /* SHA-256 of the file and of the key it is for */
		cJSON *announced;               /* the files of runs before: they are ours */
		bool replaces;                  /* what lies at the file's place is ours */
	} wrapped;
	bool is_gone; /* destroyed after it was wrapped out, or about to be */
	bool may_be_there; /* gone as far as is known: what came of its destruction, only the token knows */
	cJSON *namesakes; /* the IDs of former lives' keys with its label, when it was made; or NULL */
};

/* Nothing is signed with it any more. */
void attest_key_close(struct attest_key *key);
void attest_key_done(struct attest_key *key);
/* What was wrapped before was another key. */
void attest_forget_wrapped(struct attest_key *key);

/* -- Of a job (attest.c, attest-label.c) ------------------------------------------------------------------------- */

/* The primary always; the secondary where the profile wants one, or the journal knows one: see attest_key_find_start. */
bool attest_has_key(const struct job *job, enum attest_which which);
bool attest_any_key_is_gone(const struct job *job);
/* One of them is to be made by this run. */
bool attest_any_key_is_missing(const struct job *job);
/* What the journal knows a key by; "secondaryOf" names the primary's ID and marks all entries about the secondary key. */
bool attest_add_names(const struct job *job, enum attest_which which, cJSON *body);
/* A journalled certificate counts only while it is for the key that is in the token. */
bool attest_certificate_is_for(const struct attest_key *key, const struct bytes *spki);
/* It was made to be wrapped out. */
bool attest_may_leave(const struct attest_key *key);
/* A template of the profile with what the device is called. */
bool attest_expand(const struct job *job, const char *template, enum identity_template kind,
		   char **ret_text, struct muster_error *err) MUST_CHECK;
/* Behind the label of the secondary key. */
#define ATTEST_SECONDARY_LABEL "+secondary"
/* The label of the present key's objects: the secondary's are told apart from the primary's by more than their IDs. No
 * registration ID has a plus. NULL without memory. */
char *attest_label(const struct job *job, const char *label);
/* The same of the key pair, from the profile's template. NULL with *err. */
char *attest_key_label(const struct job *job, struct muster_error *err);
/* Keys that are refused, or whose certificates nobody can make, do not stay; *err says why. Returns false. */
bool attest_discard_keys(struct job *job, struct muster_error *err);
