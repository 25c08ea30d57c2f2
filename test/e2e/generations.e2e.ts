import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gantry/platform/testing';
import { findNewerGeneration, startEngine, type LabEngine } from '../lab';
import { bundleFiles, Client, furnish, newestOf } from './client';
import { DockerCli, Gantry, type Api } from './gantry';

const newer = findNewerGeneration();
if (typeof newer === 'string') process.stderr.write(`\nTwo generations of engines were NOT tested: ${newer}\n\n`);
const suite = typeof newer === 'string' ? describe.skip : describe;

/**
 * Two generations of engines behind one gateway, and two generations of the docker CLI in front of it. The elder are this system's (20.10, API
 * 1.41 on Debian 12), the newer 28.5 (API 1.51).
 */
suite(`two generations of engines${typeof newer === 'string' ? ` (skipped: ${newer})` : ''}`, () => {
  const generation = newer as Exclude<typeof newer, string>;
  // Debian's docker.io has it here; a newer one may come first in PATH.
  const elderCli = '/usr/bin/docker';
  const newerApi = 51;
  let gantry: Gantry;
  let engine: LabEngine;
  let raws: Record<string, DockerCli>;
  let ann: Api;
  let image: string;
  let password: (name: string) => string;
  let elderApi: number;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-generations-'));
  const made: Client[] = [];

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    engine = await startEngine({ dir: join(scratch, 'newer'), name: 'newer', generation });
    raws = { local: new DockerCli(gantry.ready!.engine), newer: new DockerCli(`unix://${engine.socketPath}`) };
    const admin = await gantry.api('admin', gantry.adminPassword());
    const added = await admin.post<{ apiVersion: string; engineVersion: string }>('/api/v1/clusters', { name: 'newer', endpoint: { kind: 'socket', path: engine.socketPath } });
    expect([added.status, added.body]).toMatchObject([201, { apiVersion: generation.apiVersion, engineVersion: expect.stringMatching(/^28\.5\./) as unknown }]);
    elderApi = Number((await admin.get<{ apiVersion: string }>('/api/v1/clusters/local')).body.apiVersion.split('.')[1]);
    expect(elderApi).toBeLessThan(newerApi);
    ({ ann, image, password } = await furnish(gantry, raws['local']!, ['local', 'newer']));
    raws['newer']!.ok(['login', '-u', 'admin', '--password-stdin', gantry.ready!.registry], { input: gantry.adminPassword() });
    raws['newer']!.ok(['pull', '-q', image]);
    for (const raw of Object.values(raws)) raw.ok(['run', '-d', '--name', 'raw', '--network', 'none', image]);
  }, 600_000);
  afterAll(async () => {
    for (const client of made) client.remove();
    // The engine's networks are links of this machine, which its end alone does not take away.
    const raw = raws?.['newer'];
    for (const [list, remove] of [[['service', 'ls', '-q'], ['service', 'rm']], [['ps', '-aq'], ['rm', '-f']]] as const) {
      const ids = raw?.run([...list]).stdout.split('\n').filter(Boolean) ?? [];
      if (ids.length > 0) raw!.run([...remove, ...ids]);
    }
    raw?.run(['network', 'prune', '-f']);
    raw?.run(['swarm', 'leave', '--force']);
    for (const each of Object.values(raws ?? {})) each.remove();
    await gantry.remove();
    await engine?.stop();
    rmSync(scratch, { recursive: true, force: true });
  }, 300_000);

  const client = async (program: string, cluster: string): Promise<Client> => {
    const cli = new Client(gantry.ready!.gateway, await bundleFiles(ann, cluster), program);
    made.push(cli);
    cli.login(gantry.ready!.registry, 'ann', password('ann'));
    return cli;
  };
  const lines = (text: string): string[] => text.split('\n').filter(Boolean).sort();

  it('chooses the cluster by a header in the CLI’s configuration', async () => {
    const { body } = await ann.post<{ token: string }>('/api/v1/tokens', { name: 'laptop', expiresAt: new Date(Date.now() + 86_400_000).toISOString() });
    const files = { 'ca.pem': (await bundleFiles(ann, 'local'))['ca.pem']! };
    const to = (headers: object): Client => {
      const cli = new Client(gantry.ready!.gateway, files, 'docker', { HttpHeaders: { Authorization: `Bearer ${body.token}`, ...headers } });
      made.push(cli);
      return cli;
    };
    const version = (cli: Client): string => cli.ok('version', '--format', '{{.Server.APIVersion}}');
    expect(version(to({ 'X-Gantry-Cluster': 'local' }))).toBe(`1.${elderApi}`);
    expect(version(to({ 'X-Gantry-Cluster': 'newer' }))).toBe(`1.${newerApi}`);
    expect(to({}).refused('ps')).toContain('X-Gantry-Cluster');
    expect(to({ 'X-Gantry-Cluster': 'none' }).refused('ps')).toContain('no cluster none');
  });

  it.each([
    ['the newer CLI', generation.docker, 'newer'],
    ['the elder CLI', elderCli, 'newer'],
    ['the newer CLI', generation.docker, 'local'],
  ])('%s works as on an engine itself (%s on cluster %s)', async (_what, program, cluster) => {
    const cli = await client(program, cluster);
    const raw = raws[cluster]!;
    const since = String(Math.floor(Date.now() / 1000) - 1);
    // the version that both speak
    const engineApi = cluster === 'newer' ? newerApi : elderApi;
    expect(cli.ok('version', '--format', '{{.Client.APIVersion}} {{.Server.APIVersion}}')).toBe(`1.${Math.min(newestOf(program), engineApi)} 1.${engineApi}`);
    expect(cli.ok('info', '--format', '{{.Swarm.LocalNodeState}} {{.Containers}} {{.Name}}')).toBe('active 0');

    // containers
    cli.ok('pull', '-q', image);
    cli.ok('run', '-d', '--name', 'talk', '--network', 'none', '--memory', '64m', '--init', '--tmpfs', '/scratch', '--entrypoint', '/bin/sh', image, '-c', 'echo one; echo two >&2; exec /bin/busybox httpd -f -p 8080 -h /www');
    expect(cli.ok('ps', '-a', '--format', '{{.Names}}')).toBe('talk');
    expect(cli.ok('inspect', '-f', '{{.Config.Image}} {{.HostConfig.Memory}}', 'talk')).toMatch(/\/acme\/web@sha256:[0-9a-f]{64} 67108864$/);
    expect(cli.ok('exec', 'talk', '/bin/sh', '-c', 'echo $VERSION')).toBe('one');
    expect(cli.run(['exec', '-i', 'talk', '/bin/cat'], { input: 'a line\n' }).stdout).toBe('a line\n');
    await eventually('both lines are in the log', () => {
      const { stdout, stderr } = cli.run(['logs', 'talk']);
      return stdout === 'one\n' && stderr === 'two\n';
    }, 120);
    writeFileSync(join(scratch, 'note'), `a note for ${cluster}`);
    cli.ok('cp', join(scratch, 'note'), 'talk:/note');
    cli.ok('cp', 'talk:/note', join(scratch, 'back'));
    expect(raw.ok(['exec', 'talk', '/bin/cat', '/note'])).toBe(`a note for ${cluster}`);
    expect(cli.ok('top', 'talk')).toContain('httpd');
    expect(cli.ok('stats', '--no-stream', '--format', '{{.Name}}')).toBe('talk');
    expect(cli.ok('image', 'inspect', '-f', '{{.Os}}', image)).toBe('linux');
    expect(cli.ok('images', '--format', '{{.Repository}}:{{.Tag}}')).toContain(image);
    cli.ok('update', '--memory', '32m', '--memory-swap', '32m', 'talk');
    cli.ok('kill', 'talk');
    expect(cli.ok('wait', 'talk')).toBe('137');
    cli.ok('rm', 'talk');

    // networks and volumes
    cli.ok('network', 'create', 'back');
    cli.ok('volume', 'create', 'data');
    cli.ok('run', '-d', '--name', 'web', '--network', 'back', '--network-alias', 'site', '-v', 'data:/data', '--mount', 'type=volume,source=fresh,target=/fresh', image);
    expect(await eventually('it listens', () => cli.ok('exec', 'web', '/bin/busybox', 'timeout', '20', '/bin/busybox', 'wget', '-q', '-O', '-', 'http://site:8080/'), 60)).toBe('one');
    // Events of what is one's own, as long as it is there.
    const events = (): string[] => lines(cli.ok('events', '--since', since, '--until', String(Math.floor(Date.now() / 1000) + 1), '--format', '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'));
    expect(events()).toEqual(expect.arrayContaining(['container start web', 'network create back', 'network connect back']));
    expect(lines(cli.ok('volume', 'ls', '-q'))).toEqual(['data', 'fresh']);
    expect(cli.ok('volume', 'inspect', '-f', '{{.Name}}', 'data')).toBe('data');
    expect(cli.ok('network', 'inspect', '-f', '{{range .Containers}}{{.Name}}{{end}}', 'back')).toBe('web');
    cli.ok('network', 'disconnect', 'back', 'web');
    cli.ok('network', 'connect', '--alias', 'other', 'back', 'web');
    const df = JSON.parse(cli.ok('system', 'df', '-v', '--format', '{{json .}}')) as { Containers: { Names: string }[]; Volumes: { Name: string }[] };
    expect([df.Containers.map(({ Names }) => Names), df.Volumes.map(({ Name }) => Name).sort()]).toEqual([['web'], ['data', 'fresh']]);
    cli.ok('rm', '-f', 'web');
    cli.ok('volume', 'rm', 'data', 'fresh');
    cli.ok('network', 'rm', 'back');

    // the swarm
    writeFileSync(join(scratch, 'value'), 'a value');
    cli.ok('secret', 'create', 'word', join(scratch, 'value'));
    cli.ok('config', 'create', 'page', join(scratch, 'value'));
    const quick = ['--detach', '--with-registry-auth'];
    cli.ok('service', 'create', '-q', ...quick, '--name', 'shop', '--secret', 'word', '--config', 'page', '--endpoint-mode', 'dnsrr', '--restart-condition', 'none', image);
    const runs = (): boolean => cli.ok('service', 'ps', 'shop', '--filter', 'desired-state=running', '--format', '{{.CurrentState}}').startsWith('Running');
    await eventually('the task runs', runs, 120);
    const [task] = lines(cli.ok('ps', '--filter', 'name=shop', '--format', '{{.Names}}'));
    expect(cli.ok('exec', task!, '/bin/sh', '-c', 'cat /run/secrets/word /page')).toBe('a valuea value');
    cli.ok('service', 'logs', 'shop');
    expect(events()).toEqual(expect.arrayContaining(['service create shop', `container start ${task}`]));
    expect(events().filter((line) => line.endsWith(' raw'))).toEqual([]);
    cli.ok('service', 'update', '-q', ...quick, '--env-add', 'COLOUR=green', '--stop-grace-period', '1s', 'shop');
    await eventually('the changed task runs', () => runs() && cli.ok('service', 'inspect', '-f', '{{.Spec.TaskTemplate.ContainerSpec.Env}}', 'shop') === '[COLOUR=green]', 120);
    expect(cli.ok('service', 'ls', '--format', '{{.Name}}')).toBe('shop');
    cli.ok('service', 'rm', 'shop');
    await eventually('secret and config are free', () => cli.run(['secret', 'rm', 'word']).code === 0, 120);
    cli.ok('config', 'rm', 'page');
    const stack = join(scratch, 'stack.yml');
    writeFileSync(stack, `version: "3.8"\nservices:\n  web:\n    image: ${image}\n    networks: [back]\n    secrets: [word]\n    deploy: { replicas: 1, endpoint_mode: dnsrr }\nnetworks: { back: { driver: overlay } }\nsecrets: { word: { file: ${join(scratch, 'value')} } }\n`);
    const deploy = ['stack', 'deploy', ...(newestOf(program) > 44 ? ['--detach'] : []), '--with-registry-auth', '-c', stack, 'tower'];
    cli.ok(...deploy);
    cli.ok(...deploy);
    expect(cli.ok('stack', 'services', 'tower', '--format', '{{.Name}}')).toBe('tower_web');
    // That services run was seen above; overlay networks of several engines on one machine can meet.
    await eventually('the stack has a task', () => cli.run(['stack', 'ps', 'tower', '--format', '{{.Name}}']).stdout.startsWith('tower_web.1'), 120);
    expect(cli.ok('node', 'ls', '-q')).not.toBe('');
    cli.ok('stack', 'rm', 'tower');
    expect(cli.ok('service', 'ls', '-q') + cli.ok('secret', 'ls', '-q')).toBe('');

    // refusals, which leave everything as it was
    const everything = (): unknown => JSON.parse(`[${raw.ok(['ps', '-a', '--no-trunc', '--filter', 'name=^raw$', '--format', '{{json .ID}}'])}]`);
    const before = everything();
    for (const flags of [['-v', '/:/host'], ['--mount', 'type=bind,source=/etc,target=/x'], ['--privileged'], ['--cap-add', 'SYS_ADMIN'], ['--pid', 'host'], ['--device', '/dev/null'], ['--security-opt', 'seccomp=unconfined'],
      ['--mount', 'type=volume,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/'], ...(newestOf(program) >= 48 && engineApi >= 48 ? [['--mount', 'type=image,source=alpine,target=/x'], ['--annotation', 'run.oci.handler=krun']] : [])]) {
      expect(cli.refused('run', '-d', '--network', 'none', ...flags, image)).toMatch(/container:create:|is not from/);
    }
    expect(cli.refused('service', 'create', ...quick, '--mount', 'type=bind,source=/,target=/host', image)).toContain('service:create:bind');
    for (const argv of [['inspect', 'raw'], ['logs', 'raw'], ['exec', 'raw', 'true'], ['cp', 'raw:/etc/passwd', '-'], ['stop', 'raw'], ['export', '-o', join(scratch, 'no'), 'raw']]) {
      expect(cli.refused(...argv).replaceAll('raw', 'X')).toBe(cli.refused(...argv.map((word) => word.replace('raw', 'nothing'))).replaceAll('nothing', 'X'));
    }
    expect(cli.refused('run', '-d', '--network', 'none', 'alpine')).toContain('is not from');
    expect(everything()).toEqual(before);
    expect(cli.ok('ps', '-aq')).toBe('');
  }, 600_000);

  it('the elder CLI builds by BuildKit on the newer engine', async () => {
    const cli = await client(elderCli, 'newer');
    const folder = join(scratch, 'kit');
    mkdirSync(folder);
    writeFileSync(join(folder, 'note'), 'a note');
    const site = `${gantry.ready!.registry}/ann/kit:one`;
    const build = (dockerfile: string): { code: number | null; stderr: string } => {
      writeFileSync(join(folder, 'Dockerfile'), dockerfile);
      return cli.run(['build', '--progress', 'plain', '--network', 'none', '-t', site, '--secret', `id=word,src=${join(folder, 'note')}`, folder], { env: { DOCKER_BUILDKIT: '1' }, seconds: 120 });
    };
    const { code, stderr } = build(`FROM ${image} AS base\nCOPY note /note\nFROM base\nRUN --mount=type=secret,id=word --mount=type=bind,from=base,source=/note,target=/x cat /run/secrets/word /x > /both\nCOPY --from=${image} --link /etc/hostname* /copied/\n`);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(raws['newer']!.ok(['run', '--rm', '--network', 'none', '--entrypoint', '/bin/cat', site, '/both'])).toBe('a notea note');
    for (const [dockerfile, said] of [[`FROM ${image}\nRUN <<E\necho x\nE`, 'documents'], [`# syntax=docker/dockerfile:1\nFROM ${image}`, 'drop the line'], [`FROM ${image}\nRUN --network=host true`, 'image:build:host-network'], ['FROM alpine', 'is not from']] as const) {
      const refused = build(dockerfile);
      expect([dockerfile, refused.code, refused.stderr]).toEqual([dockerfile, 1, expect.stringContaining(said)]);
    }
  }, 600_000);

  it.each([24, 30, 40])('clients of API 1.%i read and make', async (minor) => {
    const cli = await client(elderCli, 'newer');
    const as = (...argv: string[]): string => {
      const { code, stdout, stderr } = cli.run(argv, { env: { DOCKER_API_VERSION: `1.${minor}` } });
      if (code !== 0) throw new Error(`docker ${argv.join(' ')} as 1.${minor}: ${stderr}`);
      return stdout.trim();
    };
    expect(as('version', '--format', '{{.Client.APIVersion}}')).toBe(`1.${minor}`);
    as('run', '-d', '--name', 'old', '--network', 'none', image);
    expect(as('ps', '--filter', 'name=old', '--format', '{{.Names}}')).toBe('old');
    expect(as('exec', 'old', '/bin/sh', '-c', 'echo $VERSION')).toBe('one');
    // What is absent in an old body must not mean what it meant then: memory that others may share.
    expect(raws['newer']!.ok(['inspect', '-f', '{{.HostConfig.IpcMode}}', 'old'])).toBe('private');
    as('network', 'ls');
    as('volume', 'ls');
    as('service', 'ls');
    as('images');
    as('rm', '-f', 'old');
  });
});
