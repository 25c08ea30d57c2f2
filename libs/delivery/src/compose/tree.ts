import { Composer, isAlias, isMap, isPair, isScalar, isSeq, Lexer, LineCounter, Parser, Scalar } from 'yaml';
import type { Alias, Document, Node, Pair, YAMLMap } from 'yaml';
import { interpolate, InterpolationError } from './interpolate';
import { childPath, composeKeys, findRule, keysOf, type KeyRule, type KeyType } from './keys';
import { pointerTo, type ComposeNotice, type ComposeNoticeCode } from './notice';

/** Limits on one Compose file; each has a default that no honest file reaches. */
export interface ComposeLimits {
  /** UTF-8 bytes of the text. */
  textBytes: number;
  /** Values after aliases and merge keys were followed. */
  nodes: number;
  /** Levels of maps and lists. */
  depth: number;
  /** Characters of all values after aliases were followed and variables replaced. */
  expandedChars: number;
  /** Errors that are reported before the rest is cut off. */
  errors: number;
}

/** The limits that hold unless others are given. */
export const defaultLimits: ComposeLimits = {
  textBytes: 1024 * 1024,
  nodes: 50_000,
  depth: 32,
  expandedChars: 4 * 1024 * 1024,
  errors: 100,
};

/** The lexer makes about six tokens for a `key: value` line, so this leaves room for every file within the limit of nodes. */
const tokensPerNode = 8;

/** One value of the file that the table of keys supports, with its place. */
export interface Tree {
  pointer: string;
  line: number | null;
  column: number | null;
  /** Table path of the value. */
  path: string;
  /** For a scalar its text after interpolation (a number as it was written); '' otherwise. */
  text: string;
  kind: 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';
  /** Written without quotes and without variables. */
  plain: boolean;
  /** A variable was replaced in it, so that the text must not be shown. */
  interpolated: boolean;
  items: Tree[];
  entries: Map<string, Tree>;
}

/** Collects findings up to a limit; `full` ends the reading early. */
export class Notices {
  readonly errors: ComposeNotice[] = [];
  readonly warnings: ComposeNotice[] = [];

  constructor(private readonly maxErrors: number) {}

  get full(): boolean {
    return this.errors.length >= this.maxErrors;
  }

  error(at: Pick<Tree, 'pointer' | 'line' | 'column'>, code: ComposeNoticeCode, message: string): void {
    if (!this.full) this.errors.push({ pointer: at.pointer, line: at.line, column: at.column, code, message });
  }

  warn(at: Pick<Tree, 'pointer' | 'line' | 'column'>, code: 'ignored' | 'attention', message: string): void {
    if (this.warnings.length < this.maxErrors) this.warnings.push({ pointer: at.pointer, line: at.line, column: at.column, code, message });
  }
}

const start = { pointer: '', line: null, column: null };
const coreTags = new Set(['str', 'int', 'float', 'bool', 'null', 'map', 'seq', 'merge'].map((name) => `tag:yaml.org,2002:${name}`));

/**
 * Reads the text as one YAML 1.2 document (core schema, with the merge keys of YAML 1.1) and walks it beside the table of keys.
 * Returns what is supported; everything else has become a notice. Null if there is nothing to go on with.
 */
export function readTree(text: string, variables: Record<string, string>, limits: ComposeLimits, notices: Notices): Tree | null {
  const lines = new LineCounter();
  const document = readDocument(text, limits, lines, notices);
  if (document === null) return null;
  return new Walk(document, variables, limits, lines, notices).run();
}

