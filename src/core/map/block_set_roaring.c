/*-------------------------------------------------------------------------
 *
 * block_set_roaring.c
 *		The serialized form of a set of blocks, the Roaring bitmap "portable"
 *		format, and its packed form.
 *
 * The portable form of n containers, sorted by key, all little endian:
 *
 *		without any run container:
 *			uint32	12346
 *			uint32	n
 *		with at least one:
 *			uint32	12347 | (n - 1) << 16
 *			bytes	(n + 7) / 8: bit i (lowest first) = container i has runs
 *		then:
 *			n times	uint16 key, uint16 number of values - 1
 *			n times	uint32 offset of the container from the first byte;
 *					left out if there are run containers and n < 4
 *			n containers, one after the other:
 *				runs			uint16 r, then r times
 *								uint16 first, uint16 length - 1
 *				<= 4096 values	uint16 each
 *				more			1024 uint64, lowest value in the lowest bit
 *
 * The packed form has cookies that are higher by 2, no offsets, and codes
 * (block_set_coded.c) in place of the two-byte numbers where there are 16 or
 * more of a kind:
 *
 *				runs			uint16 r, then if r >= 16 the code of the r
 *								first values, and that of their last values'
 *								places among all values of the container
 *				16 to 4096		the code of the values
 *
 * So it has the same containers, and one form makes the other.
 *
 *-------------------------------------------------------------------------
 */
#include "core/bytes.h"
#include "core/map/block_set_internal.h"

#define COOKIE_NO_RUNS		12346
#define COOKIE_RUNS			12347
#define COOKIE_PACKED		2	/* added to either */
#define ARRAY_CONTAINER_MAX 4096
#define NO_OFFSETS_BELOW	4	/* with run containers only */
#define MAX_RUNS			(BITMAP_BYTES / 4)	/* in a container that we
												 * write */

typedef enum ContainerKind
{
	CONTAINER_ARRAY = 0,
	CONTAINER_BITMAP,
	CONTAINER_RUNS
} ContainerKind;

/* Count the maximal runs of consecutive values. */
static uint32
chunk_count_runs(const CkpxBlockChunk *chunk)
{
	uint32		nruns = 0;
	uint32		i;

	if (chunk_is_bitmap(chunk))
	{
		uint64		carry = 0;

		/* A run starts at each set bit whose lower neighbour is clear. */
		for (i = 0; i < BITMAP_WORDS; i++)
		{
			uint64		word = chunk->u.words[i];

			nruns += pg_popcount64(word & ~((word << 1) | carry));
			carry = word >> 63;
		}
		return nruns;
	}

	for (i = 0; i < chunk->count; i++)
		if (i == 0 || chunk->u.values[i] != chunk->u.values[i - 1] + 1)
			nruns++;
	return nruns;
}

/*
 * Serialized form: write
 */

/* Choose the container of a chunk; *nruns is set in any case. */
static ContainerKind
choose_container(const CkpxBlockChunk *chunk, uint32 *nruns, Size *size)
{
	ContainerKind kind;

	if (chunk->count <= ARRAY_CONTAINER_MAX)
	{
		kind = CONTAINER_ARRAY;
		*size = chunk->count * sizeof(uint16);
	}
	else
	{
		kind = CONTAINER_BITMAP;
		*size = BITMAP_BYTES;
	}

	*nruns = chunk_count_runs(chunk);
	if (2 + 4 * (Size) *nruns < *size)
	{
		kind = CONTAINER_RUNS;
		*size = 2 + 4 * (Size) *nruns;
	}
	return kind;
}

/* Does the packed form have a code in this container's place? */
static inline bool
is_coded(ContainerKind kind, uint32 count, uint32 nruns)
{
	return (kind == CONTAINER_ARRAY && count >= CKPX_CODED_MIN) ||
		(kind == CONTAINER_RUNS && nruns >= CKPX_CODED_MIN);
}

static bool
has_offsets(uint32 n, bool has_runs, bool packed)
{
	return !packed && (!has_runs || n >= NO_OFFSETS_BELOW);
}

