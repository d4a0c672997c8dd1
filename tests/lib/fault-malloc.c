/* Preloaded: lets the n-th allocation that the program itself asks for fail, once or from then on. What libraries ask for
 * is not counted: it is their business, and OpenSSL alone makes thousands. FAULT_MALLOC=N or N+; FAULT_MALLOC_COUNT=FILE
 * writes how many there were. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	uintptr_t start, end; /* the program's code */
	long fails_at;
	bool goes_on;
	const char *count_path;
	long count;
} fault;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

/* The first object is the program. */
static int find_program(struct dl_phdr_info *info, size_t size, void *context)
{
	(void)size;
	(void)context;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type == PT_LOAD && (header->p_flags & PF_X)) {
			fault.start = info->dlpi_addr + header->p_vaddr;
			fault.end = fault.start + header->p_memsz;
		}
	}
	return 1;
}

__attribute__((constructor)) static void prepare(void)
{
	const char *asked = getenv("FAULT_MALLOC"), *path = getenv("FAULT_MALLOC_COUNT");

	fault.fails_at = asked ? atol(asked) : 0;
	fault.goes_on = asked && strchr(asked, '+');
	fault.count_path = path ? strdup(path) : NULL;
	fault.count = 0;
	dl_iterate_phdr(find_program, NULL);
}

__attribute__((destructor)) static void report(void)
{
	int fd = fault.count_path ? open(fault.count_path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;

	if (fd >= 0) {
		dprintf(fd, "%ld\n", fault.count);
		close(fd);
	}
}

static bool fails(const void *caller)
{
	uintptr_t address = (uintptr_t)caller;
	long number;

	if (address < fault.start || address >= fault.end)
		return false;
	number = __atomic_add_fetch(&fault.count, 1, __ATOMIC_RELAXED);
	if (!fault.fails_at || (fault.goes_on ? number < fault.fails_at : number != fault.fails_at))
		return false;
	errno = ENOMEM;
	return true;
}

#define FAILS() fails(__builtin_return_address(0))

#pragma GCC visibility push(default)

void *malloc(size_t size)
{
	return FAILS() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return FAILS() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
	return FAILS() ? NULL : __libc_realloc(pointer, size);
}

static char *copy(const char *text, size_t length)
{
	char *result = __libc_malloc(length + 1);

	if (result) {
		memcpy(result, text, length);
		result[length] = '\0';
	}
	return result;
}

char *strdup(const char *text)
{
	return FAILS() ? NULL : copy(text, strlen(text));
}

char *strndup(const char *text, size_t max)
{
	return FAILS() ? NULL : copy(text, strnlen(text, max));
}

/* What the fortified headers make of asprintf and vasprintf. */
__attribute__((format(printf, 3, 0))) int __vasprintf_chk(char **ret_text, int flag,
							  const char *format, va_list arguments);
__attribute__((format(printf, 3, 4))) int __asprintf_chk(char **ret_text, int flag,
							 const char *format, ...);

__attribute__((format(printf, 2, 0))) static int print(char **ret_text, const char *format,
						       va_list arguments)
{
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	*ret_text = length < 0 ? NULL : __libc_malloc((size_t)length + 1);
	return *ret_text ? vsnprintf(*ret_text, (size_t)length + 1, format, arguments) : -1;
}

int __vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return FAILS() ? -1 : print(ret_text, format, arguments);
}

int __asprintf_chk(char **ret_text, int flag, const char *format, ...)
{
	va_list arguments;
	int length;

	(void)flag;
	if (FAILS())
		return -1;
	va_start(arguments, format);
	length = print(ret_text, format, arguments);
	va_end(arguments);
	return length;
}

#pragma GCC visibility pop
