#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sanitizer/asan_interface.h>

#include <openssl/crypto.h>

#include "muster/secret.h"
#include "muster/text.h"

bool secret_wiping_is_off(void)
{
#ifdef MUSTER_NO_WIPING
	return true;
#else
	return false;
#endif
}

void secret_wipe(void *data, size_t size)
{
	if (data && size > 0 && !secret_wiping_is_off())
		explicit_bzero(data, size);
}

static bool may_stay_unlocked(void)
{
	const char *value = getenv("MUSTER_INSECURE_MEMORY");

	return value && strcmp(value, "1") == 0;
}

static size_t round_to_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* -- Spare pages ---------------------------------------------------------------------------------------- */

/* Wiped pages wait here for the next secret: locked ones cost five system calls, and a request takes six. The list lies
 * in a page that a forked child finds empty, as it inherits no locks. */
#define SPARES_MAX 16
#define SPARE_SIZE_MAX (32 * 1024)

struct spares {
	struct spare {
		void *pages; /* NULL: none */
		size_t mapped;
	} list[SPARES_MAX];
	size_t oldest;
};

static struct spares *spares;
static pthread_mutex_t spares_lock = PTHREAD_MUTEX_INITIALIZER;

static void *map_own(size_t mapped)
{
	void *pages =
		mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	madvise(pages, mapped, MADV_WIPEONFORK);
	return pages;
}

static struct spare *find_spare(size_t mapped)
{
	for (size_t i = 0; spares && i < SPARES_MAX; i++)
		if (spares->list[i].mapped == mapped)
			return &spares->list[i];
	return NULL;
}

static void *take_spare(size_t mapped)
{
	struct spare *spare;
	void *pages = NULL;

	pthread_mutex_lock(&spares_lock);
	spare = find_spare(mapped);
	if (spare) {
		pages = spare->pages;
		*spare = (struct spare){ 0 };
		ASAN_UNPOISON_MEMORY_REGION(pages, mapped);
	}
	pthread_mutex_unlock(&spares_lock);
	return pages;
}

static void unmap(struct spare *spare)
{
	if (!spare->pages)
		return;
	ASAN_UNPOISON_MEMORY_REGION(spare->pages, spare->mapped);
	munmap(spare->pages, spare->mapped);
	*spare = (struct spare){ 0 };
}

/* Takes them over. Where the list is full the oldest go. */
static void keep_spare(void *pages, size_t mapped)
{
	struct spare kept = { pages, mapped };
	struct spare *place;

	pthread_mutex_lock(&spares_lock);
	if (!spares)
		spares = map_own(sizeof(*spares));
	if (spares && mapped <= SPARE_SIZE_MAX) {
		place = find_spare(0);
		if (!place) {
			place = &spares->list[spares->oldest++ % SPARES_MAX];
			unmap(place);
		}
		ASAN_POISON_MEMORY_REGION(pages, mapped);
		*place = kept;
	} else {
		unmap(&kept);
	}
	pthread_mutex_unlock(&spares_lock);
}

static void drop_spares(void)
{
	pthread_mutex_lock(&spares_lock);
	for (size_t i = 0; spares && i < SPARES_MAX; i++)
		unmap(&spares->list[i]);
	pthread_mutex_unlock(&spares_lock);
}

/* -- Pages of a secret ----------------------------------------------------------------------------------- */

/* The limit may be reached by what is only spare. */
static bool lock_pages(void *pages, size_t mapped)
{
	if (mlock(pages, mapped) == 0)
		return true;
	drop_spares();
	return mlock(pages, mapped) == 0 || may_stay_unlocked();
}

static void *map_locked(size_t mapped, struct muster_error *err)
{
	void *pages = map_own(mapped);

	if (!pages) {
		muster_fail_memory(err);
		return NULL;
	}
	if (!lock_pages(pages, mapped)) {
		muster_fail_errno(err, CAUSE_SECRET_LOCK, errno, "locking %zu bytes for a secret",
				  mapped);
		munmap(pages, mapped);
		return NULL;
	}
	if (!secret_wiping_is_off())
		madvise(pages, mapped, MADV_DONTDUMP);
	return pages;
}

static bool map_pages(struct secret *secret, size_t size, struct muster_error *err)
{
	size_t mapped = round_to_pages(size + 1);
	void *pages = take_spare(mapped);

	if (!pages)
		pages = map_locked(mapped, err);
	if (!pages)
		return false;
	*secret = (struct secret){ .data = pages, .size = size, .mapped = mapped };
	return true;
}

