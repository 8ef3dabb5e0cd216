/* A program that uses libdittoffi as its header says: opens a peer, executes, observes, closes; and does each thing
 * wrong once. It prints "ok" and ends with 0, or says what it expected where.
 *
 *     consumer DIRECTORY
 */
#include "dittoffi.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_SECONDS 60

#define EXPECT(condition)                                                                      \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);           \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static dittoffi_slice_t slice(const char *text)
{
    dittoffi_slice_t slice = { (const uint8_t *)text, strlen(text) };
    return slice;
}

static const dittoffi_slice_t NOTHING = { NULL, 0 };

static int same(const uint8_t *ptr, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(ptr, text, len) == 0;
}

/* Ends the program unless the call succeeded. */
static void succeed(int line, dittoffi_error_t *error)
{
    if (error != NULL) {
        dittoffi_slice_t message = dittoffi_error_message(error);
        fprintf(stderr, "line %d: error %" PRIu32 ": %.*s\n", line, dittoffi_error_code(error), (int)message.len,
                (const char *)message.ptr);
        exit(1);
    }
}
#define SUCCEED(call) succeed(__LINE__, call)

/* Ends the program unless the call failed with that code and a message. */
static void fail(int line, uint32_t code, dittoffi_error_t *error)
{
    if (error == NULL || dittoffi_error_code(error) != code || dittoffi_error_message(error).len == 0) {
        fprintf(stderr, "line %d: expected error %" PRIu32 ", found %" PRIu32 "\n", line, code,
                error == NULL ? 0 : dittoffi_error_code(error));
        exit(1);
    }
    dittoffi_error_t *again = dittoffi_error_clone(error);
    dittoffi_error_free(error);
    EXPECT(dittoffi_error_code(again) == code);
    dittoffi_error_free(again);
}
#define FAIL(code, call) fail(__LINE__, code, call)

/* Just enough CBOR to write a configuration. */
typedef struct {
    uint8_t bytes[4096];
    size_t len;
} cbor_t;

static void cbor_head(cbor_t *cbor, unsigned major, size_t value)
{
    EXPECT(value < 0x10000 && cbor->len + 3 < sizeof cbor->bytes);
    if (value < 24) {
        cbor->bytes[cbor->len++] = (uint8_t)(major << 5 | value);
    } else {
        cbor->bytes[cbor->len++] = (uint8_t)(major << 5 | 25);
        cbor->bytes[cbor->len++] = (uint8_t)(value >> 8);
        cbor->bytes[cbor->len++] = (uint8_t)value;
    }
}

static void cbor_text(cbor_t *cbor, const char *text)
{
    cbor_head(cbor, 3, strlen(text));
    EXPECT(cbor->len + strlen(text) < sizeof cbor->bytes);
    memcpy(cbor->bytes + cbor->len, text, strlen(text));
    cbor->len += strlen(text);
}

static dittoffi_slice_t cbor_slice(const cbor_t *cbor)
{
    dittoffi_slice_t slice = { cbor->bytes, cbor->len };
    return slice;
}

static cbor_t configuration(const char *directory)
{
    cbor_t cbor = { .len = 0 };
    cbor_head(&cbor, 5, 3);
    cbor_text(&cbor, "database_id");
    cbor_text(&cbor, "consumer");
    cbor_text(&cbor, "connect");
    cbor_head(&cbor, 5, 1);
    cbor_text(&cbor, "type");
    cbor_text(&cbor, "small_peers_only");
    cbor_text(&cbor, "directory");
    cbor_text(&cbor, directory);
    return cbor;
}

static dittoffi_query_result_t *execute(const dittoffi_peer_t *peer, const char *query)
{
    dittoffi_query_result_t *result = NULL;
    SUCCEED(dittoffi_peer_execute(peer, slice(query), NOTHING, &result));
    EXPECT(result != NULL);
    return result;
}

/* What the observer's callback has seen. */
typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t items;
    int calls;
    int releases;
} seen_t;

