/** Where a filter goes wrong, counted in characters from 1, and why. */
export interface FilterFault {
  position: number;
  reason: string;
}

/** A name alone: RFC 4515 knows numbers and options (`;lang-de`) too, but the library that speaks to the directory does not. */
const attribute = /[A-Za-z][A-Za-z0-9-]*/y;
const oid = /(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)/y;
const maxDepth = 30;

class Fault extends Error {
  constructor(readonly at: number, readonly reason: string) {
    super(reason);
  }
}

/** What is wrong with an LDAP filter (RFC 4515 §3; spaces between its parts and missing outer parentheses are let pass), or null. */
export function findFilterFault(text: string): FilterFault | null {
  const start = text.search(/\S/);
  if (start < 0) return { position: 1, reason: 'the filter is empty' };
  const bare = text[start] !== '(';
  try {
    const end = skipSpace(text, bare ? readItem(text, start) : readFilter(text, start, 1));
    if (end < text.length) throw new Fault(end, text[end] === ')' ? 'this parenthesis closes nothing' : 'the filter is over before this');
    return null;
  } catch (error) {
    if (error instanceof Fault) return { position: error.at + 1, reason: error.reason };
    throw error;
  }
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (/\s/.test(text[next] ?? '')) next += 1;
  return next;
}

function readFilter(text: string, start: number, depth: number): number {
  if (text[start] !== '(') throw new Fault(start, 'a filter begins with (');
  if (depth > maxDepth) throw new Fault(start, `more than ${maxDepth} levels deep`);
  let at = skipSpace(text, start + 1);
  const sign = text[at];
  if (sign === '&' || sign === '|') {
    at = skipSpace(text, at + 1);
    if (text[at] === ')') throw new Fault(at, `${sign} needs at least one filter`);
    while (text[at] === '(') at = skipSpace(text, readFilter(text, at, depth + 1));
  } else if (sign === '!') {
    at = skipSpace(text, readFilter(text, skipSpace(text, at + 1), depth + 1));
  } else {
    at = readItem(text, at);
  }
  if (text[at] !== ')') throw new Fault(at, at >= text.length ? 'a ) is missing' : 'a ) was expected');
  return at + 1;
}

function readItem(text: string, start: number): number {
  let at = match(attribute, text, start) ?? start;
  if (/[0-9]/.test(text[start] ?? '')) throw new Fault(start, 'write the attribute’s name, not its number');
  if (at > start && text[at] === ';') throw new Fault(at, 'options of attributes can’t be asked for');
  let extensible = false;
  if (text[at] === ':') {
    extensible = true;
    if (/^:dn(?=:)/i.test(text.slice(at, at + 4))) at += 3;
    if (text[at] === ':' && text[at + 1] !== '=') {
      const end = match(oid, text, at + 1);
      if (end === null) throw new Fault(at + 1, 'a matching rule was expected');
      at = end;
    }
    if (text[at] !== ':' || text[at + 1] !== '=') throw new Fault(at, ':= was expected');
    at += 2;
  } else {
    if (at === start) throw new Fault(at, 'an attribute was expected');
    const operator = /^(?:[~<>]?=)/.exec(text.slice(at, at + 2))?.[0];
    if (operator === undefined) throw new Fault(at, 'one of = ~= >= <= := was expected');
    at += operator.length;
    extensible = operator !== '=';
  }
  // RFC 4515 knows empty values; the libraries that speak to the directory don't.
  if (at >= text.length || text[at] === ')') throw new Fault(at, 'a value is missing; * means any');
  for (;;) {
    const char = text[at];
    if (char === undefined || char === ')') return at;
    if (char === '(') throw new Fault(at, 'write ( in a value as \\28');
    if (char === '\0') throw new Fault(at, 'write NUL in a value as \\00');
    if (char === '*' && extensible) throw new Fault(at, 'write * in this value as \\2a');
    if (char === '\\' && !/^[0-9a-f]{2}$/i.test(text.slice(at + 1, at + 3))) throw new Fault(at, 'two hexadecimal digits follow a backslash');
    at += 1;
  }
}

function match(pattern: RegExp, text: string, at: number): number | null {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : null;
}
