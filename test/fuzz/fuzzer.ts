import type { View } from '../e2e/engine-view';
import { Choices, shrink } from './choices';
import { sentence, type Sentence } from './grammar';
import type { Told } from './judge';
import type { Stage } from './stage';
import { Line, type Outcome, type Peer } from './wire';
import type { Account } from './world';

export interface FuzzOptions {
  seed: number;
  /** Stops after so many requests, or after so many minutes. */
  requests: number;
  minutes: number;
  /** Requests that are under way at once. */
  clients: number;
  /** Requests between two looks at the engine. */
  batch: number;
}

/** What was found: which rule does not hold, and the smallest request that shows it. */
export interface Finding {
  what: string[];
  /** Who sent it, and its number. Null where no single request does it. */
  by: { account: string; number: number; tape: number[]; request: string; answer: string } | null;
}

export interface FuzzReport {
  sent: number;
  seconds: number;
  /** How often each outcome came, by `engine 200` or `refused 403` and the like. */
  outcomes: Record<string, number>;
  /** Some of the requests to which Gantry itself answered that it, or the engine, can't. */
  failures: string[];
  /** By row: how often it was asked for, how often an engine answered, and how often with success. */
  rows: Map<string, { asked: number; engine: number; succeeded: number }>;
  /** Requests that an engine has answered. */
  reached: number;
  /** Objects that were judged. */
  judged: number;
  finding: Finding | null;
  sockets: { base: number; end: number };
  residentBytes: { base: number; end: number };
}

/** One way in: an account, and how it shows who it is. */
interface Identity {
  account: Account;
  peer: Peer;
  token: string | null;
}

interface Entry {
  number: number;
  who: Identity;
  tape: readonly number[];
  /** What came back first; 0: nothing. */
  status: number;
  byEngine: boolean;
  /** Words of the request and its answer by which what they made is found. */
  text: string;
}

/** What is wrong with one exchange, by itself. */
interface Fault {
  kind: string;
  detail: string;
}

const echoes = /zq\d+zq/g;
const canaries = /canary-([a-z]+)-[0-9a-f]{16}|Y2FuYXJ5L[A-Za-z0-9+/]{20,40}/g;

/** Sends requests of the grammar's at the gateway, and looks at what the engine has after each batch of them. */
export class Fuzzer {
  private readonly identities: readonly (readonly [weight: number, who: Identity])[];
  private readonly lines = new Map<Identity, Line[]>();
  private readonly hidden: RegExp;
  private readonly made = new Map<string, Account>();
  private readonly execs = new Map<string, Account>();
  /** Connections that were made for this batch. */
  private opened = 0;
  /** Hidden words that an account itself has written into things of its own; it may read them there. */
  private readonly written = new Map<Account, Map<string, number>>();
  private readonly report: FuzzReport = {
    sent: 0, seconds: 0, outcomes: {}, failures: [], rows: new Map(), reached: 0, judged: 0, finding: null, sockets: { base: 0, end: 0 }, residentBytes: { base: 0, end: 0 },
  };

  constructor(private readonly stage: Stage, private readonly options: FuzzOptions, private readonly say: (line: string) => void) {
    const { accounts } = stage.pool;
    const [nora, rita, sam, fay] = accounts as [Account, Account, Account, Account];
    const as = (account: Account, token: string | null = account.token): Identity => {
      const { cert: _cert, key: _key, ...bare } = account.peer;
      return { account, token, peer: token === null ? account.peer : bare };
    };
    const nobody: Identity = { account: nora, token: 'nothing', peer: as(nora, 'nothing').peer };
    this.identities = [[30, as(rita)], [10, as(rita, stage.tokens.get('rita'))], [20, as(sam)], [20, as(fay)], [10, as(fay, stage.tokens.get('fay'))], [8, as(nora)], [2, nobody]];
    for (const [, who] of this.identities) this.lines.set(who, []);
    this.hidden = new RegExp([...stage.hidden].map((each) => each.replace(/[^\w-]/g, '\\$&')).join('|'), 'g');
  }

