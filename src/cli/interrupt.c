#include <signal.h>

#include "muster/process.h"

#include "interrupt.h"

static volatile sig_atomic_t caught;

static void remember(int number)
{
	caught = number;
}

void interrupt_watch(void)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	struct sigaction action = { .sa_handler = remember, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!process_ignores(numbers[i]))
			sigaction(numbers[i], &action, NULL);
}

bool interrupt_came(void)
{
	return caught != 0;
}

int interrupt_signal(void)
{
	return caught;
}
