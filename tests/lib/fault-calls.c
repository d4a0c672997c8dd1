/* Preloaded: lets calls that the program makes of the C library fail, each once for each way that led there. What failed before, in
 * this process or in another, is kept in a file that all of them map, so that every run finds something new until there is nothing
 * left. FAULT_CALLS=FILE:LANE:MOST; nothing fails while the lane is not armed, nor more than MOST calls of a process. */
#undef _FORTIFY_SOURCE /* it puts bodies of its own into the headers for what is defined here */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LANES 16
#define WAYS (1u << 20)
/* Callers of the program that tell one way from another. */
#define DEPTH 6

struct table {
	uint32_t armed[LANES];
	uint32_t failed[LANES];
	uint32_t seen[WAYS / 32];
};

static struct table *table;
static unsigned lane;
static long left;
static uintptr_t start, end; /* the program's code */
static uint32_t program;
static char last_path[300];
static _Thread_local bool is_busy;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

static uint32_t mix(uint32_t hash, uint64_t value)
{
	value = (hash ^ value) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(value >> 32);
}

/* The first object is the program. */
static int find_program(struct dl_phdr_info *info, size_t size, void *context)
{
	(void)size;
	(void)context;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type == PT_LOAD && (header->p_flags & PF_X)) {
			start = info->dlpi_addr + header->p_vaddr;
			end = start + header->p_memsz;
		}
	}
	return 1;
}

__attribute__((constructor)) static void prepare(void)
{
	const char *setting = getenv("FAULT_CALLS");
	char path[256];
	void *frames[1];
	int fd;

	if (!setting || sscanf(setting, "%255[^:]:%u:%ld", path, &lane, &left) != 3 ||
	    lane >= LANES)
		return;
	is_busy = true;
	backtrace(frames, 1); /* loads what it needs */
	is_busy = false;
	dl_iterate_phdr(find_program, NULL);
	snprintf(last_path, sizeof(last_path), "%s.%u.%s", path, lane,
		 program_invocation_short_name);
	for (const char *name = program_invocation_short_name; *name; name++)
		program = mix(program, (uint8_t)*name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		table = NULL;
	close(fd);
}

/* For whoever asks why that was bad. */
static void write_down(void *const *frames, int count)
{
	int fd = openat(AT_FDCWD, last_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0) {
		backtrace_symbols_fd(frames, count, fd);
		close(fd);
	}
}

static uint32_t way_of(void *const *frames, int count, uint32_t call)
{
	uint32_t hash = mix(program, call);
	int depth = 0;

	for (int i = 0; i < count && depth < DEPTH; i++) {
		uintptr_t address = (uintptr_t)frames[i];

		if (address < start || address >= end)
			continue;
		hash = mix(hash, address - start);
		depth++;
	}
	return hash % WAYS;
}

/* To look at a stack takes longer than all the rest: a call from the same place at the same depth came on the same way, mostly. */
static bool was_here(uintptr_t address, uint32_t call)
{
	static uint32_t places[1 << 14];
	uint32_t hash = mix(mix(call, address), (uintptr_t)__builtin_frame_address(0));
	uint32_t *place = &places[hash % (1 << 14)];

	if (*place == hash)
		return true;
	*place = hash;
	return false;
}

/* Is it new? Then it fails, and is known. */
static bool is_to_fail(const void *caller, uint32_t call)
{
	uintptr_t address = (uintptr_t)caller;
	void *frames[32];
	uint32_t way, bit;
	int count;

	if (!table || is_busy || address < start || address >= end || left <= 0 ||
	    !__atomic_load_n(&table->armed[lane], __ATOMIC_RELAXED) || was_here(address, call))
		return false;
	is_busy = true;
	count = backtrace(frames, 32);
	is_busy = false;
	way = way_of(frames, count, call);
	bit = 1u << way % 32;
	if (__atomic_fetch_or(&table->seen[way / 32], bit, __ATOMIC_RELAXED) & bit)
		return false;
	__atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&table->failed[lane], 1, __ATOMIC_RELAXED);
	is_busy = true;
	write_down(frames, count);
	is_busy = false;
	return true;
}

#define FAILS(error) \
	(is_to_fail(__builtin_return_address(0), __LINE__) && ((errno = (error)), true))
#define PUBLIC __attribute__((visibility("default")))

PUBLIC void *malloc(size_t size)
{
	return FAILS(ENOMEM) ? NULL : __libc_malloc(size);
}

PUBLIC void *calloc(size_t count, size_t size)
{
	return FAILS(ENOMEM) ? NULL : __libc_calloc(count, size);
}

PUBLIC void *realloc(void *pointer, size_t size)
{
	return FAILS(ENOMEM) ? NULL : __libc_realloc(pointer, size);
}

PUBLIC void *reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;

	if (FAILS(ENOMEM) || __builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return __libc_realloc(pointer, bytes);
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

PUBLIC char *strdup(const char *text)
{
	return FAILS(ENOMEM) ? NULL : copy(text, strlen(text));
}

PUBLIC char *strndup(const char *text, size_t max)
{
	return FAILS(ENOMEM) ? NULL : copy(text, strnlen(text, max));
}

PUBLIC int vasprintf(char **ret_text, const char *format, va_list arguments)
{
	va_list again;
	int length;

	if (FAILS(ENOMEM))
		return -1;
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	*ret_text = length < 0 ? NULL : __libc_malloc((size_t)length + 1);
	return *ret_text ? vsnprintf(*ret_text, (size_t)length + 1, format, arguments) : -1;
}

#define CALL(type, failure, error, name, parameters, arguments)    \
	PUBLIC type name parameters                                \
	{                                                          \
		static type(*real) parameters;                     \
                                                                   \
		if (!real)                                         \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		if (FAILS(error))                                  \
			return failure;                            \
		return real arguments;                             \
	}

CALL(int, -1, EACCES, open64, (const char *path, int flags, ...), (path, flags, 0600))
CALL(int, -1, ENOSPC, openat64, (int fd, const char *path, int flags, ...), (fd, path, flags, 0600))
CALL(ssize_t, -1, EIO, read, (int fd, void *data, size_t size), (fd, data, size))
CALL(ssize_t, -1, ENOSPC, write, (int fd, const void *data, size_t size), (fd, data, size))
CALL(int, -1, EIO, fsync, (int fd), (fd))
CALL(int, -1, EIO, fdatasync, (int fd), (fd))
CALL(int, -1, EIO, ftruncate64, (int fd, off64_t size), (fd, size))
CALL(int, -1, EIO, fstat64, (int fd, struct stat64 *status), (fd, status))
CALL(int, -1, EIO, stat64, (const char *path, struct stat64 *status), (path, status))
CALL(int, -1, EIO, lstat64, (const char *path, struct stat64 *status), (path, status))
CALL(int, -1, EIO, rename, (const char *from, const char *to), (from, to))
CALL(int, -1, EIO, renameat2,
     (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags))
CALL(int, -1, EROFS, unlink, (const char *path), (path))
CALL(int, -1, EROFS, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
CALL(int, -1, EROFS, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags),
     (from_fd, from, to_fd, to, flags))
CALL(int, -1, EROFS, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(DIR *, NULL, EACCES, opendir, (const char *path), (path))
CALL(struct dirent64 *, NULL, EIO, readdir64, (DIR * directory), (directory))
CALL(int, -1, EMFILE, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(int, -1, EMFILE, socketpair, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds))
CALL(int, -1, EMFILE, pipe2, (int fds[2], int flags), (fds, flags))
CALL(char *, NULL, ENOENT, realpath, (const char *path, char *resolved), (path, resolved))
