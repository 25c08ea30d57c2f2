import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { compileFunction } from 'node:vm';
import { transformSync } from '@swc/core';
import fc from 'fast-check';
import { cases, facts, randomDecisions, who, type Implementation } from '../testing/decisions';
import * as operations from './operations';

const file = join(__dirname, 'decide.ts');
const source = readFileSync(file, 'utf8');

/** One small, wrong edit: what it makes of a piece of text. */
const edits: [pattern: RegExp, to: string][] = [
  [/ === /g, ' !== '], [/ !== /g, ' === '], [/ && /g, ' || '], [/ \|\| /g, ' && '], [/\btrue\b/g, 'false'], [/\bfalse\b/g, 'true'], [/!(?=[a-z])/g, ''],
  [/\?\? nothing/g, '?? ownerSet'], [/: nothing\b/g, ': ownerSet'], [/return nothing/g, 'return ownerSet'], [/\bmemberSet\b/g, 'ownerSet'], [/\bteamSet\b/g, 'teamAdminSet'],
  [/\bno\((?=')/g, 'yes('], [/\bunrelated;/g, 'notGranted;'], [/\bnotGranted;/g, 'granted;'], [/yield\* /g, 'void '], [/addTo\(set, /g, 'void (set, '], [/\.parent\b/g, '.nosuch'], [/\.parentId\b/g, '.ownerId'],
];

/** Edits that change nothing that anybody could notice, by a part of their line, and why. */
const equivalent: [line: string, why: string][] = [
  ['depth < maxDepth', 'only an endless chain would tell'],
  ['known.get(collectionId)', 'the memory is a matter of speed'],
  ['facts.memo', 'the memory is a matter of speed'],
];

interface Mutant {
  line: number;
  was: string;
  is: string;
  text: string;
}

function mutants(): Mutant[] {
  const lines = source.split('\n');
  const first = lines.findIndex((line) => line.startsWith('/** Whether the credential'));
  const last = lines.findIndex((line) => line.startsWith('/** Why somebody may (not)'));
  const found: Mutant[] = [];
  for (let at = first; at < last; at += 1) {
    const was = lines[at]!;
    if (/^\s*(?:\/?\*|\/\/|import|export interface|interface)/.test(was)) continue;
    for (const [pattern, to] of edits) {
      for (const match of was.matchAll(pattern)) {
        const is = was.slice(0, match.index) + to + was.slice(match.index + match[0].length);
        found.push({ line: at + 1, was, is, text: [...lines.slice(0, at), is, ...lines.slice(at + 1)].join('\n') });
      }
    }
  }
  return found;
}

function load(text: string): Implementation {
  const { code } = transformSync(text, { filename: file, jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } });
  const module = { exports: {} as Implementation };
  const require_ = createRequire(file);
  const run = compileFunction(code, ['module', 'exports', 'require']) as (...parts: unknown[]) => void;
  run(module, module.exports, (name: string): unknown => (name === './operations' ? operations : require_(name)));
  return module.exports;
}

/** What tells the mutant from the decision: a case of the manual, or a random question; null when nothing does. */
function detect(mutant: Implementation): string | null {
  try {
    for (const [why, actor, operation, resource, allowed, visible] of cases) {
      facts.memo.clear();
      const got = mutant.decide(facts, actor, operation, resource);
      if (got.allowed !== allowed || got.visible !== visible) return why;
    }
    if (mutant.withinLimits({ ...who('x', null, 'anonymous'), id: null }, 'repository:pull')) return 'nobody may use something';
    if (!mutant.withinLimits(who('s', null, 'service'), 'repository:pull') || mutant.withinLimits(who('s', null, 'service'), 'repository:push')) return 'a service credential';
    const { failed } = fc.check(randomDecisions(mutant, ({ got, wanted }) => {
      if (got.allowed !== wanted.allowed || got.visible !== wanted.visible) throw new Error('differs');
    }), { numRuns: 1_500, seed: 7, endOnFailure: true });
    return failed ? 'a random question' : null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    facts.memo.clear();
  }
}

describe('one wrong edit in the decision', () => {
  it('is noticed, whichever it is', () => {
    expect(detect(load(source))).toBeNull();
    const all = mutants();
    expect(all.length).toBeGreaterThan(80);
    const survivors = all.filter(({ was, text }) => !equivalent.some(([line]) => was.includes(line)) && detect(load(text)) === null);
    expect(survivors.map(({ line, is }) => `${line}: ${is.trim()}`)).toEqual([]);
  }, 240_000);
});
