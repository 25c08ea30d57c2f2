import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Transform } from 'node:stream';
import fc from 'fast-check';
import { dfFilter, EngineAnswerError, eventsFilter, infoFilter, inspectFilter, listFilter, pruneFilter, redactFilter, type EngineEvent } from './index';

/** What a filter lets out of pieces of an answer, and the error that it ends in. */
async function through(filter: Transform, pieces: readonly Uint8Array[]): Promise<{ text: string; bytes: Buffer; error: Error | null }> {
  const out: Buffer[] = [];
  const error = await new Promise<Error | null>((resolve) => {
    filter.on('data', (piece: Buffer) => out.push(Buffer.from(piece))).once('end', () => resolve(null)).once('error', resolve);
    for (const piece of pieces) filter.write(Buffer.from(piece));
    filter.end();
  });
  const bytes = Buffer.concat(out);
  return { text: bytes.toString(), bytes, error };
}

/** The same, for an answer that must be good. */
async function filtered(filter: Transform, text: string, cuts: readonly number[] = []): Promise<string> {
  const { text: out, error } = await through(filter, split(Buffer.from(text), cuts));
  if (error) throw error;
  return out;
}

const everywhere = [-1];

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = cuts === everywhere ? Array.from(bytes.keys()) : [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}

// ---- JSON texts as nobody would write them

const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r\n  ');
const stringSource = fc.array(fc.constantFrom('a', 'Id', 'ID', ' ', '{', '}', '[', ']', ',', ':', '/', '\\"', '\\\\', '\\/', '\\n', '\\u0041', '\\u00e9', '\\ud83d\\ude00', 'é', '😀', 'ſ', '\u2028', '},{\\"Id\\":'), { maxLength: 6 }).map((parts) => `"${parts.join('')}"`);
const numberSource = fc.constantFrom('0', '-0', '1', '-17', '3.25', '1e400', '2E-7', '9007199254740993', '0.1e+2');
const { value: valueSource } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true }, stringSource, numberSource, fc.constantFrom('true', 'false', 'null', '{}', '[]'),
    fc.tuple(space, fc.array(fc.tuple(tie('value'), space), { maxLength: 4 })).map(([lead, items]) => `[${lead}${items.map(([item, after]) => item + after).join(',')}]`),
    fc.tuple(space, fc.array(fc.tuple(stringSource, space, tie('value'), space), { maxLength: 4 })).map(([lead, all]) => `{${lead}${all.map(([key, gap, item, after]) => `${key}${gap}:${gap}${item}${after}`).join(',')}}`),
  ),
}));
/** Members whose keys fold to no wanted one. */
const otherMember = fc.tuple(fc.constantFrom('Other', 'Labels\\u0041', 'Spec2', 'é', 'I', '', 'Deep'), space, valueSource).map(([key, gap, value]) => `${gap}"${key}"${gap}:${value}${gap}`);

interface Made {
  source: string;
  id: string;
}
const idArbitrary = fc.constantFrom('mine', 'other', 'mine2', 'möglich', 'a"b');
const itemArbitrary: fc.Arbitrary<Made> = fc.tuple(idArbitrary, fc.boolean(), fc.array(otherMember, { maxLength: 3 }), fc.nat(), space).map(([id, isEscaped, others, place, gap]) => {
  const name = isEscaped ? `"${[...id].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"` : JSON.stringify(id);
  const members = [...others];
  members.splice(place % (others.length + 1), 0, `${isEscaped ? '"\\u0049d"' : '"Id"'}${gap}:${gap}${name}`);
  return { id, source: `{${members.join(',')}}` };
});
const isMine = ([id]: readonly (string | undefined)[]): boolean => id !== undefined && id.startsWith('m');
const list = (): Transform => listFilter({ at: '', wanted: [['Id']], keep: isMine });
const cutsArbitrary = fc.oneof(fc.array(fc.nat(), { maxLength: 8 }), fc.constant(everywhere));