/* Bytes before the first of 'n' containers. */
static Size
header_size(uint32 n, bool has_runs, bool packed)
{
	Size		size;

	size = has_runs ? 4 + ((Size) n + 7) / 8 : 8;
	size += (Size) n * 4;
	if (has_offsets(n, has_runs, packed))
		size += (Size) n * 4;
	return size;
}

/*
 * Size of the portable form; '*has_coded' tells whether the packed one would
 * be another.
 */
static Size
measure(const CkpxBlockSet *set, bool *has_runs, bool *has_coded)
{
	Size		bodies = 0;
	uint32		i;

	*has_runs = false;
	*has_coded = false;
	for (i = 0; i < set->nchunks; i++)
	{
		uint32		nruns;
		Size		size;
		ContainerKind kind = choose_container(&set->chunks[i], &nruns, &size);

		if (kind == CONTAINER_RUNS)
			*has_runs = true;
		if (is_coded(kind, set->chunks[i].count, nruns))
			*has_coded = true;
		bodies += size;
	}
	return header_size(set->nchunks, *has_runs, false) + bodies;
}

/* Write runs in codes: of their first values, and of where they end. */
static Size
write_coded_runs(CkpxBlockSetIterator *it, uint32 nruns, char *bytes)
{
	uint16		firsts[MAX_RUNS];
	uint16		ranks[MAX_RUNS];
	uint32		count = 0;
	BlockNumber block;
	BlockNumber end;
	Size		size;

	Assert(nruns <= MAX_RUNS);
	for (uint32 i = 0; i < nruns; i++)
	{
		(void) ckpx_block_set_next_range(it, &block, &end);
		count += end - block;
		firsts[i] = (uint16) block_low(block);
		ranks[i] = (uint16) (count - 1);
	}
	size = ckpx_values_encode(firsts, nruns, bytes);
	return size + ckpx_values_encode(ranks, nruns, bytes + size);
}

static void
write_runs(CkpxBlockSetIterator *it, char *bytes)
{
	BlockNumber block;
	BlockNumber end;

	for (; ckpx_block_set_next_range(it, &block, &end); bytes += 4)
	{
		ckpx_put_u16(bytes, (uint16) block_low(block));
		ckpx_put_u16(bytes + 2, (uint16) (end - block - 1));
	}
}

/* Write one container's body, of 'size' bytes if not coded; its size. */
static Size
write_container(const CkpxBlockChunk *chunk, ContainerKind kind, uint32 nruns,
				Size size, bool coded, char *bytes)
{
	if (kind == CONTAINER_BITMAP)
	{
		Assert(chunk_is_bitmap(chunk));
		for (uint32 i = 0; i < BITMAP_WORDS; i++)
			ckpx_put_u64(bytes + i * 8, chunk->u.words[i]);
	}
	else if (kind == CONTAINER_ARRAY)
	{
		uint16		from_bits[ARRAY_CONTAINER_MAX];
		const uint16 *values = chunk->u.values;

		if (chunk_is_bitmap(chunk))
		{
			(void) ckpx_bits_to_values(chunk->u.words, from_bits);
			values = from_bits;
		}
		if (coded)
			return ckpx_values_encode(values, chunk->count, bytes);
		for (uint32 i = 0; i < chunk->count; i++)
			ckpx_put_u16(bytes + i * 2, values[i]);
	}
	else
	{
		CkpxBlockSet one;
		CkpxBlockSetIterator it;

		/* A set of this chunk alone, to use the iterator. */
		ckpx_block_set_init(&one, CKPX_CURRENT_MEMORY);
		one.chunks = unconstify(CkpxBlockChunk *, chunk);
		one.nchunks = 1;
		ckpx_block_set_iterate(&it, &one, 0);

		ckpx_put_u16(bytes, (uint16) nruns);
		if (coded)
			return 2 + write_coded_runs(&it, nruns, bytes + 2);
		write_runs(&it, bytes + 2);
	}
	return size;
}

Size
ckpx_block_set_serialized_size(const CkpxBlockSet *set)
{
	bool		has_runs;
	bool		has_coded;

	return measure(set, &has_runs, &has_coded);
}