static void on_change(void *context, dittoffi_query_result_t *result, dittoffi_signal_t *signal)
{
    seen_t *seen = context;
    pthread_mutex_lock(&seen->mutex);
    seen->items = dittoffi_query_result_item_count(result);
    seen->calls++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->mutex);
    dittoffi_query_result_free(result);
    dittoffi_signal_next(signal);
}

static void on_release(void *context)
{
    seen_t *seen = context;
    pthread_mutex_lock(&seen->mutex);
    seen->releases++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->mutex);
}

/* Waits until a callback has shown so many items and the context was released so often. */
static void await(seen_t *seen, size_t items, int releases)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;
    pthread_mutex_lock(&seen->mutex);
    while (seen->calls == 0 || seen->items != items || seen->releases != releases) {
        EXPECT(pthread_cond_timedwait(&seen->changed, &seen->mutex, &deadline) == 0);
    }
    pthread_mutex_unlock(&seen->mutex);
}

static void on_log(void *context, uint8_t level, dittoffi_slice_t message)
{
    int *lines = context;
    EXPECT(level >= 1 && level <= 5 && message.len > 0);
    ++*lines;
}

static void count_release(void *context)
{
    *(int *)context += 1000;
}

static void logging(void)
{
    int lines = 0;
    dittoffi_log_callback_t callback = { &lines, on_log, count_release };
    EXPECT(dittoffi_logger_get_enabled());
    EXPECT(dittoffi_logger_get_minimum_level() == DITTOFFI_LOG_LEVEL_WARNING);
    SUCCEED(dittoffi_logger_set_callback(callback));
    SUCCEED(dittoffi_logger_log(DITTOFFI_LOG_LEVEL_WARNING, slice("a warning of the consumer")));
    SUCCEED(dittoffi_logger_log(DITTOFFI_LOG_LEVEL_INFO, slice("not wanted")));
    EXPECT(lines == 1);
    dittoffi_logger_set_minimum_level(DITTOFFI_LOG_LEVEL_INFO);
    SUCCEED(dittoffi_logger_log(DITTOFFI_LOG_LEVEL_INFO, slice("wanted")));
    EXPECT(lines == 2);
    dittoffi_logger_set_enabled(false);
    SUCCEED(dittoffi_logger_log(DITTOFFI_LOG_LEVEL_ERROR, slice("off")));
    EXPECT(lines == 2);
    dittoffi_logger_set_enabled(true);
    dittoffi_logger_set_minimum_level(DITTOFFI_LOG_LEVEL_WARNING);
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_logger_log(9, slice("no such level")));
    dittoffi_logger_clear_callback();
    EXPECT(lines == 1002);
    /* A callback that is refused is released all the same. */
    callback.call = NULL;
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_logger_set_callback(callback));
    EXPECT(lines == 2002);
}

/* What beginning a transaction has led to. */
typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    dittoffi_error_t *error;
    dittoffi_transaction_t *transaction;
    dittoffi_query_result_t *result;
    int calls;
    int releases;
} begun_t;

#define NOT_BEGUN { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static void on_begun(void *context, dittoffi_error_t *error, dittoffi_transaction_t *transaction)
{
    begun_t *begun = context;
    pthread_mutex_lock(&begun->mutex);
    EXPECT((error == NULL) != (transaction == NULL));
    begun->error = error;
    begun->transaction = transaction;
    begun->calls++;
    pthread_cond_broadcast(&begun->changed);
    pthread_mutex_unlock(&begun->mutex);
}

