#include "form.h"

#include <stdlib.h>
#include <string.h>

#include "muster/secret.h"

#include "sas.h"

/* In place: what is decoded is never longer. */
static bool decode(char *text)
{
	size_t size = strlen(text) + 1;

	for (char *c = text; *c; c++)
		if (*c == '+')
			*c = ' ';
	return url_decode(text, size - 1, text, size);
}

static bool take_field(struct form *form, char *field)
{
	char *equals = strchr(field, '=');

	if (!equals || form->count == FORM_FIELD_COUNT_MAX)
		return false;
	*equals = '\0';
	if (!decode(field) || !decode(equals + 1) || form_get(form, field))
		return false;
	form->names[form->count] = field;
	form->values[form->count++] = equals + 1;
	return true;
}

bool form_parse(const void *body, size_t size, struct form *ret_form)
{
	CLEANUP(form_done) struct form form = { .text = strndup(body, size), .size = size };

	if (!form.text || strlen(form.text) != size)
		return false;
	for (char *at = form.text; at;) {
		char *next = strchr(at, '&');

		if (next)
			*next++ = '\0';
		if (!take_field(&form, at))
			return false;
		at = next;
	}
	*ret_form = form;
	form = (struct form){ 0 };
	return true;
}

const char *form_get(const struct form *form, const char *name)
{
	for (size_t i = 0; i < form->count; i++)
		if (strcmp(form->names[i], name) == 0)
			return form->values[i];
	return NULL;
}

void form_done(struct form *form)
{
	secret_wipe(form->text, form->text ? form->size : 0);
	free(form->text);
	*form = (struct form){ 0 };
}
