/** Bytes that come in pieces, however small these are: no more memory is taken than about twice the bytes. A list of the pieces would be many times that. */
export class Gathered {
  private room: Buffer = Buffer.alloc(0);
  private filled = 0;

  /** Bytes that are there. */
  get size(): number {
    return this.filled;
  }

  /** All of them; good until more are added. */
  get bytes(): Buffer {
    return this.room.subarray(0, this.filled);
  }

  /** @param chunk stays as it is, for as long as this is used */
  add(chunk: Buffer): void {
    const size = this.filled + chunk.length;
    // What comes whole is not copied.
    if (this.filled === 0) this.room = chunk;
    else {
      if (size > this.room.length) this.grow(size);
      chunk.copy(this.room, this.filled);
    }
    this.filled = size;
  }

  private grow(size: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(size, 2 * this.filled, 1024));
    this.room.copy(larger, 0, 0, this.filled);
    this.room = larger;
  }
}