static void on_executed(void *context, dittoffi_error_t *error, dittoffi_query_result_t *result)
{
    begun_t *executed = context;
    pthread_mutex_lock(&executed->mutex);
    EXPECT((error == NULL) != (result == NULL));
    executed->error = error;
    executed->result = result;
    executed->calls++;
    pthread_cond_broadcast(&executed->changed);
    pthread_mutex_unlock(&executed->mutex);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static void on_begun_release(void *context)
{
    begun_t *begun = context;
    pthread_mutex_lock(&begun->mutex);
    begun->releases++;
    pthread_cond_broadcast(&begun->changed);
    pthread_mutex_unlock(&begun->mutex);
}

static dittoffi_error_t *begin(const dittoffi_peer_t *peer, const char *hint, bool is_read_only, begun_t *begun)
{
    dittoffi_begun_callback_t callback = { begun, on_begun, on_begun_release };
    return dittoffi_peer_begin_transaction(peer, slice(hint), is_read_only, callback);
}

static dittoffi_error_t *execute_later(const dittoffi_peer_t *peer, const char *query, bool (*is_wanted)(void *),
                                       begun_t *executed)
{
    dittoffi_executed_callback_t callback = { executed, on_executed, is_wanted, on_begun_release };
    return dittoffi_peer_execute_later(peer, slice(query), NOTHING, callback);
}

/* Waits until the callback was called and released. */
static void await_begun(begun_t *begun)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;
    pthread_mutex_lock(&begun->mutex);
    while (begun->calls == 0 || begun->releases == 0) {
        EXPECT(pthread_cond_timedwait(&begun->changed, &begun->mutex, &deadline) == 0);
    }
    EXPECT(begun->calls == 1 && begun->releases == 1);
    pthread_mutex_unlock(&begun->mutex);
}

static dittoffi_query_result_t *execute_in(const dittoffi_transaction_t *transaction, const char *query)
{
    dittoffi_query_result_t *result = NULL;
    SUCCEED(dittoffi_transaction_execute(transaction, slice(query), NOTHING, &result));
    EXPECT(result != NULL);
    return result;
}

static size_t count(const dittoffi_peer_t *peer, const char *query)
{
    dittoffi_query_result_t *result = execute(peer, query);
    size_t items = dittoffi_query_result_item_count(result);
    dittoffi_query_result_free(result);
    return items;
}

