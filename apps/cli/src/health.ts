import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { gatewayHeartbeatFile, heartbeatFault } from '../../worker/src/heartbeat';

const patienceMillis = 4_000;

/**
 * Whether the role that runs in this container works; for the container's health check, which is why it loads nothing of Gantry.
 * The API is asked for `/readyz`, a worker's heartbeat is looked at; a gateway must do both: have a heartbeat, and ask strangers who they are.
 * @returns what is wrong, or null
 */
export async function findFault(role: string, env: Record<string, string | undefined>): Promise<string | null> {
  if (role === 'worker') return heartbeatFault();
  if (role === 'api') return apiFault(env);
  if (role === 'gateway') return heartbeatFault(gatewayHeartbeatFile) ?? gatewayFault(env);
  return `"${role}" has no health check; the roles are api, worker and gateway`;
}

function apiFault(env: Record<string, string | undefined>): Promise<string | null> {
  return ask(env, { port: Number(env['GANTRY_HTTP_PORT'] ?? 8080), path: '/readyz', secure: env['GANTRY_TLS_CERT_FILE'] !== undefined, expected: 200 });
}

function gatewayFault(env: Record<string, string | undefined>): Promise<string | null> {
  return ask(env, { port: Number(env['GANTRY_ENGINE_PORT'] ?? 2376), path: '/_ping', secure: true, expected: 401 });
}

function ask(env: Record<string, string | undefined>, { port, path, secure, expected }: { port: number; path: string; secure: boolean; expected: number }): Promise<string | null> {
  const bind = env['GANTRY_BIND'] ?? '';
  const host = ['', '0.0.0.0', '::'].includes(bind) ? '127.0.0.1' : bind;
  const options = { host, port, path, agent: false, timeout: patienceMillis } as const;
  return new Promise((resolve) => {
    // Nothing is told and nothing believed but a number, so the certificate's name, which is the edge's, does not matter.
    const call = secure ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    call.once('response', (response) => {
      response.resume();
      resolve(response.statusCode === expected ? null : `${path} answered ${response.statusCode}`);
    });
    call.once('timeout', () => call.destroy(new Error(`no answer in ${patienceMillis / 1000} s`)));
    call.once('error', (error) => resolve(`${path}: ${error.message}`));
    call.end();
  });
}

/** `gantry health <role>`: prints what is wrong. @returns the exit code: 0 well, 1 ill */
export async function main(args: string[]): Promise<number> {
  const fault = await findFault(args[0] ?? '', process.env);
  if (fault !== null) process.stderr.write(`gantry health: ${fault}\n`);
  return fault === null ? 0 : 1;
}

// The health check calls this file itself: the whole command line would cost a second of processor time every time.
if (require.main === module) {
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
