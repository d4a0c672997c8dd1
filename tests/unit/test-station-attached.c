/* TPMs as udev knows them, on a mocked machine. Run under umockdev's preload library. */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <umockdev.h>
#include <unistd.h>

#include "muster/station-attached.h"

static UMockdevTestbed *bed;
static const struct socket_map no_map;

static int make_bed(void **state)
{
	(void)state;
	bed = umockdev_testbed_new();
	return 0;
}

static int drop_bed(void **state)
{
	(void)state;
	g_object_unref(bed);
	return 0;
}

/* tpmrmN below tpmN, as the kernel has them. Returns its path in sysfs. */
static char *plug_at(const char *parent, const char *number, const char *path, const char *socket)
{
	char tpm[32], manager[32], node[32];
	snprintf(tpm, sizeof(tpm), "tpm%s", number);
	snprintf(manager, sizeof(manager), "tpmrm%s", number);
	snprintf(node, sizeof(node), "/dev/tpmrm%s", number);
	char *chip =
		umockdev_testbed_add_device(bed, "tpm", tpm, parent, NULL, "DEVNAME", tpm, NULL);
	char *own = umockdev_testbed_add_device(bed, "tpmrm", manager, chip, NULL, "DEVNAME", node,
						"ID_PATH", path, socket ? "MUSTER_SOCKET" : "UNSET",
						socket ? socket : "", NULL);
	assert_non_null(own);
	g_free(chip);
	return own;
}

static void plug(const char *parent, const char *number, const char *socket)
{
	g_free(plug_at(parent, number, "pci-0000:00:14.0-usb-0:3", socket));
}

static char *usb_port(const char *name)
{
	return umockdev_testbed_add_device(bed, "usb", name, NULL, NULL, "DEVTYPE", "usb_device",
					   NULL);
}

static void finds_nothing_on_a_machine_without_tpms(void **state)
{
	(void)state;
	struct attached_tpms tpms = { 0 };
	struct muster_error err;
	assert_good(attached_tpms_list(&no_map, &tpms, &err), err);
	assert_int_equal(tpms.count, 0);
}

static void tells_the_stations_own_from_those_on_the_bench(void **state)
{
	(void)state;
	struct attached_tpms tpms = { 0 };
	struct muster_error err;
	char *port = usb_port("1-3");
	plug(NULL, "0", NULL);
	plug(port, "10", NULL);
	plug(port, "2", "line 3, socket 2");
	plug(NULL, "1", "socket 1");
	g_free(port);
	assert_good(attached_tpms_list(&no_map, &tpms, &err), err);
	assert_int_equal(tpms.count, 4);
	static const struct {
		const char *node;
		const char *socket;
		bool is_own;
	} expected[] = {
		{ "/dev/tpmrm0", NULL, true },
		{ "/dev/tpmrm1", "socket 1", false },
		{ "/dev/tpmrm2", "line 3, socket 2", false },
		{ "/dev/tpmrm10", NULL, false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_string_equal(tpms.rows[i].node, expected[i].node);
		assert_string_equal(tpms.rows[i].path, "pci-0000:00:14.0-usb-0:3");
		assert_int_equal(tpms.rows[i].is_own, expected[i].is_own);
		if (expected[i].socket)
			assert_string_equal(tpms.rows[i].socket, expected[i].socket);
		else
			assert_null(tpms.rows[i].socket);
	}
	attached_tpms_done(&tpms);
}

static void fill_map(struct socket_map *map)
{
	struct muster_error err;
	assert_good(socket_map_set(map, "1", "usb-1", &err), err);
	assert_good(socket_map_set(map, "2", "usb-2", &err), err);
	map->rows[1].tcti = strdup("swtpm:path=/run/tpm");
	map->is_there = true;
}

static void goes_by_the_map_alone_where_there_is_one(void **state)
{
	(void)state;
	struct attached_tpms tpms = { 0 };
	struct socket_map map = { 0 };
	struct muster_error err;
	char *port = usb_port("1-3");
	fill_map(&map);
	g_free(plug_at(port, "0", "usb-3", "1"));
	g_free(plug_at(NULL, "1", "usb-1", "9"));
	g_free(plug_at(port, "2", "usb-2", NULL));
	g_free(port);
	assert_good(attached_tpms_list(&map, &tpms, &err), err);
	assert_int_equal(tpms.count, 3);
	assert_null(tpms.rows[0].socket);
	assert_string_equal(tpms.rows[1].socket, "1");
	assert_false(tpms.rows[1].is_own);
	assert_string_equal(tpms.rows[1].tpm, "device:/dev/tpmrm1");
	assert_string_equal(tpms.rows[2].socket, "2");
	assert_string_equal(tpms.rows[2].tpm, "swtpm:path=/run/tpm");
	attached_tpms_done(&tpms);
	socket_map_done(&map);
}

static void assert_next(struct plug_watch *watch, enum plug_kind kind, const char *node)
{
	struct plug_event event;
	struct muster_error err;
	struct pollfd ready = { .fd = plug_watch_fd(watch), .events = POLLIN };
	if (kind != PLUG_NONE)
		assert_int_equal(poll(&ready, 1, 20000), 1);
	assert_good(plug_watch_next(watch, &event, &err), err);
	assert_int_equal(event.kind, kind);
	if (node)
		assert_string_equal(event.tpm.node, node);
	plug_event_done(&event);
}

/* The bed's events come without a udevd. */
static bool has_udevd;

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode)
{
	if (strcmp(path, "/run/udev/control") != 0)
		return __real_access(path, mode);
	errno = ENOENT;
	return has_udevd ? 0 : -1;
}

