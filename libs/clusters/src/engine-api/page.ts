import { howPassed, whyRefused } from '../gateway/ways';
import type { BodyPolicy, EngineRow, Parameter, ResponseFilter } from './table';
import { engineTable, newestMinor, oldestMinor } from './table';
import type { Mark, Shape } from './shape';

/** Members of a shape with their marks, by path: `HostConfig.Mounts[].Type`. */
function* marked(shape: Shape, path: string): Generator<[string, Mark]> {
  for (const mark of shape.marks ?? []) yield [path, mark];
  if (shape.is === 'list') yield* marked(shape.item, `${path}[]`);
  if (shape.is === 'map') {
    for (const mark of shape.keyMarks ?? []) yield [`${path}.*`, mark];
    yield* marked(shape.value, `${path}.*`);
  }
  if (shape.is === 'object') for (const [name, member] of Object.entries(shape.members)) if (member.alias === undefined) yield* marked(member, path === '' ? name : `${path}.${name}`);
}

/** How many members a shape names. */
function countMembers(shape: Shape): number {
  if (shape.is === 'list') return countMembers(shape.item);
  if (shape.is === 'map') return countMembers(shape.value);
  if (shape.is !== 'object') return 0;
  return Object.values(shape.members).reduce((sum, member) => sum + 1 + countMembers(member), 0);
}

const code = (text: string): string => `\`${text}\``;

function asks(mark: Mark): string | null {
  const operations = mark.operations.map(code).join(', ');
  const when = mark.says === '' ? '' : mark.says;
  switch (mark.how) {
    case 'needs':
      return operations === '' ? null : `${operations}${when === '' ? '' : ` (${when})`}`;
    case 'uses':
      return `${operations} on what it names${when === '' ? '' : ` (${when})`}`;
    case 'image':
    case 'registry':
      return when;
    case 'refused':
      return `refused: ${when}`;
    case 'own-labels':
      return null;
    case 'creates':
      return null;
  }
}

function parameters(row: EngineRow): string {
  const names = Object.entries(row.query).map(([name, parameter]: [string, Parameter]) => `${code(name)}${parameter.since > row.since ? ` (1.${parameter.since})` : ''}`);
  return names.join(' ');
}

function bodyText(body: BodyPolicy): string {
  if (body.is === 'json') return `JSON, ${countMembers(body.shape)} members${body.optional ? ', or none' : ''}`;
  if (body.is === 'stream') return body.of === 'tar' ? 'archive' : 'stream';
  return '';
}

function answerText(row: EngineRow): string {
  const filter: ResponseFilter = row.response;
  const text: Record<ResponseFilter['is'], string> = {
    none: '', list: 'what is visible', events: 'events of what is visible', df: 'what is visible, summed anew', prune: 'only what the caller may remove goes', inspect: 'without members that are not visible', redact: '', info: 'facts on the engine',
  };
  const extra = filter.is === 'redact' ? `${filter.at.map(code).join(', ')} only with ${code(filter.unless)}` : text[filter.is];
  const flow = row.connection === 'plain' ? '' : row.connection === 'follow' ? 'stream' : row.connection;
  return [extra, flow].filter((each) => each !== '').join('; ');
}

/** docs/engine-api.md: what needs which operation, as the table has it. */
export function engineApiPage(): string {
  const rows = engineTable.map((row) =>
    `| ${code(row.name)} | 1.${row.since} | ${row.operations.map(code).join(' ') || 'a sign-in'} | ${parameters(row)} | ${bodyText(row.body)} | ${answerText(row)} | ${row.audit === 'never' ? '' : row.audit} | ${howPassed(row.name) !== null ? '' : whyRefused(row.name) === null ? 'not yet' : 'no'} |`);
  const options: string[] = [];
  const seen = new Map<Shape, string>();
  for (const row of engineTable) {
    const lines: string[] = [];
    for (const [name, parameter] of Object.entries(row.query)) {
      for (const mark of parameter.marks) {
        const text = asks(mark);
        if (text !== null) lines.push(`| ${code(`?${name}`)} | ${text} |`);
      }
      if (parameter.shape) for (const [path, mark] of marked(parameter.shape, `?${name}`)) if (asks(mark) !== null) lines.push(`| ${code(path)} | ${asks(mark)} |`);
    }
    if (row.body.is === 'json') {
      const same = seen.get(row.body.shape);
      if (same !== undefined) lines.push(`| body | as for ${code(same)} |`);
      else for (const [path, mark] of marked(row.body.shape, '')) if (asks(mark) !== null && path !== '') lines.push(`| ${code(path)} | ${asks(mark)} |`);
      if (same === undefined) seen.set(row.body.shape, row.name);
    }
    if (lines.length > 0) options.push(`### ${code(row.name)}`, '', '| where | asks for |', '|---|---|', ...lines, '');
  }
  return [
    '# The Docker Engine API through Gantry', '',
    `Every path of the Engine API, 1.${oldestMinor} to 1.${newestMinor}, and what it takes. Whatever is not here, or here with “not yet” or “no”, is answered 403. Members of bodies and query parameters that the API does not have are refused, also where only case differs; what is passed on is Gantry’s own writing of what it read.`, '',
    'Operations are needed on the object that the path names, or on the collection of what is made; [operations.md](operations.md) says which role has which. Audit: `always`, or `policy` where the policy asks for it (today: always). How to connect: [gateway.md](gateway.md).', '',
    '| call | since | operation | query parameters | body | answer | audit | passed on |', '|---|---|---|---|---|---|---|---|', ...rows, '',
    '## Options that ask for more', '', 'Beyond the call’s own operation, when they are set. Values that change nothing (absent, empty, false, 0) ask for nothing, unless it says so.', '', ...options,
  ].join('\n').replace(/\n+$/, '\n');
}
