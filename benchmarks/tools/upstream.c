/* A scripted upstream in OpenAI's and our grader's shapes: one thread, epoll, a heap of timers.
 *
 *   upstream          listens on a free loopback port and prints it
 *
 * What a request gets is written in the request: `bench:n=100,t=20000,f=100000` anywhere in its body. The script
 * travels in the user's message because every gateway hands that on unchanged, so that one gateway process, with one
 * configuration, serves every scenario.
 *
 *   n   tokens of a stream                        f   microseconds until the first token
 *   t   microseconds between tokens               h   1: not even the headers are sent before the first token
 *   b   tokens per write (at full speed)          s   1: headers, then silence for ever
 *
 * A request without "stream": true gets a chat completion, one to a path that holds /grade a grade, a GET {"status"}.
 */
#include "net.h"

#include <arpa/inet.h>

#define MAX_BATCH 64
#define BACKLOG 65535

/* Each token's text starts with the one byte that the load generator counts, so that no split can hide it. */
#define CHUNK(delta, reason)                                                                                       \
    "data: {\"id\":\"chatcmpl-bench0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"          \
    "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" reason "}]}\n\n"
#define TOKEN CHUNK("{\"content\":\"~parola \"}", "null")
#define FINISH CHUNK("{}", "\"stop\"")
#define DONE "data: [DONE]\n\n"

#define COMPLETION                                                                                                 \
    "{\"id\":\"chatcmpl-bench0123456789\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\","  \
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Ciao! Come stai?\"},"                 \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":6,\"total_tokens\":14}}"
#define GRADE                                                                                                      \
    "{\"score\":0.9,\"feedback\":\"The translation is right.\",\"model\":\"bench\","                                   \
    "\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":5,\"total_tokens\":35}}"
#define READY "{\"status\":\"ready\"}"
#define STREAM_HEAD                                                                                                \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"                            \
    "Transfer-Encoding: chunked\r\n\r\n"

struct script {
    uint64_t tokens, interval_ns, first_ns, batch;
    int holds_headers, stalls, wants_usage;
};

struct connection {
    struct bytes in, out;
    struct script script;
    uint64_t due, sent;
    uint32_t generation; /* outdates the timers of a connection that is gone */
    int open, streaming, waits_for_write;
};

struct timer {
    uint64_t due;
    uint32_t generation;
    int fd;
};

static struct connection connections[MAX_FDS];
static struct timer *heap;
static size_t heap_length, heap_capacity;
static int epoll_fd;
static char token_batch[MAX_BATCH * 512];
static size_t token_length;

