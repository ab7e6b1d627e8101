/*-------------------------------------------------------------------------
 *
 * test_random.h
 *		Repeatable random numbers, and copies of bytes that end where the
 *		sanitizer sees it, for the unit tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TEST_RANDOM_H
#define CKPX_TEST_RANDOM_H

#include "core/types.h"

typedef struct TestRandom
{
	uint64		state;
} TestRandom;

static inline void
test_random_seed(TestRandom *r, uint64 seed)
{
	r->state = seed * UINT64CONST(0x9E3779B97F4A7C15) + 1;
}

static inline uint64
test_random_next(TestRandom *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * UINT64CONST(0x2545F4914F6CDD1D);
}

/* A number in [0, n). */
static inline uint32
test_random_below(TestRandom *r, uint32 n)
{
	return (uint32) ((test_random_next(r) >> 32) * n >> 32);
}

/* For a program that needs one sequence only. */
static uint64 random_state = UINT64CONST(0x9E3779B97F4A7C15);

static inline uint64
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Numbers of every magnitude, 0 and the largest among them. */
static inline uint64
any_number(void)
{
	int			bits = (int) (next_random() % 65);

	return bits == 0 ? 0 : next_random() >> (64 - bits);
}

/* An allocation of exactly 'length' bytes, so that reading past them shows. */
static inline char *
test_exact_copy(const char *bytes, Size length)
{
	char	   *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, bytes, length);
	return copy;
}

#endif							/* CKPX_TEST_RANDOM_H */