/* Write the portable form, or the packed one; the size. */
static Size
write_set(const CkpxBlockSet *set, bool has_runs, bool packed, char *bytes)
{
	uint32		n = set->nchunks;
	Size		at = header_size(n, has_runs, packed);
	uint32		cookie = packed ? COOKIE_PACKED : 0;
	char	   *flags = NULL;
	char	   *keys;
	char	   *offsets = NULL;
	uint32		i;

	if (has_runs)
	{
		ckpx_put_u32(bytes, (cookie + COOKIE_RUNS) | ((n - 1) << 16));
		flags = bytes + 4;
		memset(flags, 0, (n + 7) / 8);
		keys = flags + (n + 7) / 8;
	}
	else
	{
		ckpx_put_u32(bytes, cookie + COOKIE_NO_RUNS);
		ckpx_put_u32(bytes + 4, n);
		keys = bytes + 8;
	}
	if (has_offsets(n, has_runs, packed))
		offsets = keys + (Size) n * 4;

	for (i = 0; i < n; i++)
	{
		const CkpxBlockChunk *chunk = &set->chunks[i];
		uint32		nruns;
		Size		size;
		ContainerKind kind = choose_container(chunk, &nruns, &size);

		if (kind == CONTAINER_RUNS)
			flags[i / 8] |= (char) (1 << (i % 8));
		ckpx_put_u16(keys + (Size) i * 4, chunk->key);
		ckpx_put_u16(keys + (Size) i * 4 + 2, (uint16) (chunk->count - 1));
		if (offsets != NULL)
			ckpx_put_u32(offsets + (Size) i * 4, (uint32) at);
		at += write_container(chunk, kind, nruns, size,
							  packed && is_coded(kind, chunk->count, nruns),
							  bytes + at);
	}
	return at;
}

Size
ckpx_block_set_serialize(const CkpxBlockSet *set, char *bytes)
{
	bool		has_runs;
	bool		has_coded;
	Size		size PG_USED_FOR_ASSERTS_ONLY;
	Size		written;

	size = measure(set, &has_runs, &has_coded);
	written = write_set(set, has_runs, false, bytes);
	Assert(written == size);
	return written;
}

Size
ckpx_block_set_pack(const CkpxBlockSet *set, char *bytes)
{
	bool		has_runs;
	bool		has_coded;
	Size		size PG_USED_FOR_ASSERTS_ONLY;
	Size		written;

	size = measure(set, &has_runs, &has_coded);
	written = write_set(set, has_runs, has_coded, bytes);
	Assert(written <= size);
	return written;
}

/*
 * Serialized form: read
 */

/* What the bytes' header says, all of it checked against their length. */
typedef struct RoaringHeader
{
	uint32		n;				/* containers */
	const char *flags;			/* which have runs, or NULL: none */
	const char *keys;
	const char *offsets;		/* or NULL */
	bool		packed;
	Size		size;			/* of the header */
} RoaringHeader;

static bool
read_header(const char *bytes, Size length, RoaringHeader *header,
			const char **problem)
{
	uint32		cookie;
	Size		flag_bytes;

	memset(header, 0, sizeof(RoaringHeader));
	if (length < 8)
		return ckpx_damaged(problem, "block set is too short");

	cookie = ckpx_get_u32(bytes);
	header->packed = (cookie & 0xffff) == COOKIE_NO_RUNS + COOKIE_PACKED ||
		(cookie & 0xffff) == COOKIE_RUNS + COOKIE_PACKED;
	if (header->packed)
		cookie -= COOKIE_PACKED;
	if (cookie == COOKIE_NO_RUNS)
	{
		header->n = ckpx_get_u32(bytes + 4);
		if (header->n > MAX_CHUNKS)
			return ckpx_damaged(problem, "block set has too many containers");
	}
	else if ((cookie & 0xffff) == COOKIE_RUNS)
	{
		header->n = (cookie >> 16) + 1;
		header->flags = bytes + 4;
	}
	else
		return ckpx_damaged(problem, "block set has no valid cookie");

	header->size = header_size(header->n, header->flags != NULL,
							   header->packed);
	if (header->size > length)
		return ckpx_damaged(problem, "block set header is truncated");

	if (header->flags != NULL)
	{
		flag_bytes = ((Size) header->n + 7) / 8;
		header->keys = header->flags + flag_bytes;
		if (header->n % 8 != 0 &&
			((uint8) header->flags[flag_bytes - 1] >> (header->n % 8)) != 0)
			return ckpx_damaged(problem, "block set has flags of no container");
	}
	else
		header->keys = bytes + 8;
	if (has_offsets(header->n, header->flags != NULL, header->packed))
		header->offsets = header->keys + (Size) header->n * 4;
	return true;
}

