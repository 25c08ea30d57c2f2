// Signing in, by a local password and by a directory, beside what cannot be saved: one scrypt, one bare bind.
import { randomBytes, scrypt } from 'node:crypto';
import { Client } from 'ldapts';
import { startSlapd } from '../libs/access/testing/slapd';
import { bench, fullRounds, interleave, later, median, percentile, progress, ratios, show, showSpread, spreadOf, type Findings } from './lib';
import { Product } from './product';

const password = 'a password that is long enough';
/** As libs/access/src/passwords.ts has it. */
const cost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };

bench(fullRounds, async (options) => {
  const samples = Number(options.get('samples', '10'));
  const slapd = await startSlapd();
  later('slapd', () => slapd.close());
  const dn = await slapd.addPerson({ uid: 'benched', password });
  const product = await Product.prepare();
  progress('starting Gantry');
  await product.start();
  const rest = await product.admin();
  await rest.call('POST', '/api/v1/users', { name: 'localbench', password });
  const { version } = await rest.call<{ version: number }>('GET', '/api/v1/ldap');
  await rest.send(
    'PUT', '/api/v1/ldap', JSON.stringify({ url: `ldap://127.0.0.1:${slapd.port}`, bindDn: slapd.readerDn, bindPassword: slapd.readerPassword, searchBase: slapd.base }), { 'if-match': `"${version}"` });

  /** Milliseconds of each. */
  const time = async (work: () => Promise<unknown>): Promise<number[]> => {
    const taken = [];
    for (let sample = 0; sample < samples; sample += 1) {
      const begin = performance.now();
      await work();
      taken.push(performance.now() - begin);
    }
    return taken;
  };
  const signIn = (username: string) => async (): Promise<void> => {
    const answer = await fetch(`${product.ready.http}/api/v1/sessions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username, password }) });
    if (answer.status !== 201) throw new Error(`${username} was refused: ${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
  };
  const salt = randomBytes(16);
  const bareScrypt = (): Promise<unknown> => new Promise((resolve, reject) => scrypt(password, salt, 32, cost, (error, key) => (error ? reject(error) : resolve(key))));
  const bareBind = async (): Promise<void> => {
    const client = new Client({ url: `ldap://127.0.0.1:${slapd.port}` });
    await client.bind(dn, password);
    await client.unbind();
  };
  progress('warming up');
  for (const work of [signIn('localbench'), signIn('benched'), bareScrypt, bareBind]) for (let turn = 0; turn < 3; turn += 1) await time(work);
  const found = await interleave(options.rounds, {
    local: () => time(signIn('localbench')), ldap: () => time(signIn('benched')), scrypt: () => time(bareScrypt), bind: () => time(bareBind), again: () => time(bareBind),
  });
  const all = (arm: string): number[] => found[arm]!.flat();
  const each = (arm: string): number[] => found[arm]!.map((list) => median(list));
  const line = (what: string, arm: string): { what: string; value: string } => ({ what, value: `p50 ${show(median(all(arm)), 'ms')}, p99 ${show(percentile(all(arm), 99), 'ms')}` });
  const aa = ratios(each('bind'), each('again'));
  return {
    title: 'Signing in',
    rows: [
      line('local password', 'local'),
      line('bare scrypt of the same cost', 'scrypt'),
      { what: 'local / scrypt', value: `${show(median(ratios(each('local'), each('scrypt'))))} ×` },
      line('directory (connect, reader’s bind, search, the person’s bind)', 'ldap'),
      line('bare bind (connect and the person’s bind)', 'bind'),
      { what: 'directory / bare bind', value: `${show(median(ratios(each('ldap'), each('bind'))))} ×` },
      { what: 'A/A (bind / bind)', value: `${show(median(aa))} × ${showSpread(spreadOf(aa))}` },
    ],
    notes: [
      `${options.rounds} rounds of ${samples} per arm, one after the other, arms interleaved. Each sign-in is a whole POST /api/v1/sessions: limits, verification, session row and audit row.`,
      'OpenLDAP on loopback without TLS, passwords stored as it stores them by default; scrypt with N 2^15, r 8, p 1, as stored passwords are.',
    ],
  } satisfies Findings;
});
