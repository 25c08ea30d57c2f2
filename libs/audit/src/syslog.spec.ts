import fc from 'fast-check';
import { parseSyslog, takeFrames } from '../test/rfc5424';
import type { SealedRow } from './chain';
import { headerField, syslogFrame, syslogMessage } from './syslog';

const row: SealedRow = {
  seq: 7, hash: 'ab'.repeat(32), id: '0197f0c0-0000-7000-8000-00000000000a', at: '2026-01-31T12:00:00.123456Z', actorKind: 'user', actorId: 'u1', actorName: 'ann', credentialId: null,
  requestId: 'req-1', address: '192.0.2.1', action: 'repository.create', resourceKind: 'repository', resourceId: 'r1', resourceName: 'acme/app', outcome: 'success', detail: { a: 1 }, count: 1,
};

describe('a row as syslog', () => {
  it('is this, octet by octet', () => {
    expect(syslogFrame(syslogMessage({ ...row, resourceName: 'a"b]c\\d', actorName: 'Ünal', detail: { t: 'ü' } }, 'host.example')).toString()).toBe(
      '859 <110>1 2026-01-31T12:00:00.123456Z host.example gantry - repository.create [gantry@32473 seq="7" id="0197f0c0-0000-7000-8000-00000000000a" requestId="req-1" actorKind="user" actorId="u1" actorName="Ünal" '
        + 'address="192.0.2.1" action="repository.create" resourceKind="repository" resourceId="r1" resourceName="a\\"b\\]c\\\\d" outcome="success" count="1" '
        + `hash="${'ab'.repeat(32)}"] {"seq":7,"hash":"${'ab'.repeat(32)}","id":"0197f0c0-0000-7000-8000-00000000000a","at":"2026-01-31T12:00:00.123456Z","actorKind":"user","actorId":"u1","actorName":"\\u00dcnal","credentialId":null,`
        + '"requestId":"req-1","address":"192.0.2.1","action":"repository.create","resourceKind":"repository","resourceId":"r1","resourceName":"a\\"b]c\\\\d","outcome":"success","detail":{"t":"\\u00fc"},"count":1}',
    );
  });

  it.each([['success', 110], ['refused', 108], ['failed', 107]])('says by its severity how it ended: %s', (outcome, priority) => {
    expect(syslogMessage({ ...row, outcome }, 'h').toString()).toMatch(new RegExp(`^<${priority}>1 `));
  });

  it('is what the grammar takes, whatever a row says, and never longer than receivers take', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.string({ unit: 'grapheme', maxLength: 300 }), fc.constant('"\\]['.repeat(75)), fc.constant('💥'.repeat(200)));
    const rows = fc.record({
      actorName: text, resourceName: fc.option(text), resourceId: fc.option(text), action: fc.string({ maxLength: 60 }), requestId: text, address: fc.option(text), actorId: fc.option(text),
      detail: fc.dictionary(fc.string({ maxLength: 20 }), fc.oneof(fc.string({ maxLength: 2000 }), fc.constant('ü'.repeat(2000)), fc.jsonValue())), count: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(rows, { minLength: 1, maxLength: 4 }), (changes) => {
        const all = changes.map((change): SealedRow => ({ ...row, ...change }));
        const { messages, rest } = takeFrames(Buffer.concat(all.map((each) => syslogFrame(syslogMessage(each, 'höst name')))));
        expect(rest).toHaveLength(0);
        expect(messages).toHaveLength(all.length);
        messages.forEach((message, index) => {
          const each = all[index]!;
          expect(message.length).toBeLessThanOrEqual(8192);
          const parsed = parseSyslog(message);
          const params = Object.fromEntries(parsed.data.get('gantry@32473') ?? []);
          expect(parsed).toMatchObject({ facility: 13, hostname: 'h_st_name', appName: 'gantry', procId: '-', timestamp: row.at });
          expect(params).toMatchObject({ seq: '7', hash: row.hash, id: row.id });
          if (/^[\p{L}\d ]{1,300}$/u.test(each.actorName) && each.actorName.isWellFormed()) expect(params['actorName']).toBe(each.actorName);
          const body = JSON.parse(parsed.msg) as SealedRow & { truncated?: true };
          expect(body.truncated ?? body.detail).toEqual(body.truncated ?? ((body.detail as { truncated?: true }).truncated ? { truncated: true } : JSON.parse(JSON.stringify(each.detail))));
        });
      }),
      { numRuns: 60 },
    );
  });

  it('keeps header fields within their alphabet and length', () => {
    expect([headerField('a b\nc', 32), headerField('', 32), headerField('x'.repeat(40), 32)]).toEqual(['a_b_c', '-', 'x'.repeat(32)]);
  });
});
