import { DirectorySync } from '@gantry/access';
import { systemContext } from '@gantry/platform';
import { makeCorp, type Corp } from '../../../../../libs/access/testing/corp';
import { startSlapd, type Slapd } from '../../../../../libs/access/testing/slapd';
import { adminPassword, makeHarness, type ApiHarness } from '../../../test/harness';

interface Item {
  id: string;
  code: string;
  name: string;
  detail: Record<string, unknown>;
}

describe('the directory over HTTP', () => {
  let corp: Corp;
  let slapd: Slapd;
  let harness: ApiHarness;
  let token: string;
  beforeAll(async () => {
    corp = makeCorp({ base: 'dc=corp,dc=test', users: 12, groups: 2 });
    slapd = await startSlapd({ ldif: corp.ldif });
    harness = await makeHarness();
    token = await harness.signIn('admin', adminPassword);
  });
  afterAll(async () => {
    await harness.close();
    await slapd.close();
  });
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number; headers: Record<string, unknown>; body: Record<string, unknown> & { items: Item[] } }> =>
    (await harness.send(method, `/api/v1${path}`, { token, body, headers })) as never;

  it('is set, followed by a team, tried dry, synchronised, held and confirmed', async () => {
    expect((await call('POST', '/ldap/sync')).body).toMatchObject({ status: 409, code: 'access.directory-off' });
    const { searchBase: _base, ...settings } = slapd.settings();
    const wanted = { ...settings, searchBase: corp.peopleBase, createOnSync: true, schedule: '0 * * * *', safetySharePercent: 40 };
    const bad = await call('PUT', '/ldap', { ...wanted, userSearches: [{ searchBase: corp.peopleBase, filter: '(uid=*' }] }, { 'if-match': '"0"' });
    expect([bad.status, bad.body['errors']]).toEqual([400, [{ pointer: '/userSearches/0/filter', detail: expect.stringContaining('at character 7') as string }]]);
    expect((await call('PUT', '/ldap', { ...wanted, filter: null }, { 'if-match': '"0"' })).body).toMatchObject({ version: 1, schedule: '0 * * * *', jitProvisioning: true, domains: [], holdHours: 72 });

    await call('POST', '/organizations', { name: 'acme' });
    await call('POST', '/organizations/acme/teams', { name: 'dev' });
    expect((await call('GET', '/organizations/acme/teams/dev/sync')).status).toBe(404);
    const selection = { kind: 'group', groupDn: corp.groups[0]!.dn };
    const put = await call('PUT', '/organizations/acme/teams/dev/sync', { selection }, { 'if-match': '"0"' });
    expect([put.status, put.headers['etag'], put.body['selection']]).toEqual([200, '"1"', { ...selection, memberAttribute: 'member', nested: false }]);
    expect((await call('PUT', '/organizations/acme/teams/dev/sync', { selection }, { 'if-match': '"0"' })).status).toBe(412);
    expect((await call('PUT', '/organizations/acme/teams/dev/sync', { selection: { ...selection, groupDn: 'nonsense' } }, { 'if-match': '"1"' })).body).toMatchObject({ status: 400, errors: [{ pointer: '/groupDn' }] });
    expect((await call('PUT', '/organizations/acme/admin-sync', { selection: { kind: 'search', searchBase: corp.peopleBase, filter: '(uid=u00001)' } }, { 'if-match': '"0"' })).status).toBe(200);

    const sync = async (query = ''): Promise<{ id: string; counts: Record<string, number> }> => {
      const asked = await call('POST', `/ldap/sync${query}`);
      expect([asked.status, asked.headers['location'], asked.body['state']]).toEqual([202, `/api/v1/ldap/syncs/${String(asked.body['id'])}`, 'queued']);
      expect((await call('POST', `/ldap/sync${query}`)).body['id']).toBe(asked.body['id']);
      await harness.app.get(DirectorySync).run(systemContext('test'), { runId: String(asked.body['id']) });
      return (await call('GET', `/ldap/syncs/${String(asked.body['id'])}`)).body as never;
    };
    const dry = await sync('?dryRun=true');
    expect(dry).toMatchObject({ state: 'succeeded', dryRun: true, counts: { created: 12, adminsAdded: 1 } });
    expect((await call('GET', `/ldap/syncs/${dry.id}/log?limit=200`)).body.items.map(({ code }) => code)).toEqual(expect.arrayContaining(['user.create', 'team.add-members', 'admins.add']));
    expect((await call('GET', '/users/u00001')).status).toBe(404);
    const real = await sync();
    expect(real.counts).toEqual(dry.counts);
    expect((await call('GET', '/ldap/syncs')).body.items.map(({ id }) => id)).toEqual([real.id, dry.id]);
    expect((await call('GET', '/organizations/acme/members?limit=200')).body.items).toContainEqual(expect.objectContaining({ role: 'admin', user: expect.objectContaining({ name: 'u00001' }) as unknown }));

    await call('PUT', '/organizations/acme/teams/dev/sync', { selection: { kind: 'search', searchBase: corp.peopleBase, filter: '(uid=nobody)' } }, { 'if-match': '"1"' });
    expect((await sync()).counts['held']).toBe(corp.groups[0]!.people.length);
    const [hold] = (await call('GET', '/ldap/holds?waiting=true')).body.items;
    expect(hold).toMatchObject({ name: 'acme/dev', scope: 'team', state: 'open' });
    const confirmed = await call('POST', `/ldap/holds/${hold!.id}/confirm`);
    expect(confirmed.status).toBe(202);
    await harness.app.get(DirectorySync).run(systemContext('test'), { runId: String(confirmed.body['id']) });
    expect((await call('GET', '/organizations/acme/teams/dev/members')).body.items).toEqual([]);
    expect((await call('GET', '/ldap/holds?waiting=true')).body.items).toEqual([]);
    expect((await call('POST', `/ldap/holds/${hold!.id}/confirm`)).body).toMatchObject({ status: 409, code: 'access.hold-over' });

    expect((await call('DELETE', '/organizations/acme/teams/dev/sync')).status).toBe(204);
    expect((await call('DELETE', '/organizations/acme/admin-sync')).status).toBe(204);
    const audited = (await call('GET', '/audit?limit=200')).body.items.map((row) => (row as unknown as { action: string }).action);
    expect(audited).toEqual(expect.arrayContaining([
      'directory.update', 'directory.sync', 'directory.sync-finished', 'directory.set-team-sync', 'directory.set-admin-sync', 'directory.unset-team-sync', 'directory.unset-admin-sync', 'directory.confirm-hold', 'team.sync-members',
    ]));
  });
});
