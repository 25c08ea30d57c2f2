import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSlapd, type Slapd } from '../../libs/access/testing/slapd';
import { savedImage, webImage } from '../lab';
import { DockerCli, Gantry, type Answer, type Api } from './gantry';

interface Person {
  id: string;
  name: string;
  source: string;
  admin: boolean;
  organizations: { name: string; role: string }[];
}

const janesPassword = 'janes directory password';

/** People who sign in with the password of a real OpenLDAP server. */
describe('a directory', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-ldap-'));
  let slapd: Slapd;
  let jane: string;
  let gantry: Gantry;
  let admin: Api;
  let visitor: Api;
  let docker: DockerCli;
  let registry: string;

  beforeAll(async () => {
    slapd = await startSlapd();
    jane = await slapd.addPerson({ uid: 'jane', password: janesPassword, cn: 'Jane Doe', mail: 'jane@corp.test' });
    for (const uid of ['admin', 'acme']) await slapd.addPerson({ uid, password: 'a directory password' });
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    admin = await gantry.api('admin', gantry.adminPassword());
    visitor = await gantry.api();
    docker = new DockerCli(gantry.ready!.engine);
    registry = gantry.ready!.registry;
  });
  afterAll(async () => {
    docker?.remove();
    await gantry?.remove();
    await slapd?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** Sets the directory as an administrator does; answers what is shown of it afterwards. */
  const configure = async (changes: Partial<ReturnType<Slapd['settings']>> = {}): Promise<Record<string, unknown>> => {
    const before = await admin.get('/api/v1/ldap');
    const ifMatch = { 'if-match': before.headers.get('etag')! };
    const put = await admin.send<Record<string, unknown>>('PUT', '/api/v1/ldap', slapd.settings(changes), ifMatch);
    expect([put.status, put.body]).toEqual([200, expect.objectContaining({ enabled: true })]);
    return put.body;
  };
  const signIn = (username: string, password: string): Promise<Answer<{ token: string; user: Person; code: string }>> =>
    visitor.post('/api/v1/sessions', { username, password });
  const refusal = async (username: string, password: string): Promise<[number, string]> => {
    const { status, body } = await signIn(username, password);
    return [status, body.code];
  };
  const as = (username: string, password: string): Promise<Api> => gantry.api(username, password);
  const me = async (username: string, password: string): Promise<Person> =>
    (await (await as(username, password)).get<Person>('/api/v1/me')).body;
  const login = (username: string, password: string): ReturnType<DockerCli['run']> =>
    docker.run(['login', '-u', username, '--password-stdin', registry], { input: password });
  const people = async (): Promise<{ name: string; source: string; admin: boolean }[]> => {
    const { body } = await admin.get<{ items: { name: string; source: string; admin: boolean }[] }>('/api/v1/users?limit=200');
    return body.items.map(({ name, source, admin: isAdmin }) => ({ name, source, admin: isAdmin }));
  };

  it('lets nobody in before it is set', async () => {
    expect(await refusal('jane', janesPassword)).toEqual([401, 'access.wrong-credentials']);
    const shown = await configure();
    expect(shown).toMatchObject({ url: `ldap://127.0.0.1:${slapd.port}`, bindDn: slapd.readerDn });
    expect(JSON.stringify(shown)).not.toContain(slapd.readerPassword);
    const tried = await admin.post('/api/v1/ldap/test', { username: 'jane', password: janesPassword });
    expect(tried.status).toBe(200);
    expect(tried.body).toMatchObject({ ok: true, entry: { dn: jane, username: 'jane' } });
    expect(await people()).toEqual([{ name: 'admin', source: 'local', admin: true }]);
  });

  it('makes an account at the first sign-in, which may nothing until somebody grants it', async () => {
    expect((await admin.post('/api/v1/organizations', { name: 'acme' })).status).toBe(201);
    expect((await admin.post('/api/v1/repositories', { namespace: 'acme', name: 'web' })).status).toBe(201);
    const image = `${registry}/acme/web:1.0`;
    writeFileSync(join(scratch, 'image.tar'), await savedImage(await webImage({ version: 'one' }), image));
    docker.ok(['load', '-q', '-i', join(scratch, 'image.tar')]);
    expect(login('admin', gantry.adminPassword()).code).toBe(0);
    docker.ok(['push', '-q', image]);

    expect(await refusal('jane', 'not her password')).toEqual([401, 'access.wrong-credentials']);
    expect(await refusal('jane', '')).toEqual([400, 'request.invalid']);
    expect((await people()).map(({ name }) => name)).toEqual(['admin']);
    const first = await signIn('jane', janesPassword);
    expect(first.status).toBe(201);
    expect(first.body.user).toMatchObject({ name: 'jane', source: 'ldap', admin: false, displayName: 'Jane Doe', mail: 'jane@corp.test' });
    // Now that she has an account, the record says whose failure it was.
    expect(await refusal('jane', 'not her password')).toEqual([401, 'access.wrong-credentials']);
    const api = await as('jane', janesPassword);
    expect((await api.get<Person>('/api/v1/me')).body).toMatchObject({ id: first.body.user.id, organizations: [] });
    for (const noun of ['repositories', 'applications', 'environments', 'clusters', 'signing-keys', 'organizations']) {
      const list = await api.get<{ items: unknown[] }>(`/api/v1/${noun}`);
      expect([noun, list.status, list.body.items]).toEqual([noun, 200, []]);
    }
    expect((await api.get('/api/v1/repositories/acme/web')).status).toBe(404);
    expect((await api.get('/api/v1/organizations/acme')).status).toBe(404);
    for (const path of ['ldap', 'audit']) expect([403, 404]).toContain((await api.get(`/api/v1/${path}`)).status);
    expect(login('jane', janesPassword).code).toBe(0);
    expect(docker.run(['pull', image])).toMatchObject({ code: 1, stderr: expect.stringContaining('denied') });

    expect((await admin.send('PUT', '/api/v1/organizations/acme/members/jane', { role: 'member' })).status).toBe(200);
    expect((await api.get('/api/v1/repositories')).body).toMatchObject({ items: [{ name: 'web' }] });
    expect((await api.get('/api/v1/repositories/acme/web')).status).toBe(200);
    docker.ok(['pull', '-q', image]);
    expect(docker.run(['push', image])).toMatchObject({ code: 1, stderr: expect.stringContaining('denied') });
    expect((await admin.send('PUT', '/api/v1/organizations/acme/members/jane', { role: 'admin' })).status).toBe(200);
    docker.ok(['push', '-q', image]);
    expect(login('jane', 'not her password').code).not.toBe(0);
  });

  it('takes over nothing: not the administrator, not an organization', async () => {
    const before = await people();
    const organization = (await admin.get('/api/v1/organizations/acme')).body;
    expect(await refusal('admin', 'a directory password')).toEqual([401, 'access.wrong-credentials']);
    expect(await refusal('ADMIN', 'a directory password')).toEqual([401, 'access.wrong-credentials']);
    expect(await refusal('acme', 'a directory password')).toEqual([409, 'access.name-taken']);
    for (const name of ['admin', 'acme']) expect(login(name, 'a directory password').code).not.toBe(0);
    expect(await people()).toEqual(before);
    expect((await admin.get('/api/v1/organizations/acme')).body).toEqual(organization);
    expect((await signIn('admin', gantry.adminPassword())).body.user).toMatchObject({ source: 'local', admin: true });
  });

  it('knows people by entryUUID: a renamed entry keeps its account, and its old name leads nobody else there', async () => {
    const before = await me('jane', janesPassword);
    jane = await slapd.rename(jane, 'janet');
    const after = await me('janet', janesPassword);
    expect(after).toEqual({ ...before, credential: expect.anything() });
    expect(after.organizations).toEqual([expect.objectContaining({ name: 'acme', role: 'admin' })]);
    expect(login('janet', janesPassword).code).toBe(0);
    expect(await refusal('jane', janesPassword)).toEqual([401, 'access.wrong-credentials']);
    const other = await slapd.addPerson({ uid: 'jane', password: 'another janes password' });
    expect(await refusal('jane', 'another janes password')).toEqual([409, 'access.name-taken']);
    await slapd.remove(other);
    jane = await slapd.rename(jane, 'jane');
    expect((await me('jane', janesPassword)).id).toBe(before.id);
    expect((await people()).map(({ name }) => name).sort()).toEqual(['admin', 'jane']);
  });

  it.each(['ldaps://', 'StartTLS'])('is reached over %s with an authority of its own, and not with another', async (transport) => {
    const over = transport === 'StartTLS' ? { startTls: true } : { url: `ldaps://127.0.0.1:${slapd.tlsPort}` };
    await configure({ ...over, caPem: slapd.caPem });
    expect((await signIn('jane', janesPassword)).status).toBe(201);
    expect(await refusal('jane', 'not her password')).toEqual([401, 'access.wrong-credentials']);
    expect(login('jane', janesPassword).code).toBe(0);
    for (const caPem of [slapd.otherCaPem, null]) {
      await configure({ ...over, caPem });
      expect(await refusal('jane', janesPassword)).toEqual([503, 'access.directory-unavailable']);
      const tried = await admin.post('/api/v1/ldap/test', {});
      expect(tried.status).toBe(200);
      expect(tried.body).toMatchObject({ ok: false, detail: expect.stringContaining('authority that is not trusted') });
    }
  });

  it.each(['ldap://', 'ldaps://', 'StartTLS'])('whose reader is refused over %s is 503, never a wrong password', async (transport) => {
    const { caPem } = slapd;
    const url = `ldaps://127.0.0.1:${slapd.tlsPort}`;
    const over = { 'ldap://': {}, 'ldaps://': { url, caPem }, StartTLS: { startTls: true, caPem } }[transport];
    await configure({ ...over, bindPassword: 'not the password of the reader' });
    for (const password of [janesPassword, 'not her password']) {
      expect(await refusal('jane', password)).toEqual([503, 'access.directory-misconfigured']);
    }
    expect(await refusal('nobody', 'whatever it is')).toEqual([503, 'access.directory-misconfigured']);
    const tried = await admin.post('/api/v1/ldap/test', {});
    expect([tried.status, tried.body]).toEqual([200, expect.objectContaining({ ok: false, code: 'access.directory-misconfigured' })]);
    expect((await signIn('admin', gantry.adminPassword())).status).toBe(201);
  });

  it('that is down is 503, for docker too, while the administrator signs in; back up, all is as it was', async () => {
    await configure();
    await slapd.stop();
    const authorization = `Basic ${Buffer.from(`jane:${janesPassword}`).toString('base64')}`;
    const basic = (): Promise<Response> => fetch(`http://${registry}/auth/token?service=gantry-registry`, { headers: { authorization } });
    expect(await refusal('jane', janesPassword)).toEqual([503, 'access.directory-unavailable']);
    expect((await basic()).status).toBe(503);
    expect(login('jane', janesPassword).code).not.toBe(0);
    expect((await signIn('admin', gantry.adminPassword())).status).toBe(201);
    expect(login('admin', gantry.adminPassword()).code).toBe(0);
    expect((await visitor.get('/readyz')).status).toBe(200);
    await slapd.start();
    expect((await signIn('jane', janesPassword)).status).toBe(201);
    expect((await basic()).status).toBe(200);
  });

  it('leaves a row for each sign-in and each change of its settings, and no password anywhere', async () => {
    const { items } = (await admin.get<{ items: unknown[] }>('/api/v1/audit?limit=200')).body;
    const row = (action: string, outcome: string, more: Record<string, unknown>, detail: Record<string, unknown> = {}): unknown =>
      expect.objectContaining({ action, outcome, ...more, detail: expect.objectContaining(detail) });
    expect(items).toEqual(expect.arrayContaining([
      row('user.create', 'success', { resourceName: 'jane' }, { source: 'ldap' }),
      row('session.create', 'success', { actorName: 'jane' }, { source: 'ldap' }),
      row('session.create', 'refused', { resourceName: 'jane' }, { code: 'access.wrong-credentials' }),
      row('session.create', 'failed', {}, { code: 'access.directory-misconfigured' }),
      row('session.create', 'failed', {}, { code: 'access.directory-unavailable' }),
      row('directory.update', 'success', { actorName: 'admin' }),
    ]));
    for (const secret of [janesPassword, slapd.readerPassword, 'not her password', 'a directory password']) {
      expect(JSON.stringify(items)).not.toContain(secret);
      expect(gantry.log()).not.toContain(secret);
      expect(gantry.printed).not.toContain(secret);
    }
  });
});
