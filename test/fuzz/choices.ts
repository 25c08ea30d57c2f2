/**
 * A source of decisions that writes down what it decided. The same seed decides alike, and so does a tape of earlier decisions; past the end of a
 * tape everything is 0. Grammars put what is plain first, so that a tape with more noughts is a simpler request.
 */
export class Choices {
  readonly taken: number[] = [];
  private at = 0;

  private constructor(private readonly next: (() => number) | null, private readonly tape: readonly number[]) {}

  static seeded(...seed: number[]): Choices {
    return new Choices(generator(seed), []);
  }

  static replay(tape: readonly number[]): Choices {
    return new Choices(null, tape);
  }

  /** An integer from 0 to `count - 1`. */
  below(count: number): number {
    const drawn = this.next ? Math.floor((this.next() / 2 ** 32) * count) : Math.min(this.tape[this.at] ?? 0, count - 1);
    this.at += 1;
    this.taken.push(drawn);
    return drawn;
  }

  /** True so many times in a thousand; false is the plain answer. */
  chance(inThousand: number): boolean {
    return this.below(1000) >= 1000 - inThousand;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** An item by its weight; the first is the plainest. */
  weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T {
    let at = this.below(items.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, item] of items) {
      if (at < weight) return item;
      at -= weight;
    }
    throw new Error('weights do not add up');
  }
}

/** sfc32: small, fast, and good enough to choose with. Answers unsigned 32-bit integers. */
function generator(seed: readonly number[]): () => number {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 1];
  const next = (): number => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  for (const part of seed) {
    a ^= part | 0;
    for (let round = 0; round < 8; round += 1) next();
  }
  for (let round = 0; round < 12; round += 1) next();
  return next;
}

/**
 * A smaller tape that still does it: leaves out pieces, then makes noughts, for as long as that helps and `tries` last. `does` may be asked about
 * any tape.
 */
export async function shrink(tape: readonly number[], does: (tape: readonly number[]) => Promise<boolean>, tries: number): Promise<number[]> {
  let best = [...tape];
  const budget = { left: tries };
  const attempt = async (candidate: number[]): Promise<boolean> => {
    if (budget.left <= 0) return false;
    budget.left -= 1;
    if (!(await does(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = Math.max(1, best.length >> 1); size >= 1 && budget.left > 0; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < best.length && budget.left > 0; ) {
      const shorter = [...best.slice(0, at), ...best.slice(at + size)];
      const zeroed = best.map((value, index) => (index >= at && index < at + size ? 0 : value));
      if (await attempt(shorter)) continue;
      if (zeroed.some((value, index) => value !== best[index])) await attempt(zeroed);
      at += size;
    }
  }
  while (best.at(-1) === 0) best.pop();
  return best;
}
