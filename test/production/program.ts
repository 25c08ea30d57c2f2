import { spawn } from 'node:child_process';

/** How a program ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Options {
  env?: Record<string, string>;
  cwd?: string;
  input?: string;
  /** It is killed after this time. Default 120. */
  seconds?: number;
}

/**
 * Runs a program to its end without blocking the event loop. Of this process's environment it gets only what says how to reach the network and
 * where programs and the user's configuration are.
 */
export function tryProgram(file: string, argv: string[], options: Options = {}): Promise<Ended> {
  const { seconds = 120, cwd, input = '' } = options;
  const kept = Object.entries(process.env).filter(([name]) => /^(PATH|HOME|LANG|(npm_config|https?|no|all)_.*|(HTTPS?|NO|ALL)_PROXY|NODE_EXTRA_CA_CERTS)$/.test(name) && name !== 'npm_config_prefix');
  return new Promise((resolve, reject) => {
    const child = spawn(file, argv, { env: { ...Object.fromEntries(kept), ...options.env }, ...(cwd === undefined ? {} : { cwd }), stdio: 'pipe' });
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr: signal === 'SIGKILL' ? `${stderr}\n(killed, perhaps after ${seconds} s)` : stderr });
    });
    child.stdin.on('error', () => undefined); // it ended without reading
    child.stdin.end(input);
  });
}

/** Runs a program and answers what it printed; throws with its messages unless it succeeds. */
export async function runProgram(file: string, argv: string[], options: Options = {}): Promise<string> {
  const { code, stdout, stderr } = await tryProgram(file, argv, options);
  if (code !== 0) throw new Error(`${file} ${argv.join(' ')} ended with ${code}:\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`);
  return stdout;
}