  async run(): Promise<FuzzReport> {
    const { report, options, stage } = this;
    const began = performance.now();
    const over = (): boolean => report.sent >= options.requests || performance.now() - began > options.minutes * 60_000;
    const protectedTags = await stage.protectedTags();
    let next = 0;
    for (let batch = 0; !over() && !report.finding; batch += 1) {
      const until = Math.min(next + options.batch, options.requests);
      const log: Entry[] = [];
      const began1 = performance.now();
      const worked = stage.workedMillis();
      const faults: { entry: Entry; fault: Fault }[] = [];
      const client = async (): Promise<void> => {
        while (next < until && faults.length === 0) {
          const number = next;
          next += 1;
          const choices = Choices.seeded(options.seed, number);
          const { entry, fault } = await this.once(number, choices.weighted(this.identities), choices);
          log.push(entry);
          if (fault) faults.push({ entry, fault });
        }
      };
      await Promise.all(Array.from({ length: options.clients }, client));
      report.sent += log.length;
      this.closeLines();
      const sent = performance.now();
      const opened = this.opened;
      this.opened = 0;
      if (!stage.isUp()) {
        report.finding = { what: [`the product's process has ended:\n${stage.gantry.printed.slice(-3_000)}`], by: null };
        break;
      }
      if (faults[0]) {
        const { entry, fault } = faults[0];
        report.finding = await this.explain([`${fault.kind}: ${fault.detail}`], [entry], async (tape) => (await this.replay(entry, tape)).fault?.kind === fault.kind);
        break;
      }
      const millis = (stage.workedMillis() - worked) / log.length;
      await stage.settle();
      const view = await stage.view();
      const tags = await stage.protectedTags();
      const wrong = [...stage.judge.judge(view, this.told()), ...(await this.judgeRecord(view)), ...(tags === protectedTags ? [] : [`registry -: has other tags: ${tags}`])];
      report.judged += [...view.keys()].length;
      if (wrong.length > 0) {
        report.finding = await this.trace(wrong, log);
        break;
      }
      await stage.tidy();
      this.made.clear();
      this.execs.clear();
      this.written.clear();
      this.say(`${report.sent} requests: ${Math.round(log.length / ((sent - began1) / 1000))}/s, ${report.reached} to the engine, ${view.size} objects judged, ${opened} connections, ${millis.toFixed(1)} ms of work each, batch ${((sent - began1) / 1000).toFixed(1)} s + ${((performance.now() - sent) / 1000).toFixed(1)} s`);
      if (batch === 0) {
        report.sockets.base = stage.openSockets();
        report.residentBytes.base = stage.residentBytes();
      } else if (batch < 3) report.residentBytes.base = Math.max(report.residentBytes.base, stage.residentBytes());
    }
    report.seconds = (performance.now() - began) / 1000;
    report.sockets.end = stage.openSockets();
    report.residentBytes.end = stage.residentBytes();
    return report;
  }

  private told(): Told {
    return { made: this.made, execs: this.execs };
  }

  private closeLines(): void {
    for (const lines of this.lines.values()) {
      for (const line of lines.splice(0)) {
        this.opened += line.opened;
        line.close();
      }
    }
  }

  /** One exchange, and what is wrong with it. */
  private async once(number: number, who: Identity, choices: Choices): Promise<{ entry: Entry; fault: Fault | null; made: Sentence; outcome: Outcome }> {
    const { stage, report } = this;
    const made = sentence(choices, who.account, who.token, stage.pool, number);
    const free = this.lines.get(who)!;
    const line = free.pop() ?? new Line(who.peer);
    const words = made.row.mutating ? [...new Set(unchunked(made.bytes.toString('latin1')).match(this.hidden))] : [];
    this.write(who.account, words, 1);
    const outcome = await line.exchange(made);
    const unasked = line.unasked;
    line.unasked = '';
    if (made.spoils) line.close();
    free.push(line);
    const [first] = outcome.answers;
    const status = first?.status ?? Number(/^HTTP\/1\.1 (\d{3})/.exec(outcome.rest)?.[1] ?? 0);
    const byEngine = /^docker/i.test(first?.headers['server'] ?? /\r\nserver: (docker)/i.exec(outcome.rest)?.[1] ?? '') || status === 101 || /raw-stream|multiplexed/.test(first?.headers['content-type'] ?? '');
    if (status >= 300) this.write(who.account, words, -1);
    const outcomeName = status === 0 ? 'no answer' : `${byEngine ? 'engine' : 'refused'} ${status}`;
    report.outcomes[outcomeName] = (report.outcomes[outcomeName] ?? 0) + 1;
    const row = report.rows.get(made.row.name) ?? { asked: 0, engine: 0, succeeded: 0 };
    report.rows.set(made.row.name, row);
    row.asked += 1;
    if (!byEngine && status >= 500 && status !== 505 && report.failures.length < 20) report.failures.push(`${made.bytes.toString('latin1', 0, 300)} ⇒ ${status} ${first?.body.slice(0, 300)}`);
    if (byEngine) row.engine += 1;
    if (byEngine && status < 400) row.succeeded += 1;
    if (byEngine) report.reached += 1;
    for (const answer of outcome.answers) this.learn(made, who.account, answer.status, answer.body);
    if (byEngine && status < 400 && made.row.name.endsWith('/update')) await stage.readVersions(who.account);
    const text = `${made.bytes.toString('latin1').slice(0, 4_000)}\n${first?.body.slice(0, 2_000) ?? ''}`;
    return { entry: { number, who, tape: choices.taken, status, byEngine, text }, fault: this.faultOf(made, who.account, outcome, unasked), made, outcome };
  }

