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

/* Reads text by a pattern: a digit for each '0' (the numbers between other characters go to ret_numbers, in
 * order), anything else as it stands. Returns what follows, or NULL. */
static const char *read_pattern(const char *text, const char *pattern, int *ret_numbers)
{
	for (; *pattern; text++, pattern++) {
		if (*pattern != '0') {
			if (*text != *pattern)
				return NULL;
			continue;
		}
		if (*text < '0' || *text > '9')
			return NULL;
		*ret_numbers = *ret_numbers * 10 + (*text - '0');
		if (pattern[1] != '0')
			ret_numbers++;
	}
	return text;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Month from 1. A leap second (:60) is taken as the first second of the next minute. */
static bool make_wall_ms(const int date[3], const int time[3], int64_t *ret_wall_ms)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year = date[0], month = date[1], day = date[2];
	struct tm tm = { .tm_year = year - 1900,
			 .tm_mon = month - 1,
			 .tm_mday = day,
			 .tm_hour = time[0],
			 .tm_min = time[1],
			 .tm_sec = time[2] };

	if (month < 1 || month > 12 || day < 1 ||
	    day > days[month - 1] + (month == 2 && is_leap(year)) || time[0] > 23 || time[1] > 59 ||
	    time[2] > 60)
		return false;
	*ret_wall_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

/* "Z" or "+01:00" as minutes east; false when it is neither. */
static bool parse_offset(const char *text, int *ret_minutes)
{
	int parts[2] = { 0 };
	const char *rest;

	if ((text[0] == 'Z' || text[0] == 'z') && text[1] == 0) {
		*ret_minutes = 0;
		return true;
	}
	if (text[0] != '+' && text[0] != '-')
		return false;
	rest = read_pattern(text + 1, "00:00", parts);
	if (!rest || *rest || parts[0] > 23 || parts[1] > 59)
		return false;
	*ret_minutes = (text[0] == '-' ? -1 : 1) * (parts[0] * 60 + parts[1]);
	return true;
}

/* ".25" as 250, or nothing as 0; moves *rest behind it. */
static bool parse_fraction(const char **rest, int *ret_ms)
{
	const char *at = *rest;
	int scale = 100, ms = 0;

	if (*at == '.') {
		at++;
		if (*at < '0' || *at > '9')
			return false;
		for (; *at >= '0' && *at <= '9'; at++, scale /= 10)
			ms += (*at - '0') * scale;
	}
	*rest = at;
	*ret_ms = ms;
	return true;
}

bool rfc3339_parse(const char *text, int64_t *ret_wall_ms)
{
	int date[3] = { 0 }, time[3] = { 0 }, ms, offset;
	const char *rest = read_pattern(text, "0000-00-00", date);
	int64_t wall_ms;

	if (!rest || (*rest != 'T' && *rest != 't'))
		return false;
	rest = read_pattern(rest + 1, "00:00:00", time);
	if (!rest || !parse_fraction(&rest, &ms) || !parse_offset(rest, &offset) ||
	    !make_wall_ms(date, time, &wall_ms))
		return false;
	*ret_wall_ms = wall_ms - (int64_t)offset * 60000 + ms;
	return true;
}

/* The number from 1 of the three-letter name at text in a list of such names, or 0. */
static int find_name(const char *text, const char *names)
{
	for (int i = 0; names[3 * i]; i++)
		if (strncmp(text, names + 3 * i, 3) == 0)
			return i + 1;
	return 0;
}

bool http_date_parse(const char *text, int64_t *ret_wall_ms)
{
	int day = 0, month, year_time[4] = { 0 };
	const char *rest;

	if (!find_name(text, "SunMonTueWedThuFriSat"))
		return false;
	rest = read_pattern(text + 3, ", 00 ", &day);
	month = rest ? find_name(rest, "JanFebMarAprMayJunJulAugSepOctNovDec") : 0;
	if (month == 0)
		return false;
	rest = read_pattern(rest + 3, " 0000 00:00:00 GMT", year_time);
	return rest && !*rest &&
	       make_wall_ms((int[]){ year_time[0], month, day }, year_time + 1, ret_wall_ms);
}
