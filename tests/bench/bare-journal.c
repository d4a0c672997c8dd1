/* What `scripts/bench batch` holds muster against, the journal's part: the rows of a journal that muster wrote are written into a
 * new one with the same tables, settings and number of commits, and the keys of its devices are derived.
 *   bare-journal JOURNAL NEW COMMITS
 * Reads all rows first, says "ready", waits for a line, writes, and says how many entries and devices there were. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sqlite3.h>

enum { COLUMNS_MAX = 40, KEYS_PER_DEVICE = 2 };

struct table {
	int columns;
	char names[COLUMNS_MAX][32];
	sqlite3_value ***rows; /* copies */
	size_t count, room;
};

static sqlite3 *source, *target;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bare-journal: %s: %s %s\n", what, sqlite3_errmsg(source),
		target ? sqlite3_errmsg(target) : "");
	exit(1);
}

static void must(int code, const char *what)
{
	if (code != SQLITE_OK)
		die(what);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;

	must(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), sql);
	return statement;
}

static void *must_have(void *memory)
{
	if (!memory)
		die("no memory");
	return memory;
}

/* -- What muster wrote ------------------------------------------------------------------------------------------------- */

static void read_table(struct table *table, const char *sql)
{
	sqlite3_stmt *statement = prepare(source, sql);

	table->columns = sqlite3_column_count(statement);
	for (int i = 0; i < table->columns; i++)
		snprintf(table->names[i], sizeof(table->names[i]), "%s",
			 sqlite3_column_name(statement, i));
	while (sqlite3_step(statement) == SQLITE_ROW) {
		sqlite3_value **row = must_have(calloc((size_t)table->columns, sizeof(*row)));

		for (int i = 0; i < table->columns; i++)
			row[i] = must_have(sqlite3_value_dup(sqlite3_column_value(statement, i)));
		if (table->count == table->room) {
			table->room = table->room ? 2 * table->room : 1024;
			table->rows =
				must_have(realloc(table->rows, table->room * sizeof(*table->rows)));
		}
		table->rows[table->count++] = row;
	}
	sqlite3_finalize(statement);
}

static int column_of(const struct table *table, const char *name)
{
	for (int i = 0; i < table->columns; i++)
		if (strcmp(table->names[i], name) == 0)
			return i;
	die(name);
}

static int by_registration_id(const void *key, const void *element)
{
	sqlite3_value *const *row = *(sqlite3_value *const *const *)element;

	return strcmp(key, (const char *)sqlite3_value_text(row[0]));
}

/* All columns but the number that SQLite gives: the registration ID is the first, and the rows are in its order. */
static void read_devices(struct table *table)
{
	sqlite3_stmt *names = prepare(
		source,
		"SELECT 'SELECT ' || group_concat(name) || ' FROM device ORDER BY registration_id' "
		"FROM pragma_table_info('device') WHERE name <> 'id'");

	if (sqlite3_step(names) != SQLITE_ROW)
		die("listing columns");
	read_table(table, (const char *)sqlite3_column_text(names, 0));
	sqlite3_finalize(names);
}

static sqlite3_value **find_device(const struct table *devices, const char *registration_id)
{
	sqlite3_value ***found = bsearch(registration_id, devices->rows, devices->count,
					 sizeof(*devices->rows), by_registration_id);

	return found ? *found : NULL;
}

/* -- The same once more ------------------------------------------------------------------------------------------------ */

static void execute(const char *sql)
{
	must(sqlite3_exec(target, sql, NULL, NULL, NULL), sql);
}

