import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { eventually } from '@gantry/platform/testing';
import { callEngine, pushImage, startRegistry, webImage } from '../lab';
import { BuildClient, type Door } from '../lab/build-client';
import { bundleFiles, Client } from './client';
import { DockerCli, Gantry, type Api } from './gantry';
import { ImageShop } from './seeds';

/** Debian's docker.io has it here; a newer one, which leaves BuildKit to a plugin, may come first in PATH. */
const program = '/usr/bin/docker';

interface Image {
  Id: string;
  RepoTags: string[] | null;
}

/** Builds by BuildKit through the gateway with the stock CLI, in a collection where a signature policy is enforced; the engine itself, on its own socket, is the oracle. */
describe('BuildKit through the gateway', () => {
  let gantry: Gantry;
  let admin: Api;
  let raw: DockerCli;
  let ann: Client;
  let bob: Client;
  let registry: string;
  let signed: string;
  let unsigned: string;
  let hidden: string;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-buildkit-'));

  const images = async (): Promise<string[]> =>
    (await callEngine<Image[]>(gantry.ready!.engine.replace('unix://', ''), 'GET', '/v1.41/images/json?all=1')).map(({ Id, RepoTags }) => `${Id} ${[...(RepoTags ?? [])].sort().join(' ')}`).sort();
  const context = (dockerfile: string, more: Record<string, string | Buffer> = {}): string => {
    const folder = mkdtempSync(join(scratch, 'context-'));
    for (const [name, content] of Object.entries({ Dockerfile: dockerfile, note: 'a note', ...more })) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    return folder;
  };
  const build = (who: Client, dockerfile: string, flags: string[], more: Record<string, string | Buffer> = {}): { code: number | null; out: string } => {
    const { code, stdout, stderr } = who.run(['build', '--progress', 'plain', '--network', 'none', ...flags, context(dockerfile, more)], { env: { DOCKER_BUILDKIT: '1' }, seconds: 120 });
    return { code, out: stdout + stderr };
  };
  const built = (who: Client, dockerfile: string, flags: string[], more: Record<string, string | Buffer> = {}): string => {
    const { code, out } = build(who, dockerfile, flags, more);
    if (code !== 0) throw new Error(`docker build: exit ${code}\n${dockerfile}\n${out}\n${gantry.log().slice(-3_000)}`);
    return out;
  };
  const refused = (who: Client, dockerfile: string, flags: string[] = ['-t', `${registry}/ann/no:one`]): string => {
    const { code, out } = build(who, dockerfile, flags);
    expect([dockerfile, code]).not.toEqual([dockerfile, 0]);
    expect(out).not.toContain('internal error');
    return out;
  };
  const door = (who: Client): Door => {
    const { hostname: host, port } = new URL(gantry.ready!.gateway.replace('tcp:', 'http:'));
    const pem = (name: string): string => readFileSync(join(who.folder, name), 'utf8');
    return { host, port: Number(port), ca: pem('ca.pem'), cert: pem('cert.pem'), key: pem('key.pem') };
  };
  /** A POST without a body, to its end. */
  const post = (who: Client, path: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const sent = request({ ...door(who), method: 'POST', path: `/v1.41${path}`, agent: false, checkServerIdentity: () => undefined }, (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('error', reject);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      sent.on('error', reject);
      sent.end();
    });
  /** Whether a program runs on this machine, in whatever container. */
  const runs = (...argv: string[]): boolean =>
    readdirSync('/proc').some((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${argv.join('\0')}\0`);
      } catch {
        return false; // it has ended meanwhile
      }
    });
  const inside = (image: string, ...argv: string[]): string => raw.ok(['run', '--rm', '--network', 'none', '--entrypoint', argv[0]!, image, ...argv.slice(1)]);

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    ({ registry } = gantry.ready!);
    admin = await gantry.api('admin', gantry.adminPassword());
    raw = new DockerCli(gantry.ready!.engine);
    const made = async (path: string, body: unknown): Promise<void> => {
      const { status, body: answer } = await admin.post(path, body);
      if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    };
    for (const name of ['ann', 'bob']) await made('/api/v1/users', { name, password: `${name} has a long password` });
    for (const name of ['acme', 'other']) await made('/api/v1/organizations', { name });
    for (const name of ['ann', 'bob']) expect((await admin.send('PUT', `/api/v1/organizations/acme/members/${name}`, { role: 'member' })).status).toBe(200);
    await made('/api/v1/repositories', { namespace: 'acme', name: 'web' });
    await made('/api/v1/repositories', { namespace: 'other', name: 'hidden' });
    await made('/api/v1/collections', { name: 'floor', parent: '/' });
    expect((await admin.send('PUT', '/api/v1/placements/cluster/local', { collection: '/floor' })).status).toBe(200);
    for (const subject of ['ann', 'bob']) await made('/api/v1/grants', { subject, role: 'viewonly', collection: '/floor' });
    raw.ok(['login', '-u', 'admin', '--password-stdin', registry], { input: gantry.adminPassword() });
    const shop = new ImageShop(raw, scratch);
    [signed, unsigned, hidden] = [`${registry}/acme/web:signed`, `${registry}/acme/web:one`, `${registry}/other/hidden:one`];
    const digest = await shop.push(signed, 'signed');
    await shop.push(unsigned, 'one');
    await shop.push(hidden, 'hidden');
    const publicKeyPem = await shop.sign(`${registry}/acme/web@${digest}`);
    await made('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem });
    for (const name of ['ann', 'bob']) {
      await made('/api/v1/environments', { name: `${name}s`, account: name, cluster: 'local' });
      await made('/api/v1/signature-policies', { name: `${name}s`, environment: `${name}s`, mode: 'enforce', keys: ['release'] });
    }
    // The node has none of it, so that bases are fetched; and calls something else by the signed image's tag.
    raw.ok(['rmi', '-f', signed, hidden]);
    raw.ok(['tag', unsigned, signed]);
    const client = async (name: string): Promise<Client> => new Client(gantry.ready!.gateway, await bundleFiles(await gantry.api(name, `${name} has a long password`)), program);
    ann = await client('ann');
    bob = await client('bob');
  }, 600_000);
  afterAll(async () => {
    ann?.remove();
    bob?.remove();
    raw?.remove();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  }, 120_000);

  it('builds with context, stages and secrets, from a private base, pinned', async () => {
    const site = `${registry}/ann/site:one`;
    writeFileSync(join(scratch, 'word'), 'a secret word');
    const large = randomBytes(3_000_000);
    const out = built(ann, `ARG TAG=none\nFROM ${registry}/acme/web:$TAG AS base\nCOPY note large /www/\n# a comment\nRUN --mount=type=secret,id=word wc -c < /run/secrets/word > /www/length \\\n  && cat /www/note\nFROM base\nCOPY --from=base /www/note /copy\nRUN --mount=type=bind,from=base,source=/www,target=/x cp /x/large /large\nRUN --mount=type=cache,target=/cache echo kept >> /cache/x\n`,
      ['-t', site, '--build-arg', 'TAG=signed', '--secret', `id=word,src=${join(scratch, 'word')}`], { large });
    expect(out).toMatch(/FROM \S+\/acme\/web@sha256:[0-9a-f]{64}/);
    expect(inside(site, '/bin/cat', '/copy', '/www/length')).toBe('a note13');
    expect(inside(site, '/bin/sh', '-c', 'md5sum /large | cut -c1-32')).toBe(inside(site, '/bin/sh', '-c', 'md5sum /www/large | cut -c1-32'));
    expect(inside(site, '/bin/sh', '-c', 'ls -l /large')).toContain(String(large.length));
    // What the node calls `signed` is another image.
    expect(inside(site, '/bin/sh', '-c', 'echo $VERSION')).toBe('signed');
    expect(ann.ok('images', '--format', '{{.Repository}}:{{.Tag}}').split('\n')).toContain(site);
    expect(bob.run(['image', 'inspect', site]).code).not.toBe(0);
    ann.login(registry, 'ann', 'ann has a long password');
    ann.ok('push', '-q', site);
    // Nothing of what it was made with is left that could pull.
    const rows = (await admin.get<{ items: { action: string; outcome: string; actorName: string }[] }>('/api/v1/audit?limit=200')).body.items.map(({ action, outcome, actorName }) => `${actorName} ${action} ${outcome}`);
    expect(rows).toEqual(expect.arrayContaining(['ann engine.image.build success', 'ann service-credential.create success', 'ann service-credential.revoke success']));
  });

  it('writes results on the client’s own disk, and heeds what it is to leave out', () => {
    const out = join(scratch, 'out');
    built(ann, 'FROM scratch\nCOPY . /here/', ['-o', out], { '.dockerignore': 'note\n', other: 'another' });
    expect(readFileSync(join(out, 'here/other'), 'utf8')).toBe('another');
    expect(() => readFileSync(join(out, 'here/note'))).toThrow('ENOENT');
  });

  it('lends the keys of an agent', async () => {
    const agent = createServer().listen(join(scratch, 'agent'));
    await new Promise((resolve) => agent.once('listening', resolve));
    const out = built(ann, `FROM ${signed}\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo an agent > /agent`, ['-t', `${registry}/ann/keys:one`, '--ssh', `default=${join(scratch, 'agent')}`]);
    agent.close();
    expect([inside(`${registry}/ann/keys:one`, '/bin/cat', '/agent'), out]).toEqual(['an agent', expect.stringContaining('mount=type=ssh')]);
  });

  it('ends a build by the name that its owner has given it, and no other', async () => {
    const seconds = String(100_000 + Math.floor(Math.random() * 100_000));
    const dockerfile = `FROM ${signed}\nRUN sleep ${seconds}\n`;
    const { status, client } = await BuildClient.open(door(ann), 'own-session', () => ({ Dockerfile: dockerfile }));
    const again = await BuildClient.open(door(ann), 'own-session', () => ({}));
    expect([status, again.status]).toEqual(['101', '409']);
    const query = (who: string): string => `/build?version=2&remote=client-session&session=own-session&buildid=mine&networkmode=none&t=${registry}/${who}/long:one`;
    const done = post(ann, query('ann'));
    await eventually('it runs', () => runs('sleep', seconds), 60);
    // Another's session is as none, and another's build is not his to end.
    expect(await post(bob, query('bob'))).toMatchObject({ status: 404, text: expect.stringContaining('no such session') as unknown });
    expect(await post(bob, '/build/cancel?id=mine')).toMatchObject({ status: 404, text: expect.stringContaining('No such build') as unknown });
    expect(built(bob, 'FROM scratch\nCOPY note /', ['-t', `${registry}/bob/quick:one`])).toContain('DONE');
    expect(runs('sleep', seconds)).toBe(true);
    expect((await post(ann, '/build/cancel?id=mine')).status).toBeLessThan(300);
    const { text } = await done;
    expect(text).toContain('error');
    await eventually('it has ended', () => !runs('sleep', seconds), 60);
    expect(client.asked.filter((each) => each.endsWith(' dockerfile'))).toHaveLength(1);
    expect(client.asked.join(' ')).not.toMatch(/Auth|Secrets/);
    client.close();
  });

  it('ends with the credential of who builds', async () => {
    const seconds = String(200_000 + Math.floor(Math.random() * 100_000));
    const api = await gantry.api('ann', 'ann has a long password');
    const guest = new Client(gantry.ready!.gateway, await bundleFiles(api), program);
    const lasting = guest.beginWith({ DOCKER_BUILDKIT: '1' }, 'build', '--progress', 'plain', '--network', 'none', '-t', `${registry}/ann/long:two`, '--no-cache', context(`FROM ${signed}\nRUN sleep ${seconds}\n`));
    try {
      await eventually('it runs', () => runs('sleep', seconds), 60);
      const { body } = await api.get<{ items: { id: string; createdAt: string }[] }>('/api/v1/me/certificates');
      const [newest] = [...body.items].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
      expect((await api.send('DELETE', `/api/v1/me/certificates/${newest!.id}`)).status).toBe(204);
      await lasting.ended(60);
      await eventually('it has ended on the engine', () => !runs('sleep', seconds), 60);
    } finally {
      lasting.kill();
      guest.remove();
    }
    expect(raw.run(['image', 'inspect', `${registry}/ann/long:two`]).code).not.toBe(0);
  });

  it('begins with images of other registries for who was given them, whatever the node calls so', async () => {
    const elsewhere = await startRegistry({ dir: join(scratch, 'registry') });
    const boss = new Client(gantry.ready!.gateway, await bundleFiles(admin), program);
    try {
      await pushImage(await webImage({ version: 'elsewhere' }), { url: elsewhere.url, repository: 'x/y', reference: 'one' });
      const foreign = `${elsewhere.host}/x/y:one`;
      raw.ok(['tag', unsigned, foreign]);
      built(boss, `FROM ${foreign}\nRUN echo $VERSION > /version\n`, ['-t', `${registry}/admin/from:one`]);
      expect(inside(`${registry}/admin/from:one`, '/bin/cat', '/version')).toBe('elsewhere');
      expect(refused(ann, `FROM ${foreign}`)).toContain('is not from');
    } finally {
      boss.remove();
      await elsewhere.stop();
    }
  });

  it('uses the cache of one’s own builds alone', () => {
    const dockerfile = `FROM ${signed}\nRUN --mount=type=cache,target=/cache cat /cache/who /dev/null > /who; echo $(cat /proc/sys/kernel/random/uuid) >> /cache/who; cat /proc/sys/kernel/random/uuid > /when`;
    built(ann, dockerfile, ['-t', `${registry}/ann/same:one`]);
    for (const [who, name] of [[ann, 'ann/same:two'], [bob, 'bob/same:one']] as const) built(who, dockerfile, ['-t', `${registry}/${name}`]);
    const when = (image: string): string => inside(image, '/bin/cat', '/when');
    expect(when(`${registry}/ann/same:two`)).toBe(when(`${registry}/ann/same:one`));
    expect(when(`${registry}/bob/same:one`)).not.toBe(when(`${registry}/ann/same:one`));
    expect(inside(`${registry}/bob/same:one`, '/bin/sh', '-c', 'wc -c < /who')).toBe('0');
  });

  it('builds from what may run there, and by nothing that reaches further', async () => {
    const before = await images();
    for (const [dockerfile, said, flags] of [
      [`FROM ${unsigned}\nRUN true`, 'sign'],
      [`FROM ${signed} AS a\nFROM ${unsigned} AS b\nRUN true\nFROM a`, 'sign'],
      [`FROM scratch\nCOPY --from=${hidden} / /`, 'No such image'],
      [`FROM ${signed}\nRUN --mount=from=${hidden},target=/x cp -r /x /y`, 'No such image'],
      [`FROM ${signed}\nRUN --mount=from=alpine,target=/x true`, 'is not from'],
      ['FROM alpine', 'is not from'],
      [`# syntax=docker/dockerfile:1\nFROM ${signed}`, 'drop the line'],
      [`FROM ${signed}\nRUN --network=host true`, 'image:build:host-network'],
      [`FROM ${signed}\nRUN --security=insecure true`, 'not passed on'],
      [`FROM ${signed}\nRUN cat <<E\nE`, 'documents'],
      ['FROM scratch\nADD http://127.0.0.1:1/x /x', 'image:build:remote'],
      [`FROM ${signed}`, 'image:build:host-network', ['-t', `${registry}/ann/no:one`, '--network', 'host']],
      [`FROM ${signed}`, 'BUILDKIT_SYNTAX', ['-t', `${registry}/ann/no:one`, '--build-arg', `BUILDKIT_SYNTAX=${unsigned}`]],
      [`FROM ${signed}`, 'nobody’s', []],
      [`FROM ${signed}`, 'may not push', ['-t', `${registry}/bob/no:one`]],
    ] as const) expect([dockerfile, refused(ann, dockerfile, flags === undefined ? undefined : [...flags])]).toEqual([dockerfile, expect.stringContaining(said)]);
    const { code, stderr } = ann.run(['build', '-t', `${registry}/ann/no:one`, 'http://127.0.0.1:1/x.git'], { env: { DOCKER_BUILDKIT: '1' } });
    expect([code, stderr]).toEqual([1, expect.stringContaining('DOCKER_BUILDKIT=0')]);
    expect(await images()).toEqual(before);
  });
});
