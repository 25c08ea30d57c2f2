import { constraintOf, isOwnConstraint, labelsFor, nodeSetOf } from './node-sets';

describe('sets of nodes', () => {
  const [a, b] = [nodeSetOf(['a']), nodeSetOf(['b', 'a', 'b'])];

  it('are told apart by their collections alone', () => {
    expect(b).toEqual(nodeSetOf(['a', 'b']));
    expect(new Set([nodeSetOf([]), a, nodeSetOf(['b']), b].map(({ hash }) => hash)).size).toBe(4);
    // As swarm reads labels in constraints.
    expect(constraintOf(a)).toMatch(/^node\.labels\.[a-z_][a-z0-9\-_.]+==true$/);
  });

  it('are written on the nodes that are in them, and on no others', () => {
    const label = (set: { hash: string }): string => `io.gantry.nodes.${set.hash}`;
    expect(labelsFor({ id: 'n', collectionId: null }, { zone: 'x' }, [a, b])).toEqual({ zone: 'x', [label(a)]: 'true', [label(b)]: 'true' });
    expect(labelsFor({ id: 'n', collectionId: 'b' }, { [label(a)]: 'true', zone: 'x', 'io.gantry.other': 'y' }, [a, b])).toEqual({ zone: 'x', 'io.gantry.other': 'y', [label(b)]: 'true' });
    expect(labelsFor({ id: 'n', collectionId: 'c' }, { [label(a)]: 'true', [label(b)]: 'true' }, [a, b])).toEqual({});
    expect(labelsFor({ id: 'n', collectionId: 'b' }, { [label(b)]: 'false' }, [a, b])).toEqual({ [label(b)]: 'true' });
    expect(labelsFor({ id: 'n', collectionId: 'b' }, { [label(b)]: 'true' }, [a, b])).toBeNull();
    expect(labelsFor({ id: 'n', collectionId: null }, { 'io.gantry.nodes.of-nothing': 'true' }, [])).toEqual({});
  });

  it('are known in constraints however these are written', () => {
    for (const each of ['node.labels.io.gantry.nodes.x==true', ' NODE.Labels.IO.Gantry.nodes.x != true', 'node.labels.io.gantry.placed==1']) expect([each, isOwnConstraint(each)]).toEqual([each, true]);
    for (const each of ['node.labels.zone==io.gantry.x', 'node.id==io', 'engine.labels.io.gantry.x==1', 'node.labels.io.gantryx==1']) expect([each, isOwnConstraint(each)]).toEqual([each, false]);
  });
});
