import { checkedAuth, checkedConfig } from './registry-auth';

const host = 'reg:5000';

it.each(['', Buffer.from('null').toString('base64url')])('takes %j for no credentials, as engines do', (text) => expect([checkedConfig(text, host), checkedAuth(text)]).toEqual([null, null]));

describe('checkedConfig', () => {
  const read = (text: string): unknown => JSON.parse(Buffer.from(checkedConfig(text, host) ?? '', 'base64url').toString());
  const header = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  it('keeps what signs in at our own registry', () => {
    expect(read(header({ 'docker.io': { username: 'x' }, [host]: { username: 'ann', password: 'p', other: 'x', auth: 1 } }))).toEqual({ [host]: { username: 'ann', password: 'p' } });
    expect(read(header({ [`https://${host}/v2/`]: { identitytoken: 't' } }))).toEqual({ [host]: { identitytoken: 't' } });
    expect(read(header({ [`${host}.evil`]: { username: 'x' } }))).toEqual({});
  });
  it.each(['%', header([]), header('x'), Buffer.from('{').toString('base64url')])('refuses %j', (text) => expect(() => checkedConfig(text, host)).toThrow(expect.objectContaining({ code: 'clusters.spec-invalid' })));
});
