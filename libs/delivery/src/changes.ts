import { diffSpec } from './compose';
import type { ObjectChange, Stack } from './entities';

export type { ObjectChange };

/**
 * The changes that lead from one stack to the next, in the order in which they are made: networks, configs and secrets are created,
 * services created, updated and removed, then what is no longer used goes. Configs and secrets are named by content, so they are never updated.
 */
export function planChanges(from: Stack | null, to: Stack): ObjectChange[] {
  const changes: ObjectChange[] = [];
  const removals: ObjectChange[] = [];
  const plain = (kind: 'network' | 'config' | 'secret', before: string[], after: string[]): void => {
    for (const name of after) changes.push({ kind, name, action: before.includes(name) ? 'unchanged' : 'create', fields: [] });
    for (const name of before) if (!after.includes(name)) removals.push({ kind, name, action: 'remove', fields: [] });
  };
  plain('network', from?.networks.map(({ Name }) => Name) ?? [], to.networks.map(({ Name }) => Name));
  plain('config', from?.configs.map(({ name }) => name) ?? [], to.configs.map(({ name }) => name));
  plain('secret', from?.secrets.map(({ name }) => name) ?? [], to.secrets.map(({ name }) => name));
  for (const service of to.services) {
    const before = from?.services.find(({ name }) => name === service.name);
    const fields = before === undefined ? [] : diffSpec(service.spec, before.spec as unknown as Record<string, unknown>, { previous: before.spec });
    // The template's fingerprint only repeats what the other fields say.
    const told = fields.filter(({ path }) => !path.includes('io.gantry.'));
    changes.push({ kind: 'service', name: service.name, action: before === undefined ? 'create' : before.hash === service.hash ? 'unchanged' : 'update', fields: told });
  }
  for (const before of from?.services ?? []) {
    if (!to.services.some(({ name }) => name === before.name)) changes.push({ kind: 'service', name: before.name, action: 'remove', fields: [] });
  }
  return [...changes, ...removals];
}
