const maxDepth = 6;
const maxItems = 100;
const maxText = 2_000;
const maxJson = 16_384;

/** Names of fields whose values never enter the audit log, compared without case, `-` and `_`. */
const secretName = /(password|passwd|passphrase|secret|authorization|privatekey|token|cookie|apikey)$/;

/** `text` as PostgreSQL can store it: no NUL, no lone surrogates, at most `max` UTF-16 units. */
export function storableText(text: string, max = maxText): string {
  return Buffer.from(text.slice(0, max)).toString().replaceAll('\0', '\ufffd');
}

/**
 * What may stand in an audit row's `detail`: JSON of bounded size, in which every value named like a secret is `***`.
 * Values that JSON does not know (functions, undefined) are left out; objects that print themselves (dates, `Secret`) do so. Where it is too long,
 * the largest members are left out, and `truncated` is true.
 */
export function safeDetail(detail: Record<string, unknown>): Record<string, unknown> {
  const clean = cleanObject(detail, 0);
  const sizes = Object.entries(clean).map(([name, item]): [string, number] => [name, JSON.stringify(name).length + JSON.stringify(item).length + 2]);
  let left = sizes.reduce((sum, [, size]) => sum + size, 2);
  if (left <= maxJson) return clean;
  for (const [name, size] of sizes.sort(([, a], [, b]) => b - a)) {
    if (left <= maxJson - 20) break;
    delete clean[name];
    left -= size;
  }
  return { ...clean, truncated: true };
}

function cleanObject(value: object, depth: number): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value).slice(0, maxItems)) {
    if (item === undefined || typeof item === 'function' || typeof item === 'symbol') continue;
    const masked = secretName.test(name.toLowerCase().replaceAll(/[-_]/g, '')) && item !== null;
    clean[storableText(name, 100)] = masked ? '***' : cleanValue(item, depth + 1);
  }
  return clean;
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return storableText(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return typeof value === 'boolean' ? value : null;
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const printed: unknown = (value.toJSON as () => unknown)();
    return typeof printed === 'string' ? storableText(printed) : null;
  }
  if (depth >= maxDepth) return '…';
  if (Array.isArray(value)) return value.slice(0, maxItems).map((item: unknown) => cleanValue(item, depth + 1));
  return cleanObject(value, depth);
}