static void needs_a_udevd(void **state)
{
	struct plug_watch *watch = NULL;
	struct muster_error err;

	(void)state;
	has_udevd = false;
	assert_fails(plug_watch_open(&no_map, &watch, &err), err, CAUSE_UDEV);
}

static void hears_of_what_is_plugged_in_and_out(void **state)
{
	(void)state;
	struct plug_watch *watch;
	struct muster_error err;
	has_udevd = true;
	assert_good(plug_watch_open(&no_map, &watch, &err), err);
	assert_next(watch, PLUG_NONE, NULL);
	char *board = plug_at(NULL, "4", "usb-1", NULL);
	assert_next(watch, PLUG_IN, "/dev/tpmrm4");
	umockdev_testbed_uevent(bed, board, "change");
	umockdev_testbed_uevent(bed, board, "remove");
	assert_next(watch, PLUG_OUT, "/dev/tpmrm4");
	assert_next(watch, PLUG_NONE, NULL);
	plug_watch_free(watch);
	g_free(board);
}

static void expect_rules(const char *const *directories, const char *file, size_t missed,
			 const char *first)
{
	CLEANUP(udev_rules_done) struct udev_rules rules = { 0 };
	struct muster_error err;

	assert_good(udev_rules_find(directories, &rules, &err), err);
	assert_int_equal(rules.has_udevd, has_udevd);
	assert_true(!rules.file == !file && (!file || strcmp(rules.file, file) == 0));
	assert_int_equal(rules.missed, missed);
	assert_true(!rules.first == !first && (!first || strcmp(rules.first, first) == 0));
}

static void tells_whether_the_rules_are_there_and_run(void **state)
{
	static const char real[] = MUSTER_SOURCE_DIR "/udev";
	static const char file[] = MUSTER_SOURCE_DIR "/udev/71-muster.rules";
	char masked[] = "/tmp/muster-test-XXXXXX", mask[64];

	(void)state;
	assert_non_null(mkdtemp(masked));
	snprintf(mask, sizeof(mask), "%s/71-muster.rules", masked);
	has_udevd = false;
	expect_rules((const char *const[]){ "/nowhere", NULL }, NULL, 0, NULL);
	expect_rules((const char *const[]){ masked, real, NULL }, file, 0, NULL);
	assert_int_equal(symlink("/dev/null", mask), 0);
	expect_rules((const char *const[]){ masked, real, NULL }, NULL, 0, NULL);
	has_udevd = true;
	g_free(umockdev_testbed_add_device(bed, "tpmrm", "tpmrm1", NULL, NULL, "DEVNAME",
					   "/dev/tpmrm1", "MUSTER_KIND", "tpm", NULL));
	expect_rules((const char *const[]){ real, NULL }, file, 0, NULL);
	plug(NULL, "2", NULL);
	plug(NULL, "3", NULL);
	expect_rules((const char *const[]){ real, masked, NULL }, file, 2, "/dev/tpmrm2");
	assert_int_equal(unlink(mask), 0);
	assert_int_equal(rmdir(masked), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_nothing_on_a_machine_without_tpms, make_bed,
						drop_bed),
		cmocka_unit_test_setup_teardown(tells_the_stations_own_from_those_on_the_bench,
						make_bed, drop_bed),
		cmocka_unit_test_setup_teardown(goes_by_the_map_alone_where_there_is_one, make_bed,
						drop_bed),
		cmocka_unit_test(needs_a_udevd),
		cmocka_unit_test_setup_teardown(tells_whether_the_rules_are_there_and_run, make_bed,
						drop_bed),
		cmocka_unit_test_setup_teardown(hears_of_what_is_plugged_in_and_out, make_bed,
						drop_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
