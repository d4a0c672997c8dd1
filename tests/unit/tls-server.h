/* A small TLS server in a thread, for unit tests: it does to each request what the test says, and counts. The
 * certificates are made anew each time; their files of roots lie in /tmp until drop_identities(). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "muster/cleanup.h"

/* -- Certificates -------------------------------------------------------------------------------------- */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
	char path[32]; /* the certificate as a file of roots */
};

static struct identity good, other_host, expired, stranger, device;

static void make_identity(struct identity *identity, const char *name, const char *alternatives,
			  long seconds_left)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	X509_EXTENSION *extension;
	int fd;
	FILE *file;

	identity->key = EVP_EC_gen("P-256");
	X509_set_version(certificate, 2);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
				   0);
	X509_set_issuer_name(certificate, subject);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), seconds_left);
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	X509_set_pubkey(certificate, identity->key);
	assert_true(X509_sign(certificate, identity->key, EVP_sha256()) > 0);
	identity->certificate = certificate;
	strcpy(identity->path, "/tmp/muster-http-XXXXXX");
	fd = mkstemp(identity->path);
	file = fdopen(fd, "w");
	assert_non_null(file);
	PEM_write_X509(file, certificate);
	fclose(file);
}

static void drop_identity(struct identity *identity)
{
	unlink(identity->path);
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
}

static int make_identities(void **state)
{
	(void)state;
	make_identity(&good, "good", "DNS:localhost,IP:127.0.0.1", 3600);
	make_identity(&other_host, "other", "DNS:dps.example.com", 3600);
	make_identity(&expired, "expired", "DNS:localhost", -3600);
	make_identity(&stranger, "stranger", "DNS:localhost", 3600);
	make_identity(&device, "dev-1", "DNS:dev-1", 3600);
	return 0;
}

static int drop_identities(void **state)
{
	(void)state;
	drop_identity(&good);
	drop_identity(&other_host);
	drop_identity(&expired);
	drop_identity(&stranger);
	drop_identity(&device);
	return 0;
}

/* -- The server ---------------------------------------------------------------------------------------- */

enum deed {
	ANSWER, /* 200 with a small body */
	CUT,    /* reads the request whole, then closes the connection */
	HANG,   /* says nothing until the client goes */
	FLOOD,  /* a body without end */
	FLOOD_HEADERS,
	TRUNCATE, /* promises more than it sends */
	REDIRECT,
	UNAUTHORIZED,
	THROTTLED,
	FAILED, /* 500 */
};

#define DEEDS_MAX 4
#define CONNECTIONS_MAX 8
#define REQUEST_MAX (100 * 1024)

struct server {
	int listener;
	unsigned port;
	bool is_plain;
	SSL_CTX *context;
	enum deed deeds[DEEDS_MAX]; /* of request number 0, 1, ... */
	pthread_t thread;
	pthread_mutex_t lock;
	/* What it saw; read after server_stop(). */
	int connections, requests;
	char last_request[REQUEST_MAX];
	char client_name[64];
};

