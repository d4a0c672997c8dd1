/* Worker messages: what is taken is exactly what would have been sent. */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "muster/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 };
	CLEANUP(text_done) struct text again = TEXT_MAX(WORKER_MESSAGE_MAX);
	struct muster_error err;

	if (!worker_message_decode(data, size, &message, &err))
		return 0;
	assert(worker_message_encode(&message, &again, &err));
	assert(again.length == size && memcmp(again.data, data, size) == 0);
	return 0;
}
