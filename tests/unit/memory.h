/* Memory that runs out, allocation by allocation: for tests that are linked with these in front of the allocators (memory_wraps in
 * tests/meson.build). What OpenSSL and cJSON ask for counts too. */
#pragma once

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "muster/file.h"
#include "muster/secret.h"
#include "muster/text.h"
#include "unit.h"

static struct {
	long count, fails_at; /* 0: never */
	bool goes_on;
	bool is_ours_only; /* what OpenSSL asks for is there */
} memory;

static bool memory_is_out(void)
{
	if (memory.fails_at == 0)
		return false;
	memory.count++;
	return memory.goes_on ? memory.count >= memory.fails_at : memory.count == memory.fails_at;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_reallocarray(void *pointer, size_t count, size_t size);
void *__wrap_reallocarray(void *pointer, size_t count, size_t size);
bool __real_secret_new(struct secret *secret, size_t size, struct muster_error *err);
bool __real_secret_copy(struct secret *secret, const void *data, size_t size,
			struct muster_error *err);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
bool __wrap_secret_new(struct secret *secret, size_t size, struct muster_error *err);
bool __wrap_secret_copy(struct secret *secret, const void *data, size_t size,
			struct muster_error *err);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);
int __wrap_vasprintf(char **ret_text, const char *format, va_list arguments) PRINTF_LIKE(2, 0);
int __wrap___vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments)
	PRINTF_LIKE(3, 0);

void *__wrap_malloc(size_t size)
{
	return memory_is_out() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return memory_is_out() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
	return memory_is_out() ? NULL : __real_realloc(pointer, size);
}

void *__wrap_reallocarray(void *pointer, size_t count, size_t size)
{
	return memory_is_out() ? NULL : __real_reallocarray(pointer, count, size);
}

/* Pages that secrets lie in are used again and again. */
bool __wrap_secret_new(struct secret *secret, size_t size, struct muster_error *err)
{
	return memory_is_out() ? muster_fail_memory(err) : __real_secret_new(secret, size, err);
}

bool __wrap_secret_copy(struct secret *secret, const void *data, size_t size,
			struct muster_error *err)
{
	return memory_is_out() ? muster_fail_memory(err)
			       : __real_secret_copy(secret, data, size, err);
}

char *__wrap_strndup(const char *text, size_t max)
{
	size_t length = strnlen(text, max);
	char *copy = malloc(length + 1);

	if (copy) {
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

char *__wrap_strdup(const char *text)
{
	return __wrap_strndup(text, strlen(text));
}

int __wrap_vasprintf(char **ret_text, const char *format, va_list arguments)
{
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	*ret_text = malloc((size_t)length + 1);
	return *ret_text ? vsnprintf(*ret_text, (size_t)length + 1, format, arguments) : -1;
}

int __wrap___vasprintf_chk(char **ret_text, int flag, const char *format, va_list arguments)
{
	(void)flag;
	return __wrap_vasprintf(ret_text, format, arguments);
}

static void *memory_for_openssl(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : memory.is_ours_only ? __real_malloc(size) : malloc(size);
}

static void *more_for_openssl(void *pointer, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return memory.is_ours_only ? __real_realloc(pointer, size) : realloc(pointer, size);
}

static void back_from_openssl(void *pointer, const char *file, int line)
{
	(void)file;
	(void)line;
	free(pointer);
}

static void *memory_for_cjson(size_t size)
{
	return malloc(size);
}

/* Before anything else. */
static void memory_begin(void)
{
	cJSON_Hooks hooks = { memory_for_cjson, free };

	assert_int_equal(
		CRYPTO_set_mem_functions(memory_for_openssl, more_for_openssl, back_from_openssl),
		1);
	cJSON_InitHooks(&hooks);
}

/* A job says whether it came to its end, and leaves nothing behind if not. */
typedef bool (*memory_job)(const void *context);

static bool run_job(memory_job job, const void *context, long fails_at, bool goes_on)
{
	bool good;

	memory.count = 0;
	memory.fails_at = fails_at;
	memory.goes_on = goes_on;
	good = job(context);
	memory.fails_at = 0;
	ERR_clear_error();
	return good;
}

/* Each allocation fails in its turn, once and from then on, until none is left that could. The job must fail then, or do
 * without; at the end it does what it did before. */
static inline void each_allocation_fails(const char *name, memory_job job, const void *context)
{
	bool usual = run_job(job, context, 0, false); /* and what is made only once is there */
	long failed = 0;

	for (int goes_on = 0; goes_on <= 1; goes_on++)
		for (long n = 1;; n++) {
			bool good = run_job(job, context, n, goes_on);

			failed += !good;
			if (memory.count >= n)
				continue;
			if (good != usual)
				fail_msg("%s does not end as it did before", name);
			break;
		}
	if (usual && failed == 0)
		fail_msg("%s asks for no memory", name);
}

/* For a job that has to come to its end. */
static inline void each_allocation_fails_of(const char *name, memory_job job, const void *context)
{
	if (!run_job(job, context, 0, false))
		fail_msg("%s fails with all the memory there is", name);
	each_allocation_fails(name, job, context);
}

/* The same for every input of a fuzz target's corpus: the context is a struct bytes. */
static inline void each_allocation_fails_for(const char *corpus, memory_job job)
{
	CLEANUP(freep)
	char *directory = text_format("%s/tests/fuzz/corpus/%s", MUSTER_SOURCE_DIR, corpus);
	DIR *stream = opendir(directory);
	const struct dirent *entry;

	assert_non_null(stream);
	while ((entry = readdir(stream))) {
		CLEANUP(freep) char *path = text_format("%s/%s", directory, entry->d_name);
		CLEANUP(bytes_done) struct bytes input = { 0 };
		struct muster_error err;

		if (entry->d_name[0] == '.')
			continue;
		assert_good(file_read(path, 64 * 1024, &input, &err), err);
		each_allocation_fails(path, job, &input);
	}
	closedir(stream);
}