  private write(account: Account, words: readonly string[], by: number): void {
    const known = this.written.get(account) ?? new Map<string, number>();
    this.written.set(account, known);
    for (const word of words) known.set(word, (known.get(word) ?? 0) + by);
  }

  /** Remembers who was told that something was made. */
  private learn({ row }: Sentence, account: Account, status: number, body: string): void {
    if (status !== 201 || body.length > 4_000 || !body.startsWith('{')) return;
    const answer = JSON.parse(body) as Record<string, unknown>;
    const id = answer['Id'] ?? answer['ID'] ?? answer['Name'];
    if (typeof id !== 'string') return;
    if (row.name !== 'POST /containers/{id}/exec') {
      this.made.set(id, account);
      return;
    }
    this.execs.set(id, account);
    account.execs.push(id);
    if (account.execs.length > 8) account.execs.shift();
  }

  private faultOf(made: Sentence, account: Account, outcome: Outcome, unasked: string): Fault | null {
    const bytes = made.bytes.toString('latin1');
    const said = [...outcome.answers.map(({ headers, body }) => `${JSON.stringify(headers)}\n${body}`), outcome.rest, unasked].join('\n');
    if (outcome.malformed !== null) return { kind: 'malformed', detail: `${outcome.malformed}: ${said.slice(0, 500)}` };
    if (unasked !== '') return { kind: 'unasked', detail: unasked.slice(0, 500) };
    if (outcome.answers.length > made.answers) return { kind: 'answers', detail: `${outcome.answers.length} answers to ${made.answers} requests` };
    if (said.includes('"internal error"')) return { kind: 'internal error', detail: said.slice(0, 500) };
    for (const [echo] of said.matchAll(echoes)) if (echo !== made.echo) return { kind: 'mixed up', detail: `an answer has ${echo}, its request ${made.echo}` };
    for (const [found, owner] of said.matchAll(canaries)) {
      const whose = owner ?? /^canary-([a-z]+)/.exec(Buffer.from(found, 'base64').toString())?.[1];
      if (whose !== account.name) return { kind: 'leak', detail: `${account.name} is told ${found} of ${whose}` };
    }
    let asked: string | null = null;
    for (const [found] of said.matchAll(this.hidden)) {
      asked ??= `${bytes}${unescape(bytes)}${unchunked(bytes)}`.toLowerCase();
      if (!asked.includes(found.toLowerCase()) && !this.written.get(account)?.get(found)) return { kind: 'leak', detail: `${account.name} is told of ${found}: …${said.slice(Math.max(0, said.indexOf(found) - 100), said.indexOf(found) + 100)}…` };
    }
    return null;
  }

