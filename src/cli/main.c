/* The program muster. */
#include <stdio.h>
#include <string.h>

#include "muster/process.h"

#include "cli-internal.h"

int main(int argc, char **argv)
{
	/* Before anything is set up: it is asked often and by scripts, and must cost nothing. */
	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)) {
		puts("muster " MUSTER_VERSION);
		return fflush(stdout) == 0 ? 0 : MUSTER_E_STORAGE;
	}
	process_harden();
	return cli_run(argc, argv);
}
