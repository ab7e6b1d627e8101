--
-- The settings: names, units, bounds and defaults.
--
SELECT name, vartype AS type, unit, context, boot_val, min_val, max_val
FROM pg_settings
WHERE name LIKE 'ckpx.%' AND name <> 'ckpx.compression'
ORDER BY name COLLATE "C";
-- the default depends on the build
SELECT name, vartype AS type, context, boot_val = ANY (enumvals) AS has_default
FROM pg_settings
WHERE name = 'ckpx.compression';

-- each has a sentence, and numbers with a special value explain it
SELECT name FROM pg_settings
WHERE name LIKE 'ckpx.%' AND (short_desc IS NULL OR short_desc NOT LIKE '%.');
SELECT name FROM pg_settings
WHERE name LIKE 'ckpx.%' AND min_val = '-1' AND extra_desc NOT LIKE '%-1 means%';

-- what a bound cannot say
ALTER SYSTEM SET ckpx.directory = '';
ALTER SYSTEM SET ckpx.directory = '.';
ALTER SYSTEM SET ckpx.directory = '../elsewhere';
ALTER SYSTEM SET ckpx.directory = 'pg_wal/ckpx';
ALTER SYSTEM SET ckpx.directory = 'base';
ALTER SYSTEM SET ckpx.directory = './global/ckpx/';
ALTER SYSTEM SET ckpx.flush_memory_cap = 0;
ALTER SYSTEM SET ckpx.flush_memory_cap = '1MB';
ALTER SYSTEM RESET ckpx.flush_memory_cap;
ALTER SYSTEM SET ckpx.table_flush_capacity = '8kB';
-- The range's text differs between majors.
\set VERBOSITY sqlstate
ALTER SYSTEM SET ckpx.collect_interval = '9ms';
\set VERBOSITY default
ALTER SYSTEM SET ckpx.collect_interval = '10ms';
ALTER SYSTEM RESET ckpx.collect_interval;
ALTER SYSTEM SET ckpx.compression = 'lz4';
SET ckpx.enabled = off;
SET ckpx.no_such_setting = 1;