  /** Whether Gantry itself knows whose the new objects are: their owner sees them, and nobody else. */
  private async judgeRecord(view: View): Promise<string[]> {
    const wrong: string[] = [];
    const areas: Readonly<Record<string, string>> = { container: '/json', network: '', service: '', secret: '', config: '' };
    const keys = [...view.keys()].filter((key) => this.made.has(key.split(' ')[1] ?? '') && Object.hasOwn(areas, key.split(' ')[0] ?? ''));
    for (const key of keys.filter((_, index) => index % Math.ceil(keys.length / 8) === 0)) {
      const [kind = '', id = ''] = key.split(' ');
      const owner = this.made.get(id)!;
      for (const account of this.stage.pool.accounts) {
        const { status } = await this.stage.ask(account, 'GET', `/v1.41/${kind}s/${id}${areas[kind]}`);
        // What is removed by itself, or by its owner's last request, may go in between.
        if (account !== owner && status < 400) wrong.push(`${key}: ${owner.name} has made it, and ${account.name} sees it (${status})`);
        if (account === owner && status !== 200 && (await this.stage.view()).has(key)) wrong.push(`${key}: ${owner.name} has made it, and does not see it (${status})`);
      }
    }
    return wrong;
  }

  // --- when something is found

  private async replay(entry: Entry, tape: readonly number[]): Promise<Awaited<ReturnType<Fuzzer['once']>>> {
    const choices = Choices.replay(tape);
    choices.weighted(this.identities);
    const result = await this.once(entry.number, entry.who, choices);
    this.closeLines();
    return result;
  }

  /** Which of the requests has done it: each that may have is sent once more, by itself. */
  private async trace(wrong: string[], log: readonly Entry[]): Promise<Finding> {
    const { stage } = this;
    const summary = (text: string): string => text.replace(/[0-9a-f]{12,}|fz-\S+|\d+/g, '…').replace(/^\w+ \S+: /, '').slice(0, 60);
    const wanted = new Set(wrong.map(summary));
    const ids = wrong.map((text) => text.split(' ')[1]!.replace(/:$/, ''));
    const mutating = log.filter(({ status, byEngine }) => (byEngine && status < 400) || status >= 500 || status === 0);
    const likely = mutating.filter(({ text }) => ids.some((id) => text.includes(id) || text.includes(id.slice(0, 12))));
    const does = (entry: Entry) => async (tape: readonly number[]): Promise<boolean> => {
      await stage.tidy().catch(() => undefined); // what can't be set right is found again
      this.made.clear();
      this.execs.clear();
      await this.replay(entry, tape);
      return stage.judge.judge(await stage.view(), this.told()).some((text) => wanted.has(summary(text)));
    };
    const deadline = Date.now() + 120_000;
    for (const entry of new Set([...likely, ...mutating.filter(({ text }) => !text.startsWith('GET'))].slice(0, 80))) {
      if (Date.now() > deadline) break;
      if (await does(entry)(entry.tape)) return this.explain(wrong, [entry], does(entry));
    }
    return { what: wrong, by: null };
  }

  private async explain(what: string[], [entry]: [Entry], does: (tape: readonly number[]) => Promise<boolean>): Promise<Finding> {
    const deadline = Date.now() + 120_000;
    const tape = await shrink(entry.tape, async (candidate) => Date.now() < deadline && does(candidate), 200);
    const { made, outcome } = await this.replay(entry, tape);
    const text = made.bytes.toString('latin1');
    return {
      what,
      by: {
        account: entry.who.account.name, number: entry.number, tape, request: (entry.who.token === null ? text : text.replaceAll(entry.who.token, '<token>')).slice(0, 6_000),
        answer: outcome.answers.map(({ status, body }) => `${status} ${body.slice(0, 600)}`).join('\n') || outcome.rest.slice(0, 600),
      },
    };
  }
}

/** A request with its body in one piece, for looking words up in: sizes of chunks are cut out, wherever they seem to stand. */
function unchunked(text: string): string {
  return text.replace(/\r\n[0-9a-f]+(?:;[^\r\n]*)?\r\n/gi, '');
}

/** Escapes of a target or of JSON, read. */
function unescape(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))).replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The finding in words, for a terminal. */
export function tell({ what, by }: Finding): string {
  return [
    ...what.slice(0, 10), '',
    by ? `The smallest request found that does it, number ${by.number}, by ${by.account}:\n${by.request.replaceAll('\r\n', '\\r\\n\n')}\n\nThe answer:\n${by.answer}\n\nIts choices: ${by.tape.join(' ')}` : 'No single request was found that does it.',
  ].join('\n');
}
