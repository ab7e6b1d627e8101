/*-------------------------------------------------------------------------
 *
 * block_set_coded.c
 *		Ascending 16-bit values as codes of the gaps between them.
 *
 * Blocks that change at random places have gaps of which the short ones are
 * the most frequent, as a Golomb-Rice code takes it: with a parameter k that
 * fits their mean, a gap costs its low k bits and, for the rest of it, a bit
 * more than one.  That is within 3 % of what any code needs for blocks that
 * lie at random, and less than half of the two bytes of a Roaring array.
 *
 *		offset			size
 *		0				1	k, at most 15
 *		1				-	the low k bits of each gap, (n k + 7) / 8 bytes
 *		1 + that		-	for each gap, what is above its low k bits: so many
 *							bits 0, then a bit 1
 *
 * A gap is the number of values between a value and the one before it; that of
 * the first is the value.  Bits fill each byte from the lowest on, and the
 * last byte of either row is filled with 0.  The two rows are apart so that a
 * reader need not know where a gap ends before it takes the low bits of the
 * next one: it finds the bits 1 word by word, and the low bits by their place.
 *
 *-------------------------------------------------------------------------
 */
#include "core/bytes.h"
#include "core/map/block_set_internal.h"

#define MAX_LOW_BITS		15

static inline Size
bytes_of_bits(Size nbits)
{
	return (nbits + 7) / 8;
}

/*
 * Choose k for 'n' gaps that are 'sum' together.  The bits above the low ones
 * are sum >> k at most, so no array of CKPX_CODED_MIN values or more becomes
 * longer than it was.
 */
static uint32
choose_low_bits(uint32 n, uint32 sum)
{
	uint32		k = 0;

	while (k < MAX_LOW_BITS && n + (sum >> (k + 1)) < sum >> k)
		k++;
	return k;
}

Size
ckpx_values_encode(const uint16 *values, uint32 n, char *bytes)
{
	uint32		sum = values[n - 1] - (n - 1);
	uint32		k = choose_low_bits(n, sum);
	uint64		mask = (UINT64CONST(1) << k) - 1;
	char	   *low = bytes + 1;
	char	   *high = low + bytes_of_bits((Size) n * k);
	uint64		gathered = 0;	/* low bits that make no whole byte yet */
	uint32		ngathered = 0;
	uint32		next = 0;		/* lowest value that may come */
	uint32		bit = 0;		/* in the upper row */

	bytes[0] = (char) k;
	memset(high, 0, bytes_of_bits(n + (sum >> k)));
	for (uint32 i = 0; i < n; i++)
	{
		uint32		gap = values[i] - next;

		next = (uint32) values[i] + 1;
		gathered |= (gap & mask) << ngathered;
		ngathered += k;
		if (ngathered >= 32)
		{
			ckpx_put_u32(low, (uint32) gathered);
			low += 4;
			gathered >>= 32;
			ngathered -= 32;
		}
		bit += gap >> k;
		high[bit >> 3] |= (char) (1 << (bit & 7));
		bit++;
	}
	for (; low < high && ngathered > 0; gathered >>= 8)
	{
		*low++ = (char) gathered;
		ngathered -= Min(ngathered, 8);
	}
	return (Size) (high - bytes) + bytes_of_bits(bit);
}

/* The eight bytes at 'at', with 0 for those from 'end' on. */
static inline uint64
load_word(const char *at, const char *end)
{
	uint64		word = 0;

	if (end - at >= 8)
		return ckpx_get_u64(at);
	for (uint32 i = 0; at + i < end; i++)
		word |= (uint64) (uint8) at[i] << (i * 8);
	return word;
}

/* Are the bits of the row that begins at 'at' from 'nbits' on 0? */
static bool
ends_clear(const char *at, Size nbits)
{
	return nbits % 8 == 0 || (uint8) at[nbits / 8] >> (nbits % 8) == 0;
}

/* Take the row of low bits: 'k' of each value. */
static void
take_low_bits(const char *at, const char *end, uint32 n, uint32 k,
			  uint16 *values)
{
	uint64		mask = (UINT64CONST(1) << k) - 1;
	uint32		bit = 0;
	uint32		i = 0;

	/* as long as whole words can be loaded */
	if (end - at >= 8)
	{
		uint32		last = (uint32) Min(end - at - 8, BITMAP_BYTES);

		for (; i < n && bit / 8 <= last; i++, bit += k)
			values[i] = (uint16) ((ckpx_get_u64(at + bit / 8) >> (bit % 8)) &
								  mask);
	}
	for (; i < n; i++, bit += k)
		values[i] = (uint16) ((load_word(at + bit / 8, end) >> (bit % 8)) &
							  mask);
}

Size
ckpx_values_decode(const char *bytes, Size length, uint32 n, uint16 *values)
{
	const char *end = bytes + length;
	const char *low = bytes + 1;
	const char *high;
	Size		low_bits;
	uint64		low_sum = 0;	/* with 1 for each value so far */
	uint64		base = 0;		/* in the upper row, where the word begins */
	uint64		bit = 0;
	uint32		k;
	uint32		i = 0;

	if (length == 0)
		return 0;
	k = (uint8) bytes[0];
	low_bits = (Size) n * k;
	if (k > MAX_LOW_BITS || length - 1 < bytes_of_bits(low_bits))
		return 0;
	high = low + bytes_of_bits(low_bits);
	take_low_bits(low, end, n, k, values);

	/* The bits 0 before a bit 1 are the upper parts of all gaps so far. */
	for (const char *at = high; i < n; at += 8, base += 64)
	{
		if (at >= end)
			return 0;
		for (uint64 ones = load_word(at, end); ones != 0 && i < n;
			 ones &= ones - 1)
		{
			bit = base + pg_rightmost_one_pos64(ones);
			low_sum += values[i];
			values[i] = (uint16) (((bit - i) << k) + low_sum);
			low_sum++;
			i++;
		}
	}

	/* They ascend, so only the last one can be too high. */
	if (((bit - (n - 1)) << k) + low_sum > CKPX_CHUNK_BLOCKS ||
		!ends_clear(low, low_bits) || !ends_clear(high, bit + 1))
		return 0;
	return (Size) (high - bytes) + bytes_of_bits(bit + 1);
}
