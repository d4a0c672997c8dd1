#include "tpm-proxy.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "muster/cleanup.h"

enum { HEADER_SIZE = 10, MESSAGE_MAX = 8192, COMMANDS_MAX = 64 };

struct message {
	size_t size;
	uint8_t data[MESSAGE_MAX];
};

struct tpm_proxy {
	char socket[96], control[104], target[96];
	int listener;
	int client; /* the connection being served, or -1 */
	pthread_t thread;
	pthread_mutex_t mutex; /* over all below */
	struct tpm_fault_plan plan;
	unsigned seen, hits;
	bool is_dead;
	struct {
		uint32_t command;
		size_t size;
	} sizes[COMMANDS_MAX];
	uint8_t *record;
	size_t record_size;
};

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 3; i >= 0; i--, value >>= 8)
		at[i] = (uint8_t)value;
}

/* -- Both sides --------------------------------------------------------------------------------------------- */

static bool address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (size_t)snprintf(address->sun_path, sizeof(address->sun_path), "%s", path) <
	       sizeof(address->sun_path);
}

static bool read_all(int fd, uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t got = read(fd, data, size);
		if (got <= 0)
			return false;
		data += got;
		size -= (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t put = send(fd, data, size, MSG_NOSIGNAL);
		if (put <= 0)
			return false;
		data += put;
		size -= (size_t)put;
	}
	return true;
}

static bool read_message(int fd, struct message *message)
{
	if (!read_all(fd, message->data, HEADER_SIZE))
		return false;
	message->size = get_u32(message->data + 2);
	return message->size >= HEADER_SIZE && message->size <= MESSAGE_MAX &&
	       read_all(fd, message->data + HEADER_SIZE, message->size - HEADER_SIZE);
}

static bool ask_target(const char *target, const struct message *command, struct message *response)
{
	struct sockaddr_un address;
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && address_of(target, &address) &&
	       connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	       write_all(fd, command->data, command->size) && read_message(fd, response);
}

/* -- Books (under the mutex) ----------------------------------------------------------------------------------- */

static void record(struct tpm_proxy *proxy, const struct message *message)
{
	uint8_t *grown = realloc(proxy->record, proxy->record_size + message->size);
	if (!grown)
		abort();
	memcpy(grown + proxy->record_size, message->data, message->size);
	proxy->record = grown;
	proxy->record_size += message->size;
}

static void note_size(struct tpm_proxy *proxy, uint32_t command, size_t size)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		if (proxy->sizes[i].command != command && proxy->sizes[i].command != 0)
			continue;
		proxy->sizes[i].command = command;
		proxy->sizes[i].size = size;
		return;
	}
}

static enum tpm_fault fault_for(struct tpm_proxy *proxy, uint32_t command)
{
	const struct tpm_fault_plan *plan = &proxy->plan;
	if (proxy->is_dead)
		return FAULT_DEATH;
	if (plan->fault == FAULT_NONE || (plan->command != 0 && plan->command != command) ||
	    proxy->seen++ < plan->after || (plan->times > 0 && proxy->hits >= plan->times))
		return FAULT_NONE;
	proxy->hits++;
	proxy->is_dead = plan->fault == FAULT_DEATH;
	return plan->fault;
}

/* -- Faults ---------------------------------------------------------------------------------------------------- */

static void answer_with_code(struct message *response, uint32_t code)
{
	response->size = HEADER_SIZE;
	response->data[0] = 0x80;
	response->data[1] = 0x01;
	put_u32(response->data + 2, HEADER_SIZE);
	put_u32(response->data + 6, code);
}

