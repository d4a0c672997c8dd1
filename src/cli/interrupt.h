/* SIGINT and SIGTERM as a question, for commands that can stop between two steps. */
#pragma once

#include <stdbool.h>

/* From now on the first one is only remembered; a second one ends the program. */
void interrupt_watch(void);
bool interrupt_came(void);
/* The signal that came, or 0. */
int interrupt_signal(void);
