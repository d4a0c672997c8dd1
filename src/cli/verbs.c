/* The tables of nouns and verbs. */
#include <string.h>

#include "cli-internal.h"

const struct verb *const verbs[] = {
#define VERB(name) &verb_##name,
#include "verbs.def"
#undef VERB
	NULL,
};

const struct noun nouns[] = {
	{ "enrollment", "Work with enrollments as az iot dps enrollment does" },
	{ "config", "Show the settings that hold" },
	{ "registration", "Look at the records of devices that have registered" },
	{ "profile", "Check product profiles and print their schema" },
	{ "socket", "Name the ports of the bench" },
	{ "tpm", "Look at TPMs, and judge whether to trust them" },
	{ "hsm", "Look after tokens and their PINs" },
	{ "outbox", "Look after devices that wait for the network or a person" },
	{ "approval", "Let other people approve what is going to be made" },
	{ "bundle", "Carry spooled devices to another station that sends them" },
	{ "hook", "Look after events that others are told of" },
	{ "journal", "Read the station's record of devices" },
	{ "key", "Make masters, and derive the keys of devices from them" },
	{ "cert", "Make and check certificates whose keys lie in tokens" },
	{ 0 },
};

const struct verb *verb_find(const char *noun, const char *name)
{
	for (size_t i = 0; verbs[i]; i++) {
		const char *other = verbs[i]->noun;
		bool is_same_noun = noun ? other && strcmp(other, noun) == 0 : !other;

		if (is_same_noun && strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	}
	return NULL;
}

const struct noun *noun_find(const char *name)
{
	for (const struct noun *noun = nouns; noun->name; noun++) {
		if (strcmp(noun->name, name) == 0)
			return noun;
	}
	return NULL;
}
