/* A load generator for chat answers, JSON and streamed: one thread, epoll, one JSON object on standard output.
 *
 *   load --url http://127.0.0.1:8000/v1/chat/completions --mode json|stream --connections 64
 *        (--duration 3 | --requests 1000) [--warmup 0.5] [--timeout 30] --body-file body.json
 *        [--expect TEXT] [--tokens 100] [--ramp 1] [--stalled 45 --stalled-body-file body.json]
 *
 * All connections are opened at once, or evenly spread over the seconds of --ramp. Each is kept for one request after the other until the duration is over or the
 * requests are used up; with as many requests as connections that is a storm of new ones. An answer counts only if
 * its content is there: --expect must stand in it, a stream must hold --tokens tokens and end with [DONE]. So an
 * empty 200 is an error. Times start when the connection is opened, or with the request on one that is kept.
 */
#include "response.h"
#include "samples.h"

#include <arpa/inet.h>
#include <getopt.h>

#define STALLED_HEAD_START_NS 300000000u
#define MAX_STATUS 600

enum state { CLOSED, CONNECTING, WAITING };
enum failure { CONNECT, CUT, EMPTY, INCOMPLETE, NO_DONE, UNEXPECTED, TIMEOUT, FAILURES };
static const char *const failure_names[] = {"connect", "cut", "empty", "incomplete", "no_done", "unexpected", "timeout"};

struct connection {
    int fd, stalled;
    enum state state;
    uint64_t started, last_token;
    struct response response;
};

static struct {
    const char *host, *path, *expect;
    struct sockaddr_in address;
    int streams;
    size_t connections, stalled;
    uint64_t requests, duration_ns, warmup_ns, timeout_ns, ramp_ns, tokens;
} options = {.timeout_ns = 60000000000u};

static struct bytes request, stalled_request;
static struct connection *connections;
static int by_fd[MAX_FDS], epoll_fd;
static uint64_t ramp_began, opened; /* how many connections were opened, and since when */
static uint64_t started_requests, finished, succeeded, tokens, warmup_succeeded, warmup_tokens, failures[FAILURES], statuses[MAX_STATUS];
static struct samples latencies, first_tokens, gaps;

static void open_connection(int index)
{
    struct connection *c = &connections[index];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || c->fd >= MAX_FDS)
        die("socket");
    by_fd[c->fd] = index;
    no_delay(c->fd);
    c->state = CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&options.address, sizeof options.address) != 0 && errno != EINPROGRESS)
        c->started = 0; /* the refusal shows in on_connected */
    watch(epoll_fd, EPOLL_CTL_ADD, c->fd, EPOLLOUT);
}

static void close_connection(struct connection *c)
{
    close(c->fd);
    c->state = CLOSED;
}

static void send_request(struct connection *c)
{
    const struct bytes *what = c->stalled ? &stalled_request : &request;
    ssize_t sent = send(c->fd, what->data, what->length, MSG_NOSIGNAL);
    if (sent >= 0 && (size_t)sent < what->length)
        refuse("the request is larger than a socket takes at once");
    c->state = WAITING; /* where the peer is gone, the next read says so */
}

/* Starts the connection's next request, unless all requests are used up. */
static void start_request(int index)
{
    struct connection *c = &connections[index];
    if (!c->stalled) {
        if (options.requests > 0 && started_requests == options.requests) {
            if (c->state != CLOSED)
                close_connection(c);
            return;
        }
        started_requests++;
    }
    response_reset(&c->response);
    c->started = now_ns();
    c->last_token = 0;
    if (c->state == CLOSED)
        open_connection(index);
    else
        send_request(c);
}

static void fail(enum failure failure)
{
    failures[failure]++;
    finished++;
}

static void judge(struct connection *c, uint64_t now)
{
    const struct response *r = &c->response;
    if (r->status != 200 || r->part == BROKEN) {
        statuses[r->status > 0 && r->status < MAX_STATUS ? r->status : 0]++;
        finished++;
    } else if (r->body_length == 0 || (options.streams && options.tokens > 0 && r->tokens == 0)) {
        fail(EMPTY);
    } else if (options.streams && r->tokens != options.tokens) {
        fail(INCOMPLETE);
    } else if (options.streams && !ends_with_done(r)) {
        fail(NO_DONE);
    } else if (options.expect != NULL && !tail_holds(r, options.expect)) {
        fail(UNEXPECTED);
    } else {
        finished++;
        succeeded++;
        record(&latencies, now - c->started);
    }
}

static void next_request(int index, int can_be_kept)
{
    struct connection *c = &connections[index];
    if (!can_be_kept)
        close_connection(c);
    if (!c->stalled)
        start_request(index);
}

