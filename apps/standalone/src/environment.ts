import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { settings } from '@gantry/platform';

/**
 * Writes the settings of a running embedded Gantry to `$GANTRY_HOME/environment` (0600), so that the operator's commands
 * (`GANTRY_HOME=… bin/gantry.js audit verify`) find its database and keys.
 */
export function writeEnvironment(home: string, values: Record<string, string>): void {
  const file = join(home, 'environment');
  writeFileSync(`${file}.new`, `${JSON.stringify(values, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** What `writeEnvironment` left in the home that the environment names, or nothing. Variables that are set win. */
export function readEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const file = join(env['GANTRY_HOME'] ?? settings.GANTRY_HOME.preset, 'environment');
  return existsSync(file) && env['DATABASE_URL'] === undefined && env['DATABASE_URL_FILE'] === undefined ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>) : {};
}
