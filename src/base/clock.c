#include <stdio.h>
#include <string.h>
#include <time.h>

#include "muster/clock.h"

static int64_t read_clock(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

char *rfc3339_format(char out[RFC3339_SIZE], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	int ms = (int)(wall_ms % 1000);
	struct tm tm;
	size_t used;

	if (ms < 0) {
		ms += 1000;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	used = strftime(out, RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + used, RFC3339_SIZE - used, ".%03dZ", ms);
	return out;
}

/* "+01:00" as minutes east; false when it is not one. */
static bool parse_offset(const char *text, int *ret_minutes)
{
	int hours, minutes, used = 0;

	if (text[0] == 'Z' || text[0] == 'z') {
		*ret_minutes = 0;
		return text[1] == 0;
	}
	if ((text[0] != '+' && text[0] != '-') ||
	    sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 ||
	    text[6] != 0)
		return false;
	*ret_minutes = (text[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
	return true;
}

bool rfc3339_parse(const char *text, int64_t *ret_wall_ms)
{
	struct tm tm = { 0 };
	const char *rest;
	int ms = 0, scale = 100, offset;

	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest || strlen(text) < 20)
		return false;
	if (*rest == '.') {
		if (rest[1] < '0' || rest[1] > '9')
			return false;
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			ms += (*rest - '0') * scale;
	}
	if (!parse_offset(rest, &offset))
		return false;
	*ret_wall_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
	return true;
}

bool http_date_parse(const char *text, int64_t *ret_wall_ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };
	char month[4];
	const char *found;
	int used = 0;

	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
		   &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
	    used == 0 || text[used] != 0)
		return false;
	found = strstr(months, month);
	if (!found || strlen(month) != 3 || (found - months) % 3 != 0)
		return false;
	tm.tm_mon = (int)(found - months) / 3;
	tm.tm_year -= 1900;
	*ret_wall_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}
