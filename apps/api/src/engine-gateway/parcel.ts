import type { Writable } from 'node:stream';
import { notePassed } from '@gantry/platform';

/** As much is carried in one basin; no more is lent at once. */
const basinBytes = 256 * 1024;
/** With less, none goes on its way: who is slow would have one for each few lines that wait. */
const worthBytes = 32 * 1024;
/** So many basins are kept that nobody uses. */
const maxFree = 32;
const free: Buffer[] = [];

/**
 * Bytes that are written together. They are copied into a basin that is used again once they are written: buffers of their own, however short they
 * live, are garbage that V8 marks the whole heap for. What comes alone needs none, as most of what people follow does.
 */
export class Parcel {
  private alone: Buffer | null = null;
  private basin: Buffer | null = null;
  private filled = 0;

  /** Bytes that wait. */
  get size(): number {
    return this.filled;
  }

  hasRoomFor(chunk: Buffer): boolean {
    return this.filled === 0 || this.filled + chunk.length <= basinBytes;
  }

  /** @param chunk need not stay as it is */
  add(chunk: Buffer): void {
    if (this.filled === 0 && (chunk.length < 4096 || chunk.length > basinBytes)) {
      this.alone = Buffer.from(chunk);
      if (chunk.length >= 4096) notePassed(chunk.length);
    } else {
      this.basin ??= free.pop() ?? Buffer.allocUnsafeSlow(basinBytes);
      this.alone?.copy(this.basin);
      this.alone = null;
      chunk.copy(this.basin, this.filled);
    }
    this.filled += chunk.length;
  }

  /** Writes all that waits. @returns as `write` */
  sendTo(sink: Writable): boolean {
    const { alone, basin, filled } = this;
    this.alone = null;
    this.basin = null;
    this.filled = 0;
    if (alone) return sink.write(alone);
    const giveBack = (): void => void (free.length < maxFree && free.push(basin!));
    const bytes = basin!.subarray(0, filled);
    // What is never written leaves its basin to the collector.
    if (filled >= worthBytes) return sink.write(bytes, giveBack);
    const own = Buffer.from(bytes);
    giveBack();
    if (filled >= 4096) notePassed(filled);
    return sink.write(own);
  }
}
