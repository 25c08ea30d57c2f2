/** One attribute of a relative name: `cn=Jane` → type `cn`, value `Jane`. */
export interface DnPart {
  type: string;
  value: string;
}

/** Short names of the attribute types in RFC 4514 §3, by the long ones that servers also send. */
const shortTypes: Readonly<Record<string, string>> = {
  commonname: 'cn', localityname: 'l', stateorprovincename: 'st', organizationname: 'o', organizationalunitname: 'ou', countryname: 'c', streetaddress: 'street',
  domaincomponent: 'dc', userid: 'uid', '2.5.4.3': 'cn', '2.5.4.11': 'ou', '2.5.4.10': 'o', '0.9.2342.19200300.100.1.1': 'uid', '0.9.2342.19200300.100.1.25': 'dc',
};

/**
 * Takes a distinguished name apart (RFC 4514, with the quoted values of RFC 1779): its relative names from the entry upwards, each with one part
 * or several (`+`). Null for what is not a DN. The empty DN has no names.
 */
export function parseDn(text: string): DnPart[][] | null {
  const names: DnPart[][] = [];
  let at = 0;
  const skip = (): void => {
    while (text[at] === ' ') at += 1;
  };
  skip();
  if (at === text.length) return names;
  for (;;) {
    const parts: DnPart[] = [];
    for (;;) {
      skip();
      const type = /^(?:(?:oid\.)?\d+(?:\.\d+)+|[A-Za-z][A-Za-z0-9-]*)/i.exec(text.slice(at, at + 200))?.[0];
      if (type === undefined) return null;
      at += type.length;
      skip();
      if (text[at] !== '=') return null;
      at += 1;
      skip();
      const value = readValue(text, at);
      if (value === null) return null;
      at = value.end;
      const lower = type.toLowerCase().replace(/^oid\./, '');
      parts.push({ type: shortTypes[lower] ?? lower, value: value.value });
      skip();
      if (text[at] !== '+') break;
      at += 1;
    }
    names.push(parts);
    if (at === text.length) return names;
    if (text[at] !== ',') return null;
    at += 1;
  }
}

const plainRun = /[^\\,+";<>\0 ]+/y;
const quotedRun = /[^\\" ]+/y;

function readValue(text: string, start: number): { value: string; end: number } | null {
  let value = '';
  /** Escaped bytes that may be parts of one character. */
  let bytes: number[] = [];
  let at = start;
  const quoted = text[at] === '"';
  if (quoted) at += 1;
  const run = quoted ? quotedRun : plainRun;
  /** Where trailing spaces begin: they belong to the value only if escaped. */
  let solid = 0;
  const settle = (): void => {
    if (bytes.length === 0) return;
    value += Buffer.from(bytes).toString('utf8');
    bytes = [];
    solid = value.length;
  };
  for (;;) {
    const char = text[at];
    if (char === '\\') {
      const hex = /^[0-9a-f]{2}/i.exec(text.slice(at + 1, at + 3))?.[0];
      const literal = text[at + 1];
      if (hex !== undefined) bytes.push(parseInt(hex, 16));
      else if (literal !== undefined && ' "#+,;<=>\\'.includes(literal)) bytes.push(literal.charCodeAt(0));
      else return null;
      at += hex === undefined ? 2 : 3;
      continue;
    }
    settle();
    if (char === undefined || (quoted ? char === '"' : char === ',' || char === '+')) break;
    if (char === ' ') {
      value += char;
      at += 1;
      if (quoted) solid = value.length;
      continue;
    }
    run.lastIndex = at;
    const plain = run.exec(text)?.[0];
    if (plain === undefined) return null;
    value += plain;
    at += plain.length;
    solid = value.length;
  }
  if (quoted) {
    if (text[at] !== '"') return null;
    at += 1;
  }
  return { value: value.slice(0, solid), end: at };
}

/**
 * What two spellings of one DN have in common (`CN=Smith\, John` and `cn=smith\2c john`): types short and lower-case, values unescaped, folded and
 * with single spaces. Good for looking up what one server said before; a person is still known by its id. Null for what is not a DN.
 */
export function dnKey(text: string): string | null {
  const names = parseDn(text);
  return names && keyOf(names);
}

function keyOf(names: DnPart[][]): string {
  return names.map(nameKeyOf).join('\u0000');
}

function nameKeyOf(parts: DnPart[]): string {
  return parts.map(({ type, value }) => `${type}\u0001${value.normalize('NFKC').toLowerCase().trim().replace(/\s+/gu, ' ')}`).sort().join('\u0002');
}

/** How many names of `suffix` the DN ends with, when it ends with all of them (0 for an empty suffix); -1 when it lies elsewhere. */
export function depthBelow(dn: string, suffix: string): number {
  const names = parseDn(dn)?.map(nameKeyOf);
  const tail = parseDn(suffix)?.map(nameKeyOf);
  if (!names || !tail || tail.length > names.length) return -1;
  return tail.every((name, index) => name === names[names.length - tail.length + index]) ? tail.length : -1;
}

/** The part of a DN that names the directory itself: its trailing `dc=` names, or else its last name. */
export function rootOf(dn: string): string {
  const names = parseDn(dn) ?? [];
  let from = names.length;
  while (from > 0 && names[from - 1]!.every(({ type }) => type === 'dc')) from -= 1;
  if (from === names.length) from = Math.max(0, names.length - 1);
  return names.slice(from).map((parts) => parts.map(({ type, value }) => `${type}=${escapeValue(value)}`).join('+')).join(',');
}

function escapeValue(value: string): string {
  return value.replace(/[\\",+<>;=#\0]/g, (char) => `\\${char.charCodeAt(0).toString(16).padStart(2, '0')}`).replace(/^ | $/g, '\\20');
}
