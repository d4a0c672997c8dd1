/* Keys of a token that could leave it. Private to the station. */
#pragma once

/* Warns of one whose attributes say so, and what to do. No refusal: there are HSMs whose policy has them so, and what a module does
 * not tell is no fault. `kind` is "master" or "private"; the URI names the key. */
void guard_warn(const char *kind, const char *uri, const char *attributes);
