/* Linked to the workers of a build that measures coverage, in front of what sends a reply: their end is always a kill, so they write
 * down what they ran before each reply. */
#include "../../src/worker/worker-internal.h"

void __gcov_dump(void);
void __gcov_reset(void);

bool __real_frame_send(int socket, const struct text *message, int fd, struct muster_error *err);
bool __wrap_frame_send(int socket, const struct text *message, int fd, struct muster_error *err);

bool __wrap_frame_send(int socket, const struct text *message, int fd, struct muster_error *err)
{
	__gcov_dump();
	__gcov_reset();
	return __real_frame_send(socket, message, fd, err);
}