static void transactions(const dittoffi_peer_t *peer)
{
    dittoffi_query_result_t *result = NULL;

    /* Nobody writes: it begins at once. */
    begun_t first = NOT_BEGUN;
    SUCCEED(begin(peer, "first", false, &first));
    EXPECT(first.calls == 1 && first.releases == 1 && first.transaction != NULL);
    dittoffi_query_result_t *inserted = execute_in(first.transaction, "INSERT INTO trees DOCUMENTS ({'_id': 1})");
    EXPECT(dittoffi_query_result_commit_id(inserted) == 0);
    FAIL(DITTOFFI_ERROR_CODE_DQL_EVALUATION_ERROR,
         dittoffi_transaction_execute(first.transaction, slice("INSERT INTO trees DOCUMENTS ({'_id': 1})"), NOTHING,
                                      &result));
    result = execute_in(first.transaction, "SELECT * FROM trees");
    EXPECT(dittoffi_query_result_item_count(result) == 1 && count(peer, "SELECT * FROM trees") == 0);
    dittoffi_query_result_free(result);
    result = NULL;

    /* The next one waits for it; a plain statement would have to. */
    begun_t second = NOT_BEGUN;
    SUCCEED(begin(peer, "", false, &second));
    EXPECT(second.calls == 0 && second.releases == 0);
    SUCCEED(dittoffi_peer_try_execute(peer, slice("DELETE FROM trees"), NOTHING, &result));
    EXPECT(result == NULL);
    SUCCEED(dittoffi_peer_try_execute(peer, slice("SELECT * FROM trees"), NOTHING, &result));
    EXPECT(result != NULL);
    dittoffi_query_result_free(result);
    result = NULL;
    begun_t later = NOT_BEGUN;
    SUCCEED(execute_later(peer, "UPDATE trees SET kind = 'oak'", NULL, &later));
    begun_t unwanted = NOT_BEGUN;
    SUCCEED(execute_later(peer, "DELETE FROM trees", never, &unwanted));
    EXPECT(later.calls == 0 && unwanted.calls == 0);

    /* What would wait for itself is an error. */
    dittoffi_transaction_enter(first.transaction);
    FAIL(DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED,
         dittoffi_peer_execute(peer, slice("DELETE FROM trees"), NOTHING, &result));
    begun_t nested = NOT_BEGUN;
    SUCCEED(begin(peer, "nested", false, &nested));
    EXPECT(nested.transaction == NULL && nested.releases == 1);
    FAIL(DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED, nested.error);
    dittoffi_transaction_leave(first.transaction);

    /* A reader does not wait, and stays at its moment. */
    begun_t reader = NOT_BEGUN;
    SUCCEED(begin(peer, "reader", true, &reader));
    EXPECT(reader.transaction != NULL);
    FAIL(DITTOFFI_ERROR_CODE_STORE_TRANSACTION_READ_ONLY,
         dittoffi_transaction_execute(reader.transaction, slice("DELETE FROM trees WHERE false"), NOTHING, &result));

    uint64_t commit_id = 0;
    SUCCEED(dittoffi_transaction_commit(first.transaction, &commit_id));
    EXPECT(commit_id > 0 && dittoffi_query_result_commit_id(inserted) == commit_id);
    dittoffi_query_result_free(inserted);
    FAIL(DITTOFFI_ERROR_CODE_STORE_QUERY, dittoffi_transaction_commit(first.transaction, NULL));
    result = execute_in(reader.transaction, "SELECT * FROM trees");
    EXPECT(dittoffi_query_result_item_count(result) == 0 && count(peer, "SELECT * FROM trees") == 1);
    dittoffi_query_result_free(result);
    result = NULL;
    SUCCEED(dittoffi_transaction_commit(reader.transaction, &commit_id));
    EXPECT(commit_id == 0);

    /* It is the second one's turn, which is rolled back. */
    await_begun(&second);
    EXPECT(second.transaction != NULL);
    dittoffi_buffer_t ids[2];
    SUCCEED(dittoffi_transaction_id(first.transaction, &ids[0]));
    SUCCEED(dittoffi_transaction_id(second.transaction, &ids[1]));
    EXPECT(ids[0].len > 0 && (ids[0].len != ids[1].len || memcmp(ids[0].ptr, ids[1].ptr, ids[0].len) != 0));
    dittoffi_buffer_free(ids[0]);
    dittoffi_buffer_free(ids[1]);
    dittoffi_query_result_free(execute_in(second.transaction, "DELETE FROM trees"));
    dittoffi_transaction_rollback(second.transaction);
    dittoffi_transaction_rollback(second.transaction);
    FAIL(DITTOFFI_ERROR_CODE_STORE_QUERY,
         dittoffi_transaction_execute(second.transaction, slice("SELECT * FROM trees"), NOTHING, &result));

    /* Then come the statements, unless nobody wants them any more. */
    await_begun(&later);
    EXPECT(later.error == NULL && dittoffi_query_result_commit_id(later.result) > 0);
    dittoffi_query_result_free(later.result);
    await_begun(&unwanted);
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED, unwanted.error);
    EXPECT(count(peer, "SELECT * FROM trees WHERE kind = 'oak'") == 1);

    /* One that is freed is rolled back, by its last handle. */
    begun_t third = NOT_BEGUN;
    SUCCEED(begin(peer, "third", false, &third));
    EXPECT(third.transaction != NULL);
    dittoffi_query_result_free(execute_in(third.transaction, "DELETE FROM trees"));
    dittoffi_transaction_t *again = dittoffi_transaction_clone(third.transaction);
    dittoffi_transaction_free(third.transaction);
    dittoffi_query_result_free(execute_in(again, "SELECT * FROM trees"));
    dittoffi_transaction_free(again);
    EXPECT(count(peer, "SELECT * FROM trees") == 1);

    /* What is wrong is told at once, and the callback released uncalled. */
    begun_t wrong = NOT_BEGUN;
    dittoffi_begun_callback_t no_call = { &wrong, NULL, on_begun_release };
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_begin_transaction(peer, NOTHING, false, no_call));
    begun_t no_peer = NOT_BEGUN;
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, execute_later(NULL, "SELECT * FROM trees", NULL, &no_peer));
    EXPECT(no_peer.calls == 0 && no_peer.releases == 1);
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, begin(NULL, "", false, &wrong));
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, begin(peer, "\xff", false, &wrong));
    EXPECT(wrong.calls == 0 && wrong.releases == 3);
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_transaction_commit(NULL, NULL));
    dittoffi_transaction_rollback(NULL);
    dittoffi_transaction_enter(NULL);
    dittoffi_transaction_leave(NULL);
    dittoffi_transaction_free(NULL);
    dittoffi_transaction_free(first.transaction);
    dittoffi_transaction_free(second.transaction);
    dittoffi_transaction_free(reader.transaction);
}