describe('listFilter', () => {
  it('lets out the kept items with their own bytes, however the answer comes in', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(space, itemArbitrary, space), { maxLength: 6 }), space, cutsArbitrary, async (items, gap, cuts) => {
      const source = `${gap}[${items.length === 0 ? gap : ''}${items.map(([before, { source: item }, after]) => before + item + after).join(',')}]\n`;
      const kept = items.filter(([, { id }]) => isMine([id])).map(([, { source: item }]) => item);
      const out = await filtered(list(), source, cuts);
      expect(out).toBe(`[${kept.join(',')}]\n`);
      // The oracle from outside.
      expect(JSON.parse(out)).toEqual((JSON.parse(source) as { Id: string }[]).filter(({ Id }) => isMine([Id])));
    }), { numRuns: 200 });
  });

  it('finds the list at its pointer, and cuts what is beside it unless told', async () => {
    await fc.assert(fc.asyncProperty(fc.array(itemArbitrary, { maxLength: 4 }), fc.array(otherMember, { maxLength: 3 }), fc.nat(), cutsArbitrary, async (items, others, place, cuts) => {
      const members = [...others, '"Warnings" : ["kept"]'];
      members.splice(place % (members.length + 1), 0, `"Volumes":[${items.map(({ source }) => source).join(' , ')}]`);
      const kept = items.filter(({ id }) => isMine([id])).map(({ source }) => source);
      const out = await filtered(listFilter({ at: '/Volumes', wanted: [['Id']], keep: isMine, beside: ['Warnings'] }), `{${members.join(',')}}`, cuts);
      expect(JSON.parse(out)).toEqual({ Volumes: kept.map((source): unknown => JSON.parse(source)), Warnings: ['kept'] });
      for (const source of kept) expect(out).toContain(source);
    }), { numRuns: 100 });
  });

  it('passes on null for a list, and the whole where all is kept', async () => {
    expect(await filtered(list(), 'null\n')).toBe('null\n');
    expect(await filtered(listFilter({ at: '/Volumes', wanted: [['Name']], keep: () => false }), '{"Volumes":null,"Warnings":null}\n')).toBe('{"Volumes":null}\n');
    expect(await filtered(list(), '[]')).toBe('[]');
    const text = `[${Array.from({ length: 500 }, (_, index) => `{"Id":"m${index}","x":[{},[],-1.5e3]}`).join(',')}]\n`;
    expect(await filtered(list(), text, [7, 100, 5000, 5001])).toBe(text);
  });

  it('ends every cut-off answer in an error, and lets out nothing that was not judged', async () => {
    await fc.assert(fc.asyncProperty(fc.array(itemArbitrary, { minLength: 1, maxLength: 4 }), fc.nat(), cutsArbitrary, async (items, length, cuts) => {
      const source = Buffer.from(`[${items.map(({ source: item }) => item).join(',')}]`);
      const whole = `[${items.filter(({ id }) => isMine([id])).map(({ source: item }) => item).join(',')}]`;
      const { text, error } = await through(list(), split(source.subarray(0, length % source.length), cuts));
      expect(error).toBeInstanceOf(EngineAnswerError);
      expect(whole.startsWith(text)).toBe(true);
    }), { numRuns: 150 });
  });

  it('agrees with JSON.parse on what is JSON, and never lets out an item of somebody else’s', async () => {
    const change = fc.tuple(fc.nat(), fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', '.', 'e', '+', 'n', 'u', ' ', '\u0001', '/', 'null', '01', ''), fc.integer({ min: 0, max: 2 }));
    let good = 0;
    let bad = 0;
    await fc.assert(fc.asyncProperty(fc.array(itemArbitrary, { minLength: 1, maxLength: 3 }), fc.array(change, { minLength: 1, maxLength: 2 }), cutsArbitrary, async (items, changes, cuts) => {
      let source = `[${items.map(({ source: item }) => item).join(',')}]`;
      for (const [place, put, removed] of changes) {
        const at = place % source.length;
        source = source.slice(0, at) + put + source.slice(at + removed);
      }
      // A change may have parted the halves of a character.
      source = Buffer.from(source).toString();
      let parsed: unknown;
      let isJson = true;
      try {
        parsed = JSON.parse(source);
      } catch {
        isJson = false;
      }
      const judged: (string | undefined)[] = [];
      const { text, error } = await through(listFilter({ at: '', wanted: [['Id']], keep: (found) => isMine(found) && judged.push(found[0]) > 0 }), split(Buffer.from(source), cuts));
      if (!isJson) expect(error).toBeInstanceOf(EngineAnswerError);
      if (error) {
        bad += 1;
        // What went out is the beginning of a list of items that were kept, or of null.
        const out = 'null'.startsWith(text) ? [] : (JSON.parse(`${text}${text.endsWith(']') ? '' : ']'}`) as { Id: string }[]);
        expect(out.map(({ Id }) => Id)).toEqual(judged.slice(0, out.length));
        if (isJson) expect(Array.isArray(parsed) && parsed.every((item) => typeof item === 'object' && item !== null && !Array.isArray(item))).toBe(false);
      } else if (parsed === null) {
        expect(text.trim()).toBe('null');
      } else {
        good += 1;
        const out = JSON.parse(text) as { Id: string }[];
        expect(out.map(({ Id }) => Id)).toEqual(judged);
        for (const item of out) expect(parsed).toContainEqual(item);
      }
    }), { numRuns: 600 });
    expect(Math.min(good, bad)).toBeGreaterThan(20);
  });

  it.each([
    ['a key twice', '{"Id":"mine","Id":"mine"}'],
    ['a key twice, once escaped', '{"Id":"mine","\\u0049d":"mine"}'],
    ['another case', '{"Id":"mine","ID":"other"}'],
    ['only another case', '{"id":"mine"}'],
    ['a letter that folds', '{"Id":"mine","Spec":{"Labels":{"o.s":"mine","o.ſ":"x"}}}'],
    ['a way twice', '{"Id":"mine","Spec":{"Labels":{"o.s":"mine"}},"Spec":{}}'],
    ['a way in two spellings', '{"Id":"mine","Spec":{"Labels":{"o.s":"mine"},"labels":{}}}'],
    ['no valid UTF-8', Buffer.from([...Buffer.from('{"Id":"m'), 0xff, ...Buffer.from('"}')])],
    ['an overlong NUL', Buffer.from([...Buffer.from('{"Id":"m'), 0xc0, 0x80, ...Buffer.from('"}')])],
    ['a key that is no valid UTF-8', Buffer.from([...Buffer.from('{"Id":"mine","I'), 0xff, ...Buffer.from('":1}')])],
  ])('cuts an item on which readers may differ: %s', async (_what, item) => {
    const asked: unknown[] = [];
    const filter = listFilter({ at: '', wanted: [['Id'], ['Spec', 'Labels', 'o.s']], keep: (found) => asked.push(found) > 0 });
    const { text, error } = await through(filter, [Buffer.from('[{"Id":"m1"},'), Buffer.from(item), Buffer.from(',{"Id":"m2","Spec":{"Labels":{"O.T":"","o.s":"v"}}}]')]);
    expect(error).toBeNull();
    expect(text).toBe('[{"Id":"m1"},{"Id":"m2","Spec":{"Labels":{"O.T":"","o.s":"v"}}}]');
    expect(asked).toEqual([['m1', undefined], ['m2', 'v']]);
  });

  it('reads strings at paths only, and lists of strings', async () => {
    const seen: unknown[] = [];
    const filter = listFilter({ at: '', wanted: [['Id'], ['A', 'B'], ['Id']], lists: [['Tags'], ['A', 'Tags']], keep: (found, lists) => seen.push([found, lists]) > 0 });
    await filtered(filter, '[{"Id":1,"A":["B"]},{"X":{"Id":"no"},"A":{"B":"\\u00e9\\n","Tags":["1","\\"",["nested"],{"Id":"no"},2,null,"é"]},"Id":"yes","Tags":"no list"},{"Tags":[],"A":{"C":{"B":"no"}}}]', [30, 60]);
    expect(seen).toEqual([
      [[undefined, undefined, undefined], [[], []]], [['yes', 'é\n', 'yes'], [[], ['1', '"', 'é']]], [[undefined, undefined, undefined], [[], []]],
    ]);
  });

  it('cuts members and strings out of kept items', async () => {
    const filter = listFilter({ at: '', wanted: [['Id']], keep: isMine, drop: ['/Containers', '/A/B'], show: [{ at: '/RepoTags', keep: (tag) => tag.startsWith('acme/') }] });
    const text = '[{"containers":{},"Id":"m1","Containers":{"x":1},"RepoTags":["secret/a:1","acme/b:2", "acme/c"],"A":{"B":1,"C":1.0}},{"Id":"o"},{"Id":"m2","RepoTags":null,"A":null}]';
    expect(await filtered(filter, text, [40, 80])).toBe('[{"Id":"m1","RepoTags":["acme/b:2","acme/c"],"A":{"C":1.0}},{"Id":"m2","RepoTags":null,"A":null}]');
  });

  it.each([
    ['nothing', ''], ['an object', '{"Id":"m"}'], ['a string', '"m"'], ['an item that is no object', '[1]'], ['an array in it', '[["m"]]'], ['null in it', '[null]'], ['two answers', '[][]'],
    ['a trailing comma', '[{"Id":"m"},]'], ['a leading comma', '[,{"Id":"m"}]'], ['an HTML page', '<html>'], ['a byte order mark', '\ufeff[]'], ['a wrong bracket', '[{"Id":["m"}]}]'],
    ['a bare word', '[{"Id":nul}]'], ['a number of no grammar', '[{"a":01}]'], ['a sign alone', '[{"a":-}]'], ['a point alone', '[{"a":1.}]'], ['an exponent alone', '[{"a":1e}]'], ['a hex escape', '[{"a":"\\x41"}]'],
    ['a short escape', '[{"a":"\\u12"}]'], ['a control character', '[{"a":"\n"}]'], ['no colon', '[{"a" 1}]'], ['no comma', '[{"a":1 "b":2}]'], ['no key', '[{:1}]'], ['a comment', '[/**/]'],
    ['a nesting without end', `[{"a":${'['.repeat(100_000)}`],
  ])('ends in an error at %s', async (_what, text) => {
    const { error } = await through(list(), [Buffer.from(text)]);
    expect(error).toBeInstanceOf(EngineAnswerError);
    expect(error?.message).not.toContain('Id');
  });

  it('takes no other spelling of the way to the list', async () => {
    const filter = (): Transform => listFilter({ at: '/Volumes', wanted: [['Name']], keep: () => false });
    expect(await filtered(filter(), '{"volumes":[{"Name":"a"}],"VOLUMES":[1]}')).toBe('{}');
    expect(await filtered(filter(), '{"Volumes":[{"Name":"a"}],"Volumes":[{"Name":"b"}]}')).toBe('{"Volumes":[],"Volumes":[]}');
    expect((await through(filter(), [Buffer.from('{"Volumes":{"a":{"Name":"a"}}}')])).error).toBeInstanceOf(EngineAnswerError);
  });

  it('holds no more than an item, and no larger one than the limit', async () => {
    const letters = Buffer.alloc(1024 * 1024, 0x61);
    const item = (megabytes: number): Buffer[] => [Buffer.from('[{"Id":"m","a":"'), ...Array.from({ length: megabytes }, () => letters), Buffer.from('"}]')];
    const good = await through(list(), item(15));
    expect([good.error, good.bytes.equals(Buffer.concat(item(15)))]).toEqual([null, true]);
    const bad = await through(list(), item(17));
    expect([bad.error?.message, bad.text]).toEqual([expect.stringContaining('an item larger than'), '[']);
  });

  it('gives other work its turn within a large piece', async () => {
    const piece = Buffer.from(`[${Array.from({ length: 20_000 }, (_, index) => `{"Id":"o${index}","Text":"${'x'.repeat(200)}"}`).join(',')}]`);
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    expect(await filtered(list(), piece.toString())).toBe('[]');
    isOver = true;
    expect(turns).toBeGreaterThan(10);
  });

  it('ends in the error of a judge', async () => {
    const failure = new Error('no decision');
    const filter = listFilter({ at: '', wanted: [], keep: () => {
      throw failure;
    } });
    expect(await through(filter, [Buffer.from('[{"a":1}]')])).toMatchObject({ text: '', error: failure });
  });

  it('filters what real engines answered', async () => {
    const watch = JSON.parse(readFileSync(join(__dirname, '../../../test/fixtures/watch.json'), 'utf8')) as Record<string, { service: { ID: string; Spec: { Name: string } }; tasks: { ID: string; ServiceID: string }[] }>;
    const services = Object.values(watch).map(({ service }) => service);
    const tasks = Object.values(watch).flatMap((each) => each.tasks);
    expect(Math.min(services.length, tasks.length)).toBeGreaterThan(10);
    const mine = new Set(services.filter((_, index) => index % 3 === 0).map(({ ID }) => ID));
    const chunks = Array.from({ length: 50 }, (_, index) => index * 997);
    const out = await filtered(listFilter({ at: '', wanted: [['ID'], ['Spec', 'Name']], keep: ([id, name]) => name !== undefined && mine.has(id ?? '') }), JSON.stringify(services), chunks);
    expect(out).toBe(JSON.stringify(services.filter(({ ID }) => mine.has(ID))));
    expect(await filtered(listFilter({ at: '', wanted: [['ServiceID']], keep: ([id]) => mine.has(id ?? '') }), JSON.stringify(tasks), chunks)).toBe(JSON.stringify(tasks.filter(({ ServiceID }) => mine.has(ServiceID))));
  });
});