static bool
add_values(CkpxBlockSet *set, uint32 key, const uint16 *values, uint32 count,
		   const char **problem)
{
	if (key == 0xffff && values[count - 1] == 0xffff)
		return ckpx_damaged(problem, "block set holds an invalid block number");
	ckpx_chunk_add_values(set, key, values, count);
	return true;
}

static bool
read_array(CkpxBlockSet *set, uint32 key, const char *body, uint32 count,
		   const char **problem)
{
	uint16		values[ARRAY_CONTAINER_MAX];
	uint32		i;

	for (i = 0; i < count; i++)
	{
		values[i] = ckpx_get_u16(body + i * 2);
		if (i > 0 && values[i] <= values[i - 1])
			return ckpx_damaged(problem, "block set has values out of order");
	}
	return add_values(set, key, values, count, problem);
}

static bool
read_coded_array(CkpxBlockSet *set, uint32 key, const char *body, Size left,
				 uint32 count, Size *size, const char **problem)
{
	uint16		values[ARRAY_CONTAINER_MAX];

	*size = ckpx_values_decode(body, left, count, values);
	if (*size == 0)
		return ckpx_damaged(problem, "block set has a broken code");
	return add_values(set, key, values, count, problem);
}

/* Add a bitmap of 'found' values where 'count' were announced. */
static bool
add_words(CkpxBlockSet *set, uint32 key, const uint64 *words, uint32 found,
		  uint32 count, const char **problem)
{
	if (found != count)
		return ckpx_damaged(problem, "block set has a wrong number of values");
	if (key == 0xffff && bit_is_set(words, 0xffff))
		return ckpx_damaged(problem,
							"block set holds an invalid block number");
	ckpx_chunk_add_words(set, key, words, count);
	return true;
}

static bool
read_bitmap(CkpxBlockSet *set, uint32 key, const char *body, uint32 count,
			const char **problem)
{
	uint64		words[BITMAP_WORDS];
	uint32		i;

	for (i = 0; i < BITMAP_WORDS; i++)
		words[i] = ckpx_get_u64(body + i * 8);
	return add_words(set, key, words, ckpx_bits_count(words), count, problem);
}

static bool
read_runs(CkpxBlockSet *set, uint32 key, const char *body, uint32 nruns,
		  uint32 count, const char **problem)
{
	uint64		words[BITMAP_WORDS];
	uint32		total = 0;
	uint32		next = 0;		/* lowest value that may come */
	uint32		i;

	memset(words, 0, sizeof(words));
	for (i = 0; i < nruns; i++)
	{
		uint32		from = ckpx_get_u16(body + i * 4);
		uint32		to = from + ckpx_get_u16(body + i * 4 + 2) + 1;

		if (from < next)
			return ckpx_damaged(problem, "block set has runs out of order");
		if (to > CKPX_CHUNK_BLOCKS)
			return ckpx_damaged(problem, "block set has a run that is too long");
		total += ckpx_bits_set(words, from, to);
		next = to;
	}
	return add_words(set, key, words, total, count, problem);
}