/* What whoever watches long work has seen, and how often they want to be called. */
typedef struct {
    uint64_t done;
    uint64_t total;
    int calls;
    int enough;
    int releases;
} watch_t;

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
    watch_t *watch = context;
    EXPECT(done >= watch->done && done <= total);
    watch->done = done;
    watch->total = total;
    return ++watch->calls != watch->enough;
}

static void on_watch_release(void *context)
{
    ((watch_t *)context)->releases++;
}

static dittoffi_progress_callback_t watched_by(watch_t *watch)
{
    dittoffi_progress_callback_t callback = { watch, on_progress, on_watch_release };
    return callback;
}

static bool contains(dittoffi_buffer_t buffer, const char *text)
{
    for (size_t at = 0; at + strlen(text) <= buffer.len; at++) {
        if (memcmp(buffer.ptr + at, text, strlen(text)) == 0) {
            return true;
        }
    }
    return false;
}

/* Expects a buffer with that text, and frees it. */
static void said(int line, dittoffi_buffer_t buffer, const char *text)
{
    if (!contains(buffer, text)) {
        fprintf(stderr, "line %d: expected %s in %.*s\n", line, text, (int)buffer.len, (const char *)buffer.ptr);
        exit(1);
    }
    dittoffi_buffer_free(buffer);
}
#define SAID(buffer, text) said(__LINE__, buffer, text)

/* Enough documents that long work has something to tell. */
static void fill(const dittoffi_peer_t *peer, int documents)
{
    char statement[256];
    for (int id = 0; id < documents; id++) {
        snprintf(statement, sizeof statement, "INSERT INTO stones DOCUMENTS ({'_id': %d, 'weight': %d})", id, id % 7);
        dittoffi_query_result_free(execute(peer, statement));
    }
}

static void on_usage(void *context, dittoffi_slice_t usage)
{
    seen_t *seen = context;
    EXPECT(usage.len > 0 && usage.ptr[0] == '{');
    pthread_mutex_lock(&seen->mutex);
    seen->calls++;
    seen->items = contains((dittoffi_buffer_t){ (uint8_t *)usage.ptr, usage.len, 0 }, "/backup/") ? 1 : 0;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->mutex);
}

