import type { Transform } from 'node:stream';
import fc from 'fast-check';
import { containerForm, listFilter, swarmForm, taskForm, Verdicts, type Form } from './index';
import { Leap } from './leap';

/** Text as Go's encoder writes it: it escapes a few characters more than `JSON.stringify`. */
const go = (value: unknown): string =>
  JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

const hidden = 'hidden0000000000000000000';
const mine = 'mine000000000000000000000';
const hex = (id: string): string => Buffer.from(id).toString('hex').padEnd(64, '0').slice(0, 64);
const label = 'com.docker.swarm.service.id';

// ---- what people can put into what they make, to look like a beginning or like an owner

const traps = [
  `","Version":{"Index":`, `},{"ID":"${mine}","Version":{"Index":1},"CreatedAt":"`, `{"ID":"${mine}","Version":{"Index":7}}`, `},{"Id":"${hex(mine)}","Names":["/x"]`, `","Names":[`, `"ServiceID":"${mine}"`, 'ServiceID', label,
  '\\', '\\"', '"', '\\u0022', '\\\\"},{"ID":"', '<b>&\u2028', 'möglich', '😀', '}]\n', '\u0001', mine, '', 'x'.repeat(300),
];
const text = fc.array(fc.constantFrom(...traps), { maxLength: 3 }).map((parts) => parts.join(''));
const texts = fc.array(text, { maxLength: 3 });
const strings = fc.array(fc.tuple(text, text), { maxLength: 3 }).map((entries) => Object.fromEntries(entries));
const idOf = (chars: string, length: number): fc.Arbitrary<string> => fc.array(fc.constantFrom(...chars), { minLength: length, maxLength: length }).map((all) => all.join(''));
const swarmId = fc.oneof({ weight: 1, arbitrary: fc.constant(mine) }, { weight: 3, arbitrary: idOf('0123456789abcdefghijklmnopqrstuvwxyz', 25) });
const meta = (id: string, index: number): object => ({ ID: id, Version: { Index: index }, CreatedAt: '2026-03-04T05:06:07.123456789Z', UpdatedAt: '2026-03-04T05:06:08.987654321Z' });

const service = fc.tuple(swarmId, fc.nat(), text, strings, strings, texts, texts, fc.boolean()).map(([id, index, name, labels, others, env, args, updated]) => {
  const spec = { Name: name, Labels: labels, TaskTemplate: { ContainerSpec: { Image: name, Labels: others, Args: args, Env: env, Mounts: [{ Type: 'volume', VolumeOptions: { DriverConfig: { Options: others } } }] }, ForceUpdate: 0, Runtime: 'container' }, Mode: { Replicated: { Replicas: 1 } } };
  return { ...meta(id, index), Spec: spec, ...(updated ? { PreviousSpec: spec } : {}), Endpoint: { Spec: {}, VirtualIPs: [{ NetworkID: id, Addr: '' }, { NetworkID: id, Addr: '' }] }, JobStatus: { JobIteration: { Index: 1 } } };
});
const node = fc.tuple(swarmId, fc.nat(), strings, text).map(([id, index, labels, name]) => ({ ...meta(id, index), Spec: { Labels: labels, Role: 'manager', Availability: name }, Description: { Hostname: name, Engine: { EngineVersion: '28.5.1', Labels: labels, Plugins: [{ Type: 'Log', Name: name }, { Type: 'Log', Name: name }] } } }));
const network = fc.tuple(swarmId, strings).map(([id, labels]) => ({ Network: { ...meta(id, 3), Spec: { Name: 'n', Labels: labels, DriverConfiguration: {}, IPAMOptions: { Configs: [{ Subnet: '10.0.1.0/24' }, { Subnet: '' }] } }, DriverState: { Options: labels } }, Addresses: ['10.0.1.2/24'] }));
const task = fc.tuple(swarmId, fc.nat(), strings, texts, fc.option(swarmId, { nil: undefined }), fc.array(network, { maxLength: 3 })).map(([id, index, labels, env, owner, networks]) => ({
  ...meta(id, index), Labels: labels, Spec: { ContainerSpec: { Image: 'a', Labels: labels, Env: env }, ForceUpdate: 0 }, ...(owner === undefined ? {} : { ServiceID: owner }), Slot: 1, NodeID: id, Status: { Message: env.join(''), PortStatus: {} }, DesiredState: 'running',
  ...(networks.length === 0 ? {} : { NetworksAttachments: networks }),
}));
const container = fc.tuple(fc.oneof(fc.constant(hex(mine)), idOf('0123456789abcdef', 64)), strings, fc.option(swarmId, { nil: undefined }), text).map(([id, labels, owner, command]) => ({
  Id: id, Names: [`/${command}`, '/b'], Image: command, ImageID: 'sha256:1', Command: command, Created: 1, Ports: [{ PrivatePort: 80, Type: 'tcp' }, { PrivatePort: 81, Type: 'tcp' }], Labels: { ...labels, ...(owner === undefined ? {} : { [label]: owner }) }, State: 'running', Status: 'Up',
  HostConfig: { NetworkMode: 'default', Annotations: labels }, NetworkSettings: { Networks: { [command]: { IPAMConfig: null, NetworkID: id, DriverOpts: labels } } }, Mounts: [{ Name: command }, { Name: command }],
}));

