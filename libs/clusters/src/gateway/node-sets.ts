import { createHash } from 'node:crypto';
import type { EngineNode } from '../engine.types';

/** Node labels that begin so are the sets of nodes to which services are kept; Gantry alone writes them. */
export const nodeSetLabel = 'io.gantry.nodes.';

/** What of a node counts here: its id, and the collection in which it lies itself (null: none, and then it takes work of everybody). */
export interface PlacedNode {
  id: string;
  collectionId: string | null;
}

/** All nodes without a collection of their own, and those that lie in these. */
export interface NodeSet {
  hash: string;
  collections: readonly string[];
}

/** The set of these collections; the same for the same ones in any order. */
export function nodeSetOf(collections: Iterable<string>): NodeSet {
  const sorted = [...new Set(collections)].sort();
  return { hash: createHash('sha256').update(sorted.join(' ')).digest('hex').slice(0, 24), collections: sorted };
}

/** The constraint that keeps a service to a set. A node without the label is not in it: what joins, or moves, is out until Gantry says otherwise. */
export function constraintOf(set: Pick<NodeSet, 'hash'>): string {
  return `node.labels.${nodeSetLabel}${set.hash}==true`;
}

/** The label that a constraint of `constraintOf` asks for. */
export function labelOf(constraint: string): string {
  return constraint.slice('node.labels.'.length, -'==true'.length);
}

/** Whether a constraint is about labels of Gantry's own, however it is written: engines take key words in any case, and spaces around. */
export function isOwnConstraint(constraint: string): boolean {
  return /^\s*node\.labels\.io\.gantry\./i.test(constraint);
}

/** The labels that a node should have: its own without sets, and those of the sets in which it is. Null where it has them. */
export function labelsFor(node: PlacedNode, present: Readonly<Record<string, string>>, sets: readonly NodeSet[]): Record<string, string> | null {
  const wanted = sets.filter(({ collections }) => node.collectionId === null || collections.includes(node.collectionId)).map(({ hash }) => `${nodeSetLabel}${hash}`);
  const own = Object.entries(present).filter(([name]) => name.startsWith(nodeSetLabel));
  if (own.length === wanted.length && wanted.every((name) => present[name] === 'true')) return null;
  return { ...Object.fromEntries(Object.entries(present).filter(([name]) => !name.startsWith(nodeSetLabel))), ...Object.fromEntries(wanted.map((name) => [name, 'true'])) };
}

/** The nodes of an engine with the collections in which they lie themselves. */
export function placedNodes(nodes: readonly Pick<EngineNode, 'ID'>[], placements: ReadonlyMap<string, string> | undefined): PlacedNode[] {
  return nodes.map(({ ID: id }) => ({ id, collectionId: placements?.get(id) ?? null }));
}
