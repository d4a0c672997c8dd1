#include "network.h"

struct http_terms network_terms(const struct http_terms *given, const struct config *config)
{
	return (struct http_terms){
		.ca_file = given->ca_file ? given->ca_file : config->ca_file,
		.proxy = given->proxy ? given->proxy : config->proxy,
		.no_proxy = given->no_proxy ? given->no_proxy : config->no_proxy,
		/* What is for the one proxy is not sent to another. */
		.proxy_login = given->proxy_login || given->proxy ? given->proxy_login
								  : config->proxy_login_file,
	};
}
