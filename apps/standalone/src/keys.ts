import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret, type Config } from '@gantry/platform';
import { makeTokenCertificate } from '@gantry/registry';

/** Writes a file at once or not at all, readable by its owner alone unless said otherwise. */
function writeNew(file: string, text: string | Buffer, mode = 0o600): void {
  const draft = `${file}.new`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, file);
}

/**
 * Sees to it that the keys of an embedded Gantry exist under `$GANTRY_HOME/keys`, each generated on first boot: the one that seals secrets, the
 * registry's token key with its certificate, the audit's signing key. Keys given by settings are left alone. Safe to run again after a crash:
 * each file appears whole, and the certificate before the key that it belongs to is used.
 * @returns the settings completed with the keys
 */
export async function ensureKeys(home: string, config: Config): Promise<Config> {
  const folder = join(home, 'keys');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const secretFile = join(folder, 'secret-key');
  if (config.secretKeys.length === 0 && !existsSync(secretFile)) writeNew(secretFile, `${randomBytes(32).toString('base64')}\n`);
  const tokenKey = join(folder, 'token.key');
  const tokenCert = join(folder, 'token.crt');
  if (config.tokenKeyFile === null && (!existsSync(tokenKey) || !existsSync(tokenCert))) {
    const made = await makeTokenCertificate();
    writeNew(tokenCert, made.certificate, 0o644);
    writeNew(tokenKey, made.key);
  }
  const auditKey = join(folder, 'audit.key');
  if (config.auditKeyFile === null && !existsSync(auditKey)) writeNew(auditKey, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return {
    ...config,
    home,
    secretKeys: config.secretKeys.length > 0 ? config.secretKeys : readFileSync(secretFile, 'utf8').split(/\s+/).filter(Boolean).map((key) => new Secret(key)),
    tokenKeyFile: config.tokenKeyFile ?? tokenKey,
    tokenCertFile: config.tokenCertFile ?? tokenCert,
    auditKeyFile: config.auditKeyFile ?? auditKey,
  };
}

/** The first password of the recovery admin: from the configured file, else from `$GANTRY_HOME/admin-password`, generated where there is none. */
export function firstAdminPassword(file: string): string {
  if (!existsSync(file)) writeNew(file, `${randomBytes(18).toString('base64url')}\n`);
  return readFileSync(file, 'utf8').trim();
}
