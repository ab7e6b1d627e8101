/*-------------------------------------------------------------------------
 *
 * options.c
 *		Values of options.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/options.h"

/* Parse a number of 32 bits in front of 'end', and move behind that. */
static bool
parse_oid(const char **at, char end, Oid *value)
{
	uint64		number = 0;
	const char *begin = *at;

	for (; **at >= '0' && **at <= '9'; (*at)++)
	{
		number = number * 10 + (**at - '0');
		if (number > PG_UINT32_MAX)
			return false;
	}
	if (*at == begin || **at != end)
		return false;
	if (end != '\0')
		(*at)++;
	*value = (Oid) number;
	return true;
}

bool
parse_relation(const char *text, Options *options)
{
	static const char *const forks[] = {"main", "fsm", "vm", "init"};
	const char *dot = strchr(text, '.');
	CkpxRelKey *key = &options->relation;

	memset(key, 0, sizeof(CkpxRelKey));
	options->one_relation = true;
	options->one_fork = dot != NULL;
	if (!parse_oid(&text, '/', &key->tablespace) ||
		!parse_oid(&text, '/', &key->database) ||
		!parse_oid(&text, dot != NULL ? '.' : '\0', &key->relation))
		return false;
	if (dot == NULL)
		return true;
	for (key->fork = 0; key->fork < lengthof(forks); key->fork++)
	{
		if (strcmp(text, forks[key->fork]) == 0)
			return true;
	}
	return false;
}

/*
 * Digits of both cases, as the server's type pg_lsn.
 */
bool
parse_lsn(const char *text, XLogRecPtr *lsn)
{
	const char *slash = strchr(text, '/');
	static const char digits[] = "0123456789abcdefABCDEF";
	Size		high;
	Size		low;

	if (slash == NULL)
		return false;
	high = strspn(text, digits);
	low = strspn(slash + 1, digits);
	if (high < 1 || high > 8 || text + high != slash ||
		low < 1 || low > 8 || slash[1 + low] != '\0')
		return false;
	*lsn = (uint64) strtoul(text, NULL, 16) << 32 |
		strtoul(slash + 1, NULL, 16);
	return true;
}