bool secret_new(struct secret *secret, size_t size, struct muster_error *err)
{
	assert(size <= SECRET_MAX);
	secret_done(secret);
	return map_pages(secret, size, err);
}

bool secret_copy(struct secret *secret, const void *data, size_t size, struct muster_error *err)
{
	struct secret copy = { 0 };

	if (!secret_new(&copy, size, err))
		return false;
	if (size > 0)
		memcpy(copy.data, data, size);
	secret_done(secret);
	*secret = copy;
	return true;
}

void secret_shrink(struct secret *secret, size_t new_size)
{
	assert(new_size <= secret->size);
	if (!secret->data)
		return;
	secret_wipe(secret->data + new_size, secret->size - new_size);
	secret->size = new_size;
	secret->data[new_size] = 0;
}

void secret_chomp(struct secret *secret)
{
	size_t size = secret->size;

	if (size > 0 && secret->data[size - 1] == '\n')
		size--;
	if (size > 0 && size < secret->size && secret->data[size - 1] == '\r')
		size--;
	secret_shrink(secret, size);
}

void secret_done(struct secret *secret)
{
	if (secret->data) {
		secret_wipe(secret->data, secret->mapped);
		/* The control build leaves its secrets lying about, for the scanner to find. */
		if (!secret_wiping_is_off())
			keep_spare(secret->data, secret->mapped);
	}
	*secret = (struct secret){ 0 };
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	return a->size == b->size &&
	       (a->size == 0 || CRYPTO_memcmp(a->data, b->data, a->size) == 0);
}

bool secret_read_fd(struct secret *secret, int fd, size_t max, const char *what,
		    struct muster_error *err)
{
	CLEANUP(secret_done) struct secret read_so_far = { 0 };
	size_t used = 0;

	assert(max <= SECRET_MAX);
	/* One byte more than allowed, to tell "just fits" from "too long". */
	if (!map_pages(&read_so_far, max + 1, err))
		return false;
	for (;;) {
		ssize_t count = read(fd, read_so_far.data + used, read_so_far.size - used);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return muster_fail_errno(err, CAUSE_SECRET_INVALID, errno, "reading %s",
						 what);
		if (count == 0)
			break;
		used += (size_t)count;
		if (used > max)
			return muster_fail(err, CAUSE_SECRET_INVALID, "%s is longer than %zu bytes",
					   what, max);
		if (read_so_far.data[used - 1] == '\n' && isatty(fd))
			break;
	}
	secret_shrink(&read_so_far, used);
	secret_done(secret);
	*secret = read_so_far;
	read_so_far = (struct secret){ 0 };
	return true;
}

int secret_open_file(const char *path, struct muster_error *err)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat status;

	if (fd < 0) {
		muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "opening secret file '%s'",
				  PRINTABLE(path));
		return -1;
	}
	if (fstat(fd, &status) < 0) {
		muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "looking at '%s'",
				  PRINTABLE(path));
		return -1;
	}
	if (!S_ISREG(status.st_mode)) {
		muster_fail(err, CAUSE_SECRET_FILE_MODE, "secret file '%s' is not a regular file",
			    PRINTABLE(path));
		return -1;
	}
	if (status.st_uid != 0 && status.st_uid != geteuid()) {
		muster_fail(
			err, CAUSE_SECRET_FILE_MODE,
			"secret file '%s' belongs to another user (uid %u), who may have read it",
			PRINTABLE(path), status.st_uid);
		return -1;
	}
	if ((status.st_mode & 077) != 0) {
		muster_fail(err, CAUSE_SECRET_FILE_MODE,
			    "secret file '%s' has mode %04o, so others may have read it",
			    PRINTABLE(path), status.st_mode & 07777);
		return -1;
	}
	return TAKE_FD(fd);
}

bool secret_read_file(struct secret *secret, const char *path, size_t max, struct muster_error *err)
{
	CLEANUP(closep) int fd = secret_open_file(path, err);

	if (fd < 0)
		return false;
	if (!secret_read_fd(secret, fd, max, PRINTABLE(path), err))
		return false;
	secret_chomp(secret);
	if (secret->size == 0)
		return muster_fail(err, CAUSE_SECRET_INVALID, "secret file '%s' is empty",
				   PRINTABLE(path));
	return true;
}
