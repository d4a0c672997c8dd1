/* A fuzz target is this one function; libFuzzer calls it, or replay.c with a corpus. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
