import fc from 'fast-check';
import { assertLocalName, isDirectoryName, isReservedName, nameKey, namespaceOf } from './names';

describe('names', () => {
  it.each(['acme', 'Ann.Lee', 'team-1', 'a', 'x_y', 'A'.repeat(63)])('%s can be a local name', (name) => {
    expect(() => assertLocalName(name)).not.toThrow();
  });

  it.each(['', '-a', 'a-', 'a..b', 'a b', 'a/b', 'a:b', 'a+b', 'ä', 'a\n', 'A'.repeat(64), '0197f0c0-0000-7000-8000-00000000000a'])('%j can’t', (name) => {
    expect(() => assertLocalName(name)).toThrow(expect.objectContaining({ code: 'access.name-invalid', errors: [expect.objectContaining({ pointer: '/name' })] }));
  });

  it.each(['admin', 'Admin', 'library', 'V2', 'system', 'gantry', 'service-0123456789ab'])('%s is reserved', (name) => {
    expect(() => assertLocalName(name)).toThrow(expect.objectContaining({ code: 'access.name-reserved' }));
  });

  it('compares without case and compatibility forms, so that look-alikes of admin are admin', () => {
    for (const name of ['ADMIN', 'ａｄｍｉｎ', 'ⓐdmin', 'ADMıN'.replace('ı', 'I')]) expect(isReservedName(name)).toBe(true);
  });

  it('has one key for every spelling that folds to the same', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (name) => nameKey(nameKey(name)) === nameKey(name) && nameKey(name.normalize('NFD')) === nameKey(name.normalize('NFC'))));
  });

  it('gives a namespace only where the OCI rule for path components allows it', () => {
    expect(namespaceOf('Acme')).toBe('acme');
    expect(namespaceOf('a--b__c.d')).toBe('a--b__c.d');
    for (const name of ['jané', 'a@b', 'a..b', 'a___b', '.a', 'a.', 'x'.repeat(64)]) expect(namespaceOf(name)).toBeNull();
  });

  it('takes most directory names, but none that mean something else here', () => {
    for (const name of ['jane', 'jane@corp.example', 'Jané', 'o’neill']) expect(isDirectoryName(name)).toBe(true);
    for (const name of ['', 'a b', 'a:b', 'a/b', 'acme+ci', 'a\u202eb', 'a\u0000b', 'x'.repeat(101), '0197f0c0-0000-7000-8000-00000000000a']) expect(isDirectoryName(name)).toBe(false);
  });
});
