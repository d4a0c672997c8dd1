/* Which characters an identifier may have; shared by the checks and the templates. */
#pragma once

#include <stdbool.h>

bool identity_is_alphanumeric(char c);
bool identity_in_registration_id(char c);
bool identity_in_device_id(char c);
bool identity_is_printable(char c);
