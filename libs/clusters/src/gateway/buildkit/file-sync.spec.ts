import { FileGiver, FileTaker, isPlainFile, readPacket, writePacket, type Packet } from './file-sync';
import { WireError } from './wire';

const stat = (path: string, mode = 0o644, size = 1): Packet => ({ is: 'stat', stat: { path, mode, size, modTime: 5n } });
const end: Packet = { is: 'stat', stat: null };
const data = (id: number, text: string): Packet => ({ is: 'data', id, data: Buffer.from(text) });
const answers = (taker: FileTaker, packets: Packet[]): Packet[] => packets.flatMap((packet) => [...taker.answer(packet)]);

describe('packets', () => {
  it.each<Packet>([stat('a/b', 0x800001ed, 9_000_000_000), end, { is: 'request', id: 0 }, { is: 'request', id: 4_000_000_000 }, data(7, 'text'), data(0, ''), { is: 'fin' }, { is: 'error', text: 'why' }])('are read as they are written: %j', (packet) =>
    expect(readPacket(writePacket(packet))).toEqual(packet));

  // Written by hand, after the definition of the messages.
  it('are those of filesync.v1', () => {
    expect(readPacket(Buffer.from('12160a0a446f636b657266696c6510a403280c30959aef3a', 'hex'))).toEqual({ is: 'stat', stat: { path: 'Dockerfile', mode: 0o644, size: 12, modTime: 123456789n } });
    expect(readPacket(Buffer.from('0802220268691801', 'hex'))).toEqual(data(1, 'hi'));
  });

  it.each(['0805', '2801', '120428ffffffff', '18ffffffff1f', '1202100c10'])('refuses %s', (bytes) => expect(() => readPacket(Buffer.from(bytes, 'hex'))).toThrow(WireError));

  it('tells plain files from folders, links, pipes and devices', () => {
    for (const mode of [0o644, 0o4755, 1 << 23]) expect(isPlainFile({ path: '', mode: mode >>> 0, size: 0, modTime: 0n })).toBe(true);
    for (const bit of [31, 27, 26, 25, 24, 21, 19]) expect(isPlainFile({ path: '', mode: ((1 << bit) | 0o644) >>> 0, size: 0, modTime: 0n })).toBe(false);
  });
});

describe('a synchronisation', () => {
  it('brings files from giver to taker, and none that was not asked for', () => {
    const long = Buffer.alloc(100_000, 'x');
    const giver = new FileGiver([{ name: 'b', bytes: long }, { name: 'a', bytes: Buffer.from('A') }, { name: 'c', bytes: Buffer.from('C') }], 1n);
    const taker = new FileTaker(new Set(['a', 'b', 'd']), 200_000);
    const towards: Packet[] = [...giver.greet()];
    const asked: number[] = [];
    for (let packet = towards.shift(); packet; packet = towards.shift()) {
      for (const said of taker.answer(packet)) {
        if (said.is === 'request') asked.push(said.id);
        towards.push(...giver.answer(said));
      }
    }
    expect([taker.isDone, asked, [...taker.files].map(([name, bytes]) => [name, bytes.length])]).toEqual([true, [0, 1], [['a', 1], ['b', 100_000]]]);
  });

  it('ends where nothing is there', () => {
    const taker = new FileTaker(new Set(['a']), 10);
    expect(answers(taker, [stat('b'), end])).toEqual([{ is: 'fin' }]);
    expect(answers(taker, [{ is: 'fin' }])).toEqual([]);
    expect([taker.isDone, taker.files.size]).toEqual([true, 0]);
  });

  it('says which is no plain file, and asks for none', () => {
    const taker = new FileTaker(new Set(['a', 'b']), 10);
    expect(answers(taker, [stat('a', ((1 << 27) | 0o777) >>> 0), stat('b', 0x800001ed), end])).toEqual([{ is: 'fin' }]);
    expect([...taker.odd]).toEqual(['a', 'b']);
  });

  it.each<[string, Packet[]]>([
    ['data before the end of the list', [stat('a'), data(0, 'x')]], ['data of another file', [stat('b'), stat('a'), end, data(0, 'x')]], ['data after a file’s end', [stat('a'), end, data(0, 'x'), data(0, ''), data(0, 'y')]],
    ['a file after the end', [end, stat('a')]], ['an early end', [stat('a'), end, { is: 'fin' }]], ['a request', [{ is: 'request', id: 0 }]], ['an error', [{ is: 'error', text: 'x' }]],
  ])('refuses %s', (_what, packets) => expect(() => answers(new FileTaker(new Set(['a']), 10), packets)).toThrow(WireError));

  it('refuses what is too long, in its words or in fact, and too many', () => {
    expect(() => answers(new FileTaker(new Set(['a']), 10), [stat('a', 0o644, 11)])).toThrow(RangeError);
    expect(() => answers(new FileTaker(new Set(['a']), 10), [stat('a'), end, data(0, 'x'.repeat(11))])).toThrow(RangeError);
    expect(() => answers(new FileTaker(new Set(['a']), 10, 2), [stat('x'), stat('y'), stat('z')])).toThrow(WireError);
  });

  it('gives nothing that it does not have', () => {
    for (const packet of [{ is: 'request', id: 1 }, data(0, 'x'), end] as Packet[]) expect(() => [...new FileGiver([{ name: 'a', bytes: Buffer.alloc(1) }], 1n).answer(packet)]).toThrow(WireError);
  });
});
