import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { callEngine, pushImage, savedImage, startRegistry, webImage, type LabRegistry } from '../lab';
import { eventually } from '@gantry/platform/testing';
import { catchUp, DockerCli, Gantry, run, type Api } from './gantry';

interface Image {
  Id: string;
  RepoTags: string[] | null;
}

/** Images through the gateway with the stock docker CLI and its classic builder; the engine itself, on its own socket, is the oracle. */
describe('images through the gateway', () => {
  let gantry: Gantry;
  let admin: Api;
  let raw: DockerCli;
  let registry: string;
  let web: string;
  let hidden: string;
  let elsewhere: LabRegistry;
  const people: Record<'ann' | 'bob' | 'boss', Record<string, string>> = { ann: {}, bob: {}, boss: {} };
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-images-'));

  const cli = (who: keyof typeof people, ...argv: string[]): { code: number | null; stdout: string; stderr: string } => run('docker', argv, { env: people[who], seconds: 180 });
  const ok = (who: keyof typeof people, ...argv: string[]): string => {
    const result = cli(who, ...argv);
    if (result.code !== 0) throw new Error(`${who}: docker ${argv.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}\n${gantry.log().slice(-2_000)}`);
    return result.stdout.trim();
  };
  const refused = (who: keyof typeof people, ...argv: string[]): string => {
    const result = cli(who, ...argv);
    expect([argv.join(' '), result.code]).not.toEqual([argv.join(' '), 0]);
    return result.stderr + result.stdout;
  };
  const images = async (): Promise<string[]> =>
    (await callEngine<Image[]>(gantry.ready!.engine.replace('unix://', ''), 'GET', '/v1.41/images/json?all=1')).map(({ Id, RepoTags }) => `${Id} ${[...(RepoTags ?? [])].sort().join(' ')}`).sort();
  const idOf = (name: string): string => raw.ok(['image', 'inspect', '-f', '{{.Id}}', name]);

  /** A folder with a Dockerfile and a note. */
  const context = (dockerfile: string): string => {
    const folder = mkdtempSync(join(scratch, 'context-'));
    writeFileSync(join(folder, 'Dockerfile'), dockerfile);
    writeFileSync(join(folder, 'note'), 'a note');
    return folder;
  };
  const build = (name: string, dockerfile: string, ...flags: string[]): string[] => ['build', '--network', 'none', ...flags, ...(name === '' ? [] : ['-t', name]), context(dockerfile)];

  async function load(name: string, version: string): Promise<void> {
    const file = join(scratch, 'image.tar');
    writeFileSync(file, await savedImage(await webImage({ version }), name));
    raw.ok(['load', '-q', '-i', file]);
  }

  async function bundle(api: Api): Promise<Record<string, string>> {
    const folder = mkdtempSync(join(scratch, 'bundle-'));
    await catchUp();
    const answer = await fetch(`${gantry.ready!.http}/api/v1/me/bundle`, { headers: { authorization: `Bearer ${api.token}` } });
    for (const [name, bytes] of Object.entries(unzipSync(Buffer.from(await answer.arrayBuffer())))) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      if (!name.endsWith('/')) writeFileSync(join(folder, name), bytes, { mode: 0o600 });
    }
    return { DOCKER_HOST: gantry.ready!.gateway, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder, DOCKER_CONFIG: mkdtempSync(join(scratch, 'config-')), DOCKER_BUILDKIT: '0' };
  }

  const made = async (path: string, body: unknown): Promise<void> => {
    const { status, body: answer } = await admin.post(path, body);
    if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
  };

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    [, elsewhere] = await Promise.all([gantry.start(), startRegistry({ dir: join(scratch, 'registry') })]);
    ({ registry } = gantry.ready!);
    admin = await gantry.api('admin', gantry.adminPassword());
    raw = new DockerCli(gantry.ready!.engine);
    for (const name of ['ann', 'bob']) await made('/api/v1/users', { name, password: `${name} has a long password` });
    for (const name of ['acme', 'other']) await made('/api/v1/organizations', { name });
    for (const name of ['ann', 'bob']) expect((await admin.send('PUT', `/api/v1/organizations/acme/members/${name}`, { role: 'member' })).status).toBe(200);
    for (const [namespace, name] of [['acme', 'web'], ['other', 'hidden']]) await made('/api/v1/repositories', { namespace, name });
    await made('/api/v1/collections', { name: 'floor', parent: '/' });
    expect((await admin.send('PUT', '/api/v1/placements/cluster/local', { collection: '/floor' })).status).toBe(200);
    for (const subject of ['ann', 'bob']) await made('/api/v1/grants', { subject, role: 'viewonly', collection: '/floor' });
    web = `${registry}/acme/web:one`;
    hidden = `${registry}/other/hidden:one`;
    raw.ok(['login', '-u', 'admin', '--password-stdin', registry], { input: gantry.adminPassword() });
    for (const [name, version] of [[web, 'one'], [hidden, 'hidden']] as const) {
      await load(name, version);
      raw.ok(['push', '-q', name]);
    }
    await load('only-here:one', 'only here');
    people.ann = await bundle(await gantry.api('ann', 'ann has a long password'));
    people.bob = await bundle(await gantry.api('bob', 'bob has a long password'));
    people.boss = await bundle(admin);
    for (const name of ['ann', 'bob'] as const) expect(run('docker', ['login', '-u', name, '--password-stdin', registry], { env: people[name], input: `${name} has a long password` }).stdout).toContain('Login Succeeded');
  }, 600_000);
  afterAll(async () => {
    raw?.remove();
    await elsewhere?.stop();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  }, 300_000);

  it('are searched for in what one may pull', () => {
    const names = (who: keyof typeof people, ...argv: string[]): string[] => ok(who, 'search', '--format', '{{.Name}}', ...argv).split('\n').filter(Boolean).sort();
    expect(names('ann', 'e')).toEqual([`${registry}/acme/web`]);
    expect(names('boss', `${registry}/hid`)).toEqual([`${registry}/other/hidden`]);
    expect(names('boss', '--limit', '1', 'e')).toEqual([`${registry}/acme/web`]);
    expect(names('boss', '--filter', 'is-official=true', 'e')).toEqual([]);
    expect(refused('ann', 'search', `${elsewhere.host}/x`)).toContain(`is not ${registry}`);
    expect(refused('boss', 'search', `${elsewhere.host}/x`)).not.toContain(`is not ${registry}`); // which knows no search
  });

  it('builds, pushes and runs', () => {
    const site = `${registry}/ann/site:one`;
    const out = ok('ann', ...build(site, `ARG TAG=none\nFROM ${registry}/acme/web:$TAG AS base\nCOPY note /www/\nFROM base\n# a comment\nRUN cat /www/note \\\n  && echo built > /www/built\nCOPY --from=base /www/note /copy\n`, '--build-arg', 'TAG=one'));
    expect(out).toContain(`Successfully tagged ${site}`);
    expect(out).toMatch(/FROM \S+\/acme\/web@sha256:[0-9a-f]{64} AS base/);
    expect(ok('ann', 'images', '--format', '{{.Repository}}:{{.Tag}}').split('\n')).toContain(site);
    expect(cli('bob', 'image', 'inspect', site).code).not.toBe(0);
    expect(refused('bob', 'push', site)).toMatch(/No such image|does not exist/i);
    // What the registry does not have does not run.
    expect(refused('ann', 'run', '--rm', '--network', 'none', site)).toMatch(/No such image|not found|unknown/i);
    ok('ann', 'push', '-q', site);
    expect(ok('ann', 'run', '--rm', '--network', 'none', '--entrypoint', '/bin/cat', site, '/copy', '/www/built')).toBe('a notebuilt');
    expect(raw.ok(['ps', '-aq'])).toBe('');
  });

  it('names images as their owner may, and nothing else', async () => {
    const [one, two, three, four] = ['one', 'two', 'three', 'four'].map((tag) => `${registry}/ann/site:${tag}`) as [string, string, string, string];
    ok('ann', 'tag', one, two);
    ok('ann', 'push', '-q', two);
    ok('ann', 'create', '--name', 'draft', '--network', 'none', one);
    ok('ann', 'commit', '-m', 'a draft', 'draft', three);
    ok('ann', 'push', '-q', three);
    expect(ok('ann', 'run', '--rm', '--network', 'none', '--entrypoint', '/bin/cat', three, '/copy')).toBe('a note');
    ok('ann', 'export', '-o', join(scratch, 'draft.tar'), 'draft');
    ok('ann', 'import', join(scratch, 'draft.tar'), four);
    ok('ann', 'rm', 'draft');
    expect(idOf(four)).not.toBe(idOf(one));
    ok('ann', 'save', '-o', join(scratch, 'saved.tar'), one, web);
    const before = await images();
    const odd = 'site:one';
    for (const argv of [['tag', one, odd], ['tag', one, `${registry}/acme/web:two`], ['tag', one, `${registry}/other/hidden:two`], ['tag', one, `${registry}/bob/site:one`], ['tag', hidden, two], ['tag', idOf(hidden), two], ['tag', 'only-here:one', two],
      ['tag', idOf('only-here:one').slice(7, 19), two], ['push', web], ['push', hidden], ['push', 'only-here:one'], ['import', join(scratch, 'draft.tar')], ['import', join(scratch, 'draft.tar'), odd], ['load', '-q', '-i', join(scratch, 'saved.tar')],
      ['save', '-o', join(scratch, 'x.tar'), hidden], ['save', '-o', join(scratch, 'x.tar'), one, idOf(hidden)], ['rmi', web], ['rmi', hidden], ['rmi', idOf(hidden)], ['rmi', idOf(web)], ['rmi', '-f', one], ['rmi', 'only-here:one'],
      build('', `FROM ${web}`), build(odd, `FROM ${web}`), build(`${registry}/acme/web:two`, `FROM ${web}`), build(two, `FROM ${web}`, '-t', odd)]) {
      const said = refused('ann', ...argv);
      expect(said).toMatch(/name the image|No such image|not passed|does not exist|not allowed|needs|may not|remove:force/i);
      expect([argv, said]).not.toEqual([argv, expect.stringContaining('internal error')]);
    }
    expect(refused('ann', 'rmi', hidden).replaceAll('hidden', 'X')).toBe(refused('ann', 'rmi', hidden.replace('hidden', 'nothing')).replaceAll('nothing', 'X'));
    expect(await images()).toEqual(before);
    ok('boss', 'load', '-q', '-i', join(scratch, 'saved.tar'));
    expect(ok('ann', 'rmi', two)).toContain(`Untagged: ${two}`);
    ok('ann', 'rmi', four);
    expect((await images()).join(' ')).not.toMatch(/site:(two|four)/);
  });

  it('prunes what is one’s own, which images without a name are not', async () => {
    ok('ann', ...build(`${registry}/ann/site:old`, `FROM ${web}\nRUN echo 1 > /tmp/x`));
    ok('ann', ...build(`${registry}/ann/site:old`, `FROM ${web}\nRUN echo 2 > /tmp/x`));
    const dangling = (): string => raw.ok(['images', '-q', '--filter', 'dangling=true']);
    expect(dangling()).not.toBe('');
    expect(ok('ann', 'image', 'prune', '-f')).toContain('0B');
    expect(ok('ann', 'image', 'prune', '-af')).toContain('0B');
    expect(ok('ann', 'builder', 'prune', '-f')).toContain('0B');
    expect(dangling()).not.toBe('');
    ok('boss', 'image', 'prune', '-f');
    expect(dangling()).toBe('');
  });

  it('builds from nothing that the caller may not pull, nor by the engine’s hand', async () => {
    const target = `${registry}/ann/stolen:one`;
    raw.ok(['create', '--name', 'trigger', '--network', 'none', web]);
    raw.ok(['commit', '--change', 'ONBUILD ADD http://127.0.0.1:1/x /x', 'trigger', `${registry}/acme/web:trigger`]);
    raw.ok(['push', '-q', `${registry}/acme/web:trigger`]);
    raw.ok(['rm', 'trigger']);
    const id = idOf(hidden);
    const digest = raw.ok(['image', 'inspect', '-f', '{{index .RepoDigests 0}}', hidden]);
    const spellings = [hidden, digest, id, id.slice(7), id.slice(7, 19), `sha256:${id.slice(7, 19)}`, 'only-here:one', 'only-here', `${registry}/acme/web@${digest.split('@')[1]!}`, elsewhere.host + '/x/y'];
    const before = await images();
    for (const each of spellings) {
      for (const dockerfile of [`FROM ${each}\nRUN true`, `FROM scratch\nCOPY --from=${each} / /`, `FROM ${web} AS x\nFROM ${each}\nCOPY --from=x /bin /bin`, `ARG X=${each}\nFROM $X`, `FROM scratch\nONBUILD COPY --from=${each} / /`]) {
        expect([dockerfile, refused('ann', ...build(target, dockerfile))]).toEqual([dockerfile, expect.stringMatching(/No such image|is not from|is not a|name the image plainly|write the options plainly/)]);
      }
      // Not an error, but no cache either.
      const out = ok('ann', ...build(`${registry}/ann/cached:one`, 'FROM scratch\nCOPY note /', '--cache-from', each));
      expect(out).not.toContain('Using cache\n ---> ' + id.slice(7, 19));
      raw.ok(['rmi', `${registry}/ann/cached:one`]);
    }
    for (const [dockerfile, said] of [['FROM scratch\nADD http://hush:glpat-hush@127.0.0.1:1/x /x', 'image:build:remote'], [`FROM ${registry}/acme/web:trigger`, 'image:build:remote'], ['FROM scratch\nADD $X /', 'image:build:remote'], ['FROM scratch\nWHAT x', 'not an instruction']]) {
      expect(refused('ann', ...build(target, dockerfile!))).toContain(said);
    }
    expect(refused('ann', ...build(target, `FROM ${web}`, '--network', 'host').map((each) => (each === 'none' ? 'host' : each)))).toContain('image:build:host-network');
    expect(await images()).toEqual(before);
  });

  it('takes nothing from what others have built, but from what has one’s own names', () => {
    const dockerfile = `FROM ${web}\nRUN echo the same > /tmp/same`;
    ok('bob', ...build(`${registry}/bob/same:one`, dockerfile));
    expect(ok('ann', ...build(`${registry}/ann/same:one`, dockerfile))).not.toContain('Using cache');
    expect(ok('ann', ...build(`${registry}/ann/same:one`, dockerfile))).toContain('Using cache');
    // Named, but not hers to pull.
    expect(ok('ann', ...build(`${registry}/ann/same:two`, dockerfile, '--cache-from', `${registry}/bob/same:one`))).not.toContain('Using cache');
  });

  it('leaves images of other registries to who was given them', async () => {
    await pushImage(await webImage({ version: 'elsewhere' }), { url: elsewhere.url, repository: 'x/y', reference: 'one' });
    const foreign = `${elsewhere.host}/x/y:one`;
    for (const argv of [['pull', '-q', foreign], ['run', '--rm', '--network', 'none', foreign]]) expect(refused('bob', ...argv)).toContain('is not from');
    await made('/api/v1/grants', { subject: 'bob', role: 'fullcontrol', collection: '/Shared/Private/bob' });
    ok('bob', 'pull', '-q', foreign);
    expect(ok('bob', 'run', '--rm', '--network', 'none', '--entrypoint', '/bin/sh', foreign, '-c', 'echo $VERSION')).toBe('elsewhere');
    ok('bob', ...build(`${registry}/bob/from:one`, `FROM ${foreign}\nCOPY note /`));
    // What a base makes a build do is judged, whoever made it.
    const evil = `${elsewhere.host}/x/y:evil`;
    raw.ok(['create', '--name', 'evil', '--network', 'none', foreign]);
    raw.ok(['commit', '--change', `ONBUILD COPY --from=${hidden} / /stolen`, 'evil', evil]);
    raw.ok(['push', '-q', evil]);
    raw.ok(['rm', 'evil']);
    expect(refused('bob', ...build(`${registry}/bob/stolen:one`, `FROM ${evil}`))).toMatch(/No such image/);
    // Names that no registry has given, and ids, are none of another registry's.
    for (const each of ['only-here:one', idOf(hidden), idOf(hidden).slice(7, 19), idOf(foreign)]) expect(refused('bob', 'run', '--rm', '--pull', 'never', '--network', 'none', each)).toMatch(/No such image|is not from/);
    expect(refused('ann', 'run', '--rm', '--network', 'none', foreign)).toContain('is not from');
  });

  it('is not taken for what appears beside it, though it is in no registry', async () => {
    interface Finding { kind: string; engineId: string; name: string; state: string }
    const flagged = async (): Promise<Finding[]> => (await admin.get<{ items: Finding[] }>('/api/v1/clusters/local/findings?limit=200&state=flagged')).body.items;
    const [built, tagged, committed, imported] = ['built', 'tagged', 'committed', 'imported'].map((tag) => `${registry}/ann/watched:${tag}`) as [string, string, string, string];
    // The build goes on until the watcher has told of what came later: the step's container and the image before it stand alone meanwhile.
    const building = spawn('docker', build(built, `FROM ${web} AS stage\nRUN while [ ! -e /go ]; do sleep 1; done; echo made > /made\nFROM ${web}\nCOPY --from=stage /made /made\n`), { env: { ...process.env, ...people.ann }, stdio: 'ignore' });
    const over = once(building, 'close');
    try {
      const step = await eventually('the step runs', () => raw.ok(['ps', '-q', '--no-trunc', '--filter', 'status=running']).split('\n').filter(Boolean).find((id) => raw.run(['top', id]).stdout.includes('/go')), 120);
      await load('beside:first', 'beside first');
      await eventually('what was loaded after it began is flagged', async () => (await flagged()).some(({ kind, name }) => kind === 'image' && name === 'beside:first'), 120);
      raw.ok(['exec', step, '/bin/sh', '-c', 'echo > /go']);
      expect(await over).toEqual([0, null]);
    } finally {
      building.kill();
    }
    ok('ann', 'tag', web, tagged);
    ok('ann', 'create', '--name', 'sketch', '--network', 'none', web);
    ok('ann', 'commit', 'sketch', committed);
    ok('ann', 'export', '-o', join(scratch, 'sketch.tar'), 'sketch');
    ok('ann', 'import', join(scratch, 'sketch.tar'), imported);
    ok('ann', 'rm', 'sketch');
    const file = join(scratch, 'loaded.tar');
    writeFileSync(file, await savedImage(await webImage({ version: 'loaded' }), 'loaded:one'));
    ok('boss', 'load', '-q', '-i', file);
    await load('beside:one', 'beside');
    await eventually('what was loaded beside it is flagged', async () => (await flagged()).some(({ kind, name }) => kind === 'image' && name === 'beside:one'), 120);
    const made = [...[built, tagged, committed, imported, 'loaded:one', `${elsewhere.host}/x/y:one`].map(idOf), ...raw.ok(['images', '-q', '--no-trunc', '--filter', 'dangling=true']).split('\n').filter(Boolean)];
    expect(made.length).toBeGreaterThan(6);
    expect((await flagged()).filter(({ kind, engineId }) => kind === 'container' || made.includes(engineId))).toEqual([]);
    const told = (await admin.get<{ items: { detail: { kind: string } }[] }>('/api/v1/audit?limit=200&action=cluster.finding')).body.items;
    expect(told.filter(({ detail }) => detail.kind === 'container')).toEqual([]);
    // That is no right to run them.
    expect(refused('ann', 'run', '--rm', '--network', 'none', built)).toMatch(/No such image|not found|unknown/i);
    for (const id of [built, 'loaded:one'].map(idOf)) expect(refused('ann', 'run', '--rm', '--network', 'none', id)).toContain('is not from');
  }, 600_000);

  it('gets round no signature policy', async () => {
    const publicKeyPem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
    await made('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem });
    for (const name of ['ann', 'bob']) {
      await made('/api/v1/environments', { name: `${name}s`, account: name, cluster: 'local' });
      await made('/api/v1/signature-policies', { name: `${name}s`, environment: `${name}s`, mode: 'enforce', keys: ['release'] });
    }
    const before = await images();
    for (const each of ['one', 'three']) expect(refused('ann', 'run', '--rm', '--network', 'none', `${registry}/ann/site:${each}`)).toContain('sign');
    expect(refused('ann', ...build(`${registry}/ann/late:one`, `FROM ${web}\nRUN true`))).toContain('sign');
    expect(refused('bob', 'run', '--rm', '--network', 'none', `${elsewhere.host}/x/y:one`)).toContain('is not from');
    expect(refused('bob', ...build(`${registry}/bob/late:one`, `FROM ${elsewhere.host}/x/y:one`))).toContain('is not from');
    expect(await images()).toEqual(before);
  });

  it('puts on record who named what', async () => {
    const rows = (await admin.get<{ items: { action: string; outcome: string; actorName: string; detail: { code?: string; names?: string[] } }[] }>('/api/v1/audit?limit=200')).body.items.filter(({ actorName }) => actorName !== 'admin');
    const seen = rows.map(({ action, outcome }) => `${action} ${outcome}`);
    for (const each of ['engine.image.build success', 'engine.image.build refused', 'engine.image.create success']) expect(seen).toContain(each);
    expect(rows.some(({ detail }) => detail.names?.includes(`${registry}/bob/from:one`))).toBe(true);
    expect(JSON.stringify(rows)).toContain('needs image:build:remote');
    for (const secret of ['long password', 'glpat-hush']) expect(JSON.stringify(rows)).not.toContain(secret);
  });
});
