import fc from 'fast-check';
import { OwnershipIndex, type OwnedObject } from './ownership-index';

const own = (id: string, more: Partial<OwnedObject> = {}): OwnedObject => ({ key: `own ${id}`, kind: 'container', nodeId: '', name: `n-${id}`, engineId: `e-${id}`, ref: { kind: more.kind ?? 'container', id }, ...more });

describe('the ownership index', () => {
  it('finds by id, and by name what is bound', () => {
    const index = new OwnershipIndex('c');
    index.objects.put(own('1', { name: 'web', engineId: 'aa' }));
    expect(index.find('container', { id: 'aa' })).toEqual({ kind: 'container', id: '1' });
    expect(index.find('container', { name: 'web' })).toEqual({ kind: 'container', id: '1' });
    expect(index.find('container', { id: 'a' })).toBeNull();
    expect(index.find('service', { id: 'aa' })).toBeNull();
    expect(index.find('container', {})).toBeNull();
    expect(index.unowned('container', 'x')).toEqual({ kind: 'container', id: 'x', parent: { kind: 'cluster', id: 'c' } });
  });

  it('does not take another object for ours because it has the name', () => {
    const index = new OwnershipIndex('c');
    index.objects.put(own('1', { name: 'web', engineId: 'aa' }));
    expect(index.find('container', { id: 'bb', name: 'web' })).toBeNull();
    index.objects.put(own('2', { name: 'claimed', engineId: null }));
    expect(index.find('container', { name: 'claimed' })).toBeNull();
    expect(index.find('container', { id: 'cc', name: 'claimed' })).toBeNull();
    expect(index.findHolder('container', 'claimed')).toEqual({ kind: 'container', id: '2' });
    expect(index.findHolder('container', 'free')).toBeNull();
  });

  it('knows volumes by name, on their node', () => {
    const index = new OwnershipIndex('c');
    index.objects.put(own('1', { kind: 'volume', name: 'data', engineId: 'data', nodeId: 'n1' }));
    index.objects.put(own('2', { kind: 'volume', name: 'data', engineId: 'data', nodeId: 'n2' }));
    index.objects.put(own('3', { kind: 'volume', name: 'shared', engineId: 'shared' }));
    expect(index.find('volume', { id: 'data', nodeId: 'n2' })).toEqual({ kind: 'volume', id: '2' });
    expect(index.find('volume', { name: 'data', nodeId: 'n1' })).toEqual({ kind: 'volume', id: '1' });
    expect(index.find('volume', { name: 'data' })).toBeNull();
    expect(index.find('volume', { id: 'data', name: 'other', nodeId: 'n1' })).toBeNull();
    expect(index.find('volume', { name: 'shared', nodeId: 'n2' })).toEqual({ kind: 'volume', id: '3' });
  });

  it('never finds a placeholder by name', () => {
    const index = new OwnershipIndex('c');
    index.objects.put(own('1', { name: ':1' }));
    expect(index.find('container', { name: ':1' })).toBeNull();
    expect(index.find('container', { id: 'e-1' })).toEqual({ kind: 'container', id: '1' });
  });

  it('answers as a plain list of rows would, whatever order rows come and go in', () => {
    const row = fc.record({ id: fc.constantFrom('1', '2', '3'), name: fc.constantFrom('a', 'b', ':x'), engineId: fc.constantFrom(null, 'e1', 'e2'), gone: fc.boolean() });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 12 }), (steps) => {
        const index = new OwnershipIndex('c');
        const rows = new Map<string, OwnedObject>();
        for (const { id, name, engineId, gone } of steps) {
          // The table's unique constraints: whoever comes pushes out whoever has the name or the id.
          const put = own(id, { name, engineId });
          const batch = gone ? [] : [...rows.values()].filter((other) => other.ref.id !== id && ((other.name === name && name !== ':x') || (engineId !== null && other.engineId === engineId)));
          if (gone) {
            rows.delete(id);
            index.objects.drop(`own ${id}`);
            continue;
          }
          index.objects.put(put); // before the others are gone, as in one reading of both
          rows.set(id, put);
          for (const other of batch) {
            rows.delete(other.ref.id);
            index.objects.drop(other.key);
          }
        }
        const all = [...rows.values()];
        expect(index.size).toBe(all.length);
        for (const engineId of ['e1', 'e2']) expect(index.find('container', { id: engineId })).toBe(all.find((item) => item.engineId === engineId)?.ref ?? null);
        for (const name of ['a', 'b']) {
          expect(index.findHolder('container', name)).toBe(all.find((item) => item.name === name)?.ref ?? null);
          expect(index.find('container', { name })).toBe(all.find((item) => item.name === name && item.engineId !== null)?.ref ?? null);
        }
        expect(index.findHolder('container', ':x')).toBeNull();
      }),
    );
  });
});
