/* The TCG's numbers in words, for people. */
#pragma once

#include <stdint.h>

/* TPM_CAP (Part 2, 6.12). */
#define EK_CAPABILITY_ALGORITHMS 0u
#define EK_CAPABILITY_HANDLES 1u
#define EK_CAPABILITY_PROPERTIES 6u
#define EK_CAPABILITY_CURVES 8u

#define EK_PROPERTY_FIXED 0x100u
#define EK_PROPERTY_VARIABLE 0x200u

/* All static; NULL for a number that is not in the table. */
const char *ek_algorithm_word(uint32_t algorithm);
const char *ek_curve_word(uint32_t curve);
/* Only of properties that are plain counts or sizes: "nvBufferMax", "lockoutCounter". */
const char *ek_property_word(uint32_t property);