function readDocument(text: string, limits: ComposeLimits, lines: LineCounter, notices: Notices): Document.Parsed | null {
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { pointer: '', line: Math.max(1, line), column: Math.max(1, col) };
  };
  if (Buffer.byteLength(text) > limits.textBytes) {
    notices.error(start, 'limit', `the file is larger than ${limits.textBytes} bytes; shorten it`);
    return null;
  }
  // What is not UTF-8 has become U+FFFD, or a lone surrogate, by the time it is a string.
  const bad = /[\0\uFFFD]|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.exec(text);
  if (bad !== null) {
    const before = text.slice(0, bad.index).split('\n');
    const at = { pointer: '', line: before.length, column: (before.at(-1) ?? '').length + 1 };
    notices.error(at, 'yaml', 'the file holds a NUL or a byte sequence that is not UTF-8; save it as UTF-8 text');
    return null;
  }
  // The composer is recursive and its errors quote the text, so depth is judged on the token stack before it runs: a megabyte
  // of "[" would otherwise take the process down.
  const parser = new Parser(lines.addNewLine);
  const tokens = [];
  let lexemes = 0;
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    // Each level takes up to two places on the stack, beside the document's own.
    if (parser.stack.length > limits.depth * 2 + 2) {
      notices.error(place(parser.offset), 'limit', `the file is nested deeper than ${limits.depth} levels; flatten it`);
      return null;
    }
    if (++lexemes > limits.nodes * tokensPerNode) {
      notices.error(place(parser.offset), 'limit', `the file holds more than ${limits.nodes} values; shorten it`);
      return null;
    }
  }
  for (const token of parser.end()) tokens.push(token);
  // Keys are compared in our own walk: the parser's way is quadratic.
  const options = { uniqueKeys: false, merge: true, schema: 'core', prettyErrors: false, logLevel: 'silent' } as const;
  const documents = [...new Composer(options).compose(tokens, true, text.length)];
  const [first, second] = documents;
  for (const document of documents) {
    for (const fault of document.errors) {
      notices.error(place(fault.pos[0]), 'yaml', `the file is not valid YAML (${fault.code.toLowerCase().replaceAll('_', ' ')})`);
    }
  }
  if (first === undefined || notices.errors.length > 0) return null;
  if (second !== undefined) {
    notices.error(place(second.range?.[0] ?? 0), 'yaml', 'the file holds more than one YAML document; keep one and remove the "---" lines');
    return null;
  }
  if (tokens.some((token) => token.type === 'directive')) {
    notices.error({ pointer: '', line: 1, column: 1 }, 'yaml', 'YAML directives are not taken; remove the line that begins with "%"');
    return null;
  }
  return first;
}

class LimitReached extends Error {}

/** One walk over one document. */
class Walk {
  private readonly targets = new Map<Alias, Node>();
  private readonly open = new Set<Node>();
  private nodes = 0;
  private chars = 0;

  constructor(
    private readonly document: Document.Parsed,
    private readonly variables: Record<string, string>,
    private readonly limits: ComposeLimits,
    private readonly lines: LineCounter,
    private readonly notices: Notices,
  ) {}

  run(): Tree | null {
    const root = this.document.contents as Node | null;
    if (root === null || !isMap(root)) {
      this.notices.error(start, 'invalid', 'the file must be a map with the key services');
      return null;
    }
    try {
      this.bindAliases(root, new Map(), 0);
      return this.notices.errors.length > 0 ? null : this.object(root, '', { ...start, ...this.place(root) });
    } catch (fault) {
      if (fault instanceof LimitReached) return null;
      throw fault;
    }
  }

