import type { Tokens } from '@gantry/access';
import { systemContext, type Config, type Db, type Logger, type Sealer } from '@gantry/platform';
import type { Clusters } from '../clusters';
import { clustersProblem } from '../problems';
import type { GatewayImages } from './ports';
import { PullCredentials } from './pull-credentials';

it('asks a cluster that does not answer once in a pass', async () => {
  const due = ['away', 'away', 'here', 'away', 'here'].map((cluster_id, index) => ({ cluster_id, holder_id: String(index), repository_id: 'r', credential_id: String(index), username: '', sealed: '', expires_at: new Date(), engine_id: `service-${index}` }));
  const answers: unknown[][] = [[], due];
  const asked: string[] = [];
  const clusters = {
    engine: (_ctx: unknown, id: string) => {
      asked.push(id);
      return id === 'away' ? Promise.reject(clustersProblem('unreachable')) : Promise.resolve({ service: () => Promise.resolve({ Spec: { TaskTemplate: {} } }) });
    },
  } as unknown as Clusters;
  const warned: unknown[] = [];
  const logger = { warn: (about: unknown) => warned.push(about) } as unknown as Logger;
  const db = { query: () => Promise.resolve(answers.shift() ?? []), transaction: () => Promise.resolve() } as unknown as Db;
  const credentials = new PullCredentials(db, { now: () => new Date() }, {} as Sealer, {} as Tokens, clusters, {} as GatewayImages, {} as Config, logger);
  await credentials.sweep(systemContext('test'));
  expect(asked).toEqual(['away', 'here', 'here']);
  expect(warned).toHaveLength(1);
});