static void make_tables(void)
{
	sqlite3_stmt *schema = prepare(
		source, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid");

	execute("PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
		"PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA recursive_triggers = ON; BEGIN");
	while (sqlite3_step(schema) == SQLITE_ROW)
		execute((const char *)sqlite3_column_text(schema, 0));
	execute("COMMIT");
	sqlite3_finalize(schema);
}

static void add(char *sql, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add(char *sql, size_t size, const char *format, ...)
{
	size_t used = strlen(sql);
	va_list list;

	va_start(list, format);
	vsnprintf(sql + used, size - used, format, list);
	va_end(list);
}

static sqlite3_stmt *prepare_insert(const struct table *table, const char *name, int is_upsert)
{
	char sql[8192] = "";

	add(sql, sizeof(sql), "INSERT INTO %s(", name);
	for (int i = 0; i < table->columns; i++)
		add(sql, sizeof(sql), "%s%s", i > 0 ? ", " : "", table->names[i]);
	add(sql, sizeof(sql), ") VALUES(?");
	for (int i = 1; i < table->columns; i++)
		add(sql, sizeof(sql), ", ?");
	add(sql, sizeof(sql), ")%s",
	    is_upsert ? " ON CONFLICT(registration_id) DO UPDATE SET attempt = excluded.attempt"
		      : "");
	for (int i = 0; is_upsert && i < table->columns; i++)
		if (strcmp(table->names[i], "registration_id") != 0 &&
		    strcmp(table->names[i], "created_ms") != 0 &&
		    strcmp(table->names[i], "attempt") != 0)
			add(sql, sizeof(sql), ", %s = excluded.%s", table->names[i],
			    table->names[i]);
	return prepare(target, sql);
}

static void insert(sqlite3_stmt *statement, const struct table *table, sqlite3_value *const *row)
{
	for (int i = 0; i < table->columns; i++)
		must(sqlite3_bind_value(statement, i + 1, row[i]), "binding");
	if (sqlite3_step(statement) != SQLITE_DONE)
		die("inserting");
	sqlite3_reset(statement);
}

static void derive(const unsigned char *registration_id)
{
	static const unsigned char master[32] = "0123456789abcdef0123456789abcde";
	unsigned char mac[32];
	unsigned size = sizeof(mac);

	for (int i = 0; i < KEYS_PER_DEVICE; i++)
		if (!HMAC(EVP_sha256(), master, sizeof(master), registration_id,
			  strlen((const char *)registration_id), mac, &size))
			die("HMAC");
}

static void write_all(const struct table *entries, const struct table *devices, size_t commits)
{
	sqlite3_stmt *append = prepare_insert(entries, "entry", 0);
	sqlite3_stmt *put = prepare_insert(devices, "device", 1);
	int id = column_of(entries, "registration_id"), stage = column_of(entries, "stage");
	int kind = column_of(entries, "kind");
	size_t done = 0;

	for (size_t i = 0; i < entries->count; i++) {
		sqlite3_value *const *entry = entries->rows[i];
		const char *name = (const char *)sqlite3_value_text(entry[id]);
		sqlite3_value **device = find_device(devices, name);

		if (i == entries->count * done / commits)
			execute("BEGIN IMMEDIATE");
		insert(append, entries, entry);
		if (device && strcmp((const char *)sqlite3_value_text(entry[stage]), "device") == 0)
			insert(put, devices, device);
		if (device && strcmp((const char *)sqlite3_value_text(entry[kind]), "intent") == 0)
			derive(sqlite3_value_text(entry[id]));
		if (i + 1 == entries->count * (done + 1) / commits) {
			execute("COMMIT");
			done++;
		}
	}
	sqlite3_finalize(append);
	sqlite3_finalize(put);
}

int main(int argc, char **argv)
{
	struct table entries = { 0 }, devices = { 0 };
	unsigned long commits;

	if (argc != 4 || (commits = strtoul(argv[3], NULL, 10)) == 0) {
		fprintf(stderr, "usage: bare-journal JOURNAL NEW COMMITS\n");
		return 2;
	}
	must(sqlite3_open_v2(argv[1], &source, SQLITE_OPEN_READONLY, NULL), "opening");
	must(sqlite3_open_v2(argv[2], &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
	     "making");
	read_table(&entries, "SELECT * FROM entry ORDER BY seq");
	read_devices(&devices);
	make_tables();
	printf("ready\n");
	fflush(stdout);
	if (getchar() == EOF)
		die("nobody says when");
	write_all(&entries, &devices, commits);
	must(sqlite3_close(target), "closing");
	printf("%zu entries, %zu devices\n", entries.count, devices.count);
	return 0;
}