static void heap_push(struct timer timer)
{
    if (heap_length == heap_capacity) {
        heap_capacity = heap_capacity ? heap_capacity * 2 : 4096;
        heap = must(realloc(heap, heap_capacity * sizeof *heap));
    }
    size_t at = heap_length++;
    for (; at > 0 && heap[(at - 1) / 2].due > timer.due; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = timer;
}

static struct timer heap_pop(void)
{
    struct timer first = heap[0], last = heap[--heap_length];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < heap_length) {
        if (child + 1 < heap_length && heap[child + 1].due < heap[child].due)
            child++;
        if (heap[child].due >= last.due)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

static void set_timer(int fd, uint64_t due)
{
    connections[fd].due = due;
    heap_push((struct timer){due, connections[fd].generation, fd});
}

static void drop(int fd)
{
    struct connection *c = &connections[fd];
    close(fd);
    c->open = c->streaming = c->waits_for_write = 0;
    c->generation++;
    c->in.length = c->out.length = 0;
}

/* Sends what the socket takes and keeps the rest for EPOLLOUT; returns 0 where the peer is gone. */
static int transmit(int fd, const char *data, size_t length)
{
    struct connection *c = &connections[fd];
    ssize_t sent = 0;
    if (c->out.length == 0) {
        sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            drop(fd);
            return 0;
        }
        if (sent < 0)
            sent = 0;
    }
    if ((size_t)sent < length) {
        append(&c->out, data + sent, length - (size_t)sent);
        if (!c->waits_for_write)
            watch(epoll_fd, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
        c->waits_for_write = 1;
    }
    return 1;
}

static size_t framed(char *to, const char *event)
{
    return (size_t)sprintf(to, "%zx\r\n%s\r\n", strlen(event), event);
}

static void answer_json(int fd, const char *body)
{
    char response[2048];
    int length = snprintf(response, sizeof response,
                          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          strlen(body), body);
    transmit(fd, response, (size_t)length);
}

static void end_stream(int fd)
{
    struct connection *c = &connections[fd];
    char tail[2048], usage[512];
    size_t length = framed(tail, FINISH);
    if (c->script.wants_usage) {
        snprintf(usage, sizeof usage,
                 "data: {\"id\":\"chatcmpl-bench0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                 "\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":%llu,"
                 "\"total_tokens\":%llu}}\n\n",
                 (unsigned long long)c->script.tokens, (unsigned long long)c->script.tokens + 8);
        length += framed(tail + length, usage);
    }
    length += framed(tail + length, DONE);
    length += (size_t)sprintf(tail + length, "0\r\n\r\n");
    c->streaming = 0;
    transmit(fd, tail, length);
}

/* Sends what is due of a stream and sets the timer of what comes next. */
static void advance(int fd)
{
    struct connection *c = &connections[fd];
    if (c->out.length > 0)
        return; /* the gateway does not read: on_writable goes on */
    if (c->sent == 0 && c->script.holds_headers && !transmit(fd, STREAM_HEAD, sizeof STREAM_HEAD - 1))
        return;
    uint64_t left = c->script.tokens - c->sent;
    uint64_t count = left < c->script.batch ? left : c->script.batch;
    c->sent += count;
    if (count > 0 && !transmit(fd, token_batch, count * token_length))
        return;
    if (c->sent == c->script.tokens)
        end_stream(fd);
    else /* at full speed: behind every other stream, so that all go on side by side */
        set_timer(fd, c->script.interval_ns ? c->due + c->script.interval_ns : now_ns());
}

static struct script read_script(const char *body, size_t length)
{
    struct script script = {.tokens = 1, .batch = 1};
    const char *at = memmem(body, length, "bench:", 6), *end = body + length;
    for (at = at ? at + 6 : end; at + 2 < end && at[1] == '='; at++) {
        char key = at[0];
        uint64_t value = 0;
        for (at += 2; at < end && *at >= '0' && *at <= '9'; at++)
            value = value * 10 + (uint64_t)(*at - '0');
        switch (key) {
        case 'n': script.tokens = value; break;
        case 't': script.interval_ns = value * 1000; break;
        case 'f': script.first_ns = value * 1000; break;
        case 'h': script.holds_headers = value != 0; break;
        case 's': script.stalls = value != 0; break;
        case 'b': script.batch = value < 1 ? 1 : value > MAX_BATCH ? MAX_BATCH : value; break;
        default: break;
        }
        if (at >= end || *at != ',')
            break;
    }
    return script;
}

/* Whether `"key":true` stands in the body, with or without a space, as JSON encoders differ. */
static int is_set(const char *body, size_t length, const char *key)
{
    const char *at = memmem(body, length, key, strlen(key)), *end = body + length;
    if (at == NULL)
        return 0;
    for (at += strlen(key); at < end && *at == ' '; at++)
        ;
    return end - at >= 4 && memcmp(at, "true", 4) == 0;
}

static void answer_chat(int fd, const char *body, size_t length)
{
    struct connection *c = &connections[fd];
    if (!is_set(body, length, "\"stream\":")) {
        answer_json(fd, COMPLETION);
        return;
    }
    c->script = read_script(body, length);
    c->script.wants_usage = is_set(body, length, "\"include_usage\":");
    c->streaming = 1;
    c->sent = 0;
    if (!c->script.holds_headers && !transmit(fd, STREAM_HEAD, sizeof STREAM_HEAD - 1))
        return;
    if (!c->script.stalls)
        set_timer(fd, now_ns() + c->script.first_ns);
}

/* Answers the request at the front of `in`, if all of it is there; returns its length. */
static size_t take_request(int fd)
{
    struct connection *c = &connections[fd];
    const char *end = memmem(c->in.data, c->in.length, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end + 4 - c->in.data);
    const char *size = header_value(c->in.data, head, "content-length:");
    size_t body = size ? strtoull(size, NULL, 10) : 0;
    if (c->in.length < head + body)
        return 0;
    const char *line_end = memchr(c->in.data, '\r', head);
    if (c->in.data[0] == 'G')
        answer_json(fd, READY);
    else if (memmem(c->in.data, (size_t)(line_end - c->in.data), "/grade", 6) != NULL)
        answer_json(fd, GRADE);
    else
        answer_chat(fd, c->in.data + head, body);
    return head + body;
}

static void on_readable(int fd)
{
    struct connection *c = &connections[fd];
    ssize_t count = recv(fd, reserve(&c->in, 16384), 16384, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        drop(fd);
        return;
    }
    c->in.length += count > 0 ? (size_t)count : 0;
    size_t taken = take_request(fd);
    if (c->open && taken > 0)
        consume(&c->in, taken);
}

static void on_writable(int fd)
{
    struct connection *c = &connections[fd];
    ssize_t sent = send(fd, c->out.data, c->out.length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        drop(fd);
        return;
    }
    consume(&c->out, sent > 0 ? (size_t)sent : 0);
    if (c->out.length > 0)
        return;
    watch(epoll_fd, EPOLL_CTL_MOD, fd, EPOLLIN);
    c->waits_for_write = 0;
    if (c->streaming && !c->script.stalls && c->due <= now_ns()) {
        c->generation++; /* a timer may still be set: what follows sets the only one that counts */
        set_timer(fd, c->due);
    }
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        no_delay(fd);
        connections[fd].open = 1;
        watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, BACKLOG) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        die("cannot listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* Runs what is due and returns how many milliseconds epoll may wait. */
static int run_timers(void)
{
    uint64_t now = now_ns(); /* fixed: streams at full speed set timers that are due at once */
    while (heap_length > 0 && heap[0].due <= now) {
        struct timer timer = heap_pop();
        struct connection *c = &connections[timer.fd];
        if (c->streaming && c->generation == timer.generation)
            advance(timer.fd);
    }
    if (heap_length == 0)
        return -1;
    now = now_ns();
    return heap[0].due <= now ? 0 : (int)((heap[0].due - now) / 1000000u) + 1;
}

int main(void)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    prepare_process();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_anywhere();
    watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN);
    char one[512];
    token_length = framed(one, TOKEN);
    for (size_t i = 0; i < MAX_BATCH; i++)
        memcpy(token_batch + i * token_length, one, token_length);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, run_timers());
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                on_readable(fd);
            if (connections[fd].open && connections[fd].waits_for_write && (events[i].events & EPOLLOUT))
                on_writable(fd);
        }
    }
}
