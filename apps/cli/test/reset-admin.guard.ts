import { Accounts, SecondFactors, Sessions } from '@gantry/access';
import { codeOf, contextOf } from '@gantry/access/testing';
import { anonymous, makeContext } from '@gantry/platform';
import { testContext } from '@gantry/platform/testing';
import { adminPassword, makeHarness, type ApiHarness } from '../../api/test/harness';
import { main } from '../src/main';

/** The command as an operator runs it, on the database of a running API. */
describe('gantry reset-admin', () => {
  const before = { ...process.env };
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await makeHarness();
    const { config } = harness;
    Object.assign(process.env, {
      DATABASE_URL: config.databaseUrl!.reveal(), GANTRY_HOME: config.home, GANTRY_SECRET_KEY: config.secretKeys[0]!.reveal(), GANTRY_TOKEN_KEY_FILE: config.tokenKeyFile!,
      GANTRY_TOKEN_CERT_FILE: config.tokenCertFile!, GANTRY_AUDIT_KEY_FILE: config.auditKeyFile!, GANTRY_REGISTRY_BACKEND_URL: config.registryBackendUrl!,
    });
  });
  afterAll(async () => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
    await harness.close();
  });

  it('prints a password with which the admin gets in, without the second factor that was lost', async () => {
    const accounts = harness.app.get(Accounts);
    const factors = harness.app.get(SecondFactors);
    const as = contextOf(await accounts.get(testContext(), 'admin'));
    const { secret } = await factors.begin(as, { password: adminPassword });
    await factors.confirm(as, { code: codeOf(secret, new Date()) });
    const visitor = makeContext(anonymous, { address: '127.0.0.1' });
    const signIn = (password: string): Promise<unknown> => harness.app.get(Sessions).signIn(visitor, { username: 'admin', password });
    await expect(signIn(adminPassword)).rejects.toMatchObject({ code: 'access.second-factor-required' });

    const printed: string[] = [];
    const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
    try {
      expect(await main(['reset-admin'])).toBe(0);
    } finally {
      write.mockRestore();
    }
    const password = /The admin's password is now: (\S+)/.exec(printed.join(''))?.[1];
    expect(password).toMatch(/^[\w-]{24}$/);
    await expect(signIn(adminPassword)).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    expect(await signIn(password!)).toMatchObject({ account: { name: 'admin', admin: true, active: true } });
  });
});
