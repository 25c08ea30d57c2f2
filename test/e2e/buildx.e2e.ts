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
  }, 300_000);
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
  });
});