struct stream {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static int stream_read(struct stream *stream, char *data, size_t size)
{
	return stream->ssl ? SSL_read(stream->ssl, data, (int)size)
			   : (int)read(stream->fd, data, size);
}

static bool stream_write(struct stream *stream, const char *text)
{
	int size = (int)strlen(text);

	return (stream->ssl ? SSL_write(stream->ssl, text, size)
			    : (int)write(stream->fd, text, (size_t)size)) == size;
}

/* Headers and the body that Content-Length promises. */
static bool read_request(struct stream *stream, char data[REQUEST_MAX])
{
	size_t used = 0, wanted = SIZE_MAX;
	char *end, *length;
	int size;

	while (used < wanted) {
		size = stream_read(stream, data + used, REQUEST_MAX - 1 - used);
		if (size <= 0)
			return false;
		used += (size_t)size;
		data[used] = 0;
		end = strstr(data, "\r\n\r\n");
		if (!end)
			continue;
		length = strstr(data, "Content-Length: ");
		wanted = (size_t)(end + 4 - data) + (length ? (size_t)atoi(length + 16) : 0);
	}
	return true;
}

static bool flood(struct stream *stream, const char *head, const char *more)
{
	if (!stream_write(stream, head))
		return false;
	while (stream_write(stream, more))
		;
	return false;
}

/* False when the connection ends with it. */
static bool do_deed(struct stream *stream, enum deed deed)
{
	char byte;

	switch (deed) {
	case ANSWER:
		return stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
					    "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
					    "Retry-After: 3\r\nETag: \"abc\"\r\n"
					    "x-ms-continuation: next\r\n\r\n{}");
	case CUT:
		return false;
	case HANG:
		while (stream_read(stream, &byte, 1) > 0)
			;
		return false;
	case FLOOD:
		return flood(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
			     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	case FLOOD_HEADERS:
		return flood(stream, "HTTP/1.1 200 OK\r\n", "x-header: aaaaaaaaaaaaaaaaaaaaaa\r\n");
	case TRUNCATE:
		stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{");
		return false;
	case REDIRECT:
		return stream_write(stream, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
					    "Location: https://localhost:1/elsewhere\r\n\r\n");
	case UNAUTHORIZED:
		return stream_write(stream,
				    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	case THROTTLED:
		return stream_write(stream, "HTTP/1.1 429 Too Many Requests\r\n"
					    "Retry-After: 2\r\nContent-Length: 0\r\n\r\n");
	case FAILED:
		return stream_write(stream, "HTTP/1.1 500 Internal Server Error\r\n"
					    "Content-Length: 0\r\n\r\n");
	}
	return false;
}

static void note_client(struct server *server, const struct stream *stream)
{
	X509 *certificate = stream->ssl ? SSL_get0_peer_certificate(stream->ssl) : NULL;

	if (certificate)
		X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
					  server->client_name, sizeof(server->client_name));
}

static enum deed note_request(struct server *server, const char *request)
{
	enum deed deed;

	pthread_mutex_lock(&server->lock);
	deed = server->deeds[server->requests++ % DEEDS_MAX];
	strcpy(server->last_request, request);
	pthread_mutex_unlock(&server->lock);
	return deed;
}

struct connection {
	struct server *server;
	int fd;
	pthread_t thread;
};

static void *serve_connection(void *context)
{
	struct connection *connection = context;
	struct server *server = connection->server;
	struct stream stream = { .fd = connection->fd };
	char request[REQUEST_MAX];
	bool goes_on = true;

	if (!server->is_plain) {
		stream.ssl = SSL_new(server->context);
		SSL_set_fd(stream.ssl, stream.fd);
		goes_on = SSL_accept(stream.ssl) == 1;
	}
	note_client(server, &stream);
	while (goes_on && read_request(&stream, request))
		goes_on = do_deed(&stream, note_request(server, request));
	SSL_free(stream.ssl);
	close(stream.fd);
	return NULL;
}

/* The client has closed its connections when the listener goes, so all of them end. */
static void *serve(void *context)
{
	struct server *server = context;
	struct connection connections[CONNECTIONS_MAX];
	int count = 0, fd;

	while (count < CONNECTIONS_MAX &&
	       (fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		connections[count] = (struct connection){ .server = server, .fd = fd };
		pthread_create(&connections[count].thread, NULL, serve_connection,
			       &connections[count]);
		count++;
	}
	server->connections = count;
	while (count > 0)
		pthread_join(connections[--count].thread, NULL);
	return NULL;
}

static int take_any_client(int is_ok, X509_STORE_CTX *context)
{
	(void)is_ok;
	(void)context;
	return 1;
}

static void server_start(struct server *server, const struct identity *identity)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server->listener, 8), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	server->is_plain = !identity;
	pthread_mutex_init(&server->lock, NULL);
	if (identity) {
		server->context = SSL_CTX_new(TLS_server_method());
		SSL_CTX_use_certificate(server->context, identity->certificate);
		SSL_CTX_use_PrivateKey(server->context, identity->key);
		SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER, take_any_client);
		SSL_CTX_set_session_id_context(server->context, (const unsigned char *)"t", 1);
	}
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	SSL_CTX_free(server->context);
}
