import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { eventually } from '@gantry/platform/testing';
import { DockerCli, Gantry, isAlive, leftovers, run } from './gantry';

/** Processes that the supervisor recorded. */
function recorded(home: string): number[] {
  const folder = join(home, 'run');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => (JSON.parse(readFileSync(join(folder, name), 'utf8')) as { pid: number }).pid);
}

describe('npm start', () => {
  let gantry: Gantry;
  beforeAll(async () => {
    gantry = await Gantry.prepare();
  });
  afterAll(async () => gantry.remove());

  it('starts everything, deploys the signed sample, and says where things are', async () => {
    const ready = await gantry.start();
    await gantry.says(/Gantry is ready\.[^]*Ctrl-C stops/);
    expect(gantry.printed).toContain(ready.adminPasswordFile);
    expect((await fetch(`${ready.http}/readyz`)).status).toBe(200);
    expect(await (await fetch(ready.sampleUrl!)).text()).toContain('Hello from Gantry');
    const docker = new DockerCli(ready.engine);
    try {
      expect(docker.ok(['service', 'ls', '--format', '{{.Image}}'])).toMatch(/^127\.0\.0\.1:\d+\/sample\/hello(:1\.0)?@sha256:[0-9a-f]{64}$/);
      expect(docker.ok(['stack', 'ls', '--format', '{{.Name}}'])).toMatch(/hello/);
    } finally {
      docker.remove();
    }
    const admin = await gantry.api('admin', gantry.adminPassword());
    const rows = await admin.get<{ items: { action: string; actor: { name: string } }[] }>('/api/v1/audit?limit=200');
    const actions = rows.body.items.map((row) => row.action);
    for (const action of ['organization.create', 'repository.push', 'image.sign', 'signature-policy.create', 'application.create', 'deployment.create', 'engine.service.create']) {
      expect(actions).toContain(action);
    }
  });

  it('keeps secrets and admin password to root, and the password works only until it is changed', async () => {
    expect(run('stat', ['-c', '%a', gantry.ready!.adminPasswordFile, join(gantry.home, 'keys/secret-key'), join(gantry.home, 'environment')]).stdout).toBe('600\n600\n600\n');
    const first = gantry.adminPassword();
    const admin = await gantry.api('admin', first);
    expect((await admin.send('PUT', '/api/v1/me/password', { current: first, next: 'a much better passphrase' })).status).toBeLessThan(300);
    await eventually('the file is gone', () => !existsSync(gantry.ready!.adminPasswordFile));
    expect((await (await gantry.api()).post('/api/v1/sessions', { username: 'admin', password: first })).status).toBe(401);
    await gantry.api('admin', 'a much better passphrase');
  });

  it('is adopted or ended and started again after kill -9 of everything', async () => {
    const children = recorded(gantry.home);
    expect(children.length).toBeGreaterThanOrEqual(3);
    const { pid } = gantry;
    await gantry.kill();
    for (const child of children) if (isAlive(child)) process.kill(child, 'SIGKILL');
    await eventually('all are dead', () => [pid, ...children].every((each) => !isAlive(each)));
    const ready = await gantry.start();
    expect(await (await fetch(ready.sampleUrl!)).text()).toContain('Hello from Gantry');
    await gantry.api('admin', 'a much better passphrase');
  });

  it('is started again after kill -9 of the Node process alone, on the children that live on', async () => {
    await gantry.kill();
    const ready = await gantry.start();
    expect(await (await fetch(ready.sampleUrl!)).text()).toContain('Hello from Gantry');
    // The sample is Gantry's own work, before and after.
    const admin = await gantry.api('admin', 'a much better passphrase');
    expect((await admin.get<{ items: unknown[] }>('/api/v1/audit?action=cluster.finding')).body.items).toEqual([]);
  });

  it('refuses a second start on the same home, and a taken port, in one clear line', async () => {
    const second = await Gantry.prepare({ env: { GANTRY_HOME: gantry.home } });
    second.launch();
    expect(await second.ended()).toBe(1);
    await second.says(/Gantry can't start: .*(runs already|in use|already)/);
    const port = new URL(gantry.ready!.http).port;
    const third = await Gantry.prepare({ env: { GANTRY_HTTP_PORT: port } });
    third.launch();
    expect(await third.ended()).toBe(1);
    await third.says(new RegExp(`port ${port}.*GANTRY_HTTP_PORT`, 's'));
    await third.remove();
    const fourth = await Gantry.prepare({ env: { GANTRY_HTTP_PORT: 'eighty' } });
    fourth.launch();
    expect(await fourth.ended()).toBe(1);
    await fourth.says(/GANTRY_HTTP_PORT=eighty/);
    await fourth.remove();
  });

  it('verifies its audit record, and names the first broken row', async () => {
    const env = { GANTRY_HOME: gantry.home };
    const whole = run(process.execPath, [join(__dirname, '../../bin/gantry.js'), 'audit', 'verify'], { env });
    expect([whole.code, whole.stderr, whole.stdout]).toEqual([0, '', expect.stringMatching(/^The audit record is whole: \d+ rows/)]);
    const url = new URL((JSON.parse(readFileSync(join(gantry.home, 'environment'), 'utf8')) as { DATABASE_URL: string }).DATABASE_URL);
    url.username = 'postgres';
    url.password = readFileSync(join(gantry.home, 'postgres-admin-password'), 'utf8').trim();
    const client = new Client({ connectionString: url.href });
    await client.connect();
    try {
      // An attacker with a superuser's rights: triggers off, one old row changed.
      await client.query('begin');
      await client.query('set local session_replication_role = replica');
      await client.query(`update audit_rows set actor_name = 'somebody else' where seq = 5`);
      await client.query('commit');
    } finally {
      await client.end();
    }
    const broken = run(process.execPath, [join(__dirname, '../../bin/gantry.js'), 'audit', 'verify'], { env });
    expect(broken.code).toBe(1);
    expect(broken.stdout).toMatch(/broken at row 5 /);
  });

  it('stops on Ctrl-C and leaves no process, mount or file of readiness behind', async () => {
    expect(await gantry.stop()).toBe(0);
    expect(existsSync(join(gantry.home, 'ready.json'))).toBe(false);
    expect(leftovers(gantry.home)).toEqual([]);
  });
});
