import { Writable } from 'node:stream';
import { Parcel } from './parcel';

/** Takes what is written when it is told to, as a connection does that waits for its peer. */
class Late extends Writable {
  readonly took: string[] = [];
  private readonly waiting: (() => void)[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.waiting.push(() => {
      this.took.push(chunk.toString());
      done();
    });
  }

  take(): boolean {
    this.waiting.shift()?.();
    return this.waiting.length > 0 || this.writableLength > 0;
  }
}

describe('Parcel', () => {
  it.each([
    ['one line', ['a line']], ['lines', ['one ', 'and ', 'another']], ['a small one and a large one', ['small ', 'x'.repeat(100_000)]],
    ['a large one', ['y'.repeat(262_144)]], ['one that is too large', ['z'.repeat(400_000)]],
  ])('sends %s at once, whatever becomes of where they stood', (_what, texts) => {
    const parcel = new Parcel();
    const sink = new Late();
    for (const text of texts) {
      const place = Buffer.from(text);
      expect(parcel.hasRoomFor(place)).toBe(true);
      parcel.add(place);
      place.fill('?');
    }
    expect(parcel.size).toBe(texts.join('').length);
    parcel.sendTo(sink);
    expect(parcel.size).toBe(0);
    sink.take();
    expect(sink.took).toEqual([texts.join('')]);
  });

  it('does not use a place again before all that stood there is written', async () => {
    const sink = new Late();
    const parcel = new Parcel();
    const texts = Array.from({ length: 40 }, (_, index) => `${index}.`.repeat(15_000));
    for (const text of texts) {
      parcel.add(Buffer.from(text));
      parcel.sendTo(sink);
    }
    while (sink.take()) await new Promise((resolve) => setImmediate(resolve));
    for (const text of texts) {
      parcel.add(Buffer.from(text));
      parcel.sendTo(sink);
      while (sink.take()) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sink.took).toEqual([...texts, ...texts]);
  });

  it('needs no more memory for lines that wait than a few times what they are', () => {
    const sink = new Late();
    const parcel = new Parcel();
    const before = process.memoryUsage().arrayBuffers;
    for (let index = 0; index < 2_000; index += 1) {
      for (const line of ['a line', 'and another']) parcel.add(Buffer.from(line));
      parcel.sendTo(sink);
    }
    expect(sink.writableLength).toBe(2_000 * 17);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4_000_000);
  });

  it('says when nothing more fits', () => {
    const parcel = new Parcel();
    expect(parcel.hasRoomFor(Buffer.alloc(1_000_000))).toBe(true);
    parcel.add(Buffer.alloc(200_000));
    expect([parcel.hasRoomFor(Buffer.alloc(62_144)), parcel.hasRoomFor(Buffer.alloc(62_145))]).toEqual([true, false]);
  });
});
