/* What the upstream and the load generator share: time, sockets, limits. Linux only (epoll). */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 65536
#define EVENTS_PER_WAIT 512

static inline void die(const char *what)
{
    fprintf(stderr, "error: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* For wrong arguments and the like, where errno says nothing. */
static inline void refuse(const char *why)
{
    fprintf(stderr, "error: %s\n", why);
    exit(2);
}

static inline void *must(void *memory)
{
    if (memory == NULL)
        die("out of memory");
    return memory;
}

static inline uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A benchmark that is killed must not leave its tools running; 1,000 streams need more than 1,024 descriptors. */
static inline void prepare_process(void)
{
    struct rlimit limit;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < MAX_FDS ? limit.rlim_max : MAX_FDS;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static inline void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline void watch(int epoll_fd, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, operation, fd, &event) != 0)
        die("epoll_ctl");
}

/* The value of a header in head[0..length), or NULL. `name` is lower case and ends with a colon. */
static inline const char *header_value(const char *head, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    const char *end = head + length, *line = head;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if ((size_t)(end - line) < name_length)
            return NULL;
        if (strncasecmp(line, name, name_length) == 0) {
            line += name_length;
            while (line < end && *line == ' ')
                line++;
            return line;
        }
    }
    return NULL;
}

/* Bytes that grow. */
struct bytes {
    char *data;
    size_t length, capacity;
};

static inline char *reserve(struct bytes *bytes, size_t more)
{
    if (bytes->length + more > bytes->capacity) {
        bytes->capacity = (bytes->length + more) * 2;
        bytes->data = must(realloc(bytes->data, bytes->capacity));
    }
    return bytes->data + bytes->length;
}

static inline void append(struct bytes *bytes, const void *data, size_t length)
{
    memcpy(reserve(bytes, length), data, length);
    bytes->length += length;
}

/* Takes `count` bytes off the front. */
static inline void consume(struct bytes *bytes, size_t count)
{
    memmove(bytes->data, bytes->data + count, bytes->length - count);
    bytes->length -= count;
}

#endif
