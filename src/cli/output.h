/* What output.c and yaml.c share. */
#pragma once

#include "muster/text.h"

#include "cli-internal.h"

/* Appends the document as YAML 1.2, block style; texts are quoted unless nothing could mistake them. False when out of
 * memory. */
bool yaml_write(const cJSON *document, struct text *out);
