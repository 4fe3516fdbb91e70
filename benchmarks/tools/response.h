/* Reads one HTTP/1.1 answer, however it is split: status, then the body by length, by chunks or until the end. */
#ifndef BENCH_RESPONSE_H
#define BENCH_RESPONSE_H

#include "net.h"

#include <stddef.h>

#define TAIL 2048
#define TOKEN_BYTE '~'

enum part { HEAD, SIZED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE, COMPLETE, BROKEN };

struct response {
    enum part part;
    int status, closes;
    size_t left;          /* of the sized body or of the chunk */
    size_t line;          /* bytes in the chunk's or trailer's line so far */
    struct bytes head;    /* the header block, until it is complete */
    uint64_t body_length, tokens;
    char tail[TAIL];      /* the last bytes of the body: enough for a JSON answer and for the end of a stream */
    size_t tail_length;
};

static void response_reset(struct response *r)
{
    struct bytes head = r->head;
    memset(r, 0, offsetof(struct response, tail));
    r->tail_length = 0;
    r->head = head;
    r->head.length = 0;
}

static void take_body(struct response *r, const char *data, size_t length)
{
    r->body_length += length;
    for (const char *at = data; (at = memchr(at, TOKEN_BYTE, (size_t)(data + length - at))) != NULL; at++)
        r->tokens++;
    if (length >= TAIL) {
        memcpy(r->tail, data + length - TAIL, TAIL);
        r->tail_length = TAIL;
        return;
    }
    if (r->tail_length + length > TAIL) {
        size_t drop = r->tail_length + length - TAIL;
        memmove(r->tail, r->tail + drop, r->tail_length - drop);
        r->tail_length -= drop;
    }
    memcpy(r->tail + r->tail_length, data, length);
    r->tail_length += length;
}

/* Decides how the body is read, once the header block is complete. */
static void take_head(struct response *r, size_t length)
{
    const char *head = r->head.data;
    const char *size = header_value(head, length, "content-length:");
    const char *coding = header_value(head, length, "transfer-encoding:");
    const char *connection = header_value(head, length, "connection:");
    r->status = length > 12 && memcmp(head, "HTTP/1.", 7) == 0 ? atoi(head + 9) : 0;
    r->closes = connection != NULL && strncasecmp(connection, "close", 5) == 0;
    if (r->status == 0) {
        r->part = BROKEN;
    } else if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0) {
        r->part = CHUNK_SIZE;
    } else if (size != NULL) {
        r->left = strtoull(size, NULL, 10);
        r->part = r->left > 0 ? SIZED : COMPLETE;
    } else {
        r->part = r->status == 204 ? COMPLETE : UNTIL_CLOSE;
    }
}

/* Takes the header block off the front of `data`; returns how many bytes of `data` belonged to it. */
static size_t feed_head(struct response *r, const char *data, size_t length)
{
    size_t before = r->head.length;
    append(&r->head, data, length);
    const char *end = memmem(r->head.data, r->head.length, "\r\n\r\n", 4);
    if (end == NULL)
        return length;
    size_t head = (size_t)(end + 4 - r->head.data);
    take_head(r, head);
    return head - before;
}

static void feed_size_digit(struct response *r, char c)
{
    if (c == '\n') {
        r->part = r->left > 0 ? CHUNK_DATA : TRAILER;
        r->line = 0;
    } else if (c == ';') {
        r->line = 1; /* an extension: its letters are no digits */
    } else if (c != '\r' && r->line == 0) {
        int lower = c | 32;
        if (!((c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f')))
            r->part = BROKEN;
        r->left = r->left * 16 + (size_t)(c <= '9' ? c - '0' : lower - 'a' + 10);
    }
}

/* Takes one byte between chunks. */
static void feed_frame(struct response *r, char c)
{
    if (r->part == CHUNK_SIZE) {
        feed_size_digit(r, c);
    } else if (r->part == CHUNK_END) {
        if (c == '\n')
            r->part = CHUNK_SIZE;
    } else if (c == '\n') { /* a trailer's line: the empty one ends the answer */
        r->part = r->line == 0 ? COMPLETE : TRAILER;
        r->line = 0;
    } else if (c != '\r') {
        r->line++;
    }
}

/* Feeds what was received; `part` says afterwards whether the answer is complete. */
static void response_feed(struct response *r, const char *data, size_t length)
{
    while (length > 0 && r->part != COMPLETE && r->part != BROKEN) {
        size_t used = 1;
        if (r->part == HEAD) {
            used = feed_head(r, data, length);
        } else if (r->part == SIZED || r->part == CHUNK_DATA || r->part == UNTIL_CLOSE) {
            used = r->part == UNTIL_CLOSE || length < r->left ? length : r->left;
            take_body(r, data, used);
            r->left -= r->part == UNTIL_CLOSE ? 0 : used;
            if (r->left == 0 && r->part != UNTIL_CLOSE)
                r->part = r->part == SIZED ? COMPLETE : CHUNK_END;
        } else {
            feed_frame(r, *data);
        }
        data += used;
        length -= used;
    }
}

static int tail_holds(const struct response *r, const char *text)
{
    return memmem(r->tail, r->tail_length, text, strlen(text)) != NULL;
}

/* Whether the last event is [DONE], whatever line ends follow. */
static int ends_with_done(const struct response *r)
{
    static const char done[] = "data: [DONE]";
    size_t end = r->tail_length, length = sizeof done - 1;
    while (end > 0 && (r->tail[end - 1] == '\n' || r->tail[end - 1] == '\r'))
        end--;
    return end >= length && memcmp(r->tail + end - length, done, length) == 0;
}

#endif