describe('eventsFilter', () => {
  const event = (id: string, more: Partial<EngineEvent> = {}): EngineEvent & { time: number } => ({ Type: 'container', Action: 'start', Actor: { ID: id, Attributes: { image: 'a"}{', 'Case': '1', 'case': '2', name: id } }, scope: 'local', time: 1, ...more });

  it('lets out each kept event at once', async () => {
    const filter = eventsFilter({ keep: ({ Actor }) => Actor.ID === 'mine' });
    const out: string[] = [];
    filter.on('data', (piece: Buffer) => out.push(piece.toString()));
    for (const id of ['mine', 'other', 'mine']) {
      const text = `${JSON.stringify(event(id))}\n`;
      for (const byte of Buffer.from(text)) filter.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
      if (id === 'mine') expect(out.splice(0).join('')).toBe(text);
      else expect(out).toEqual([]);
    }
    filter.destroy();
  });

  it('tells the judge what the event says', async () => {
    const seen: EngineEvent[] = [];
    const filter = eventsFilter({ keep: (each) => seen.push(each) > 0 });
    const texts = [JSON.stringify(event('a')), '{"status":"x","Type":"network","Action":"connect","Actor":{"ID":"n","Attributes":{"container":"c","odd":1}}}', '{"Type":"daemon","Action":"reload","scope":"swarm"}'];
    // Run together, on lines, as a text sequence.
    expect(await filtered(filter, `${texts[0]}${texts[1]}\r\n\u001e${texts[2]}`, [10, 200])).toBe(`${texts[0]}\n${texts[1]}\n\u001e${texts[2]}\n`);
    expect(seen.map((each) => ({ ...each, Actor: { ...each.Actor, Attributes: { ...each.Actor.Attributes } } }))).toEqual([
      { Type: 'container', Action: 'start', Actor: event('a').Actor, scope: 'local' },
      { Type: 'network', Action: 'connect', Actor: { ID: 'n', Attributes: { container: 'c' } }, scope: 'local' },
      { Type: 'daemon', Action: 'reload', Actor: { ID: '', Attributes: {} }, scope: 'swarm' },
    ]);
  });

  it.each([
    ['no type', '{"Action":"start","Actor":{"ID":"mine"}}'], ['a type that is no string', '{"Type":1,"Action":"start"}'], ['the actor twice', '{"Type":"a","Action":"b","Actor":{"ID":"mine"},"Actor":{"ID":"other"}}'],
    ['the id in another case', '{"Type":"a","Action":"b","Actor":{"ID":"mine","Id":"other"}}'], ['attributes twice', '{"Type":"a","Action":"b","Actor":{"ID":"mine","Attributes":{},"Attributes":{}}}'],
    ['attributes in another case', '{"Type":"a","Action":"b","Actor":{"ID":"mine","attributes":{}}}'], ['an attribute twice', '{"Type":"a","Action":"b","Actor":{"ID":"mine","Attributes":{"n":"1","n":"2"}}}'],
  ])('cuts an event with %s', async (_what, text) => {
    expect(await filtered(eventsFilter({ keep: () => true }), `${text}\n${JSON.stringify(event('m'))}`)).toBe(`${JSON.stringify(event('m'))}\n`);
  });

  it.each(['[{"Type":"a"}]', '"x"', '{"Type":"a"', '{"Type":"a"},', '}'])('ends in an error at %s', async (text) => {
    expect(await through(eventsFilter({ keep: () => true }), [Buffer.from(text)])).toMatchObject({ text: '', error: expect.any(EngineAnswerError) as unknown });
  });

  it('ends well between events', async () => {
    expect(await filtered(eventsFilter({ keep: () => true }), '')).toBe('');
    expect(await filtered(eventsFilter({ keep: () => true }), '\n\n')).toBe('');
  });
});

