/* Devices of the journal that wait for the network, a run for each profile that they were begun with. */
#include "muster/station-sync.h"

#include <stdlib.h>
#include <string.h>

#include "brake.h"
#include "muster/config.h"
#include "muster/log.h"
#include "muster/station-hooks.h"

enum { PROFILES_MAX = 256 };

/* -- Which devices ------------------------------------------------------------------------------------------------- */

struct choice {
	const char *const *only; /* NULL: all */
	size_t only_count;
	const char *digest; /* of their profile; NULL: any */
	const char *kept;   /* the name of its copy */
};

static bool is_chosen(const struct choice *choice, const struct journal_device *device)
{
	if (choice->digest &&
	    (!device->profile_digest || strcmp(choice->digest, device->profile_digest) != 0))
		return false;
	for (size_t i = 0; i < choice->only_count; i++)
		if (strcmp(choice->only[i], device->registration_id) == 0)
			return true;
	return !choice->only;
}

/* A page of those that wait for the network; owned texts. */
struct page {
	struct journal *journal;
	const struct choice *choice;
	char last[129]; /* the last one looked at */
	struct waiter {
		char *registration_id, *serial, *profile_digest;
		char kept[SHA256_HEX_SIZE]; /* the name of the profile's copy */
	} rows[JOURNAL_PAGE_MAX];
	size_t count, next;
	struct station_passed *passed; /* NULL: nobody counts */
};

static void page_clear(struct page *page)
{
	for (size_t i = 0; i < page->count; i++) {
		free(page->rows[i].registration_id);
		free(page->rows[i].serial);
		free(page->rows[i].profile_digest);
	}
	page->count = page->next = 0;
}

static bool copy(char **target, const char *value)
{
	*target = value ? strdup(value) : NULL;
	return !value || *target;
}

static void count_passed(struct station_passed *passed, enum station_wait what)
{
	passed->for_device += what == STATION_WAITS_DEVICE;
	passed->for_person += what == STATION_WAITS_PERSON;
}

static bool take_device(void *context, const struct journal_device *device,
			struct muster_error *err)
{
	struct page *page = context;
	struct waiter *row = &page->rows[page->count];
	struct station_waiting waiting;

	snprintf(page->last, sizeof(page->last), "%s", device->registration_id);
	if (!is_chosen(page->choice, device))
		return true;
	if (!station_wait_look(page->journal, device, &waiting, err))
		return false;
	if (page->choice->kept && strcmp(page->choice->kept, waiting.kept_profile) != 0)
		return true;
	if (page->passed)
		count_passed(page->passed, waiting.what);
	if (waiting.what != STATION_WAITS_NETWORK || !device->profile_digest)
		return true;
	page->count++;
	*row = (struct waiter){ 0 };
	memcpy(row->kept, waiting.kept_profile, sizeof(row->kept));
	return (copy(&row->registration_id, device->registration_id) &&
		copy(&row->serial, device->serial) &&
		copy(&row->profile_digest, device->profile_digest)) ||
	       muster_fail_memory(err);
}

/* The next page that is not empty; count 0 at the end. */
static bool page_turn(struct page *page, struct muster_error *err)
{
	char after[sizeof(page->last)];
	size_t looked_at;

	page_clear(page);
	do {
		/* The walk itself moves the last one on. */
		memcpy(after, page->last, sizeof(after));
		if (!journal_unfinished(page->journal, after, take_device, page, &looked_at, err))
			return false;
	} while (page->count == 0 && looked_at > 0);
	return true;
}

/* -- Which profiles ------------------------------------------------------------------------------------------------ */

struct digests {
	struct {
		char digest[SHA256_HEX_SIZE];
		char kept[SHA256_HEX_SIZE];
		size_t devices;
	} rows[PROFILES_MAX];
	size_t count;
};

static bool add_digest(struct digests *digests, const struct waiter *waiter,
		       struct muster_error *err)
{
	size_t i = 0;

	while (i < digests->count && strcmp(digests->rows[i].kept, waiter->kept) != 0)
		i++;
	if (i == PROFILES_MAX)
		return muster_fail(err, CAUSE_USAGE,
				   "devices of more than %d profiles wait; name some of them",
				   PROFILES_MAX);
	if (i == digests->count) {
		snprintf(digests->rows[i].digest, SHA256_HEX_SIZE, "%s", waiter->profile_digest);
		memcpy(digests->rows[i].kept, waiter->kept, SHA256_HEX_SIZE);
		digests->count++;
	}
	digests->rows[i].devices++;
	return true;
}

static bool find_digests(struct page *page, struct digests *digests, struct muster_error *err)
{
	do {
		if (!page_turn(page, err))
			return false;
		for (size_t i = 0; i < page->count; i++)
			if (!add_digest(digests, &page->rows[i], err))
				return false;
	} while (page->count > 0);
	return true;
}

static bool list_digests(const char *journal_path, const struct choice *choice,
			 struct digests *digests, struct station_passed *passed,
			 struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(freep) struct page *page = calloc(1, sizeof(*page));
	bool good;

	if (!page)
		return muster_fail_memory(err);
	if (!journal_open(journal_path, JOURNAL_READ, &journal, err))
		return false;
	page->journal = journal;
	page->choice = choice;
	page->passed = passed;
	good = find_digests(page, digests, err);
	page_clear(page);
	return good;
}

/* -- Running ------------------------------------------------------------------------------------------------------- */