interface Kind {
  form: Form;
  wanted: string[][];
  item: fc.Arbitrary<object>;
}
const kinds: Record<string, Kind> = {
  services: { form: swarmForm, wanted: [['ID']], item: service },
  nodes: { form: swarmForm, wanted: [['ID']], item: node },
  'secrets and configs': { form: swarmForm, wanted: [['ID']], item: fc.tuple(swarmId, strings, text).map(([id, labels, data]) => ({ ...meta(id, 1), Spec: { Name: data, Labels: labels, Data: data, Templating: { Name: 'golang', Options: labels } } })) },
  tasks: { form: taskForm, wanted: [['ID'], ['ServiceID']], item: task },
  containers: { form: { ...containerForm, also: `"${label}":"` }, wanted: [['Id'], ['Labels', label]], item: container },
};

const keeps = (visible: ReadonlySet<string>) => (found: readonly (string | undefined)[]): boolean => found.some((each) => each !== undefined && visible.has(each));
const visible = keeps(new Set([mine, hex(mine)]));

async function through(filter: Transform, bytes: Buffer, cuts: readonly number[]): Promise<string> {
  const out: Buffer[] = [];
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  await new Promise<void>((resolve, reject) => {
    filter.on('data', (piece: Buffer) => out.push(Buffer.from(piece))).once('end', resolve).once('error', reject);
    [0, ...places].forEach((from, index) => filter.write(Buffer.from(bytes.subarray(from, places[index] ?? bytes.length))));
    filter.end();
  });
  return Buffer.concat(out).toString();
}

describe.each(Object.entries(kinds))('lists of %s', (_name, { form, wanted, item }) => {
  const leaping = (): Transform => listFilter({ at: '', wanted, form, keep: visible });
  const exact = (): Transform => listFilter({ at: '', wanted, keep: visible });

  it('come out byte for byte as without leaps', async () => {
    await fc.assert(fc.asyncProperty(fc.array(item, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 4 }), async (items, cuts) => {
      const bytes = Buffer.from(`[${items.map(go).join(',')}]\n`);
      const out = await through(leaping(), bytes, cuts);
      expect(out).toBe(await through(exact(), bytes, cuts));
      const read = (from: unknown, path: readonly string[]): string | undefined => path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], from) as string | undefined;
      // The oracle from outside.
      expect(out).toBe(`[${items.filter((each) => visible(wanted.map((path) => read(each, path)))).map(go).join(',')}]\n`);
    }), { numRuns: 80 });
  });

  it('come out so by what was decided before', async () => {
    const verdicts = new Verdicts(form.idBytes);
    const known = (): Transform => listFilter({ at: '', wanted, form, known: () => verdicts, keep: visible });
    await fc.assert(fc.asyncProperty(fc.array(item, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 4 }), async (items, cuts) => {
      const bytes = Buffer.from(`[${items.map(go).join(',')}]\n`);
      const expected = await through(exact(), bytes, []);
      expect(await through(known(), bytes, cuts)).toBe(expected);
      expect(await through(known(), bytes, [])).toBe(expected);
    }), { numRuns: 60 });
  });

  it('come out so wherever they are cut in two', async () => {
    const [items] = fc.sample(fc.array(item, { minLength: 4, maxLength: 4 }), { numRuns: 1, seed: 7 });
    const own = { ...items![1]!, ...('Id' in items![1]! ? { Id: hex(mine) } : { ID: mine }) };
    const written = [items![0]!, items![2]!, own, items![3]!, items![0]!].map(go);
    const bytes = Buffer.from(`[${written.join(',')}]\n`);
    const ends = written.map((_, index) => Buffer.byteLength(written.slice(0, index + 1).join(',')) + 1);
    const expected = await through(exact(), bytes, []);
    expect(expected).toContain(go(own));
    // At every byte around what divides two items, and now and then inside.
    for (let cut = 0; cut <= bytes.length; cut += 1) if ((cut % 16 === 0 || ends.some((end) => Math.abs(cut - end) < 100)) && (await through(leaping(), bytes, [cut])) !== expected) throw new Error(`cut at ${cut}`);
  });

  it('are leapt over up to what is visible, or to the last item', () => {
    fc.assert(fc.property(fc.array(item, { minLength: 2, maxLength: 8 }), (items) => {
      const written = items.map(go);
      const bytes = Buffer.from(`[${written.join(',')}]\n`);
      // All is hidden: only the last is left, whose end is nothing that the next one begins with.
      // An owner that is not plainly written is left to be read.
      if (form.also !== undefined && written.some((each) => each.split(form.also!).slice(1).some((rest) => rest.slice(0, rest.indexOf('"')).includes('\\')))) return;
      expect(new Leap(form, () => true).over(bytes, 1)).toBe(bytes.length - 2 - Buffer.byteLength(written.at(-1)!));
      expect(new Leap(form, () => false).over(bytes, 1)).toBe(1);
      const third = items[2] as { ID?: string; Id?: string } | undefined;
      const id = third?.ID ?? third?.Id;
      if (id === undefined || items.slice(0, 2).some((each) => go(each).includes(id))) return;
      expect(new Leap(form, (other) => other !== id).over(bytes, 1)).toBe(Buffer.byteLength(`[${written[0]!},${written[1]!},`));
    }), { numRuns: 60 });
  });
});

