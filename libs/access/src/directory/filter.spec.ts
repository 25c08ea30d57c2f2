import fc from 'fast-check';
import { FilterParser } from 'ldapts';
import { findFilterFault } from './filter';

describe('filters', () => {
  it.each([
    '(uid=*)', 'uid=ann', ' (uid=ann) ', '(&(objectClass=person)(|(a=b)(c>=1)(d<=2)(e~=f))(!(x=*y*z)))', '(cn=J\\c3\\bcrgen*)', '(cn=Jürgen)', '(member:1.2.840.113556.1.4.1941:=cn=a,dc=b)',
    '(cn:dn:2.4.6.8.10:=x)', '(:caseExactMatch:=x)', '(cn:=x)', '(& (a=b) (c=d) )',
  ])('takes %s', (text) => {
    expect(findFilterFault(text)).toBeNull();
    const plain = text.trim().replaceAll(/ (?=\()| (?=\)$)/g, '');
    expect(() => FilterParser.parseString(plain.startsWith('(') ? plain : `(${plain})`)).not.toThrow();
  });

  it.each([
    ['', 1, 'empty'],
    ['   ', 1, 'empty'],
    ['(uid=ann', 9, 'missing'],
    ['(uid=ann))', 10, 'closes nothing'],
    ['(&(uid=ann)(cn=x)', 18, 'missing'],
    ['(&)', 3, 'at least one'],
    ['(uid)', 5, '='],
    ['(uid=)', 6, 'missing'],
    ['(uid=a(b)', 7, '\\28'],
    ['(uid=a\\zz)', 7, 'hexadecimal'],
    ['(=x)', 2, 'attribute'],
    ['(2.5.4.3=x)', 2, 'not its number'],
    ['(cn;lang-de=x)', 4, 'options'],
    ['(uid=a)(cn=b)', 8, 'over before'],
    ['(!uid=a)', 3, 'begins with ('],
    ['(cn:1.2.3=x)', 10, ':='],
    ['  (&(a=b)(c=*)(d>=*))', 19, '\\2a'],
    [`${'(!'.repeat(40)}(a=b)${')'.repeat(40)}`, 61, 'levels'],
  ])('refuses %s at %i', (text, position, reason) => {
    const fault = findFilterFault(text);
    expect(fault?.position).toBe(position);
    expect(fault?.reason).toContain(reason);
  });

  it('never throws, and what it takes the library can read', () => {
    const piece = fc.constantFrom('(', ')', '&', '|', '!', 'uid', '=', '*', 'ann', '\\2a', '\\', ':', '1.2', ' ', 'dn', '<=');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        const text = pieces.join('');
        if (findFilterFault(text) !== null || !text.startsWith('(') || text.includes(' ')) return;
        expect(() => FilterParser.parseString(text)).not.toThrow();
      }),
      { numRuns: 20_000 },
    );
  });
});