static void spoil(struct message *response, enum tpm_fault fault, size_t bit)
{
	switch (fault) {
	case FAULT_SHORT:
		response->size -= response->size > HEADER_SIZE + 5 ? 5 : 0;
		put_u32(response->data + 2, (uint32_t)response->size);
		break;
	case FAULT_LONG:
		memset(response->data + response->size, 0x5a, 5);
		response->size += 5;
		put_u32(response->data + 2, (uint32_t)response->size);
		break;
	case FAULT_CUT:
		response->size = (response->size + HEADER_SIZE) / 2;
		break;
	case FAULT_SIZE_SMALL:
		put_u32(response->data + 2, (uint32_t)response->size - 5);
		break;
	case FAULT_SIZE_HUGE:
		put_u32(response->data + 2, UINT32_MAX);
		break;
	case FAULT_INNER_SIZE:
		memset(response->data + HEADER_SIZE + (response->data[1] == 2 ? 4 : 0), 0xff, 2);
		break;
	case FAULT_GARBAGE:
		for (size_t i = HEADER_SIZE; i < response->size; i++)
			response->data[i] = (uint8_t)(i * 167 + 91);
		break;
	case FAULT_FLIP:
		if (bit / 8 < response->size)
			response->data[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		break;
	default:
		break;
	}
}

/* False ends the connection. */
static bool serve_command(struct tpm_proxy *proxy, int client, const struct message *command)
{
	struct message response = { 0 };
	uint32_t code = get_u32(command->data + 6);
	char target[sizeof(proxy->target)];

	pthread_mutex_lock(&proxy->mutex);
	record(proxy, command);
	enum tpm_fault fault = fault_for(proxy, code);
	struct tpm_fault_plan plan = proxy->plan;
	memcpy(target, proxy->target, sizeof(target));
	pthread_mutex_unlock(&proxy->mutex);

	if (fault == FAULT_DEATH)
		return false;
	if (fault == FAULT_HANG)
		return true; /* what comes next is the client's end */
	if (fault == FAULT_CODE)
		answer_with_code(&response, plan.code);
	else if (!ask_target(target, command, &response))
		return false;
	pthread_mutex_lock(&proxy->mutex);
	record(proxy, &response);
	note_size(proxy, code, response.size);
	pthread_mutex_unlock(&proxy->mutex);
	spoil(&response, fault, plan.bit);
	return write_all(client, response.data, response.size) && fault != FAULT_CUT;
}

/* -- Its life -------------------------------------------------------------------------------------------------- */

static void *serve(void *argument)
{
	struct tpm_proxy *proxy = argument;
	for (;;) {
		struct message command;
		int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0)
			return NULL;
		pthread_mutex_lock(&proxy->mutex);
		proxy->client = client;
		pthread_mutex_unlock(&proxy->mutex);
		while (read_message(client, &command) && serve_command(proxy, client, &command))
			;
		pthread_mutex_lock(&proxy->mutex);
		proxy->client = -1;
		pthread_mutex_unlock(&proxy->mutex);
		close(client);
	}
}

struct tpm_proxy *tpm_proxy_start(const char *socket_path, const char *target)
{
	struct tpm_proxy *proxy = calloc(1, sizeof(*proxy));
	struct sockaddr_un address;
	char target_control[104];
	if (!proxy)
		abort();
	snprintf(proxy->socket, sizeof(proxy->socket), "%s", socket_path);
	snprintf(proxy->target, sizeof(proxy->target), "%s", target);
	snprintf(proxy->control, sizeof(proxy->control), "%s.ctrl", socket_path);
	/* Beside it: a sandboxed worker has that directory for its root. */
	snprintf(target_control, sizeof(target_control), "%s.ctrl", strrchr(target, '/') + 1);
	pthread_mutex_init(&proxy->mutex, NULL);
	proxy->client = -1;
	proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (proxy->listener < 0 || !address_of(socket_path, &address) ||
	    symlink(target_control, proxy->control) < 0 ||
	    bind(proxy->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(proxy->listener, 8) < 0 ||
	    pthread_create(&proxy->thread, NULL, serve, proxy) != 0) {
		perror("tpm-proxy");
		free(proxy);
		return NULL;
	}
	return proxy;
}

void tpm_proxy_stop(struct tpm_proxy *proxy)
{
	if (!proxy)
		return;
	shutdown(proxy->listener, SHUT_RDWR);
	pthread_mutex_lock(&proxy->mutex);
	if (proxy->client >= 0)
		shutdown(proxy->client, SHUT_RDWR);
	pthread_mutex_unlock(&proxy->mutex);
	pthread_join(proxy->thread, NULL);
	close(proxy->listener);
	unlink(proxy->socket);
	unlink(proxy->control);
	pthread_mutex_destroy(&proxy->mutex);
	free(proxy->record);
	free(proxy);
}

void tpm_proxy_plan(struct tpm_proxy *proxy, const struct tpm_fault_plan *plan)
{
	pthread_mutex_lock(&proxy->mutex);
	proxy->plan = *plan;
	proxy->seen = proxy->hits = 0;
	proxy->is_dead = false;
	pthread_mutex_unlock(&proxy->mutex);
}

void tpm_proxy_retarget(struct tpm_proxy *proxy, const char *target)
{
	pthread_mutex_lock(&proxy->mutex);
	snprintf(proxy->target, sizeof(proxy->target), "%s", target);
	pthread_mutex_unlock(&proxy->mutex);
}

unsigned tpm_proxy_hits(struct tpm_proxy *proxy)
{
	pthread_mutex_lock(&proxy->mutex);
	unsigned hits = proxy->hits;
	pthread_mutex_unlock(&proxy->mutex);
	return hits;
}

size_t tpm_proxy_response_size(struct tpm_proxy *proxy, uint32_t command)
{
	size_t size = 0;
	pthread_mutex_lock(&proxy->mutex);
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		if (proxy->sizes[i].command == command)
			size = proxy->sizes[i].size;
	pthread_mutex_unlock(&proxy->mutex);
	return size;
}

uint8_t *tpm_proxy_take_record(struct tpm_proxy *proxy, size_t *ret_size)
{
	pthread_mutex_lock(&proxy->mutex);
	uint8_t *taken = proxy->record;
	*ret_size = proxy->record_size;
	proxy->record = NULL;
	proxy->record_size = 0;
	pthread_mutex_unlock(&proxy->mutex);
	return taken;
}
