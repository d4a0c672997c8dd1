/* Preloaded before umockdev's library: muster clears its environment, and the mock would lose its machine. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static char *machine;

__attribute__((visibility("default"))) char *getenv(const char *name)
{
	char *(*next)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");

	return strcmp(name, "UMOCKDEV_DIR") == 0 ? machine : next(name);
}

__attribute__((constructor)) static void keep(void)
{
	char *(*next)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
	const char *value = next("UMOCKDEV_DIR");

	machine = value ? strdup(value) : NULL;
}
