import fc from 'fast-check';
import { framed, readMessage, Unframer, WireError, writeMessage, type Form } from './wire';

const form: Form = { 1: { name: 'count', is: 'number' }, 2: { name: 'name', is: 'text' }, 3: { name: 'data', is: 'bytes' }, 10: { name: 'more', is: 'text', repeated: true } };
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('readMessage', () => {
  // The examples of protobuf.dev/programming-guides/encoding.
  it('reads what the specification shows', () => {
    expect(readMessage(hex('08 96 01'), form)).toEqual({ count: 150 });
    expect(readMessage(hex('12 07 74 65 73 74 69 6e 67'), form)).toEqual({ name: 'testing' });
    expect(readMessage(hex('52 01 61 52 01 62'), form)).toEqual({ more: ['a', 'b'] });
    expect(readMessage(hex('08 fe ff ff ff ff ff ff ff ff 01'), form)).toEqual({ count: 2n ** 64n - 2n });
    expect(readMessage(Buffer.alloc(0), form)).toEqual({});
  });

  it.each([
    ['an unknown field', '20 01'], ['an unknown field of bytes', '22 01 61'], ['a field twice', '08 01 08 02'], ['another type', '0a 01 61'], ['a fixed number', '09 01 02 03 04 05 06 07 08'], ['a group', '0b 0c'],
    ['a number that breaks off', '08 96'], ['a number that is longer than it need be', '08 81 00'], ['a key that is longer than it need be', '88 00 01'], ['a number beyond 64 bits', '08 ff ff ff ff ff ff ff ff ff 02'], ['a number without end', '08 ff ff ff ff ff ff ff ff ff ff 01'],
    ['bytes that break off', '12 07 74'], ['a length beyond everything', '12 ff ff ff ff ff ff ff ff 7f 61'], ['text that is none', '12 02 c3 28'], ['field 0', '00 01'], ['a key beyond 32 bits', '88 80 80 80 80 80 01 01'],
  ])('refuses %s', (_what, bytes) => expect(() => readMessage(hex(bytes), form)).toThrow(WireError));

  it('reads what writeMessage writes', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.string({ unit: 'grapheme' }), fc.uint8Array({ maxLength: 300 }), (count, name, data) => {
      const read = readMessage(writeMessage([[1, count], [2, name], [3, Buffer.from(data)]]), form);
      expect([BigInt((read['count'] as number | bigint | undefined) ?? 0), read['name'] ?? '', [...((read['data'] as Buffer | undefined) ?? [])]]).toEqual([count, name, [...data]]);
    }));
  });

  it('answers or refuses whatever comes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        readMessage(Buffer.from(bytes), form);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }), { numRuns: 2_000 });
  });
});

describe('Unframer', () => {
  it('takes messages apart at whatever places they come in pieces', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }), fc.infiniteStream(fc.integer({ min: 1, max: 9 })), (messages, sizes) => {
      const bytes = Buffer.concat(messages.map((each) => framed(Buffer.from(each))));
      const unframer = new Unframer(100);
      const found: number[][] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = sizes.next().value as number;
        found.push(...unframer.add(bytes.subarray(at, at + size)).map((each) => [...each]));
        at += size;
      }
      expect([found, unframer.isEven]).toEqual([messages.map((each) => [...each]), true]);
    }));
  });

  it('refuses what is compressed or too long', () => {
    expect(() => new Unframer(10).add(hex('01 00000001 61'))).toThrow(WireError);
    expect(() => new Unframer(10).add(hex('00 0000000b'))).toThrow(WireError);
    expect(new Unframer(10).add(hex('00 0000000a 61'))).toEqual([]);
  });
});
