import { newestMinor } from '../engine-api/table';
import { newestApiVersion, type EngineClient } from '../engine.client';
import { EngineVersions, knownVersion, knownVersions, versionFor } from './versions';

describe('API versions', () => {
  it('are asked for as the client wants them, between what is judged and what the engine speaks', () => {
    const asked = (minor: number, newest: number, versioned = true): number => versionFor({ minor, versioned }, newest);
    expect([asked(24, 51), asked(41, 51), asked(52, 53), asked(53, 53), asked(55, 55), asked(55, 53, false)]).toEqual([41, 41, 52, 53, 55, 53]);
    expect(() => asked(54, 53)).toThrow(/1\.53/);
  });

  it('are told to clients as far as the table goes', () => {
    expect(['1.41', `1.${newestMinor}`, `1.${newestMinor + 1}`, '1.99', '2.1', 'x'].map(knownVersion)).toEqual(['1.41', `1.${newestMinor}`, `1.${newestMinor}`, `1.${newestMinor}`, '2.1', 'x']);
    const said = { Version: '40.0', ApiVersion: '1.99', Components: [{ Name: 'Engine', Details: { ApiVersion: '1.99', MinAPIVersion: '1.44' } }, { Name: 'runc', Details: null }, { Name: 'x' }] };
    expect(JSON.parse(knownVersions(Buffer.from(JSON.stringify(said))).toString())).toEqual({
      ...said, ApiVersion: `1.${newestMinor}`, Components: [{ Name: 'Engine', Details: { ApiVersion: `1.${newestMinor}`, MinAPIVersion: '1.44' } }, { Name: 'runc', Details: null }, { Name: 'x' }],
    });
  });

  it('leave an answer alone that needs no other', () => {
    const body = Buffer.from('{ "ApiVersion":"1.41", "Os":"\\u003clinux\\u003e" }\n');
    expect(knownVersions(body)).toBe(body);
  });

  it('are asked of engines that may speak newer ones than Gantry itself, once a while', async () => {
    let pings = 0;
    const engine = (apiVersion: string, says: string): EngineClient => ({ apiVersion, ping: () => Promise.resolve((pings += 1, { apiVersion: says })) }) as unknown as EngineClient;
    const versions = new EngineVersions();
    const [old, newer, newest] = [engine('1.41', '1.53'), engine(newestApiVersion, '1.53'), engine(newestApiVersion, '1.99')];
    for (let round = 0; round < 2; round += 1) expect(await Promise.all([old, newer, newest].map((each) => versions.newestOf(each)))).toEqual([41, 53, newestMinor]);
    expect(pings).toBe(2);
  });
});
