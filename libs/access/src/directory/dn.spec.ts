import fc from 'fast-check';
import { depthBelow, dnKey, parseDn, rootOf } from './dn';

describe('distinguished names', () => {
  it.each([
    ['CN=Smith\\, John,OU=People,DC=corp,DC=test', 'cn=smith\\2c john, ou=people,dc=corp , dc=test'],
    ['cn=Jürgen Größe,dc=x', 'CN=J\\c3\\bcrgen  Gr\\C3\\B6\\C3\\9Fe,DC=X'],
    ['cn="a, b",o=x', 'cn=a\\, b,o=x'],
    ['uid=a+cn=b,dc=x', 'cn=b+userid=a,dc=x'],
    ['cn=\\ x\\ ,dc=y', 'cn=\\20x\\20,dc=y'],
    ['2.5.4.3=a,dc=y', 'oid.2.5.4.3=A,domainComponent=y'],
    ['cn=\\"q\\",dc=y', 'cn=\\22q\\22,dc=y'],
  ])('knows two spellings of one: %s', (one, other) => {
    expect(dnKey(one)).not.toBeNull();
    expect(dnKey(one)).toBe(dnKey(other));
  });

  it('tells different ones apart', () => {
    const all = ['cn=a,dc=x', 'cn=b,dc=x', 'cn=a,dc=y', 'cn=a,cn=b,dc=x', 'cn=a\\,cn\\=b,dc=x', 'cn=a+cn=b,dc=x', 'uid=a,dc=x', ''];
    expect(new Set(all.map(dnKey)).size).toBe(all.length);
  });

  it.each(['people', 'cn', '=x', 'cn=a,', 'cn=a,,dc=x', 'cn="a', 'cn=a\\', 'cn=a\\zz', 'cn=a;b', ',cn=a'])('refuses what is none: %s', (text) => {
    expect(parseDn(text)).toBeNull();
    expect(dnKey(text)).toBeNull();
  });

  it('finds where one lies, and its directory', () => {
    expect(depthBelow('cn=a,ou=b,dc=corp,dc=test', 'DC=Corp, dc=test')).toBe(2);
    expect(depthBelow('dc=corp,dc=test', 'dc=corp,dc=test')).toBe(2);
    expect(depthBelow('cn=a,dc=test', 'dc=corp,dc=test')).toBe(-1);
    expect(depthBelow('cn=a,dc=notcorp,dc=test', 'dc=corp,dc=test')).toBe(-1);
    expect(depthBelow('nonsense', 'dc=test')).toBe(-1);
    expect(rootOf('cn=a\\,dc\\=b,ou=c,DC=corp,dc=test')).toBe('dc=corp,dc=test');
    expect(rootOf('cn=a,ou=b,o=Big\\, Ltd')).toBe('o=Big\\2c Ltd');
  });

  it('never throws, and reads back what it wrote', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => void parseDn(text)));
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), (value) => {
      const escaped = [...Buffer.from(value)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
      expect(parseDn(`cn=${escaped},dc=x`)?.[0]).toEqual([{ type: 'cn', value }]);
    }));
  });
});