static void on_connected(int index)
{
    struct connection *c = &connections[index];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0 || c->started == 0) {
        close_connection(c); /* and not opened again: a server that refuses would make this a busy loop */
        if (!c->stalled)
            fail(CONNECT);
        return;
    }
    watch(epoll_fd, EPOLL_CTL_MOD, c->fd, EPOLLIN);
    send_request(c);
}

static void on_tokens(struct connection *c, uint64_t count, uint64_t now)
{
    if (c->last_token == 0)
        record(&first_tokens, now - c->started);
    else
        record(&gaps, now - c->last_token);
    for (uint64_t i = 1; i < count; i++) /* those that came with it */
        record(&gaps, 0);
    c->last_token = now;
    tokens += count;
}

static void on_readable(int index)
{
    static char buffer[262144];
    struct connection *c = &connections[index];
    uint64_t tokens_before = c->response.tokens;
    ssize_t count = recv(c->fd, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    uint64_t now = now_ns();
    if (count > 0)
        response_feed(&c->response, buffer, (size_t)count);
    else if (c->response.part == UNTIL_CLOSE)
        c->response.part = COMPLETE;
    if (c->stalled) {
        if (count <= 0)
            close_connection(c);
        return;
    }
    if (options.streams && c->response.tokens > tokens_before)
        on_tokens(c, c->response.tokens - tokens_before, now);
    if (c->response.part == COMPLETE || c->response.part == BROKEN) {
        judge(c, now);
        next_request(index, count > 0 && !c->response.closes && c->response.part == COMPLETE);
    } else if (count <= 0) {
        fail(CUT);
        next_request(index, 0);
    }
}

/* Forgets what was counted, at the end of the warm-up, but for what the gateway's CPU time is divided by. */
static void forget(void)
{
    warmup_succeeded = succeeded;
    warmup_tokens = tokens;
    finished = succeeded = tokens = 0;
    memset(failures, 0, sizeof failures);
    memset(statuses, 0, sizeof statuses);
    latencies.count = first_tokens.count = gaps.count = 0;
}

/* Opens the connections whose moment has come; returns how many milliseconds the next one is away, or `most`. */
static int open_due(uint64_t now, int most)
{
    for (; opened < options.connections; opened++) {
        uint64_t due = ramp_began + options.ramp_ns / options.connections * opened;
        if (due > now) {
            int wait = (int)((due - now) / 1000000u);
            return wait < most ? wait : most;
        }
        start_request((int)opened);
    }
    return most;
}

static void serve_events(uint64_t until)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    for (uint64_t now = now_ns(); now < until && (options.requests == 0 || finished < options.requests);
         now = now_ns()) {
        int most = (int)((until - now) / 1000000u) + 1;
        int count = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, ramp_began > 0 ? open_due(now, most) : most);
        for (int i = 0; i < count; i++) {
            int index = by_fd[events[i].data.fd];
            if (connections[index].state == CONNECTING)
                on_connected(index);
            else if (connections[index].state == WAITING)
                on_readable(index);
        }
    }
}

/* `seconds` are those that count; `total_seconds` those that cost CPU time, warm-up and stalled streams included. */
static void print_result(double seconds, double total_seconds)
{
    struct rusage usage;
    const char *comma = "";
    uint64_t errors = finished - succeeded;
    getrusage(RUSAGE_SELF, &usage);
    if (options.requests > 0 && finished < options.requests) {
        failures[TIMEOUT] = options.requests - finished;
        errors += failures[TIMEOUT];
    }
    printf("{\"requests\": %llu, \"succeeded\": %llu, \"errors\": %llu, \"errors_by_kind\": {",
           (unsigned long long)(succeeded + errors), (unsigned long long)succeeded, (unsigned long long)errors);
    for (int kind = 0; kind < FAILURES; kind++)
        if (failures[kind] > 0) {
            printf("%s\"%s\": %llu", comma, failure_names[kind], (unsigned long long)failures[kind]);
            comma = ", ";
        }
    for (int status = 0; status < MAX_STATUS; status++)
        if (statuses[status] > 0) {
            printf("%s\"status_%d\": %llu", comma, status, (unsigned long long)statuses[status]);
            comma = ", ";
        }
    printf("}, \"seconds\": %.4f, \"rps\": %.2f, \"tokens\": %llu, \"tokens_per_second\": %.1f", seconds,
           (double)succeeded / seconds, (unsigned long long)tokens, (double)tokens / seconds);
    printf(", \"all_succeeded\": %llu, \"all_tokens\": %llu", (unsigned long long)(warmup_succeeded + succeeded),
           (unsigned long long)(warmup_tokens + tokens));
    printf(", \"total_seconds\": %.4f, \"cpu_seconds\": %.3f", total_seconds,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    print_samples("latency_ms", &latencies);
    print_samples("ttft_ms", &first_tokens);
    print_samples("gap_ms", &gaps);
    printf("}\n");
}

static void read_url(const char *url)
{
    static char host[256];
    const char *start = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    const char *colon = start ? strchr(start, ':') : NULL, *path = colon ? strchr(colon, '/') : NULL;
    if (path == NULL || (size_t)(colon - start) >= sizeof host)
        refuse("--url must be like http://127.0.0.1:8000/path");
    memcpy(host, start, (size_t)(colon - start));
    options.address.sin_family = AF_INET;
    options.address.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &options.address.sin_addr) != 1)
        refuse("--url needs an IPv4 address");
    options.host = host;
    options.path = path;
}

