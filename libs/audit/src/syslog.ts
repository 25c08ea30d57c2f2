import type { SealedRow } from './chain';

/** Facility 13, "log audit" (RFC 5424, table 1). */
const facility = 13;
/** Table 2: informational, warning, error. */
const severities: Record<string, number> = { success: 6, refused: 4, failed: 3 };
/** RFC 5425 §4.3.1: receivers should take messages of this many octets; longer ones may be cut. */
const maxOctets = 8_192;
const maxParamUnits = 300;

/**
 * A row as an RFC 5424 message. TIMESTAMP is the row's, MSGID its action; the structured data element `gantry@32473` (the enterprise number that
 * RFC 5612 keeps for examples, as Gantry has none) carries its place in the chain, the request id, who, what and how it ended. MSG is the row as
 * in an export, JSON in ASCII. Where that would be longer than 8,192 octets, `detail` is `{"truncated":true}`.
 * @param host HOSTNAME: visible ASCII, at most 255
 */
export function syslogMessage(row: SealedRow, host: string): Buffer {
  const full = assemble(row, host, row);
  if (full.length <= maxOctets) return full;
  const short = assemble(row, host, { ...row, detail: { truncated: true } });
  return short.length <= maxOctets ? short : assemble(row, host, { seq: row.seq, id: row.id, truncated: true });
}

/** A message in RFC 5425's frame: its length in octets, a space, the message. */
export function syslogFrame(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${message.length} `), message]);
}

/** `text` as a HEADER field: visible ASCII (others become `_`), at most `max`; `-` when nothing is left. */
export function headerField(text: string, max: number): string {
  return text.slice(0, max).replace(/[^\x21-\x7e]/g, '_') || '-';
}

function assemble(row: SealedRow, host: string, body: unknown): Buffer {
  const priority = facility * 8 + (severities[row.outcome] ?? 5);
  const data: [string, string | number | null][] = [
    ['seq', row.seq], ['id', row.id], ['requestId', row.requestId], ['actorKind', row.actorKind], ['actorId', row.actorId], ['actorName', row.actorName],
    ['address', row.address], ['action', row.action], ['resourceKind', row.resourceKind], ['resourceId', row.resourceId], ['resourceName', row.resourceName],
    ['outcome', row.outcome], ['count', row.count], ['hash', row.hash],
  ];
  const element = data.flatMap(([name, value]) => (value === null ? [] : [` ${name}="${paramValue(String(value))}"`])).join('');
  const json = JSON.stringify(body).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return Buffer.from(`<${priority}>1 ${row.at} ${headerField(host, 255)} gantry - ${headerField(row.action, 32)} [gantry@32473${element}] ${json}`);
}

/** RFC 5424 §6.3.3: `"`, `\` and `]` are escaped. Control characters, which it advises against, are replaced. */
function paramValue(text: string): string {
  return text.slice(0, maxParamUnits).replace(/\p{Cc}/gu, '\ufffd').replace(/["\\\]]/g, '\\$&');
}