describe('dfFilter', () => {
  const df = {
    LayersSize: 9999, Images: [{ Containers: 1, Id: 'i1', Labels: { a: 'b' }, Size: 100, SharedSize: 30 }, { Containers: 0, Id: 'i2', Size: 50, SharedSize: -1 }, { Containers: 5, Id: 'x', Size: 1e6, SharedSize: 0 }],
    Containers: [{ Id: 'c1', State: 'running', SizeRw: 7 }, { Id: 'x', State: 'running', SizeRw: 70 }], Volumes: [{ Name: 'v1', UsageData: { Size: 11, RefCount: 0 } }, { Name: 'x', UsageData: null }],
    BuildCache: [{ ID: 'b1', InUse: false, Shared: false, Size: 5 }, { ID: 'x', InUse: true, Shared: false, Size: 500 }], BuilderSize: 505, Newer: ['x'],
  };

  it('cuts items, makes the sum anew, and cuts what is not known', async () => {
    const seen: unknown[] = [];
    const out = await filtered(dfFilter({ wanted: { image: [['Labels', 'a'], ['Id']] }, keep: (kind, id, found) => seen.push([kind, id, found]) > 0 && id !== 'x' }), JSON.stringify(df), [11, 222]);
    expect(JSON.parse(out)).toEqual({ LayersSize: 120, Images: df.Images.slice(0, 2), Containers: df.Containers.slice(0, 1), Volumes: df.Volumes.slice(0, 1), BuildCache: df.BuildCache.slice(0, 1) });
    expect(seen.slice(0, 4)).toEqual([['image', 'i1', ['b', 'i1']], ['image', 'i2', [undefined, 'i2']], ['image', 'x', [undefined, 'x']], ['container', 'c1', []]]);
    expect(await filtered(dfFilter({ keep: () => true }), '{"LayersSize":3,"Images":null}')).toBe('{"Images":null,"LayersSize":0}');
  });

  it('knows the form since 1.52, with and without items', async () => {
    const sums = { ActiveCount: 77, TotalCount: 78, Reclaimable: 79, TotalSize: 80 };
    const usage = (items: unknown): object => ({ ...sums, Items: items });
    const out = await filtered(dfFilter({ keep: (_kind, id) => id !== 'x' }), JSON.stringify({ ImageUsage: usage(df.Images), ContainerUsage: usage(df.Containers), VolumeUsage: usage(df.Volumes), BuildCacheUsage: { ...sums, Other: 'x' } }));
    expect(JSON.parse(out)).toEqual({
      ImageUsage: { Items: df.Images.slice(0, 2), ActiveCount: 1, TotalCount: 2, Reclaimable: 50, TotalSize: 120 }, ContainerUsage: { Items: df.Containers.slice(0, 1), ActiveCount: 1, TotalCount: 1, Reclaimable: 0, TotalSize: 7 },
      VolumeUsage: { Items: df.Volumes.slice(0, 1), ActiveCount: 0, TotalCount: 1, Reclaimable: 11, TotalSize: 11 }, BuildCacheUsage: { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0 },
    });
  });

  it('cuts items without an id', async () => {
    expect(await filtered(dfFilter({ keep: () => true }), '{"Images":[{"Size":1},{"Id":7},{"Id":"a","ID":"b"}],"BuildCache":[{"Id":"b"}]}')).toBe('{"Images":[],"BuildCache":[]}');
  });
});

