import { isIP } from 'node:net';

/** Thrown for a value that is not of the form asked for; the message says which form, without the value. */
export class ValueError extends Error {}

const unitNs: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const durationForm = /^(?:\d{1,12}(?:\.\d{1,12})?(?:ns|us|µs|ms|s|m|h))+$/;

/** Nanoseconds of a Compose duration such as `1m30s` or `1.5h` (what Go's time.ParseDuration takes, not negative). */
export function parseDurationNs(text: string): number {
  if (text === '0') return 0;
  if (text.length > 64 || !durationForm.test(text)) {
    throw new ValueError('must be a duration with units, such as 10s, 1m30s or 500ms');
  }
  let total = 0n;
  for (const [, digits = '', unit = ''] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) total += scale(digits, unitNs[unit] ?? 0n).whole;
  return safe(total, 'must be shorter than 104 days');
}

const bytesForm = /^(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)i?b?$/i;

/** Bytes of a size such as `64M`, `1.5gb` or `4096`; K, M, G, T and P are powers of 1024, as everywhere in Docker. */
export function parseBytes(text: string): number {
  const found = bytesForm.exec(text);
  if (found === null) throw new ValueError('must be a size such as 64M, 1.5g or 4096');
  const power = '_kmgtp'.indexOf((found[2] || '_').toLowerCase());
  return safe(scale(found[1] ?? '', 1024n ** BigInt(power)).whole, 'is too large');
}

/** Billionths of a CPU of a decimal such as `0.25`; exact, no binary fraction in between. */
export function parseNanoCpus(text: string): number {
  if (!/^\d{1,6}(?:\.\d{1,9})?$/.test(text))
    throw new ValueError('must be a decimal number of CPUs with at most 9 digits after the point, such as 0.5');
  return safe(scale(text, 1_000_000_000n).whole, 'is too large');
}

/** `digits` times `unit`, cut to a whole number. */
function scale(digits: string, unit: bigint): { whole: bigint } {
  const [whole = '0', fraction = ''] = digits.split('.');
  return { whole: BigInt(whole) * unit + (BigInt(fraction || '0') * unit) / 10n ** BigInt(fraction.length) };
}

function safe(value: bigint, fault: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ValueError(fault);
  return Number(value);
}

/** Words of a command line as a POSIX shell would split them: quotes and backslashes, no expansion of any kind. */
export function splitCommand(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (quote === "'") {
      if (char === "'") quote = '';
      else word += char;
    } else if (char === '\\') {
      const next = text[++at];
      if (next === undefined) throw new ValueError('ends in a lone backslash');
      // Within double quotes a backslash is itself unless it guards a character that is special there.
      word = (word ?? '') + (quote === '"' && !'"\\$`\n'.includes(next) ? `\\${next}` : next);
    } else if (quote === '"') {
      if (char === '"') quote = '';
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (quote !== '') throw new ValueError('has a quote that is not closed');
  if (word !== null) words.push(word);
  return words;
}

/** Inclusive range of a port or a port range such as `80` or `8000-8010`; ports are 1 to 65535. */
export function parsePortRange(text: string): { first: number; last: number } {
  const found = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(found?.[1]);
  const last = Number(found?.[2] ?? found?.[1]);
  if (found === null || first < 1 || last > 65_535 || last < first)
    throw new ValueError('must be a port (1 to 65535) or a range such as 8000-8010');
  return { first, last };
}

/** True of an IPv4 or IPv6 address without a zone. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%');
}

/** True of an address with a prefix length, such as `10.9.0.0/24`. */
export function isSubnet(text: string): boolean {
  const [address = '', length = '', more] = text.split('/');
  const version = isIP(address);
  return (
    more === undefined && version !== 0 && isAddress(address) && /^\d{1,3}$/.test(length) && Number(length) <= (version === 4 ? 32 : 128)
  );
}

/** A comparison that depends on nothing but the code units, so that equal input gives equal order everywhere. */
export function byCode(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A record with its keys in code order; safe for keys such as `__proto__`. */
export function sorted<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => byCode(a, b)));
}
