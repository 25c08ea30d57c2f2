import { safeDetail } from './detail';

describe('safeDetail', () => {
  it('masks what is named like a secret', () => expect(safeDetail({ call: 'x', 'api-key': 'y', inner: { Password: 'z' } })).toEqual({ call: 'x', 'api-key': '***', inner: { Password: '***' } }));

  it('leaves out the largest members of what is too long, and no others', () => {
    const long = Array.from({ length: 40 }, (_, index) => `${index}`.padEnd(500, 'x'));
    expect(safeDetail({ call: 'POST /build', names: long, status: 200, errors: long.slice(0, 20) })).toEqual({ call: 'POST /build', status: 200, errors: long.slice(0, 20), truncated: true });
    expect(safeDetail({ call: 'POST /build', names: long, errors: long })).toEqual({ call: 'POST /build', truncated: true });
    expect(safeDetail({ names: long.slice(0, 20) })).toEqual({ names: long.slice(0, 20) });
    const many = safeDetail(Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`member-${index}`, 'ä'.repeat(500)])));
    expect(JSON.stringify(many).length).toBeLessThanOrEqual(16_384);
    expect(many).toMatchObject({ truncated: true });
    expect(Object.keys(many).length).toBeGreaterThan(25);
  });
});