static struct bytes make_request(const char *file)
{
    struct bytes body = {0}, whole = {0};
    FILE *input = fopen(file, "rb");
    size_t count;
    if (input == NULL)
        die(file);
    while ((count = fread(reserve(&body, 4096), 1, 4096, input)) > 0)
        body.length += count;
    fclose(input);
    whole.length = (size_t)snprintf(
        reserve(&whole, 1024), 1024,
        "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        options.path, options.host, ntohs(options.address.sin_port), body.length);
    if (whole.length >= 1024)
        refuse("--url is too long");
    append(&whole, body.data, body.length);
    return whole;
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"url", 1, NULL, 'u'},      {"mode", 1, NULL, 'm'},    {"connections", 1, NULL, 'c'},
        {"duration", 1, NULL, 'd'}, {"requests", 1, NULL, 'n'}, {"warmup", 1, NULL, 'w'},
        {"timeout", 1, NULL, 't'},  {"expect", 1, NULL, 'e'},  {"tokens", 1, NULL, 'k'},
        {"ramp", 1, NULL, 'r'},     {"stalled", 1, NULL, 's'},  {"body-file", 1, NULL, 'b'}, {"stalled-body-file", 1, NULL, 'S'},
        {NULL, 0, NULL, 0},
    };
    const char *body_file = NULL, *stalled_body_file = NULL;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'u': read_url(optarg); break;
        case 'm': options.streams = strcmp(optarg, "stream") == 0; break;
        case 'c': options.connections = strtoull(optarg, NULL, 10); break;
        case 'd': options.duration_ns = (uint64_t)(atof(optarg) * 1e9); break;
        case 'n': options.requests = strtoull(optarg, NULL, 10); break;
        case 'w': options.warmup_ns = (uint64_t)(atof(optarg) * 1e9); break;
        case 't': options.timeout_ns = (uint64_t)(atof(optarg) * 1e9); break;
        case 'e': options.expect = optarg; break;
        case 'k': options.tokens = strtoull(optarg, NULL, 10); break;
        case 'r': options.ramp_ns = (uint64_t)(atof(optarg) * 1e9); break;
        case 's': options.stalled = strtoull(optarg, NULL, 10); break;
        case 'b': body_file = optarg; break;
        case 'S': stalled_body_file = optarg; break;
        default: exit(2);
        }
    }
    if (options.path == NULL || body_file == NULL || options.connections == 0)
        refuse("--url, --body-file and --connections are needed");
    if ((options.requests == 0) == (options.duration_ns == 0))
        refuse("one of --requests and --duration is needed");
    if (options.requests > 0 && options.warmup_ns > 0)
        refuse("--warmup goes with --duration");
    if (options.stalled > 0 && stalled_body_file == NULL)
        refuse("--stalled needs --stalled-body-file");
    request = make_request(body_file);
    if (stalled_body_file != NULL)
        stalled_request = make_request(stalled_body_file);
}

int main(int argc, char **argv)
{
    prepare_process();
    read_options(argc, argv);
    uint64_t began = now_ns();
    size_t all = options.connections + options.stalled;
    connections = must(calloc(all, sizeof *connections));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t index = options.connections; index < all; index++) {
        connections[index].stalled = 1;
        start_request((int)index);
    }
    if (options.stalled > 0)
        serve_events(now_ns() + STALLED_HEAD_START_NS);
    uint64_t started = ramp_began = now_ns();
    open_due(started, 0);
    if (options.warmup_ns > 0) {
        serve_events(started + options.warmup_ns);
        forget();
        started = now_ns();
    }
    serve_events(started + (options.duration_ns ? options.duration_ns : options.timeout_ns));
    uint64_t ended = now_ns();
    print_result((double)(ended - started) / 1e9, (double)(ended - began) / 1e9);
    return 0;
}