  /** An alias means the last anchor of its name before it; bound in one pass, since the parser's own look-up reads the whole file. */
  private bindAliases(node: unknown, anchors: Map<string, Node>, depth: number): void {
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target === undefined)
        this.notices.error({ pointer: '', ...this.place(node) }, 'yaml', 'an alias has no anchor before it; define the anchor above');
      else this.targets.set(node, target);
    } else if (isPair(node)) {
      this.bindAliases(node.key, anchors, depth);
      this.bindAliases(node.value, anchors, depth);
    } else if (isScalar(node) || isMap(node) || isSeq(node)) {
      if (node.anchor !== undefined) anchors.set(node.anchor, node);
      if (node.tag !== undefined && !coreTags.has(node.tag)) {
        this.notices.error({ pointer: '', ...this.place(node) }, 'yaml', 'a YAML tag is used that Gantry does not know; remove it');
      }
      if (isScalar(node)) return;
      if (depth >= this.limits.depth)
        this.limit({ pointer: '', ...this.place(node) }, `the file is nested deeper than ${this.limits.depth} levels; flatten it`);
      for (const item of node.items) this.bindAliases(item, anchors, depth + 1);
    }
  }

  private place(node: unknown): { line: number | null; column: number | null } {
    const offset = (node as Node | null)?.range?.[0];
    if (offset === undefined) return { line: null, column: null };
    const { line, col } = this.lines.linePos(offset);
    return { line, column: col };
  }

  private limit(at: Pick<Tree, 'pointer' | 'line' | 'column'>, message: string): never {
    this.notices.error(at, 'limit', message);
    throw new LimitReached();
  }

  private count(at: Pick<Tree, 'pointer' | 'line' | 'column'>): void {
    if (++this.nodes > this.limits.nodes)
      this.limit(at, `the file holds more than ${this.limits.nodes} values once aliases are followed; shorten it`);
    if (this.notices.full) throw new LimitReached();
  }

  private follow(node: unknown): Node | null {
    return isAlias(node) ? (this.targets.get(node) ?? null) : (node as Node | null);
  }

  /** Runs `work` inside the collection `node`; an anchor that holds its own alias would never end. */
  private within<T>(node: Node, at: Pick<Tree, 'pointer' | 'line' | 'column'>, work: () => T): T {
    if (this.open.has(node)) this.limit(at, 'an alias stands inside its own anchor; remove it');
    // A chain of merge keys is as deep as it is long.
    if (this.open.size > this.limits.depth * 2) this.limit(at, 'merge keys (<<) follow each other through too many maps; flatten them');
    this.open.add(node);
    const result = work();
    this.open.delete(node);
    return result;
  }

  /** The pairs of a map with merge keys followed: its own keys win, then the earlier merged map. */
  private pairs(node: YAMLMap, at: Pick<Tree, 'pointer' | 'line' | 'column'>): Map<string, { key: Node; value: Node | null }> {
    const own = new Map<string, { key: Node; value: Node | null }>();
    const merged: Node[] = [];
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const key = this.follow(pair.key);
      const place = { pointer: at.pointer, ...this.place(pair.key) };
      this.count(place);
      if (isScalar(key) && key.type === Scalar.PLAIN && key.source === '<<') {
        if (pair.value !== null) merged.push(pair.value);
      } else if (!isScalar(key) || typeof key.value !== 'string') {
        this.notices.error(place, 'invalid', 'a key must be a string; put it in quotes');
      } else if (own.has(key.value)) {
        this.notices.error({ ...place, pointer: pointerTo(at.pointer, key.value) }, 'conflict', `${key.value} is given twice; remove one`);
      } else {
        own.set(key.value, { key: pair.key, value: pair.value });
      }
    }
    for (const value of merged) {
      const target = this.follow(value);
      const sources = isSeq(target) ? target.items.map((item) => this.follow(item)) : [target];
      for (const source of sources) {
        if (!isMap(source))
          this.notices.error(
            { pointer: at.pointer, ...this.place(value) },
            'invalid',
            'a merge key (<<) must name a map or a list of maps',
          );
        else {
          const inherited = this.within(source, { pointer: at.pointer, ...this.place(value) }, () => this.pairs(source, at));
          for (const [key, entry] of inherited) if (!own.has(key)) own.set(key, entry);
        }
      }
    }
    return own;
  }

  private object(node: YAMLMap, path: string, at: { pointer: string; line: number | null; column: number | null }): Tree {
    const tree: Tree = { ...at, path, text: '', kind: 'object', plain: true, interpolated: false, items: [], entries: new Map() };
    this.within(node, at, () => {
      for (const [key, { key: keyNode, value }] of this.pairs(node, at)) {
        const place = { pointer: pointerTo(at.pointer, key), ...this.place(keyNode) };
        const child = childPath(path, key);
        const rule = child === null ? null : findRule(child);
        if (child === null || rule === null) {
          if (key.startsWith('x-')) continue;
          const known = keysOf(path);
          this.notices.error(
            place,
            'unknown-key',
            `${key} is not a key of ${path === '' ? 'a Compose file' : spoken(path)}; ` +
              `use one of ${known.join(', ')}, or begin its name with x-`,
          );
        } else if (rule.status === 'refused') {
          this.notices.error(place, 'unsupported', `${key} is not supported: ${rule.reason}`);
        } else if (rule.status === 'ignored') {
          this.notices.warn(place, 'ignored', `${key} is ignored: ${rule.reason}`);
        } else {
          const read = this.value(value, child, rule, key, place);
          if (read !== null) tree.entries.set(key, read);
        }
      }
    });
    return tree;
  }

  private value(
    raw: Node | null,
    path: string,
    rule: KeyRule,
    key: string,
    at: { pointer: string; line: number | null; column: number | null },
  ): Tree | null {
    this.count(at);
    const node = this.follow(raw);
    const tree: Tree = { ...at, path, text: '', kind: 'null', plain: true, interpolated: false, items: [], entries: new Map() };
    if (isMap(node)) {
      if (rule.types.includes('object')) return this.object(node, path, at);
      return this.wrong(tree, rule, key);
    }
    if (isSeq(node)) {
      if (!rule.types.includes('array')) return this.wrong(tree, rule, key);
      const itemRule = composeKeys.get(`${path}[]`);
      this.within(node, at, () => {
        node.items.forEach((item, index) => {
          const place = { pointer: pointerTo(at.pointer, index), ...this.place(item) };
          const read = itemRule === undefined ? null : this.value(item as Node | null, `${path}[]`, itemRule, `${key}[${index}]`, place);
          if (read !== null) tree.items.push(read);
        });
      });
      return { ...tree, kind: 'array' };
    }
    if (!isScalar(node) || node.value === null || node.value === undefined) {
      return rule.types.includes('null') ? tree : this.wrong(tree, rule, key);
    }
    return this.scalar(node, tree, rule, key);
  }

  private scalar(node: Scalar, tree: Tree, rule: KeyRule, key: string): Tree | null {
    const allowed = (type: KeyType) => rule.types.includes(type);
    const source = String(node.source ?? node.value);
    let read: Tree;
    if (typeof node.value === 'string') {
      let text: string;
      try {
        text = interpolate(node.value, this.variables);
      } catch (fault) {
        if (!(fault instanceof InterpolationError)) throw fault;
        this.notices.error(tree, 'variable', `${key}: ${fault.message}`);
        return null;
      }
      const plain = node.type === Scalar.PLAIN && text === node.value;
      read = { ...tree, kind: 'string', text, plain, interpolated: node.value.includes('$') };
    } else if (typeof node.value === 'boolean') {
      read = { ...tree, kind: 'boolean', text: String(node.value) };
    } else {
      read = { ...tree, kind: 'number', text: source };
    }
    if (read.text.includes('\0')) {
      this.notices.error(tree, 'invalid', `${key} must not hold a NUL character`);
      return null;
    }
    this.chars += read.text.length;
    if (this.chars > this.limits.expandedChars) {
      this.limit(tree, `the file grows beyond ${this.limits.expandedChars} characters once aliases and variables are replaced; shorten it`);
    }
    if (read.kind === 'string') {
      if (allowed('string')) return read;
      if (allowed('boolean') && findBoolean(read.text) !== null) return read;
      if (allowed('integer') && /^-?\d{1,16}$/.test(read.text)) return read;
      if (allowed('number') && /^-?\d{1,16}(\.\d{1,16})?$/.test(read.text)) return read;
      return this.wrong(tree, rule, key);
    }
    if (read.kind === 'boolean') return allowed('boolean') ? read : this.wrong(tree, rule, key);
    const whole = allowed('integer') && Number.isSafeInteger(node.value);
    if (!whole && !allowed('number')) return this.wrong(tree, rule, key);
    // 010, 1.10 or 1e3 means 8, 1.1 and 1000 to other readers of the file; file modes are octal and have their own reader.
    if ((whole || allowed('string')) && String(node.value) !== source && !tree.path.endsWith('.mode')) {
      this.notices.error(
        tree,
        'invalid',
        `${key} is a number that programs read in different ways; write a plain decimal, or put it in quotes`,
      );
      return null;
    }
    return read;
  }

  private wrong(at: Tree, rule: KeyRule, key: string): null {
    const names = {
      object: 'a map',
      array: 'a list',
      string: 'a string (in quotes)',
      integer: 'a whole number',
      number: 'a number',
      boolean: 'true or false',
      null: 'empty',
    };
    this.notices.error(at, 'invalid', `${key} must be ${rule.types.map((type) => names[type]).join(' or ')}`);
    return null;
  }
}

/** True or false as docker reads it from a string; null for anything else. */
export function findBoolean(text: string): boolean | null {
  const lower = text.toLowerCase();
  if (['true', 'yes', 'on', 'y'].includes(lower)) return true;
  return ['false', 'no', 'off', 'n'].includes(lower) ? false : null;
}

/** A table path as people say it: `services.*.deploy` → `deploy`, `networks.*` → `a network`. */
function spoken(path: string): string {
  const last = path.replaceAll('[]', '').split('.');
  const name = last.at(-1) ?? '';
  return name === '*' ? `an entry of ${last.at(-2) ?? ''}` : name;
}
