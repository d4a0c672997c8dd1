/* What output.c and yaml.c share. */
#pragma once

#include "muster/text.h"

#include "cli-internal.h"

/* Appends the document as YAML 1.2, block style; texts are quoted unless nothing could mistake them. False when out of
 * memory. */
bool yaml_write(const cJSON *document, struct text *out);

/* A table of these rows. widths (NULL: none) are those of the pages before and become those of this one. */
bool output_table(FILE *stream, const cJSON *document, const struct column *columns, size_t count,
		  bool has_heading, size_t *widths, struct muster_error *err) MUST_CHECK;
