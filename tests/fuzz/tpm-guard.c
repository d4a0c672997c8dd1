/* The guard: a command's header, then a response. What is let through says its own length, and has the command's tag
 * or is a bare error. */
#include <assert.h>

#include "../../src/tpm/guard.h"
#include "fuzz.h"

enum { HEADER_SIZE = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < HEADER_SIZE)
		return 0;
	const uint8_t *response = data + HEADER_SIZE;
	size -= HEADER_SIZE;
	if (guard_check_response(data, HEADER_SIZE, response, size))
		return 0;
	assert(size >= HEADER_SIZE && size <= GUARD_MESSAGE_MAX);
	assert(((size_t)response[2] << 24 | (size_t)response[3] << 16 | (size_t)response[4] << 8 |
		response[5]) == size);
	assert((response[0] == data[0] && response[1] == data[1]) || size == HEADER_SIZE);
	return 0;
}
