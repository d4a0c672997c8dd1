/* Makers of TPMs by their numbers (TCG TPM Vendor ID Registry), four characters each. */
#include "muster/ek.h"

#include <string.h>

struct vendor {
	const char *id; /* without the fill behind it */
	const char *name;
};

static const struct vendor vendors[] = {
	{ "AMD", "AMD" },
	{ "ANT", "Ant Group" },
	{ "ATML", "Microchip (Atmel)" },
	{ "BRCM", "Broadcom" },
	{ "CSCO", "Cisco" },
	{ "FLYS", "Flyslice" },
	{ "ROCC", "Rockchip" },
	{ "GOOG", "Google" },
	{ "HISI", "Huawei" },
	{ "HPI", "HPI" },
	{ "HPE", "HPE" },
	{ "IBM", "IBM" },
	{ "IFX", "Infineon" },
	{ "INTC", "Intel" },
	{ "LEN", "Lenovo" },
	{ "MSFT", "Microsoft" },
	{ "NSM", "National Semiconductor" },
	{ "NTZ", "Nationz" },
	{ "NSG", "NSING" },
	{ "NTC", "Nuvoton" },
	{ "QCOM", "Qualcomm" },
	{ "SMSN", "Samsung" },
	{ "SECE", "SecEdge" },
	{ "SNS", "Sinosun" },
	{ "SMSC", "SMSC" },
	{ "STM", "STMicroelectronics" },
	{ "TXN", "Texas Instruments" },
	{ "WEC", "Winbond" },
};

/* Registered with a number that is no text. */
#define IBM_CERTIFICATE_NUMBER "00001014"

static bool is_id(const char *text, size_t length, const char *id)
{
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\0'))
		length--;
	return length == strlen(id) && memcmp(text, id, length) == 0;
}

const char *ek_vendor_name(const char *manufacturer)
{
	CLEANUP(bytes_done) struct bytes number = { 0 };
	const char *text = manufacturer;
	size_t length = strlen(manufacturer);
	if (text_has_prefix(manufacturer, "id:")) {
		if (text_equal_folded(manufacturer + 3, IBM_CERTIFICATE_NUMBER))
			return "IBM";
		if (!hex_decode(manufacturer + 3, length - 3, &number))
			return NULL;
		text = (const char *)number.data;
		length = number.size;
	}
	for (size_t i = 0; i < ARRAY_SIZE(vendors); i++)
		if (is_id(text, length, vendors[i].id))
			return vendors[i].name;
	return NULL;
}