describe('pruneFilter', () => {
  it('cuts ids, and tells the space only where all is told', async () => {
    const filter = (): Transform => pruneFilter({ at: '/VolumesDeleted', keep: (id) => id.startsWith('m') });
    expect(await filtered(filter(), '{"VolumesDeleted":["m1","x","m2"],"SpaceReclaimed":12,"More":1}')).toBe('{"VolumesDeleted":["m1","m2"],"SpaceReclaimed":0}');
    expect(await filtered(filter(), '{"SpaceReclaimed":12,"VolumesDeleted":["x"]}')).toBe('{"VolumesDeleted":[],"SpaceReclaimed":0}');
    expect(await filtered(filter(), '{"SpaceReclaimed":12,"VolumesDeleted":["m1"]}')).toBe('{"VolumesDeleted":["m1"],"SpaceReclaimed":12}');
    expect(await filtered(filter(), '{"VolumesDeleted":null,"SpaceReclaimed":{"x":1}}')).toBe('{"VolumesDeleted":null,"SpaceReclaimed":0}');
  });

  it('knows images, also as the answer to the removal of one', async () => {
    const keep = (id: string, how: string): boolean => id === 'acme/web:1' ? how === 'untagged' : id === 'sha256:1' && how === 'removed';
    const text = '[{"Untagged":"acme/web:1"},{"Untagged":"other"},{"Deleted":"sha256:1"},{"Deleted":"sha256:1","Untagged":"other"},{"New":"x"},{"Deleted":"acme/web:1"}]';
    expect(await filtered(pruneFilter({ at: '/ImagesDeleted', keep }), `{"ImagesDeleted":${text},"SpaceReclaimed":1}`)).toBe('{"ImagesDeleted":[{"Untagged":"acme/web:1"},{"Deleted":"sha256:1"}],"SpaceReclaimed":0}');
    expect(await filtered(pruneFilter({ at: '', keep }), text)).toBe('[{"Untagged":"acme/web:1"},{"Deleted":"sha256:1"}]');
  });
});

