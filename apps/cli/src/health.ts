import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { heartbeatFault } from '../../worker/src/heartbeat';

const patienceMillis = 4_000;

/**
 * Whether the role that runs in this container works; for the container's health check, which is why it loads nothing of Gantry.
 * The API is asked for `/readyz`, a worker's heartbeat is looked at.
 * @returns what is wrong, or null
 */
export async function findFault(role: string, env: Record<string, string | undefined>): Promise<string | null> {
  if (role === 'worker') return heartbeatFault();
  if (role === 'api') return apiFault(env);
  return `"${role}" has no health check; the roles are api and worker`;
}

function apiFault(env: Record<string, string | undefined>): Promise<string | null> {
  const bind = env['GANTRY_BIND'] ?? '';
  const host = ['', '0.0.0.0', '::'].includes(bind) ? '127.0.0.1' : bind;
  const secure = env['GANTRY_TLS_CERT_FILE'] !== undefined;
  const options = { host, port: Number(env['GANTRY_HTTP_PORT'] ?? 8080), path: '/readyz', agent: false, timeout: patienceMillis } as const;
  return new Promise((resolve) => {
    // Nothing is told and nothing believed but a number, so the certificate's name, which is the edge's, does not matter.
    const call = secure ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    call.once('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? null : `/readyz answered ${response.statusCode}`);
    });
    call.once('timeout', () => call.destroy(new Error(`no answer in ${patienceMillis / 1000} s`)));
    call.once('error', (error) => resolve(`/readyz: ${error.message}`));
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
