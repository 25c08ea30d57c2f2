import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { constantTimeEqual, Sealer, Secret } from './secrets';

const key = (): string => randomBytes(32).toString('base64');

describe('Sealer', () => {
  it('opens what it sealed, for the same purpose only', () => {
    const sealer = new Sealer([key()]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const sealed = sealer.seal(Buffer.from(bytes), 'a');
        expect(sealer.open(sealed, 'a')).toEqual(Buffer.from(bytes));
        expect(() => sealer.open(sealed, 'b')).toThrow();
      }),
    );
  });

  it('opens with old keys after rotation, keeps hashes, and refuses tampering and unknown keys', () => {
    const [old, fresh] = [key(), key()];
    const before = new Sealer([old]);
    const after = new Sealer([fresh, old]);
    const sealed = before.seal('x', 'p');
    expect(after.open(sealed, 'p').toString()).toBe('x');
    expect(after.seal('x', 'p').split(':')[1]).not.toBe(sealed.split(':')[1]);
    expect(after.hash('token', 'p')).toBe(before.hash('token', 'p'));
    expect(() => new Sealer([fresh]).open(sealed, 'p')).toThrow(/not configured/);
    const [version, id, body] = sealed.split(':') as [string, string, string];
    const raw = Buffer.from(body, 'base64url');
    for (let index = 0; index < raw.length; index += 1) {
      const changed = Buffer.from(raw);
      changed[index] = changed[index]! ^ 1;
      expect(() => before.open(`${version}:${id}:${changed.toString('base64url')}`, 'p')).toThrow();
    }
  });

  it('refuses to work without a key or with a short one', () => {
    expect(() => new Sealer([])).toThrow(/no sealing key/);
    expect(() => new Sealer([randomBytes(16).toString('base64')])).toThrow(/32 bytes/);
  });
});

describe('Secret', () => {
  it('prints as ***', () => {
    const secret = new Secret('hunter2');
    expect(`${secret} ${JSON.stringify({ secret })} ${inspect({ secret })}`).not.toContain('hunter2');
    expect(secret.reveal()).toBe('hunter2');
  });
});

test('constantTimeEqual compares', () => {
  expect(constantTimeEqual('a', 'a')).toBe(true);
  expect(constantTimeEqual('a', 'b')).toBe(false);
  expect(constantTimeEqual('a', 'ab')).toBe(false);
});