describe('inspectFilter', () => {
  it('cuts what a network tells of others', async () => {
    const seen: unknown[] = [];
    const filter = inspectFilter({ at: ['/Containers', '/Services', '/Peers'], drop: ['/Status'], keep: (at, name, found) => seen.push([at, name, found]) > 0 && !(name ?? found[0] ?? '').startsWith('x') });
    const text = '{"Name":"n" , "Containers":{"x1":{"Name":"secret"}, "c1" : {"Name":"web","IPv4Address":""}},"Services":{"s\\u0031":{"VIP":"","Tasks":[{"Name":"t"}]},"x":{}},"Peers":[{"Name":"x-node","IP":"10.0.0.1"},{"Name":"p","IP":""}],"Status":1,"Labels":{"Containers":"kept"}}';
    expect(await filtered(filter, text, [5, 50, 51, 90, 130])).toBe('{"Name":"n","Containers":{"c1":{"Name":"web","IPv4Address":""}},"Services":{"s\\u0031":{"VIP":"","Tasks":[{"Name":"t"}]}},"Peers":[{"Name":"p","IP":""}],"Labels":{"Containers":"kept"}}');
    expect(seen).toEqual([['/Containers', 'x1', ['secret']], ['/Containers', 'c1', ['web']], ['/Services', 's1', [undefined]], ['/Services', 'x', [undefined]], ['/Peers', null, ['x-node']], ['/Peers', null, ['p']]]);
  });

  it('cuts strings of lists, passes on null, and takes no other spelling', async () => {
    const filter = (): Transform => inspectFilter({ at: ['/RepoTags', '/RepoDigests'], keep: (_at, name) => name === 'acme/web:1' });
    expect(await filtered(filter(), '{"Id":"i","RepoTags":["acme/web:1","x"],"RepoDigests":null}')).toBe('{"Id":"i","RepoTags":["acme/web:1"],"RepoDigests":null}');
    expect((await through(filter(), [Buffer.from('{"repotags":["x"]}')])).error).toBeInstanceOf(EngineAnswerError);
    expect((await through(filter(), [Buffer.from('{"RepoTags":"x"}')])).error).toBeInstanceOf(EngineAnswerError);
  });

  it('agrees with JSON.parse on any object, in any pieces', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'x1', 'x2', 'c\\u0041', 'x\\u0041'), valueSource.filter((source) => source.startsWith('{'))), { maxLength: 5 }), valueSource, cutsArbitrary, async (all, other, cuts) => {
      const source = `{"Other":${other},"At":{${all.map(([key, value]) => `"${key}":${value}`).join(',')}}}`;
      const parsed = JSON.parse(source) as { At: Record<string, unknown> };
      const out = await filtered(inspectFilter({ at: ['/At'], wanted: [], keep: (_at, name) => !name!.startsWith('x') }), source, cuts);
      expect(JSON.parse(out)).toEqual({ ...parsed, At: Object.fromEntries(Object.entries(parsed.At).filter(([key]) => !key.startsWith('x'))) });
    }), { numRuns: 150 });
  });
});

