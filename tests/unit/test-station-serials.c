/* Serials that were scanned: each goes to its own socket, once, in whatever order boards come and go. */
#include "unit.h"

#include <stdlib.h>

#include "../../src/station/serial-lines.h"

enum { SOCKETS = 4, STEPS = 2000 };

static const struct socket_map no_map;
static struct muster_error err;

static void put(struct serial_lines *lines, const char *socket, const char *serial)
{
	assert_good(serial_lines_put(lines, socket, serial, &err), err);
}

static void gives(struct serial_lines *lines, const char *socket, const char *serial)
{
	CLEANUP(freep) char *taken = serial_lines_take(lines, socket);

	if (!serial) {
		assert_null(taken);
		return;
	}
	assert_non_null(taken);
	assert_string_equal(taken, serial);
}

static void a_serial_goes_to_its_socket_once(void **state)
{
	struct serial_lines lines = { .map = &no_map, .fd = -1 };

	(void)state;
	put(&lines, "s1", "A");
	put(&lines, "s2", "B");
	gives(&lines, "s1", "A");
	gives(&lines, "s1", NULL);
	put(&lines, "s3", "C");
	gives(&lines, "s2", "B");
	gives(&lines, "s3", "C");
	gives(&lines, "s2", NULL);
	serial_lines_done(&lines);
}

static void who_scans_again_has_the_last_word(void **state)
{
	struct serial_lines lines = { .map = &no_map, .fd = -1 };

	(void)state;
	put(&lines, "s1", "A");
	put(&lines, "s1", "B");
	gives(&lines, "s1", "B");
	serial_lines_done(&lines);
}

/* Against a table that is as simple as can be. */
static void any_order_of_scans_and_boards_is_served(void **state)
{
	struct serial_lines lines = { .map = &no_map, .fd = -1 };
	char expected[SOCKETS][16] = { "" };
	unsigned seed = 1;

	(void)state;
	for (int step = 0; step < STEPS; step++) {
		int at = (int)((seed = seed * 1103515245 + 12345) >> 16) % SOCKETS;
		bool is_scan = ((seed = seed * 1103515245 + 12345) >> 16) % 2;
		char socket[] = { 's', (char)('0' + at), '\0' };

		if (is_scan) {
			snprintf(expected[at], sizeof(expected[at]), "SERIAL-%d", step);
			put(&lines, socket, expected[at]);
		} else {
			gives(&lines, socket, expected[at][0] ? expected[at] : NULL);
			expected[at][0] = '\0';
		}
	}
	serial_lines_done(&lines);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_serial_goes_to_its_socket_once),
		cmocka_unit_test(who_scans_again_has_the_last_word),
		cmocka_unit_test(any_order_of_scans_and_boards_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
