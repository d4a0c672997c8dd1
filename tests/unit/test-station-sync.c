/* More devices than a page of the journal has, while memory runs out. */
#include "journal-fixture.h"

#include "muster/station-sync.h"

#define LAST_SERIAL "last of all"

/* The first row's digest of page one, and how often it was given back. */
static struct {
	char *copy;
	int frees;
} first;

void __real_free(void *pointer);
void __wrap_free(void *pointer);
char *__wrap_strdup(const char *text);

void __wrap_free(void *pointer)
{
	if (pointer && pointer == first.copy)
		first.frees++;
	else
		__real_free(pointer);
}

char *__wrap_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = strcmp(text, LAST_SERIAL) == 0 ? NULL : malloc(size);

	if (copy)
		memcpy(copy, text, size);
	if (!first.copy && strcmp(text, KEY_B) == 0)
		first.copy = copy;
	return copy;
}

static void fill(int count)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	char id[16];

	must_begin(journal);
	for (int i = 1; i <= count; i++) {
		struct journal_device device = device_of(id, NULL);

		snprintf(id, sizeof(id), "wait-%04d", i);
		device.serial = i == count ? LAST_SERIAL : id;
		device.attestation = "symmetricKey";
		device.state = JOURNAL_SPOOLED;
		device.profile_digest = KEY_B;
		must_put(journal, &device);
	}
	must_commit(journal);
	journal_close(journal);
}

static void frees_nothing_twice_on_a_second_page(void **state)
{
	const struct station_request request = { .journal_path = path };
	struct profile_report report = { 0 };
	struct station_passed passed;

	(void)state;
	fill(JOURNAL_PAGE_MAX + 1);
	assert_false(station_sync(&request, NULL, 0, &passed, &report, &err));
	assert_int_equal(err.cause, CAUSE_MEMORY);
	assert_int_equal(first.frees, 1);
	__real_free(first.copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frees_nothing_twice_on_a_second_page, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
