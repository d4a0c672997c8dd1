/* TPMs as udev knows them, on a mocked machine. Run under umockdev's preload library. */
#include "unit.h"

#include <umockdev.h>

#include "../../src/station/attached.h"

static UMockdevTestbed *bed;

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

/* tpmrmN below tpmN, as the kernel has them. */
static void plug(const char *parent, const char *number, const char *socket)
{
	char tpm[32], manager[32], node[32];
	snprintf(tpm, sizeof(tpm), "tpm%s", number);
	snprintf(manager, sizeof(manager), "tpmrm%s", number);
	snprintf(node, sizeof(node), "/dev/tpmrm%s", number);
	char *chip =
		umockdev_testbed_add_device(bed, "tpm", tpm, parent, NULL, "DEVNAME", tpm, NULL);
	char *own = umockdev_testbed_add_device(bed, "tpmrm", manager, chip, NULL, "DEVNAME", node,
						"ID_PATH", "pci-0000:00:14.0-usb-0:3",
						socket ? "MUSTER_SOCKET" : "UNSET",
						socket ? socket : "", NULL);
	assert_non_null(own);
	g_free(chip);
	g_free(own);
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
	assert_good(attached_tpms_list(&tpms, &err), err);
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
	assert_good(attached_tpms_list(&tpms, &err), err);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_nothing_on_a_machine_without_tpms, make_bed,
						drop_bed),
		cmocka_unit_test_setup_teardown(tells_the_stations_own_from_those_on_the_bench,
						make_bed, drop_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
