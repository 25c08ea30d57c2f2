import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Access, Accounts } from '@gantry/access';
import { systemContext, type Config, type Db, type Logger } from '@gantry/platform';
import { cloneTemplate, testConfig, testLogger } from '@gantry/platform/testing';
import { makeTokenCertificate } from '@gantry/registry';
import { openDatabase } from '../../rooms';
import { createApi } from '../src/start';

/** The REST API on a database of its own, without listeners, worker, registry or engine. */
export interface ApiHarness {
  app: NestFastifyApplication;
  db: Db;
  config: Config;
  /** Sends a request; the body is sent as JSON where it is not text. */
  send(method: string, url: string, options?: { token?: string; body?: unknown; headers?: Record<string, string> }): Promise<{ status: number; headers: Record<string, unknown>; body: unknown; text: string }>;
  /** Signs in and answers the session's token. */
  signIn(username: string, password: string): Promise<string>;
  close(): Promise<void>;
}

/** Password of the harness's recovery admin. */
export const adminPassword = 'correct horse battery staple';

/** Makes a harness; `admin` can sign in with `adminPassword`. */
export async function makeHarness(options: { logger?: Logger } = {}): Promise<ApiHarness> {
  const { url, drop } = await cloneTemplate();
  const home = mkdtempSync(join(tmpdir(), 'gantry-api-'));
  const token = await makeTokenCertificate();
  writeFileSync(join(home, 'token.key'), token.key, { mode: 0o600 });
  writeFileSync(join(home, 'token.crt'), token.certificate);
  writeFileSync(join(home, 'audit.key'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const config = testConfig({
    DATABASE_URL: url,
    GANTRY_HOME: home,
    GANTRY_TOKEN_KEY_FILE: join(home, 'token.key'),
    GANTRY_TOKEN_CERT_FILE: join(home, 'token.crt'),
    GANTRY_AUDIT_KEY_FILE: join(home, 'audit.key'),
    GANTRY_REGISTRY_BACKEND_URL: 'http://127.0.0.1:9',
  });
  const logger = options.logger ?? testLogger();
  const db = await openDatabase(config, logger);
  const app = await createApi({ config, logger, db });
  const ctx = systemContext('test');
  await app.get(Accounts).ensureAdmin(ctx, adminPassword);
  await app.get(Access).refresh(ctx);
  const send: ApiHarness['send'] = async (method, path, options = {}) => {
    const answer = await app.inject({
      method: method as 'GET',
      url: path,
      headers: {
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { payload: typeof options.body === 'string' ? options.body : JSON.stringify(options.body) }),
    });
    let body: unknown;
    try {
      body = answer.payload === '' ? undefined : (JSON.parse(answer.payload) as unknown);
    } catch {
      body = undefined;
    }
    return { status: answer.statusCode, headers: answer.headers, body, text: answer.payload };
  };
  return {
    app,
    db,
    config,
    send,
    signIn: async (username, password) => {
      const answer = await send('POST', '/api/v1/sessions', { body: { username, password } });
      if (answer.status !== 201) throw new Error(`sign-in of ${username}: ${answer.status} ${answer.text}`);
      return (answer.body as { token: string }).token;
    },
    close: async () => {
      await app.close();
      await db.close();
      await drop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
