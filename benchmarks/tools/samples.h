/* Numbers that are sorted once, at the end, to say percentiles exactly. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include "net.h"

struct samples {
    float *values;
    size_t count, capacity;
};

static inline void record(struct samples *samples, uint64_t nanoseconds)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 4096;
        samples->values = must(realloc(samples->values, samples->capacity * sizeof *samples->values));
    }
    samples->values[samples->count++] = (float)((double)nanoseconds / 1e6);
}

static int by_value(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static inline double rank(const struct samples *sorted, double share)
{
    size_t index = (size_t)(share * (double)sorted->count);
    return (double)sorted->values[index < sorted->count ? index : sorted->count - 1];
}

/* Prints `"name": {"p50": ...}`, or null where nothing was recorded. */
static inline void print_samples(const char *name, struct samples *samples)
{
    if (samples->count == 0) {
        printf(", \"%s\": null", name);
        return;
    }
    qsort(samples->values, samples->count, sizeof *samples->values, by_value);
    printf(", \"%s\": {\"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}", name, rank(samples, 0.5),
           rank(samples, 0.9), rank(samples, 0.99), rank(samples, 1.0));
}

#endif
