import { clustersProblem } from '../problems';
import { judgedFlags, refuseDocuments, type KitOptions } from './buildkit/instructions';

/** An image that a Dockerfile names. `base`: its programs run in the build; `copy`: its files are read. */
export interface NamedImage {
  reference: string;
  how: 'base' | 'copy';
}

/** What a Dockerfile asks for, and how it is written once that has been judged. */
export interface DockerfilePlan {
  /** Every image by its name, variables replaced; neither stages nor `scratch`. */
  images: readonly NamedImage[];
  /** Instructions by which the engine itself fetches something, or could. */
  fetches: readonly string[];
  /** Instructions that run in the host's network, which BuildKit has. */
  hostNetworks: readonly string[];
  /** The text with each image in other words: one instruction a line, without comments. `pin` answers what stands for an image. */
  write(pin: (reference: string) => string): string;
}

/** What a line is judged against. */
interface Stages {
  /** Names of the stages before, in lower case. */
  names: ReadonlySet<string>;
  count: number;
  /** Where BuildKit reads it; null: the classic builder. */
  kit: KitOptions | null;
  hostNetworks: string[];
}

type Part = string | NamedImage;

/** Longest Dockerfile in bytes. */
export const maxDockerfileBytes = 1024 * 1024;

const instructions = new Set(['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'LABEL', 'MAINTAINER', 'ONBUILD', 'RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR']);
const continuation = /\\[ \t]*$/;
/** What engines split words at besides the blanks of ASCII: in front of a flag it would hide the flag from us. */
const strangeBlanks = /[\u0085\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]/;
const plainFlag = /^--[a-z][a-z-]*(?:=[^\s"'\\\u0080-\uffff]*)?$/;
const stageForm = /^[a-z][a-z0-9_.-]*$/;
/** What BuildKit may take for an address without a scheme, besides what the classic builder does. */
const addressLike = /[:@]|(?:^|[\s"])github\.com\/|\.git(?:$|[\s"#])/;
const variable = /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^${}]*))?\})/g;

/**
 * Reads a Dockerfile as engines do, and answers what it asks for. What goes to the engine is our own writing of it, so that the engine can
 * read nothing that was not read here. Forms whose meaning depends on more than the text are refused.
 * @param buildArgs `--build-arg`, by name; null: given without a value
 * @param kit for BuildKit, whose grammar has more
 * @throws clusters.spec-invalid
 */
export function readDockerfile(text: string, buildArgs: Readonly<Record<string, string | null>> = {}, kit: KitOptions | null = null): DockerfilePlan {
  const args = new Map<string, string>(Object.entries(kit?.args ?? {}));
  const names = new Set<string>();
  const lines: Part[][] = [];
  const fetches: string[] = [];
  const hostNetworks: string[] = [];
  let count = 0;
  for (const line of logicalLines(text, kit)) {
    const { word, rest } = takeApart(line);
    if (word === 'FROM') {
      const { flags, rest: tail } = takeFlags(line, rest);
      if (kit) judgedFlags(line, 'FROM', flags);
      const words = tail.split(/[ \t\v\f\r]+/).filter((each) => each !== '');
      const [name = '', as, stage, ...more] = words;
      if (more.length > 0 || (as !== undefined && (as.toUpperCase() !== 'AS' || stage === undefined))) throw wrong(line, 'FROM takes an image, and a name for the stage after AS');
      const image = expand(line, name, args);
      const known = names.has(image.toLowerCase());
      const label = stage?.toLowerCase();
      if (label !== undefined && (!stageForm.test(label) || label === 'scratch')) throw wrong(line, 'this can’t be the name of a stage');
      lines.push([['FROM', ...flags, ''].join(' '), known ? image.toLowerCase() : image === 'scratch' ? image : { reference: image, how: 'base' }, label === undefined ? '' : ` AS ${label}`]);
      if (label !== undefined) names.add(label);
      count += 1;
      continue;
    }
    if (count === 0) {
      if (word !== 'ARG') throw wrong(line, 'a Dockerfile begins with FROM, or with ARG');
      declare(rest, buildArgs, args);
      lines.push([line]);
      continue;
    }
    lines.push(readInstruction(line, { names, count, kit, hostNetworks }, false, fetches));
  }
  if (count === 0) throw clustersProblem('spec-invalid', { detail: 'The Dockerfile has no FROM.' });
  const images = lines.flat().filter((part) => typeof part !== 'string');
  return { images, fetches, hostNetworks, write: (pin) => lines.map((parts) => `${parts.map((part) => (typeof part === 'string' ? part : pin(part.reference))).join('')}\n`).join('') };
}

/**
 * What the triggers (ONBUILD) of a base image ask for: they run as if they stood in the Dockerfile, but can't be written anew.
 * @throws clusters.spec-invalid
 */
export function readTriggers(triggers: readonly string[], kit: KitOptions | null = null): Pick<DockerfilePlan, 'images' | 'fetches' | 'hostNetworks'> {
  const fetches: string[] = [];
  const images: NamedImage[] = [];
  const hostNetworks: string[] = [];
  for (const trigger of triggers) {
    const [line, ...more] = logicalLines(trigger, kit);
    if (line === undefined || more.length > 0) throw clustersProblem('spec-invalid', { detail: 'A trigger (ONBUILD) of the base image is not one instruction.' });
    images.push(...readInstruction(line, { names: new Set(), count: Infinity, kit, hostNetworks }, true, fetches).filter((part) => typeof part !== 'string'));
  }
  return { images, fetches, hostNetworks };
}

function readInstruction(line: string, stages: Stages, triggered: boolean, fetches: string[]): Part[] {
  const { word, rest } = takeApart(line);
  const { kit } = stages;
  if (kit) refuseDocuments(line, word, rest);
  if (/(?:^|[\s\u0085])\d*<<(?!<)/.test(rest) && ['RUN', 'COPY', 'ADD'].includes(word)) throw wrong(line, 'documents in the Dockerfile (<<) are not passed on: put the text into a file of the context');
  switch (word) {
    case 'COPY':
    case 'ADD': {
      const { flags, rest: sources } = takeFlags(line, rest);
      if (kit) judgedFlags(line, word, flags);
      if (word === 'ADD' && couldFetch(sources, kit !== null)) fetches.push(line);
      const parts: Part[] = [word];
      for (const flag of flags) {
        if (!flag.startsWith('--from')) parts.push(` ${flag}`);
        else parts.push(' --from=', stageOrImage(line, flag, stages));
      }
      return [...parts, ` ${sources}`];
    }
    case 'RUN': {
      if (!kit) return [line];
      const { flags, rest: command } = takeFlags(line, rest, true);
      const { mounts, network, hasHostNetwork } = judgedFlags(line, 'RUN', flags);
      if (hasHostNetwork) stages.hostNetworks.push(line);
      // A mount knows stages by their names alone: a number is an image.
      const source = (from: string): Part => (from === 'scratch' ? from : stageOrImage(line, `--from=${from}`, { ...stages, count: 0 }));
      const options = mounts.flatMap(({ before, from }): Part[] => [` ${before}`, ...(from === null ? [] : [',from=', source(from)])]);
      return ['RUN', ...options, network === null ? '' : ` --network=${network}`, ` ${command}`];
    }
    case 'ONBUILD': {
      const inner = takeApart(rest).word;
      if (triggered || ['ONBUILD', 'FROM', 'MAINTAINER'].includes(inner)) throw wrong(line, `ONBUILD takes no ${inner}`);
      // In another build the names of stages mean others; their numbers are of stages in any.
      return ['ONBUILD ', ...readInstruction(rest, { names: new Set(), count: Infinity, kit, hostNetworks: stages.hostNetworks }, true, fetches)];
    }
    case 'FROM':
      throw wrong(line, 'FROM is no trigger');
    default:
      return [line];
  }
}

function stageOrImage(line: string, flag: string, { names, count }: Stages): Part {
  const value = flag.slice('--from='.length);
  if (!flag.startsWith('--from=') || value === '' || value.includes('$')) throw wrong(line, '--from names a stage or an image, without variables');
  if (/^\d{1,4}$/.test(value) && Number(value) < count) return value;
  return names.has(value.toLowerCase()) ? value.toLowerCase() : { reference: value, how: 'copy' };
}

/** Whether one of the sources is, or may become, an address. Variables and quotes are the engine's to resolve, in the items of a list too. */
function couldFetch(sources: string, isKit: boolean): boolean {
  if (isKit && addressLike.test(sources)) return true;
  return (listOf(sources) ?? [sources]).some((each) => /[$\\'"]|:\/\/|(?:^|\s)git@/.test(each) || (isKit && addressLike.test(each)));
}

/** The texts of a list in JSON; null for anything else, which engines read as words. */
function listOf(text: string): string[] | null {
  if (!text.startsWith('[')) return null;
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed.every((each) => typeof each === 'string') ? parsed : null;
  } catch {
    return null;
  }
}

/** `ARG a=b c`, before the first FROM; what `--build-arg` gives goes before what stands there. */
function declare(rest: string, buildArgs: Readonly<Record<string, string | null>>, args: Map<string, string>): void {
  for (const word of rest.split(/[ \t]+/)) {
    const [, name, value] = /^([A-Za-z_]\w*)(?:=(.*))?$/.exec(word) ?? [];
    if (name === undefined) continue; // a part of a value in quotes: unset, and so of no use in FROM
    const given = Object.hasOwn(buildArgs, name) ? buildArgs[name] : undefined;
    const own = value === undefined ? undefined : replaceVariables(value.replace(/^(["'])([^"'\\]*)\1$/, '$2'), args);
    const set = given ?? own;
    if (set !== undefined) args.set(name, set);
  }
}

function replaceVariables(text: string, args: ReadonlyMap<string, string>): string {
  return text.replace(variable, (_all, plain?: string, braced?: string, how?: string, other = '') => {
    const value = args.get(plain ?? braced ?? '');
    const isSet = how?.startsWith(':') ? value !== undefined && value !== '' : value !== undefined;
    if (how?.endsWith('-')) return isSet ? value! : other;
    if (how?.endsWith('+')) return isSet ? other : '';
    return value ?? '';
  });
}

function expand(line: string, name: string, args: ReadonlyMap<string, string>): string {
  const expanded = replaceVariables(name, args);
  if (!/^[A-Za-z0-9][\w.:/@-]{0,511}$/.test(expanded)) throw wrong(line, 'name the image plainly, or by build arguments that are declared before the first FROM');
  return expanded;
}

function takeApart(line: string): { word: string; rest: string } {
  const [, word = '', rest = ''] = /^([^ \t\v\f\r]+)[ \t\v\f\r]*(.*)$/s.exec(line) ?? [];
  const name = word.toUpperCase();
  if (!instructions.has(name) || !/^[A-Za-z]+$/.test(word)) throw wrong(line, 'not an instruction that is known');
  return { word: name, rest };
}

/** @param isCommand what follows is a program's, which may have whatever characters, and options of its own */
function takeFlags(line: string, text: string, isCommand = false): { flags: string[]; rest: string } {
  if (!isCommand && strangeBlanks.test(text)) throw wrong(line, 'write blanks as blanks');
  const flags: string[] = [];
  let rest = text;
  for (;;) {
    if (isCommand && strangeBlanks.test(rest[0] ?? '')) throw wrong(line, 'write blanks as blanks');
    if (!rest.startsWith(isCommand ? '--' : '-')) break;
    const [, flag = '', more = ''] = /^([^ \t\v\f\r]+)[ \t\v\f\r]*(.*)$/s.exec(rest) ?? [];
    if (!plainFlag.test(flag)) throw wrong(line, 'write the options plainly: --name=value');
    flags.push(flag);
    rest = more;
  }
  return { flags, rest };
}

/** Instructions, each as one line: comments and empty lines left out, continued lines joined. */
function logicalLines(text: string, kit: KitOptions | null): string[] {
  if (text.includes('\0')) throw clustersProblem('spec-invalid', { detail: 'The Dockerfile has a NUL character.' });
  const physical = text.replace(/^\ufeff/, '').split('\n').map((line) => line.replace(/\r$/, ''));
  for (const line of physical) {
    const [, name = '', value = ''] = /^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$/.exec(line) ?? [];
    if (name === '') break;
    if (kit && name.toLowerCase() === 'syntax') {
      throw clustersProblem('spec-invalid', { detail: `The Dockerfile’s first lines ask for ${value.slice(0, 120)} to read it, a program that could do whatever it likes with the build; drop the line “# syntax=…”: the engine’s own reader takes it then.` });
    }
    if (name.toLowerCase() === 'escape' && value !== '\\') throw clustersProblem('spec-invalid', { detail: 'The Dockerfile’s escape character must be the backslash.' });
  }
  const lines: string[] = [];
  let open: string | null = null;
  for (const line of physical) {
    const bare = line.replace(/^[ \t\v\f]+/, '');
    if (bare.startsWith('#') || bare.replace(/[ \t\v\f\r]+/g, '') === '') continue;
    const joined: string = open === null ? bare : open + line;
    open = continuation.test(joined) ? joined.replace(continuation, '') : null;
    if (open === null) lines.push(joined);
  }
  if (open !== null) lines.push(open);
  return lines.map(ended).filter((line) => line !== '');
}

/** Without blanks at its end, nor what would join it to the next line. */
function ended(line: string): string {
  let text = line;
  for (let before = ''; text !== before; ) {
    before = text;
    text = text.replace(/[ \t\v\f\r]+$/, '').replace(continuation, '');
  }
  return text;
}

function wrong(line: string, detail: string): Error {
  return clustersProblem('spec-invalid', { detail: `Dockerfile: ${line.slice(0, 120)}: ${detail}.` });
}