struct page_feed {
	struct feed feed; /* first */
	struct page page;
	struct brake brake;
};

static enum feed_state next_of_page(struct feed *feed, struct station_device *ret_device)
{
	struct page_feed *pages = (struct page_feed *)(void *)feed;
	struct page *page = &pages->page;
	const struct waiter *row;
	struct muster_error why;

	if (brake_has_stopped(&pages->brake))
		return FEED_OVER;
	if (brake_holds(&pages->brake))
		return FEED_LATER;
	if (page->next == page->count && !page_turn(page, &why)) {
		brake_stop(&pages->brake, &why);
		return FEED_OVER;
	}
	if (page->next == page->count)
		return FEED_OVER;
	pages->brake.under_way++;
	row = &page->rows[page->next++];
	*ret_device = (struct station_device){ .serial = row->serial,
					       .registration_id = row->registration_id };
	return FEED_DEVICE;
}

/* Whether a device is left that was not begun; what was parked meanwhile lies behind. */
static bool has_more(struct page *page, bool *ret_more, struct muster_error *err)
{
	if (page->next == page->count && !page_turn(page, err))
		return false;
	*ret_more = page->next < page->count;
	return true;
}

static bool end_profile(struct page_feed *feed, struct muster_error *err)
{
	bool has_left = true;

	if (brake_came_late(&feed->brake) && !has_more(&feed->page, &has_left, err))
		return false;
	*err = feed->brake.why;
	return !brake_has_stopped(&feed->brake) || !has_left;
}

static bool run_profile(const struct station_request *request, const struct choice *choice,
			size_t devices, struct http **http, struct profile_report *report,
			struct muster_error *err)
{
	CLEANUP(freep) struct page_feed *feed = calloc(1, sizeof(*feed));
	CLEANUP(run_done)
	struct run run = { .way = RUN_SYNC,
			   .kept_profile = choice->digest,
			   .brake = &feed->brake,
			   .shared_http = http };
	bool good;

	if (!feed)
		return muster_fail_memory(err);
	memcpy(run.kept_name, choice->kept, sizeof(run.kept_name));
	if (!run_prepare(&run, request, report, err)) {
		if (run.profile.name)
			muster_error_prefix(err, "%zu devices of profile '%s'", devices,
					    PRINTABLE(run.profile.name));
		return false;
	}
	*feed = (struct page_feed){ .feed = { .next = next_of_page },
				    .page = { .journal = run.journal, .choice = choice } };
	good = loop_run(&run, &feed->feed, err);
	good = good && end_profile(feed, err);
	page_clear(&feed->page);
	return good;
}

/* The profile's own: its masters, its token, a copy that is gone. A PIN, the service and the journal are all profiles'. */
static bool is_of_profile(enum muster_cause cause)
{
	return cause == CAUSE_PROFILE_NOT_KEPT || cause < 4200 || (cause >= 4300 && cause < 5000);
}

/* What hinders one profile hinders no other. The first that was hindered is told. */
static bool run_profiles(const struct station_request *request, struct choice *choice,
			 const struct digests *digests, struct profile_report *report,
			 struct muster_error *err)
{
	/* One for all: a login of the proxy that is read from a descriptor or typed is there once. */
	CLEANUP(http_freep) struct http *http = NULL;
	bool all_good = true;

	for (size_t i = 0; i < digests->count; i++) {
		CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
		struct muster_error failure;

		if (i > 0 && loop_signal())
			return muster_fail(err, CAUSE_INTERRUPTED, "stopped by a signal");

		choice->digest = digests->rows[i].digest;
		choice->kept = digests->rows[i].kept;
		if (run_profile(request, choice, digests->rows[i].devices, &http, &mistakes,
				&failure))
			continue;
		if (all_good || !is_of_profile(failure.cause)) {
			profile_report_done(report);
			*report = mistakes;
			mistakes = (struct profile_report){ 0 };
			*err = failure;
		}
		if (!is_of_profile(failure.cause))
			return false;
		log_warning("%s, going on", failure.message);
		all_good = false;
	}
	return all_good;
}

static bool find_journal(const struct station_request *request, struct profile_report *report,
			 char **ret_path, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };

	if (!request->journal_path && !config_load(&config, report, err))
		return false;
	return journal_path_choose(request->journal_path, config.journal, ret_path, err);
}

/* Hooks whose events wait are served even when no device waits. */
static bool serve_hooks(const char *journal_path, struct profile_report *report,
			struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(hooks_freep) struct hooks *hooks = NULL;

	return config_load(&config, report, err) &&
	       hooks_open(&config, journal_path, NULL, NULL, &hooks, err);
}

bool station_sync(const struct station_request *request, const char *const *only, size_t only_count,
		  struct station_passed *ret_passed, struct profile_report *report,
		  struct muster_error *err)
{
	struct choice choice = { .only = only, .only_count = only_count };
	CLEANUP(freep) struct digests *digests = calloc(1, sizeof(*digests));
	CLEANUP(freep) char *journal_path = NULL;

	*ret_passed = (struct station_passed){ 0 };
	if (!digests)
		return muster_fail_memory(err);
	return find_journal(request, report, &journal_path, err) &&
	       list_digests(journal_path, &choice, digests, ret_passed, err) &&
	       (digests->count > 0 || serve_hooks(journal_path, report, err)) &&
	       run_profiles(request, &choice, digests, report, err);
}