static void maintenance(const dittoffi_peer_t *peer, const char *directory)
{
    dittoffi_buffer_t buffer = { 0 };
    char path[4096];
    EXPECT(snprintf(path, sizeof path, "%s/backup", directory) < (int)sizeof path);
    fill(peer, 1500);

    /* Somebody watches, or nobody does, or they have seen enough. */
    watch_t watch = { 0 };
    SUCCEED(dittoffi_peer_verify(peer, watched_by(&watch), &buffer));
    EXPECT(watch.calls > 1 && watch.done == watch.total && watch.releases == 1);
    SAID(buffer, "\"inconsistent\":0");
    SUCCEED(dittoffi_peer_verify(peer, (dittoffi_progress_callback_t){ 0 }, &buffer));
    SAID(buffer, "\"inconsistencies\":[]");
    watch_t enough = { .enough = 1 };
    FAIL(DITTOFFI_ERROR_CODE_CANCELLED, dittoffi_peer_verify(peer, watched_by(&enough), &buffer));
    EXPECT(enough.calls == 1 && enough.releases == 1);

    seen_t usage = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    dittoffi_disk_usage_callback_t callback = { &usage, on_usage, on_release };
    dittoffi_disk_usage_observer_t *observer = NULL;
    SUCCEED(dittoffi_peer_observe_disk_usage(peer, callback, &observer));
    await(&usage, 0, 0);

    watch = (watch_t){ 0 };
    SUCCEED(dittoffi_peer_backup(peer, slice(path), watched_by(&watch), &buffer));
    EXPECT(watch.calls >= 1 && watch.done == watch.total && watch.releases == 1);
    SAID(buffer, "\"commit_id\":");
    FAIL(DITTOFFI_ERROR_CODE_IO_ALREADY_EXISTS,
         dittoffi_peer_backup(peer, slice(path), (dittoffi_progress_callback_t){ 0 }, &buffer));
    await(&usage, 1, 0);
    dittoffi_disk_usage_observer_t *again = dittoffi_disk_usage_observer_clone(observer);
    dittoffi_disk_usage_observer_free(observer);
    dittoffi_disk_usage_observer_cancel(again);
    dittoffi_disk_usage_observer_cancel(again);
    dittoffi_disk_usage_observer_free(again);
    await(&usage, 1, 1);
    SUCCEED(dittoffi_peer_disk_usage(peer, &buffer));
    SAID(buffer, "\"fs_type\":\"Directory\"");
    cbor_t config = configuration(path);
    dittoffi_peer_t *restored = NULL;
    SUCCEED(dittoffi_peer_open(cbor_slice(&config), &restored));
    EXPECT(count(restored, "SELECT * FROM stones") == 1500);
    dittoffi_peer_free(restored);

    watch = (watch_t){ 0 };
    SUCCEED(dittoffi_peer_compact(peer, watched_by(&watch), &buffer));
    EXPECT(watch.calls > 1 && watch.done == watch.total && watch.releases == 1);
    SAID(buffer, "\"bytes_after\":");
    enough = (watch_t){ .enough = 1 };
    FAIL(DITTOFFI_ERROR_CODE_CANCELLED, dittoffi_peer_compact(peer, watched_by(&enough), &buffer));
    SUCCEED(dittoffi_peer_collections(peer, &buffer));
    SAID(buffer, "\"documents\":1500");

    /* What is wrong is told at once, and the callback released uncalled. */
    watch = (watch_t){ 0 };
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_verify(NULL, watched_by(&watch), &buffer));
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_compact(peer, watched_by(&watch), NULL));
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_backup(peer, NOTHING, watched_by(&watch), &buffer));
    EXPECT(watch.calls == 0 && watch.releases == 3);
    callback.call = NULL;
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_observe_disk_usage(peer, callback, &observer));
    await(&usage, 1, 2);
    dittoffi_disk_usage_observer_cancel(NULL);
    dittoffi_disk_usage_observer_free(NULL);
}

