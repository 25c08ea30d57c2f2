import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { binary, childrenOf, end, freePort, identify, isAlive, run, until } from './process';

/** A real sshd (OpenSSH) on loopback that lets the current user in by one key. */
export interface LabSshd {
  port: number;
  user: string;
  /** The private key that is let in. */
  key: string;
  /** A key that is not. */
  otherKey: string;
  /** Lines of the host's public keys. */
  hostKeys: { ed25519: string; ecdsa: string };
  /** `ssh://user@127.0.0.1:port` and a socket's path. */
  address: (path: string) => string;
  /** Fingerprint of a public key, as ssh-keygen tells it. */
  fingerprint: (line: string) => Promise<string>;
  /** Writes authorized_keys anew, with options in front of the key; counts from the next sign-in on. */
  authorize: (options: string) => void;
  /** How many are signed in. */
  signIns: () => number;
  /** Ends all sign-ins; sshd goes on. */
  cut: () => Promise<void>;
  stop: () => Promise<void>;
}

/** Starts one; `settings` are lines of sshd_config ahead of the lab's own, of which the first one counts. */
export async function startSshd({ dir, settings = [] }: { dir: string; settings?: string[] }): Promise<LabSshd> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const keygen = binary('ssh-keygen');
  const made = async (name: string, type: string): Promise<{ secret: string; line: string; file: string }> => {
    const file = join(dir, name);
    await run(keygen, ['-q', '-t', type, '-N', '', '-C', 'lab', '-f', file]);
    return { file, secret: readFileSync(file, 'utf8'), line: readFileSync(`${file}.pub`, 'utf8').trim() };
  };
  const [ed25519, ecdsa, own, other] = await Promise.all([made('host_ed25519', 'ed25519'), made('host_ecdsa', 'ecdsa'), made('own', 'ed25519'), made('other', 'ecdsa')]);
  const authorize = (options: string): void => writeFileSync(join(dir, 'authorized_keys'), `${options}${options === '' ? '' : ' '}${own.line}\n`, { mode: 0o600 });
  authorize('');
  const port = await freePort();
  const lines = [
    ...settings, 'ListenAddress 127.0.0.1', `Port ${port}`, `HostKey ${ed25519.file}`, `HostKey ${ecdsa.file}`, `AuthorizedKeysFile ${join(dir, 'authorized_keys')}`, 'PidFile none', 'UsePAM no', 'StrictModes no',
    'PasswordAuthentication no', 'KbdInteractiveAuthentication no', 'PermitRootLogin prohibit-password', 'MaxStartups 100', 'LogLevel VERBOSE',
  ];
  writeFileSync(join(dir, 'sshd_config'), `${lines.join('\n')}\n`);
  // Where root's sshd locks up what speaks with strangers; Debian's own service makes it when it starts.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const log = openSync(join(dir, 'sshd.log'), 'a');
  const child = spawn(binary('sshd'), ['-D', '-e', '-f', join(dir, 'sshd_config')], { stdio: ['ignore', log, log], detached: true, env: { PATH: '/usr/bin:/bin' } });
  closeSync(log);
  child.unref();
  const id = child.pid === undefined ? null : identify(child.pid);
  if (!id) throw new Error('sshd did not start');
  await until('sshd listens', 60, () => {
    if (!isAlive(id)) throw new Error(`sshd ended: ${readFileSync(join(dir, 'sshd.log'), 'utf8')}`);
    return new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  });
  const sessions = (): number[] => {
    const found: number[] = [];
    const walk = (pid: number): void => childrenOf(pid).forEach((each) => [found.push(each), walk(each)]);
    walk(id.pid);
    return found;
  };
  const cut = async (): Promise<void> => {
    await Promise.all(sessions().map(async (pid) => {
      const session = identify(pid);
      if (session) await end(session);
    }));
  };
  const user = userInfo().username;
  return {
    port, user, key: own.secret, otherKey: other.secret, hostKeys: { ed25519: ed25519.line, ecdsa: ecdsa.line }, authorize, cut,
    signIns: () => childrenOf(id.pid).filter((pid) => identify(pid) !== null).length,
    address: (path) => `ssh://${user}@127.0.0.1:${port}${path}`,
    fingerprint: async (line) => {
      const file = join(dir, 'shown.pub');
      writeFileSync(file, `${line}\n`);
      return (await run(keygen, ['-l', '-E', 'sha256', '-f', file])).split(' ')[1]!;
    },
    stop: async () => {
      await cut();
      await end(id);
      await cut();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