describe('what was decided before', () => {
  const items = Array.from({ length: 50 }, (_, index) => ({ ...meta(index === 20 ? mine : `${hidden.slice(0, 23)}${String(index).padStart(2, '0')}`, index), Spec: { Name: 'a' } }));
  const bytes = Buffer.from(`[${items.map(go).join(',')}]`);

  it('is not asked again, until it is forgotten', async () => {
    const verdicts = new Verdicts(25);
    const asked: string[] = [];
    const filter = (): Transform => listFilter({ at: '', wanted: [['ID']], form: swarmForm, known: () => verdicts, keep: ([id]) => (asked.push(id!), id === mine) });
    const ask = async (): Promise<number> => {
      asked.length = 0;
      expect(await through(filter(), bytes, [])).toBe(`[${go(items[20])}]`);
      return asked.length;
    };
    expect(await ask()).toBeGreaterThanOrEqual(50);
    // What is visible, and the last, which is always read.
    expect(await ask()).toBe(2);
    verdicts.clear();
    expect(await ask()).toBeGreaterThanOrEqual(50);
  });
});

describe('lists of another form', () => {
  const first = go({ ...meta(hidden, 1), Spec: { Name: 'a' } });
  const second = go({ ...meta(mine, 2), Spec: { Name: 'b' } });
  const third = go({ ...meta(hidden, 3), Spec: { Name: 'c' } });

  it.each([
    ['white space between the items', `[${first} , ${second},\n${third}]`],
    ['white space inside', `[${[first, second, third].map((each) => each.replace('"Version":', '"Version": ')).join(',')}]`],
    ['another order', `[${[first, second, third].map((each) => each.replace(/("ID":"\w+"),("Version":\{[^}]*\})/, '$2,$1')).join(',')}]`],
    ['shorter ids', `[${[first, second, third].map((each) => each.replace('0000"', '"')).join(',')}]`.replace('mine00000000000000000"', 'mine000000000000000000000"')],
    ['longer ids', `[${[first, second, third].map((each) => each.replace(hidden, `${hidden}0`)).join(',')}]`],
    ['ids with other letters', `[${[first, second, third].map((each) => each.replace(hidden, hidden.toUpperCase())).join(',')}]`],
    ['an escaped id', `[${[first, second, third].map((each) => each.replace(mine, `\\u006d${mine.slice(1)}`)).join(',')}]`],
    ['an escaped key', `[${[first, second, third].map((each) => each.replace('"ID"', '"\\u0049D"')).join(',')}]`],
    ['nothing', '[]'], ['null', 'null\n'], ['one item', `[${second}]`],
  ])('are read in full: %s', async (_what, source) => {
    const bytes = Buffer.from(source);
    const expected = await through(listFilter({ at: '', wanted: [['ID']], keep: visible }), bytes, []);
    for (let cut = 0; cut <= bytes.length; cut += 7) expect(await through(listFilter({ at: '', wanted: [['ID']], form: swarmForm, keep: visible }), bytes, [cut])).toBe(expected);
  });

  it('end in an error where an item turns out to be a part of another', async () => {
    // No engine writes versions deeper in a service; were one to, what is visible there would not take what is around it along.
    const around = `${first.slice(0, -1)},"Parts":[{},${second}],"After":"of somebody else"}`;
    await expect(through(listFilter({ at: '', wanted: [['ID']], form: swarmForm, keep: visible }), Buffer.from(`[${around},${third}]`), [])).rejects.toThrow('the engine\'s answer is not what its API says');
  });

  it('are judged by all that may be the owner', async () => {
    const keep = keeps(new Set([mine]));
    const wanted = [['ID'], ['ServiceID']];
    const items = [{ ...meta(hidden, 1), Labels: { ServiceID: mine }, Spec: {}, ServiceID: hidden }, { ...meta(hidden, 2), Labels: { ServiceID: hidden }, Spec: {}, ServiceID: mine }, { ...meta(hidden, 3), Labels: {}, Spec: {} }];
    const bytes = Buffer.from(`[${items.map(go).join(',')}]`);
    expect(await through(listFilter({ at: '', wanted, form: taskForm, keep }), bytes, [])).toBe(`[${go(items[1])}]`);
  });
});
