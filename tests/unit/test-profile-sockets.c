#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/profile-sockets.h"

#include "temporary.h"

static const char *write_map(const char *directory, const char *content)
{
	static char path[256];
	struct muster_error err;

	snprintf(path, sizeof(path), "%s/sockets", directory);
	assert_good(file_write(path, content, strlen(content), 0644, true, &err), err);
	return path;
}

static void reads_words_between_blanks(void **state)
{
	struct socket_map map;
	struct muster_error err;
	const char *path = write_map(*state, "# the left bench\n"
					     "\n"
					     "pci-0000:00:14.0-usb-0:3\t1\n"
					     "  usb-2   left.2   swtpm:path=/run/t  # a probe\r\n"
					     "usb-3 c\n"
					     "usb-4 d pkcs11:token=line-3");

	assert_good(socket_map_read(path, &map, &err), err);
	assert_true(map.is_there);
	assert_int_equal(map.count, 4);
	assert_string_equal(socket_map_by_path(&map, "pci-0000:00:14.0-usb-0:3")->name, "1");
	assert_string_equal(socket_map_by_name(&map, "left.2")->tcti, "swtpm:path=/run/t");
	assert_null(socket_map_by_name(&map, "1")->tcti);
	assert_string_equal(socket_map_by_name(&map, "c")->path, "usb-3");
	assert_string_equal(socket_map_by_name(&map, "d")->token, "pkcs11:token=line-3");
	assert_null(socket_map_by_name(&map, "d")->tcti);
	assert_null(socket_map_by_name(&map, "left.2")->token);
	assert_null(socket_map_by_path(&map, "usb-5"));
	assert_null(socket_map_by_path(&map, NULL));
	socket_map_done(&map);
}

static void a_file_that_is_not_there_is_an_empty_map(void **state)
{
	struct socket_map map = { .count = 1 };
	struct muster_error err;
	char path[256];

	snprintf(path, sizeof(path), "%s/none", (const char *)*state);
	assert_good(socket_map_read(path, &map, &err), err);
	assert_false(map.is_there);
	assert_int_equal(map.count, 0);
}

static void names_line_and_column_of_a_mistake(void **state)
{
	static const struct {
		const char *content, *place, *why;
	} rows[] = {
		{ "usb-1 1\nusb-2", "line 2, column 6", "no socket for bus path 'usb-2'" },
		{ "usb-1 1\n\nusb-1 2\n", "line 3, column 1", "stands twice" },
		{ "usb-1 1\nusb-2 1\n", "line 2, column 7", "socket '1' stands twice" },
		{ "usb-1\t1 x:y more\n", "line 1, column 13", "more than three words" },
		{ "usb-1 a=b\n", "line 1, column 7", "no name for a socket" },
		{ "usb-1 -a\n", "line 1, column 7", "no name for a socket" },
		{ "usb-1 123456789012345678901234567890123\n", "line 1, column 7",
		  "no name for a socket" },
		{ " usb\x01 1\n", "line 1, column 2", "no bus path" },
		{ "usb'1 1\n", "line 1, column 1", "no bus path" },
		{ "usb-1 1 pkcs11:colour=red\n", "line 1, column 9", "RFC 7512" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct socket_map map;
		struct muster_error err = { 0 };

		assert_false(socket_map_read(write_map(*state, rows[i].content), &map, &err));
		assert_int_equal(err.cause, CAUSE_SOCKET_MAP_INVALID);
		if (!strstr(err.message, rows[i].place) || !strstr(err.message, rows[i].why))
			fail_msg("row %zu: %s", i, err.message);
	}
}

static void has_no_more_than_it_can_hold(void **state)
{
	char content[4096] = "";
	struct socket_map map;
	struct muster_error err = { 0 };

	for (size_t i = 0; i <= SOCKETS_MAX; i++) {
		if (i == SOCKETS_MAX) {
			assert_good(socket_map_read(write_map(*state, content), &map, &err), err);
			assert_int_equal(map.count, SOCKETS_MAX);
			socket_map_done(&map);
		}
		snprintf(content + strlen(content), 32, "usb-%zu %zu\n", i, i);
	}
	assert_false(socket_map_read(write_map(*state, content), &map, &err));
	assert_non_null(strstr(err.message, "line 65, column"));
}

static void a_map_that_others_could_change_is_refused(void **state)
{
	struct socket_map map;
	struct muster_error err = { 0 };
	const char *path = write_map(*state, "usb-1 1\n");

	assert_int_equal(chmod(path, 0666), 0);
	assert_false(socket_map_read(path, &map, &err));
	assert_int_equal(err.cause, CAUSE_FILE_OWNER);
}

static void what_is_written_is_read_again(void **state)
{
	struct socket_map map, again;
	struct muster_error err;
	const char *path = write_map(
		*state, "usb-1 1\nusb-2 2 swtpm:path=/run/t\nusb-3 3\nusb-9 9 pkcs11:token=a\n");

	assert_good(socket_map_read(path, &map, &err), err);
	/* 1 moves to the port of 3, which keeps none; 4 is new. */
	assert_good(socket_map_set(&map, "1", "usb-3", &err), err);
	assert_good(socket_map_set(&map, "4", "usb-4", &err), err);
	assert_good(socket_map_write(path, &map, &err), err);
	assert_good(socket_map_read(path, &again, &err), err);
	assert_int_equal(again.count, 4);
	assert_string_equal(socket_map_by_name(&again, "9")->token, "pkcs11:token=a");
	assert_string_equal(socket_map_by_name(&again, "1")->path, "usb-3");
	assert_string_equal(socket_map_by_name(&again, "2")->tcti, "swtpm:path=/run/t");
	assert_null(socket_map_by_name(&again, "3"));
	assert_string_equal(socket_map_by_name(&again, "4")->path, "usb-4");
	socket_map_done(&map);
	socket_map_done(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(reads_words_between_blanks),
		test_with_directory(a_file_that_is_not_there_is_an_empty_map),
		test_with_directory(names_line_and_column_of_a_mistake),
		test_with_directory(has_no_more_than_it_can_hold),
		test_with_directory(a_map_that_others_could_change_is_refused),
		test_with_directory(what_is_written_is_read_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
