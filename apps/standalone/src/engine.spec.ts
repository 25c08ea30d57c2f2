import { decideEngine, type EngineFacts } from './engine';
import { chooseNetwork, parseRoutes, usesSharedChains } from './engine-network';

const facts = (change: Partial<EngineFacts> = {}): EngineFacts => ({ dockerHost: null, systemSocketProbe: 'ENOENT', serviceStartCommand: null, isRoot: true, ...change });

describe('decideEngine', () => {
  it('uses the engine that was named, and never another when that one is away', () => {
    const endpoint = { host: 'tcp://10.0.0.1:2376' };
    expect(decideEngine(facts({ dockerHost: { endpoint, probe: null } }))).toEqual({ kind: 'use', endpoint });
    expect(decideEngine(facts({ dockerHost: { endpoint, probe: 'ECONNREFUSED' }, systemSocketProbe: null }))).toMatchObject({ kind: 'refuse', message: expect.stringContaining('DOCKER_HOST=tcp://10.0.0.1:2376') as string });
  });

  it("uses the machine's engine", () => {
    expect(decideEngine(facts({ systemSocketProbe: null, serviceStartCommand: 'systemctl start docker' }))).toEqual({ kind: 'use', endpoint: { host: 'unix:///var/run/docker.sock' } });
  });

  it('leaves a service to its service manager', () => {
    expect(decideEngine(facts({ systemSocketProbe: 'ECONNREFUSED', serviceStartCommand: 'systemctl start docker' }))).toMatchObject({ kind: 'refuse', message: expect.stringContaining('run "systemctl start docker"') as string });
  });

  it('runs its own where nobody could start one', () => {
    expect(decideEngine(facts())).toEqual({ kind: 'own' });
  });

  it.each<[Partial<EngineFacts>, string]>([
    [{ systemSocketProbe: 'EACCES', isRoot: false }, 'group docker'],
    [{ isRoot: false }, 'needs root'],
  ])('says what a user without rights can do: %j', (change, words) => {
    expect(decideEngine(facts(change))).toMatchObject({ kind: 'refuse', message: expect.stringContaining(words) as string });
  });
});

describe('chooseNetwork', () => {
  it('gives two homes different bridges, addresses and ports', () => {
    const [one, other] = [chooseNetwork('/a', []), chooseNetwork('/b', [])];
    for (const key of ['bridge', 'gateway', 'swarmAddress', 'dataPathPort'] as const) expect(one[key]).not.toBe(other[key]);
    expect(one.bridge.length).toBeLessThanOrEqual(15); // IFNAMSIZ
    expect(one.swarmAddress).toMatch(/^127\./);
  });

  it('avoids subnets that are routed', () => {
    const first = chooseNetwork('/a', []).bridgeAddress;
    const second = chooseNetwork('/a', [first.replace(/\.1\/20$/, '.0')]).bridgeAddress;
    expect(second.split('.')[1]).not.toBe(first.split('.')[1]);
    const all = Array.from({ length: 15 }, (_, index) => `172.${17 + index}.0.0`);
    expect(() => chooseNetwork('/a', all)).toThrow(/in use on this machine/);
  });
});

describe('parseRoutes', () => {
  it('reads destinations of /proc/net/route, which are little-endian', () => {
    const text = 'Iface\tDestination\tGateway\tFlags\neth0\t00000000\t010200C0\t0003\neth0\t000011AC\t00000000\t0001\n';
    expect(parseRoutes(text)).toEqual(['172.17.0.0']);
  });
});

describe('usesSharedChains', () => {
  const idle = ['-P FORWARD DROP', '-N DOCKER', '-N DOCKER-USER', '-A FORWARD -j DOCKER-USER', '-A DOCKER-USER -j RETURN', '-A DOCKER-ISOLATION-STAGE-1 -j RETURN'];
  it('sees a bridge of another engine, not what stopped engines leave nor rules of the owner', () => {
    expect(usesSharedChains(idle)).toBe(false);
    expect(usesSharedChains([...idle, '-A FORWARD -i wg0 -j ACCEPT'])).toBe(false);
    expect(usesSharedChains([...idle, '-A FORWARD -o docker0 -j DOCKER'])).toBe(true);
    expect(usesSharedChains([...idle, '-A DOCKER-BRIDGE -o docker0 -j DOCKER'])).toBe(true); // engine 28
  });
});