/* The same from codes: the first values, and where the runs end. */
static bool
read_coded_runs(CkpxBlockSet *set, uint32 key, const char *body, Size left,
				uint32 nruns, uint32 count, Size *size, const char **problem)
{
	uint16		firsts[MAX_RUNS];
	uint16		ranks[MAX_RUNS];
	uint64		words[BITMAP_WORDS];
	Size		first_size;
	uint32		total = 0;
	uint32		next = 0;		/* lowest value that may come */

	if (nruns > MAX_RUNS)
		return ckpx_damaged(problem, "block set has too many runs in a code");
	first_size = ckpx_values_decode(body, left, nruns, firsts);
	if (first_size == 0)
		return ckpx_damaged(problem, "block set has a broken code");
	*size = ckpx_values_decode(body + first_size, left - first_size, nruns,
							   ranks);
	if (*size == 0)
		return ckpx_damaged(problem, "block set has a broken code");
	*size += first_size;

	memset(words, 0, sizeof(words));
	for (uint32 i = 0; i < nruns; i++)
	{
		uint32		to = firsts[i] + ranks[i] + 1 - total;

		if (firsts[i] < next)
			return ckpx_damaged(problem, "block set has runs out of order");
		if (to > CKPX_CHUNK_BLOCKS)
			return ckpx_damaged(problem, "block set has a run that is too long");
		total += ckpx_bits_set(words, firsts[i], to);
		next = to;
	}
	return add_words(set, key, words, total, count, problem);
}

static bool
read_run_container(CkpxBlockSet *set, uint32 key, const char *body, Size left,
				   uint32 count, bool packed, Size *size, const char **problem)
{
	uint32		nruns;

	if (left < 2)
		return ckpx_damaged(problem, "block set is truncated");
	nruns = ckpx_get_u16(body);
	if (packed && is_coded(CONTAINER_RUNS, count, nruns))
	{
		if (!read_coded_runs(set, key, body + 2, left - 2, nruns, count, size,
							 problem))
			return false;
		*size += 2;
		return true;
	}
	if ((left - 2) / 4 < nruns)
		return ckpx_damaged(problem, "block set is truncated");
	*size = 2 + (Size) nruns * 4;
	return read_runs(set, key, body + 2, nruns, count, problem);
}

/* Add a container's blocks to the set, and tell its size. */
static bool
read_container(CkpxBlockSet *set, const RoaringHeader *header, uint32 i,
			   const char *body, Size left, Size *size, const char **problem)
{
	uint32		key = ckpx_get_u16(header->keys + (Size) i * 4);
	uint32		count = ckpx_get_u16(header->keys + (Size) i * 4 + 2) + 1;

	if (header->flags != NULL && ((uint8) header->flags[i / 8] >> (i % 8)) & 1)
		return read_run_container(set, key, body, left, count, header->packed,
								  size, problem);
	if (count > ARRAY_CONTAINER_MAX)
	{
		if (left < BITMAP_BYTES)
			return ckpx_damaged(problem, "block set is truncated");
		*size = BITMAP_BYTES;
		return read_bitmap(set, key, body, count, problem);
	}
	if (header->packed && is_coded(CONTAINER_ARRAY, count, 0))
		return read_coded_array(set, key, body, left, count, size, problem);
	if (left / 2 < count)
		return ckpx_damaged(problem, "block set is truncated");
	*size = (Size) count * 2;
	return read_array(set, key, body, count, problem);
}

bool
ckpx_block_set_deserialize(CkpxBlockSet *set, const char *bytes, Size length,
						   const char **problem)
{
	RoaringHeader header;
	Size		at;
	Size		size;
	uint32		i;

	*problem = NULL;
	if (!read_header(bytes, length, &header, problem))
		return false;

	at = header.size;
	for (i = 0; i < header.n; i++)
	{
		if (i > 0 && ckpx_get_u16(header.keys + (Size) i * 4) <=
			ckpx_get_u16(header.keys + (Size) (i - 1) * 4))
			return ckpx_damaged(problem, "block set has containers out of order");
		if (header.offsets != NULL &&
			ckpx_get_u32(header.offsets + (Size) i * 4) != at)
			return ckpx_damaged(problem, "block set has a wrong container offset");
		if (!read_container(set, &header, i, bytes + at, length - at, &size,
							problem))
			return false;
		at += size;
	}

	if (at != length)
		return ckpx_damaged(problem, "block set is followed by other bytes");
	return true;
}
