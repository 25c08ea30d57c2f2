import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gantry/platform/testing';
import { callEngine, findNewerGeneration, startEngine, type LabEngine } from '../lab';
import { bundleFiles, Client } from './client';
import { DockerCli, Gantry, type Api } from './gantry';
import { ImageShop } from './seeds';

const newer = findNewerGeneration();
if (typeof newer === 'string') process.stderr.write(`\nbuildx was NOT tested: ${newer}\n\n`);
const suite = typeof newer === 'string' ? describe.skip : describe;

/** Builds by the CLI 28.5 with its plugin buildx, which speaks to BuildKit's own interface, before both generations of engines; the engines themselves, on their own sockets, are the oracle. */
suite(`buildx through the gateway${typeof newer === 'string' ? ` (skipped: ${newer})` : ''}`, () => {
  const generation = newer as Exclude<typeof newer, string>;
  const settings = { cliPluginsExtraDirs: [generation.plugins] };
  let gantry: Gantry;
  let engine: LabEngine;
  let raws: Record<string, DockerCli>;
  let admin: Api;
  let registry: string;
  let signed: string;
  let unsigned: string;
  let hidden: string;
  const clients: Client[] = [];
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-buildx-'));
  const clusters = ['newer', 'local'];

  const socketOf = (cluster: string): string => (cluster === 'newer' ? engine.socketPath : gantry.ready!.engine.replace('unix://', ''));
  const images = async (cluster: string): Promise<string[]> =>
    (await callEngine<{ Id: string; RepoTags: string[] | null }[]>(socketOf(cluster), 'GET', '/v1.41/images/json?all=1')).map(({ Id, RepoTags }) => `${Id} ${[...(RepoTags ?? [])].sort().join(' ')}`).sort();
  const context = (dockerfile: string): string => {
    const folder = mkdtempSync(join(scratch, 'context-'));
    writeFileSync(join(folder, 'Dockerfile'), dockerfile);
    writeFileSync(join(folder, 'note'), 'a note');
    return folder;
  };
  const build = (who: Client, dockerfile: string, flags: string[]): { code: number | null; out: string } => {
    const { code, stdout, stderr } = who.run(['build', '--progress', 'plain', '--network', 'none', ...flags, context(dockerfile)], { seconds: 120 });
    return { code, out: stdout + stderr };
  };
  const built = (who: Client, dockerfile: string, flags: string[]): string => {
    const { code, out } = build(who, dockerfile, flags);
    if (code !== 0) throw new Error(`docker build: exit ${code}\n${dockerfile}\n${out}\n${gantry.log().slice(-3_000)}`);
    return out;
  };
  const client = async (name: string, cluster: string): Promise<Client> => {
    const made = new Client(gantry.ready!.gateway, await bundleFiles(await gantry.api(name, `${name} has a long password`), cluster), generation.docker, settings);
    clients.push(made);
    return made;
  };
  const inside = (cluster: string, image: string, ...argv: string[]): string => raws[cluster]!.ok(['run', '--rm', '--network', 'none', '--entrypoint', argv[0]!, image, ...argv.slice(1)]);
  const runs = (...argv: string[]): boolean =>
    readdirSync('/proc').some((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${argv.join('\0')}\0`);
      } catch {
        return false; // it has ended meanwhile
      }
    });

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    ({ registry } = gantry.ready!);
    engine = await startEngine({ dir: join(scratch, 'newer'), name: 'newer', generation });
    admin = await gantry.api('admin', gantry.adminPassword());
    raws = { local: new DockerCli(gantry.ready!.engine), newer: new DockerCli(`unix://${engine.socketPath}`) };
    const made = async (path: string, body: unknown): Promise<void> => {
      const { status, body: answer } = await admin.post(path, body);
      if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    };
    await made('/api/v1/clusters', { name: 'newer', endpoint: { kind: 'socket', path: engine.socketPath } });
    for (const name of ['ann', 'bob']) await made('/api/v1/users', { name, password: `${name} has a long password` });
    for (const name of ['acme', 'other']) await made('/api/v1/organizations', { name });
    for (const name of ['ann', 'bob']) expect((await admin.send('PUT', `/api/v1/organizations/acme/members/${name}`, { role: 'member' })).status).toBe(200);
    await made('/api/v1/repositories', { namespace: 'acme', name: 'web' });
    await made('/api/v1/repositories', { namespace: 'other', name: 'hidden' });
    await made('/api/v1/collections', { name: 'floor', parent: '/' });
    for (const cluster of clusters) expect((await admin.send('PUT', `/api/v1/placements/cluster/${cluster}`, { collection: '/floor' })).status).toBe(200);
    for (const subject of ['ann', 'bob']) await made('/api/v1/grants', { subject, role: 'viewonly', collection: '/floor' });
    const raw = raws['local']!;
    raw.ok(['login', '-u', 'admin', '--password-stdin', registry], { input: gantry.adminPassword() });
    const shop = new ImageShop(raw, scratch);
    [signed, unsigned, hidden] = [`${registry}/acme/web:signed`, `${registry}/acme/web:one`, `${registry}/other/hidden:one`];
    const digest = await shop.push(signed, 'signed');
    await shop.push(unsigned, 'one');
    await shop.push(hidden, 'hidden');
    const publicKeyPem = await shop.sign(`${registry}/acme/web@${digest}`);
    await made('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem });
    for (const cluster of clusters) {
      await made('/api/v1/environments', { name: `annes-${cluster}`, account: 'ann', cluster });
      await made('/api/v1/signature-policies', { name: `annes-${cluster}`, environment: `annes-${cluster}`, mode: 'enforce', keys: ['release'] });
    }
    raw.ok(['rmi', '-f', signed, hidden]);
  }, 600_000);
  afterAll(async () => {
    for (const each of clients) each.remove();
    raws?.['newer']?.run(['swarm', 'leave', '--force']);
    for (const each of Object.values(raws ?? {})) each.remove();
    await gantry.remove();
    await engine?.stop();
    rmSync(scratch, { recursive: true, force: true });
  }, 120_000);

  it.each(clusters)('builds an image that is then one’s own (%s)', async (cluster) => {
    const ann = await client('ann', cluster);
    const site = `${registry}/ann/site:${cluster}`;
    writeFileSync(join(scratch, 'word'), 'a secret word');
    const out = built(ann, `ARG TAG=none\nFROM ${registry}/acme/web:$TAG AS base\nARG X\nCOPY note /www/\nRUN --mount=type=secret,id=word wc -c < /run/secrets/word > /www/length && echo $X > /www/x\nFROM base\nRUN false\n`,
      ['-t', site, '--target', 'base', '--label', 'a.label=its value', '--build-arg', 'TAG=signed', '--build-arg', 'X=an argument', '--secret', `id=word,src=${join(scratch, 'word')}`, '--iidfile', join(scratch, 'iid')]);
    expect(out).toMatch(/FROM \S+\/acme\/web@sha256:[0-9a-f]{64}/);
    expect(inside(cluster, site, '/bin/cat', '/www/note', '/www/length', '/www/x')).toBe('a note13\nan argument');
    const [{ Id: id, Config: config }] = JSON.parse(raws[cluster]!.ok(['image', 'inspect', site])) as [{ Id: string; Config: { Labels: Record<string, string> } }];
    expect([readFileSync(join(scratch, 'iid'), 'utf8').trim(), config.Labels['a.label']]).toEqual([id, 'its value']);
    expect(ann.ok('images', '--format', '{{.Repository}}:{{.Tag}}').split('\n')).toContain(site);
    const bob = await client('bob', cluster);
    expect(bob.run(['image', 'inspect', site]).code).not.toBe(0);
    const rows = (await admin.get<{ items: { action: string; outcome: string; actorName: string; detail: { call?: string } }[] }>('/api/v1/audit?limit=200')).body.items.map(({ action, outcome, actorName, detail }) => `${actorName} ${action} ${outcome} ${detail.call ?? ''}`);
    expect(rows).toEqual(expect.arrayContaining(['ann engine.image.build success POST /build', 'ann service-credential.create success ', 'ann service-credential.revoke success ']));
    // Again, of what the first one has left in the cache; and to the registry, with one's own sign-in there.
    ann.login(registry, 'ann', 'ann has a long password');
    expect(built(ann, `FROM ${registry}/acme/web:signed\nCOPY note /www/\n`, ['-t', site, '--push'])).toContain(`pushing ${site} with docker`);
    expect((await admin.get('/api/v1/repositories/ann/site')).status).toBe(200);
    expect(ann.run(['build', '-q', '-t', site, context(`FROM ${signed}\nCOPY note /www/\n`)], { seconds: 120 }).stdout.trim()).toBe(raws[cluster]!.ok(['image', 'inspect', '-f', '{{.Id}}', site]));
  }, 300_000);

  it.each(clusters)('takes what can be said of a build, and writes results on the client’s own disk (%s)', async (cluster) => {
    const ann = await client('ann', cluster);
    const name = `${registry}/ann/hosts:${cluster}`;
    built(ann, `FROM ${signed}\nRUN cat /etc/hosts > /hosts; ulimit -n > /limit`, ['-t', name, '-t', `${name}-too`, '--pull', '--no-cache', '--add-host', 'here:10.1.2.3', '--add-host', 'gate:host-gateway', '--ulimit', 'nofile=700:900', '--shm-size', '16m',
      '--platform', 'linux/amd64', '--cache-from', `${registry}/ann/none:one`, '--build-arg', 'BUILDKIT_INLINE_CACHE=1', '--provenance=false']);
    const hosts = inside(cluster, `${name}-too`, '/bin/cat', '/hosts');
    expect(hosts).toMatch(/^10\.1\.2\.3\s+here$/m);
    expect(hosts).toMatch(/^\d+\.\d+\.\d+\.\d+\s+gate$/m);
    expect(hosts).not.toContain('192.0.2.');
    // The elder BuildKit has no limits of its own for builds.
    if (cluster === 'newer') expect(inside(cluster, name, '/bin/cat', '/limit')).toBe('700');
    const folder = mkdtempSync(join(scratch, 'out-'));
    built(ann, 'FROM scratch\nCOPY note /here/\n', ['-o', folder]);
    expect(readFileSync(join(folder, 'here/note'), 'utf8')).toBe('a note');
    built(ann, 'FROM scratch\nCOPY note /here/\n', ['-o', `type=tar,dest=${folder}/tar`]);
    expect(readFileSync(join(folder, 'tar'), 'latin1')).toContain('here/note');
    // Several at once, on one connection.
    writeFileSync(join(folder, 'bake.json'), JSON.stringify({ group: { default: { targets: ['a', 'b'] } }, target: Object.fromEntries(['a', 'b'].map((each) => [each, { context: context(`FROM ${signed}\nLABEL which=${each}\n`), tags: [`${name}-${each}`] }])) }));
    expect(ann.run(['buildx', 'bake', '--allow', 'fs=*', '-f', join(folder, 'bake.json')], { seconds: 120 }).code).toBe(0);
    for (const each of ['a', 'b']) expect(raws[cluster]!.ok(['image', 'inspect', '-f', '{{.Config.Labels.which}}', `${name}-${each}`])).toBe(each);
    expect(ann.ok('buildx', 'ls')).toContain('linux/amd64');
    expect(ann.ok('buildx', 'inspect')).toMatch(/Status: +running/);
    for (const asked of [['du'], ['prune', '-f']]) expect(ann.refused('buildx', ...asked)).toContain('belongs to nobody');
  }, 300_000);

  it.each(clusters)('ends a build with its client, and with the credential (%s)', async (cluster) => {
    const api = await gantry.api('ann', 'ann has a long password');
    for (const how of ['interrupt', 'revoke'] as const) {
      const seconds = String(300_000 + Math.floor(Math.random() * 100_000));
      const ann = await client('ann', cluster);
      const lasting = ann.begin('build', '--progress', 'plain', '--network', 'none', '-t', `${registry}/ann/long:${how}`, '--no-cache', context(`FROM ${signed}\nRUN sleep ${seconds}\n`));
      try {
        await eventually('it runs', () => runs('sleep', seconds), 60);
        if (how === 'interrupt') lasting.kill('SIGINT');
        else {
          const { body } = await api.get<{ items: { id: string; createdAt: string }[] }>('/api/v1/me/certificates');
          const [newest] = [...body.items].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
          expect((await api.send('DELETE', `/api/v1/me/certificates/${newest!.id}`)).status).toBe(204);
        }
        await lasting.ended(60);
        await eventually('it has ended on the engine', () => !runs('sleep', seconds), 60);
      } finally {
        lasting.kill();
      }
      expect(raws[cluster]!.run(['image', 'inspect', `${registry}/ann/long:${how}`]).code).not.toBe(0);
    }
  }, 300_000);

  it.each(clusters)('builds by nothing that reaches further (%s)', async (cluster) => {
    const ann = await client('ann', cluster);
    const before = await images(cluster);
    const name = ['-t', `${registry}/ann/no:one`];
    const folder = mkdtempSync(join(scratch, 'no-'));
    for (const [dockerfile, said, flags] of [
      [`FROM ${unsigned}\nRUN true`, 'sign'],
      [`FROM scratch\nCOPY --from=${hidden} / /`, 'No such image'],
      ['FROM alpine', 'is not from'],
      [`# syntax=docker/dockerfile:1\nFROM ${signed}`, 'drop the line'],
      [`FROM ${signed}\nRUN --network=host true`, 'image:build:host-network'],
      [`FROM ${signed}\nRUN --security=insecure true`, 'not passed on'],
      [`FROM ${signed}\nRUN false`, 'exit code: 1'],
      [`FROM ${signed}`, 'image:build:host-network', [...name, '--network', 'host']],
      [`FROM ${signed}`, '--allow security.insecure', [...name, '--allow', 'security.insecure']],
      [`FROM ${signed}`, 'BUILDKIT_SYNTAX', [...name, '--build-arg', `BUILDKIT_SYNTAX=${unsigned}`]],
      [`FROM ${signed}`, 'BUILDKIT_CONTEXT_KEEP_GIT_DIR', [...name, '--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1']],
      [`FROM ${signed}`, 'image:build:resources', [...name, '--cgroup-parent', '/x']],
      [`FROM ${signed}`, '--build-context x', [...name, '--build-context', `x=${folder}`]],
      [`FROM ${signed}`, '--cache-from type=azblob with', [...name, '--cache-from', 'type=azblob,name=x']],
      [`FROM ${signed}`, '--no-cache-filter', [...name, '--no-cache-filter', 'x']],
      [`FROM ${signed}`, '--check', ['--check']],
      [`FROM ${signed}`, 'nobody’s', []],
      [`FROM ${signed}`, 'may not push', ['-t', `${registry}/bob/no:one`]],
      [`FROM ${signed}`, 'can’t be given', ['-t', 'no:one']],
    ].slice(0, cluster === 'newer' ? undefined : 7) as [string, string, string[]?][]) {
      const { code, out } = build(ann, dockerfile, [...(flags ?? name)]);
      expect([dockerfile, code, out]).toEqual([dockerfile, 1, expect.stringContaining(said) as unknown]);
      expect(out).not.toContain('internal error');
    }
    const { code, stderr } = ann.run(['build', ...name, 'http://127.0.0.1:1/x.git']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('DOCKER_BUILDKIT=0')]);
    expect(await images(cluster)).toEqual(before);
  }, 300_000);
});
