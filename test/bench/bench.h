/*-------------------------------------------------------------------------
 *
 * bench.h
 *		What the programs of the benchmarks share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BENCH_H
#define CKPX_BENCH_H

#include <sys/resource.h>

static inline void pg_attribute_noreturn()
die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static inline double
peak_mb(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss / 1024.0;
}

#endif							/* CKPX_BENCH_H */