describe('redactFilter', () => {
  it('cuts members wherever the pointers lead, in any case', async () => {
    const filter = redactFilter({ at: ['/JoinTokens', '/Spec/CAConfig'] });
    expect(await filtered(filter, '{"ID":"s","JoinTokens":{"Worker":"SWMTKN"},"joinTokenſ":"SWMTKN","jointokens":1,"Spec":{"CAConfig":{},"Name":"default"},"Last":1}')).toBe('{"ID":"s","Spec":{"Name":"default"},"Last":1}');
    expect(await filtered(redactFilter({ at: ['/JoinTokens'] }), '{"JoinTokens":{}}\n')).toBe('{}\n');
  });

  it('passes on every other byte', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'Secret'), valueSource), { maxLength: 5 }), cutsArbitrary, async (all, cuts) => {
      const write = (members: typeof all): string => `{${members.map(([key, value]) => `"${key}":${value}`).join(',')}}`;
      expect(await filtered(redactFilter({ at: ['/Secret'] }), write(all), cuts)).toBe(write(all.filter(([key]) => key !== 'Secret')));
    }), { numRuns: 150 });
  });
});

describe('infoFilter', () => {
  it('leaves what is for everybody', async () => {
    const info = {
      ID: 'i', Containers: 5, ContainersRunning: 3, Images: 9, Name: 'host-7', Labels: ['rack=1'], DockerRootDir: '/var/lib/docker', HttpProxy: 'http://user:pass@proxy', RegistryConfig: { Mirrors: ['https://m'] }, ServerVersion: '28.5.1',
      OSType: 'linux', Runtimes: { runc: { path: '/usr/bin/runc' } }, Warnings: ['API is accessible on 10.0.0.1'], DiscoveredDevices: [], SecurityOptions: ['name=seccomp'], Newer: 'x',
      Swarm: { NodeID: 'n', NodeAddr: '10.0.0.1', LocalNodeState: 'active', ControlAvailable: true, RemoteManagers: [{ NodeID: 'n', Addr: '10.0.0.1:2377' }], Nodes: 3, Managers: 1, Cluster: { ID: 'c', Spec: { CAConfig: {} }, TLSInfo: {} } },
    };
    const out: unknown = JSON.parse(await filtered(infoFilter({ counts: { Containers: 2, Nodes: 1 } }), JSON.stringify(info), [33, 99]));
    expect(out).toEqual({
      ID: 'i', ServerVersion: '28.5.1', OSType: 'linux', Runtimes: { runc: {} }, SecurityOptions: ['name=seccomp'], Swarm: { LocalNodeState: 'active', ControlAvailable: true, Cluster: { ID: 'c' }, Nodes: 1, Managers: 0 }, Containers: 2,
      ContainersRunning: 0, Images: 0,
    });
  });
});
