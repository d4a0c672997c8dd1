/* Priorities of lines that go to the journal: by the socket that standard error really is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "muster/log.h"

/* Standard error is one end of a stream, as that of a service is; `journal` is the other. */
static int journal, kept;

static int connect_journal(void **state)
{
	int ends[2];

	(void)state;
	kept = dup(STDERR_FILENO);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0 ||
	    dup2(ends[1], STDERR_FILENO) < 0)
		return -1;
	close(ends[1]);
	journal = ends[0];
	return 0;
}

static int disconnect_journal(void **state)
{
	(void)state;
	log_set_level(LOG_WARNING);
	log_set_stream(NULL);
	dup2(kept, STDERR_FILENO);
	close(kept);
	return close(journal);
}

/* As systemd says it, `skew` inodes further. */
static void name_stream(int fd, unsigned skew)
{
	struct stat status;
	static char text[64];

	assert_int_equal(fstat(fd, &status), 0);
	snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)status.st_dev,
		 (uintmax_t)status.st_ino + skew);
	log_set_stream(text);
}

static void expect_line(const char *expected)
{
	char line[256] = "";

	fflush(stderr);
	assert_true(read(journal, line, sizeof(line) - 1) > 0);
	assert_string_equal(line, expected);
}

static void each_level_has_its_priority(void **state)
{
	(void)state;
	name_stream(STDERR_FILENO, 0);
	log_set_level(LOG_DEBUG);
	log_warning("a %d", 1);
	expect_line("<4>muster: warning: a 1\n");
	log_info("b");
	expect_line("<6>muster: b\n");
	log_notice("n");
	expect_line("<5>muster: n\n");
	log_debug("c");
	expect_line("<7>muster: debug: c\n");
	log_message(LOG_ERROR, "d");
	expect_line("<3>muster: error: d\n");
}

/* What the service manager says outlives a redirection. */
static void another_file_than_the_journal_gets_none(void **state)
{
	(void)state;
	log_warning("nothing is said");
	expect_line("muster: warning: nothing is said\n");
	name_stream(STDERR_FILENO, 1);
	log_warning("another inode");
	expect_line("muster: warning: another inode\n");
	name_stream(kept, 0);
	log_warning("another file");
	expect_line("muster: warning: another file\n");
	for (const char *const *text = (const char *const[]){ "", ":", "1", "a:b", NULL }; *text;
	     text++) {
		log_set_stream(*text);
		assert_string_equal(log_priority(LOG_ERROR), "");
	}
	name_stream(STDERR_FILENO, 0);
	assert_string_equal(log_priority(LOG_ERROR), "<3>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_level_has_its_priority, connect_journal,
						disconnect_journal),
		cmocka_unit_test_setup_teardown(another_file_than_the_journal_gets_none,
						connect_journal, disconnect_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