static void bad_input(const dittoffi_peer_t *peer)
{
    dittoffi_query_result_t *result = NULL;
    dittoffi_slice_t bad_text = { (const uint8_t *)"SELECT \xff", 8 };
    dittoffi_slice_t missing = { NULL, 7 };
    dittoffi_slice_t bad_cbor = { (const uint8_t *)"\xbf", 1 };
    dittoffi_slice_t not_a_map = { (const uint8_t *)"\x01", 1 };
    dittoffi_slice_t query = slice("SELECT * FROM plants");
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_execute(NULL, query, NOTHING, &result));
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_execute(peer, query, NOTHING, NULL));
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_execute(peer, bad_text, NOTHING, &result));
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_peer_execute(peer, missing, NOTHING, &result));
    FAIL(DITTOFFI_ERROR_CODE_DQL_INVALID_QUERY_ARGS, dittoffi_peer_execute(peer, query, bad_cbor, &result));
    FAIL(DITTOFFI_ERROR_CODE_DQL_INVALID_QUERY_ARGS, dittoffi_peer_execute(peer, query, not_a_map, &result));
    FAIL(DITTOFFI_ERROR_CODE_DQL_QUERY_COMPILATION, dittoffi_peer_execute(peer, slice("SELEC 1"), NOTHING, &result));
    FAIL(DITTOFFI_ERROR_CODE_VALIDATION_INVALID_TRANSPORT_CONFIG,
         dittoffi_peer_set_transport_config(peer, slice("{"), NULL));
    EXPECT(result == NULL);

    dittoffi_peer_free(NULL);
    dittoffi_peer_close(NULL);
    dittoffi_error_free(NULL);
    dittoffi_query_result_free(NULL);
    dittoffi_observer_free(NULL);
    dittoffi_subscription_free(NULL);
    dittoffi_signal_next(NULL);
    dittoffi_signal_free(NULL);
    EXPECT(dittoffi_peer_clone(NULL) == NULL);
    EXPECT(!dittoffi_peer_is_sync_active(NULL));
    EXPECT(dittoffi_query_result_item_count(NULL) == 0);
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    dittoffi_slice_t fingerprint = dittoffi_abi_fingerprint();
    EXPECT(same(fingerprint.ptr, fingerprint.len, DITTOFFI_ABI_FINGERPRINT));
    EXPECT(dittoffi_version().len > 0);
    logging();

    cbor_t config = configuration(argv[1]);
    dittoffi_peer_t *peer = NULL;
    dittoffi_peer_t *other = NULL;
    FAIL(DITTOFFI_ERROR_CODE_VALIDATION_INVALID_CBOR, dittoffi_peer_open(NOTHING, &peer));
    FAIL(DITTOFFI_ERROR_CODE_VALIDATION_INVALID_DITTO_CONFIG,
         dittoffi_peer_open((dittoffi_slice_t){ (const uint8_t *)"\xa0", 1 }, &peer));
    SUCCEED(dittoffi_peer_open(cbor_slice(&config), &peer));
    FAIL(DITTOFFI_ERROR_CODE_LOCKED_DITTO_WORKING_DIRECTORY, dittoffi_peer_open(cbor_slice(&config), &other));
    EXPECT(other == NULL);
    bad_input(peer);

    seen_t seen = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    dittoffi_change_callback_t callback = { &seen, on_change, on_release };
    dittoffi_observer_t *observer = NULL;
    FAIL(DITTOFFI_ERROR_CODE_DQL_QUERY_COMPILATION,
         dittoffi_peer_observe(peer, slice("SELECT"), NOTHING, callback, &observer));
    EXPECT(seen.calls == 0 && seen.releases == 1);
    SUCCEED(dittoffi_peer_observe(peer, slice("SELECT * FROM plants"), NOTHING, callback, &observer));
    await(&seen, 0, 1);

    dittoffi_query_result_t *inserted =
        execute(peer, "INSERT INTO plants DOCUMENTS ({'_id': 'p1', 'name': 'Basil', 'height': 12})");
    EXPECT(dittoffi_query_result_commit_id(inserted) > 0);
    dittoffi_buffer_t buffer = { 0 };
    SUCCEED(dittoffi_query_result_mutated_ids_cbor(inserted, &buffer));
    EXPECT(same(buffer.ptr, buffer.len, "\x81\x62p1"));
    dittoffi_buffer_free(buffer);
    dittoffi_query_result_free(inserted);
    await(&seen, 1, 1);

    dittoffi_query_result_t *selected = execute(peer, "SELECT name FROM plants WHERE height > 10");
    EXPECT(dittoffi_query_result_item_count(selected) == 1);
    SUCCEED(dittoffi_query_result_item_json(selected, 0, &buffer));
    EXPECT(same(buffer.ptr, buffer.len, "{\"name\":\"Basil\"}"));
    dittoffi_buffer_free(buffer);
    SUCCEED(dittoffi_query_result_item_cbor(selected, 0, &buffer));
    EXPECT(same(buffer.ptr, buffer.len, "\xa1\x64name\x65" "Basil"));
    dittoffi_buffer_free(buffer);
    SUCCEED(dittoffi_query_result_items_cbor(selected, &buffer));
    EXPECT(same(buffer.ptr, buffer.len, "\xa1\x64name\x65" "Basil"));
    dittoffi_buffer_free(buffer);
    FAIL(DITTOFFI_ERROR_CODE_INVALID_INPUT, dittoffi_query_result_item_json(selected, 1, &buffer));
    dittoffi_query_result_free(selected);

    dittoffi_subscription_t *subscription = NULL;
    SUCCEED(dittoffi_peer_subscribe(peer, slice("SELECT * FROM plants"), NOTHING, &subscription));
    SUCCEED(dittoffi_peer_start_sync(peer));
    EXPECT(dittoffi_peer_is_sync_active(peer));
    SUCCEED(dittoffi_peer_presence(peer, &buffer));
    EXPECT(buffer.len > 0);
    dittoffi_buffer_free(buffer);
    SUCCEED(dittoffi_peer_transport_config(peer, &buffer));
    SUCCEED(dittoffi_peer_set_transport_config(peer, (dittoffi_slice_t){ buffer.ptr, buffer.len }, NULL));
    dittoffi_buffer_free(buffer);
    dittoffi_peer_stop_sync(peer);
    EXPECT(!dittoffi_peer_is_sync_active(peer));
    dittoffi_subscription_cancel(subscription);
    dittoffi_subscription_free(subscription);

    dittoffi_observer_cancel(observer);
    dittoffi_observer_cancel(observer);
    dittoffi_observer_free(observer);
    await(&seen, 1, 2);

    transactions(peer);
    maintenance(peer, argv[1]);

    /* Transactions that are open when the peer closes, or wait for their turn. The library warns of the first. */
    dittoffi_logger_set_minimum_level(DITTOFFI_LOG_LEVEL_ERROR);
    begun_t left = NOT_BEGUN;
    begun_t waiting = NOT_BEGUN;
    SUCCEED(begin(peer, "left open", false, &left));
    SUCCEED(begin(peer, "never began", false, &waiting));

    dittoffi_peer_t *again = dittoffi_peer_clone(peer);
    dittoffi_peer_free(peer);
    dittoffi_transaction_enter(left.transaction);
    dittoffi_peer_close(again);
    dittoffi_transaction_leave(left.transaction);
    dittoffi_query_result_t *late = NULL;
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED,
         dittoffi_transaction_execute(left.transaction, slice("SELECT * FROM plants"), NOTHING, &late));
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED, dittoffi_transaction_commit(left.transaction, NULL));
    dittoffi_transaction_free(left.transaction);
    await_begun(&waiting);
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED, waiting.error);
    dittoffi_logger_set_minimum_level(DITTOFFI_LOG_LEVEL_WARNING);
    begun_t too_late = NOT_BEGUN;
    SUCCEED(begin(again, "", true, &too_late));
    await_begun(&too_late);
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED, too_late.error);
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED, dittoffi_peer_execute(again, slice("SELECT * FROM plants"), NOTHING, &late));
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED, dittoffi_peer_set_transport_config(again, slice("{}"), NULL));
    FAIL(DITTOFFI_ERROR_CODE_PEER_CLOSED,
         dittoffi_peer_verify(again, (dittoffi_progress_callback_t){ 0 }, &buffer));
    /* The directory is free, though a handle is left. */
    SUCCEED(dittoffi_peer_open(cbor_slice(&config), &other));
    dittoffi_query_result_t *kept = execute(other, "SELECT * FROM plants");
    EXPECT(dittoffi_query_result_item_count(kept) == 1);
    dittoffi_query_result_free(kept);
    dittoffi_peer_free(again);
    dittoffi_peer_free(other);
    EXPECT(seen.releases == 2);
    puts("ok");
    return 0;
}
