/* The layout of a response, Part 1, 18.10: header, handle, parameters, sessions. */
#include "guard.h"

#include <stdbool.h>

#include <tss2/tss2_tpm2_types.h>

#define HEADER_SIZE 10
#define SESSIONS_MAX 3
#define NONCE_MAX sizeof(TPMU_HA)
#define HANDLE_TYPE(handle) ((handle) >> 24)

struct span {
	const uint8_t *at;
	size_t left;
};

static uint32_t read_number(const uint8_t *at, size_t size)
{
	uint32_t value = 0;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static bool skip(struct span *span, size_t size)
{
	if (size > span->left)
		return false;
	span->at += size;
	span->left -= size;
	return true;
}

static bool skip_sized(struct span *span, size_t max)
{
	if (span->left < 2)
		return false;
	size_t size = read_number(span->at, 2);
	return size <= max && skip(span, 2 + size);
}

/* Commands that answer with a handle in front of the parameters. */
static const TPM2_CC handle_commands[] = {
	TPM2_CC_CreatePrimary,     TPM2_CC_Load,         TPM2_CC_LoadExternal,
	TPM2_CC_StartAuthSession,  TPM2_CC_ContextLoad,  TPM2_CC_HMAC_Start,
	TPM2_CC_HashSequenceStart, TPM2_CC_CreateLoaded,
};

static bool answers_with_handle(TPM2_CC command)
{
	for (size_t i = 0; i < sizeof(handle_commands) / sizeof(handle_commands[0]); i++)
		if (handle_commands[i] == command)
			return true;
	return false;
}

static const char *check_handle(TPM2_CC command, struct span *rest)
{
	if (!answers_with_handle(command))
		return NULL;
	if (rest->left < 4)
		return "ends before its handle";
	unsigned type = HANDLE_TYPE(read_number(rest->at, 4));
	bool is_session = type == TPM2_HT_HMAC_SESSION || type == TPM2_HT_POLICY_SESSION;
	bool wants_session = command == TPM2_CC_StartAuthSession;
	if (wants_session ? !is_session : type != TPM2_HT_TRANSIENT && !is_session)
		return "has a handle of the wrong kind";
	skip(rest, 4);
	return NULL;
}

/* Commands that go out with sessions, and how many handles stand in front of those. */
static const struct {
	TPM2_CC command;
	unsigned handles;
} authorised[] = {
	{ TPM2_CC_CreatePrimary, 1 },      { TPM2_CC_EvictControl, 2 },   { TPM2_CC_NV_Read, 2 },
	{ TPM2_CC_PolicySecret, 2 },       { TPM2_CC_Import, 1 },         { TPM2_CC_Load, 1 },
	{ TPM2_CC_ActivateCredential, 2 }, { TPM2_CC_HMAC, 1 },           { TPM2_CC_Sign, 1 },
	{ TPM2_CC_NV_Increment, 2 },       { TPM2_CC_NV_DefineSpace, 1 },
};

/* How many sessions the command went out with; SESSIONS_MAX when that is not known. */
static unsigned sessions_of(TPM2_CC command, struct span sent)
{
	unsigned count = 0;
	for (size_t i = 0; i < sizeof(authorised) / sizeof(authorised[0]); i++) {
		if (authorised[i].command != command)
			continue;
		if (!skip(&sent, HEADER_SIZE + 4 * authorised[i].handles) || sent.left < 4)
			break;
		struct span area = { sent.at + 4, read_number(sent.at, 4) };
		if (area.left > sent.left - 4)
			break;
		while (skip(&area, 4) && skip_sized(&area, NONCE_MAX) && skip(&area, 1) &&
		       skip_sized(&area, NONCE_MAX))
			count++;
		return count;
	}
	return SESSIONS_MAX;
}

/* Nonce, attributes, HMAC; as often as the command has sessions at most, to the last byte. */
static const char *check_sessions(struct span rest, unsigned most, bool *ret_is_encrypted)
{
	for (unsigned count = 0; rest.left > 0; count++) {
		if (count == most)
			return "has more sessions than the command";
		if (!skip_sized(&rest, NONCE_MAX) || rest.left < 1)
			return "has a session nonce of an untrue length";
		*ret_is_encrypted |= (rest.at[0] & TPMA_SESSION_ENCRYPT) != 0;
		skip(&rest, 1);
		if (!skip_sized(&rest, NONCE_MAX))
			return "has a session HMAC of an untrue length";
	}
	return NULL;
}

/* Commands whose answer is nothing but so many sized values. The library takes one that was cut for a whole one. */
static const struct {
	TPM2_CC command;
	unsigned count;
} sized_answers[] = {
	{ TPM2_CC_StartAuthSession, 1 },
	{ TPM2_CC_ReadPublic, 3 },
	{ TPM2_CC_NV_ReadPublic, 2 },
	{ TPM2_CC_NV_Read, 1 },
	{ TPM2_CC_Import, 1 },
	{ TPM2_CC_Load, 1 },
	{ TPM2_CC_ActivateCredential, 1 },
	{ TPM2_CC_HMAC, 1 },
};

static const char *check_parameters(TPM2_CC command, struct span parameters)
{
	for (size_t i = 0; i < sizeof(sized_answers) / sizeof(sized_answers[0]); i++) {
		if (sized_answers[i].command != command)
			continue;
		for (unsigned left = sized_answers[i].count; left > 0; left--)
			if (!skip_sized(&parameters, GUARD_MESSAGE_MAX))
				return "has a parameter that is longer than itself";
		return parameters.left > 0 ? "has more than its parameters" : NULL;
	}
	return NULL;
}

static const char *check_session_body(TPM2_CC command, unsigned sessions, struct span rest)
{
	if (rest.left < 4)
		return "ends before its parameter size";
	size_t size = read_number(rest.at, 4);
	skip(&rest, 4);
	if (size > rest.left)
		return "has parameters that are longer than itself";
	struct span parameters = { rest.at, size }, all_parameters = parameters;
	skip(&rest, size);
	if (rest.left == 0)
		return "ends before its sessions";
	bool is_encrypted = false;
	const char *complaint = check_sessions(rest, sessions, &is_encrypted);
	if (complaint)
		return complaint;
	/* Only the first parameter is encrypted, by the length in front of it; the library decrypts that
	 * many bytes without looking where they end. */
	if (is_encrypted && !skip_sized(&parameters, GUARD_MESSAGE_MAX))
		return "has an encrypted parameter that is longer than itself";
	return check_parameters(command, all_parameters);
}

static const char *check_header(TPM2_ST command_tag, const uint8_t *response, size_t size)
{
	if (size < HEADER_SIZE)
		return "is shorter than a header";
	if (size > GUARD_MESSAGE_MAX)
		return "is longer than any can be";
	if (read_number(response + 2, 4) != size)
		return "says another size than it has";
	TPM2_ST tag = (TPM2_ST)read_number(response, 2);
	if (read_number(response + 6, 4) == TPM2_RC_SUCCESS)
		return tag == command_tag ? NULL : "has a tag that does not fit the command";
	if (tag != TPM2_ST_NO_SESSIONS || size != HEADER_SIZE)
		return "is an error with more than a header";
	return NULL;
}

const char *guard_check_response(const uint8_t *command, size_t command_size,
				 const uint8_t *response, size_t size)
{
	if (command_size < HEADER_SIZE)
		return "answers nothing that was asked";
	TPM2_ST tag = (TPM2_ST)read_number(command, 2);
	const char *complaint = check_header(tag, response, size);
	if (complaint || read_number(response + 6, 4) != TPM2_RC_SUCCESS)
		return complaint;
	struct span rest = { response + HEADER_SIZE, size - HEADER_SIZE };
	TPM2_CC code = read_number(command + 6, 4);
	complaint = check_handle(code, &rest);
	if (complaint)
		return complaint;
	if (tag == TPM2_ST_NO_SESSIONS)
		return check_parameters(code, rest);
	struct span sent = { command, command_size };
	return check_session_body(code, sessions_of(code, sent), rest);
}
