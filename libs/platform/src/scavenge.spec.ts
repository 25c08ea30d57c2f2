import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { notePassed } from './scavenge';

const portion = 2 * 1024 * 1024;

/** Collects what is asked for from outside of V8, which by itself never is. */
function forced(): { kinds: number[]; end: () => void } {
  const kinds: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & { detail: { kind: number; flags: number } })[]) if ((entry.detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0) kinds.push(entry.detail.kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  return { kinds, end: () => observer.disconnect() };
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('notePassed', () => {
  it('collects the youngest garbage, and only that, each time that enough has passed', async () => {
    const seen = forced();
    try {
      notePassed(portion - 1);
      await turns(20);
      expect(seen.kinds).toEqual([]);
      // All that comes before it is done counts for the same.
      notePassed(1);
      notePassed(portion);
      await turns(20);
      expect(seen.kinds).toEqual([constants.NODE_PERFORMANCE_GC_MINOR]);
      notePassed(portion);
      await turns(20);
      expect(seen.kinds).toEqual([constants.NODE_PERFORMANCE_GC_MINOR, constants.NODE_PERFORMANCE_GC_MINOR]);
    } finally {
      seen.end();
    }
  });

  it('frees the buffers that were passed on', async () => {
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let piece = 0; piece < 4_000; piece += 1) {
      notePassed(Buffer.allocUnsafeSlow(16 * 1024).length);
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      if (piece % 16 === 0) await turns(1);
    }
    // Of 64 MB.
    expect(most).toBeLessThan(24 * 1024 * 1024);
  });

  it('leaves nothing behind that others could call', () => {
    expect((globalThis as { gc?: unknown }).gc).toBeUndefined();
  });
});
