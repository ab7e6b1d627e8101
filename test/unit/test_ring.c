/*-------------------------------------------------------------------------
 *
 * test_ring.c
 *		The bounded queue: order, refusal, wrap, and its counters.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

/* A ring of uint64 in exactly the memory that it asks for. */
static CkpxRing *
make_ring(uint32 capacity)
{
	CkpxRing   *ring = malloc(ckpx_ring_size(capacity, sizeof(uint64)));

	ckpx_ring_init(ring, capacity, sizeof(uint64));
	return ring;
}

static void
test_new_is_empty(void **arg)
{
	CkpxRing   *ring = make_ring(4);
	uint64		ticket;

	assert_int_equal(ring->capacity, 4);
	assert_int_equal(ring->depth, 0);
	assert_int_equal(ckpx_ring_take(ring, &ticket, 1, 99), 0);
	assert_int_equal(ring->running_since, 0);
	assert_int_equal(ring->largest_batch, 0);
	free(ring);
}

static void
test_first_in_first_out(void **arg)
{
	CkpxRing   *ring = make_ring(4);
	uint64		tickets[4];

	for (uint64 i = 1; i <= 4; i++)
		assert_true(ckpx_ring_push(ring, &i));
	assert_int_equal(ckpx_ring_take(ring, tickets, 4, 5), 4);
	for (uint64 i = 0; i < 4; i++)
		assert_int_equal(tickets[i], i + 1);
	free(ring);
}

/* A full ring refuses, counts it, and keeps what it has. */
static void
test_full_refuses(void **arg)
{
	CkpxRing   *ring = make_ring(2);
	uint64		tickets[3];
	uint64		i = 1;

	assert_true(ckpx_ring_push(ring, &i));
	i = 2;
	assert_true(ckpx_ring_push(ring, &i));
	i = 3;
	assert_false(ckpx_ring_push(ring, &i));
	assert_false(ckpx_ring_push(ring, &i));
	assert_int_equal(ring->rejected, 2);
	assert_int_equal(ring->enqueued, 2);
	assert_int_equal(ckpx_ring_take(ring, tickets, 3, 5), 2);
	assert_int_equal(tickets[0], 1);
	assert_int_equal(tickets[1], 2);
	assert_true(ckpx_ring_push(ring, &i));
	free(ring);
}

static void
test_take_at_most(void **arg)
{
	CkpxRing   *ring = make_ring(8);
	uint64		tickets[8];

	for (uint64 i = 0; i < 5; i++)
		assert_true(ckpx_ring_push(ring, &i));
	assert_int_equal(ckpx_ring_take(ring, tickets, 0, 5), 0);
	assert_int_equal(ring->running_since, 0);
	assert_int_equal(ckpx_ring_take(ring, tickets, 3, 5), 3);
	assert_int_equal(ring->depth, 2);
	assert_int_equal(ring->largest_batch, 3);
	assert_int_equal(ckpx_ring_take(ring, tickets, 100, 5), 2);
	assert_int_equal(tickets[0], 3);
	assert_int_equal(ring->largest_batch, 3);
	assert_int_equal(ring->high_water, 5);
	free(ring);
}

static void
test_running_since(void **arg)
{
	CkpxRing   *ring = make_ring(2);
	uint64		ticket = 1;

	ckpx_ring_push(ring, &ticket);
	ckpx_ring_take(ring, &ticket, 1, 1234);
	assert_int_equal(ring->running_since, 1234);
	assert_int_equal(ring->handled, 0);
	ckpx_ring_done(ring, 1);
	assert_int_equal(ring->running_since, 0);
	assert_int_equal(ring->handled, 1);
	ckpx_ring_done(ring, 0);
	assert_int_equal(ring->handled, 1);
	free(ring);
}

/* Odd ticket sizes are copied byte for byte. */
static void
test_odd_ticket_size(void **arg)
{
	CkpxRing   *ring = malloc(ckpx_ring_size(3, 13));
	char		tickets[3][13];

	ckpx_ring_init(ring, 3, 13);
	for (int round = 0; round < 5; round++)
	{
		assert_true(ckpx_ring_push(ring, "hello, world"));
		assert_true(ckpx_ring_push(ring, "another one!"));
		assert_int_equal(ckpx_ring_take(ring, tickets, 3, 1), 2);
		assert_string_equal(tickets[0], "hello, world");
		assert_string_equal(tickets[1], "another one!");
	}
	free(ring);
}

/* Tickets without content are only counted. */
static void
test_no_content(void **arg)
{
	CkpxRing   *ring = malloc(ckpx_ring_size(2, 0));

	ckpx_ring_init(ring, 2, 0);
	assert_true(ckpx_ring_push(ring, NULL));
	assert_true(ckpx_ring_push(ring, NULL));
	assert_false(ckpx_ring_push(ring, NULL));
	assert_int_equal(ckpx_ring_take(ring, NULL, 9, 1), 2);
	assert_int_equal(ckpx_ring_take(ring, NULL, 9, 1), 0);
	free(ring);
}

/* Random pushes and takes against two counters: what went in comes out. */
static void
test_random(void **arg)
{
	for (uint32 capacity = 1; capacity <= 17; capacity += 4)
	{
		CkpxRing   *ring = make_ring(capacity);
		uint64		pushed = 0;
		uint64		taken = 0;
		uint64		rejected = 0;
		uint64		high_water = 0;

		for (int step = 0; step < 5000; step++)
		{
			if (next_random() % 2)
			{
				bool		full = (pushed - taken == capacity);

				assert_int_equal(ckpx_ring_push(ring, &pushed), !full);
				if (full)
					rejected++;
				else
					pushed++;
				high_water = Max(high_water, pushed - taken);
			}
			else
			{
				uint64		tickets[20];
				uint32		max = next_random() % 20;
				uint32		count = ckpx_ring_take(ring, tickets, max, step);

				assert_int_equal(count, Min(max, pushed - taken));
				for (uint32 i = 0; i < count; i++)
					assert_int_equal(tickets[i], taken++);
				ckpx_ring_done(ring, count);
			}
			assert_int_equal(ring->depth, pushed - taken);
		}
		assert_int_equal(ring->enqueued, pushed);
		assert_int_equal(ring->handled, taken);
		assert_int_equal(ring->rejected, rejected);
		assert_int_equal(ring->high_water, high_water);
		free(ring);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_is_empty),
		cmocka_unit_test(test_first_in_first_out),
		cmocka_unit_test(test_full_refuses),
		cmocka_unit_test(test_take_at_most),
		cmocka_unit_test(test_running_since),
		cmocka_unit_test(test_odd_ticket_size),
		cmocka_unit_test(test_no_content),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
