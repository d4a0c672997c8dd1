/* journal-fill FILE COUNT [FIRST]: a journal of COUNT released devices with serials S0000000, S0000001, ..., each with an
 * intent, an outcome and an evidence text, for stories and measurements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/journal.h"
#include "muster/text.h"

enum { DEVICES_PER_COMMIT = 1000 };

static const char *const bodies[] = {
	"{\"step\":\"put\",\"operation\":\"create\",\"send\":1,\"attemptId\":\"00112233445566778899aabbccddeeff\"}",
	"{\"operation\":\"create\",\"status\":200,\"created\":true}",
	"{\"released\":true,\"evidence\":\"{\\n  \\\"schema\\\": \\\"muster.evidence/1\\\"\\n}\\n\"}",
};

static bool add_device(struct journal *journal, long number, struct muster_error *err)
{
	char id[32], serial[32], key[SHA256_HEX_SIZE];
	int64_t at = 1764000000000 + number * 1000;
	struct journal_device device = {
		.registration_id = id,
		.serial = serial,
		.device_id = id,
		.service = "0ne00000000",
		.attestation = "tpm",
		.key_kind = "ek",
		.key_digest = key,
		.key_place = "tpm:0x81010001",
		.profile_name = "pump",
		.operator= "ada",
		.station = "bench-3",
		.state = JOURNAL_RELEASED,
		.stage = "release",
		.attempt = 1,
		.hub = "hub-1.azure-devices.net",
		.updated_ms = at,
	};

	snprintf(id, sizeof(id), "dev-%07ld", number);
	snprintf(serial, sizeof(serial), "S%07ld", number);
	sha256_hex(key, id, strlen(id));
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct journal_entry entry = {
			.registration_id = id,
			.at_ms = at,
			.stage = i < 2 ? "enroll" : "release",
			.kind = i == 0 ? JOURNAL_INTENT : JOURNAL_OUTCOME,
			.attempt = 1,
			.operator= "ada",
			.station = "bench-3",
			.body = bodies[i],
		};

		if (!journal_append(journal, &entry, err))
			return false;
	}
	return journal_device_put(journal, &device, err);
}

static bool fill(const char *path, long count, long first, struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;

	if (!journal_open(path, JOURNAL_WRITE, &journal, err))
		return false;
	for (long i = 0; i < count; i++) {
		if (i % DEVICES_PER_COMMIT == 0 && !journal_begin(journal, err))
			return false;
		if (!add_device(journal, first + i, err))
			return false;
		if ((i % DEVICES_PER_COMMIT == DEVICES_PER_COMMIT - 1 || i == count - 1) &&
		    !journal_commit(journal, err))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct muster_error err = { 0 };
	int64_t count = 0, first = 0;

	if (argc < 3 || !text_to_int64(argv[2], 0, 100000000, &count) ||
	    (argc > 3 && !text_to_int64(argv[3], 0, 100000000, &first))) {
		fprintf(stderr, "usage: journal-fill FILE COUNT [FIRST]\n");
		return 2;
	}
	if (fill(argv[1], (long)count, (long)first, &err))
		return 0;
	fprintf(stderr, "journal-fill: %s\n", err.message);
	return 1;
}
