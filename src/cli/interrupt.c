#include <signal.h>

#include "interrupt.h"

static volatile sig_atomic_t caught;

static void remember(int number)
{
	caught = number;
}

void interrupt_watch(void)
{
	struct sigaction action = { .sa_handler = remember, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool interrupt_came(void)
{
	return caught != 0;
}

int interrupt_signal(void)
{
	return caught;
}
