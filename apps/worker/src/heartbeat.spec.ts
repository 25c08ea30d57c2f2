import { existsSync, mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { heartbeatFault, startHeartbeat } from './heartbeat';

describe('heartbeat of a worker', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gantry-beat-'));
  const file = join(folder, 'alive');
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(() => rmSync(file, { force: true }));

  it('writes the file when the database answers, and the worker is then well', async () => {
    const pinged = Promise.resolve();
    const stop = startHeartbeat(() => pinged, fail, file);
    await pinged;
    await new Promise(setImmediate);
    stop();
    expect(existsSync(file)).toBe(true);
    expect(heartbeatFault(file)).toBeNull();
  });

  it('writes nothing when the database does not answer, and says why', async () => {
    const errors: unknown[] = [];
    const stop = startHeartbeat(() => Promise.reject(new Error('away')), (error) => errors.push(error), file);
    await new Promise(setImmediate);
    stop();
    expect(errors).toEqual([new Error('away')]);
    expect(heartbeatFault(file)).toContain('no process has written');
  });

  it('takes a worker for ill whose last beat is more than 20 s old', async () => {
    const stop = startHeartbeat(() => Promise.resolve(), fail, file);
    await new Promise(setImmediate);
    stop();
    const written = statSync(file).mtimeMs;
    expect(heartbeatFault(file, written + 20_000)).toBeNull();
    utimesSync(file, written / 1000 - 21, written / 1000 - 21);
    expect(heartbeatFault(file, written)).toBe('the last sign of life is 21 s old');
  });

  it('keeps none where the image did not make the folder', () => {
    const stop = startHeartbeat(fail, fail, join(folder, 'none/alive'));
    stop();
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });
});

function fail(error?: unknown): never {
  throw new Error('must not be called', { cause: error });
}
