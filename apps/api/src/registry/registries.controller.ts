import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { CONFIG, decodeCursor, type Config } from '@gantry/platform';
import { DistributionClient } from '@gantry/registry';
import { In, listOf, page, Route, type Input } from '../http/route';

const registry = z.object({
  id: z.string(),
  kind: z.enum(['managed']),
  host: z.string().describe('host[:port] in image references'),
  reachable: z.boolean().describe('whether the storage behind it answers'),
});

/** Registries: the one that Gantry manages. */
@Controller('api/v1/registries')
export class RegistriesController {
  constructor(@Inject(DistributionClient) private readonly distribution: DistributionClient, @Inject(CONFIG) private readonly config: Config) {}

  @Route({ method: 'GET', summary: 'List registries', operation: 'repository:view', scope: 'each', query: page, response: listOf(registry) })
  async list(@In() { query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    decodeCursor(query.cursor, 1); // there is one page; a cursor that is none is refused here as anywhere
    return { items: [{ id: 'managed', kind: 'managed', host: this.config.registryPublicHost, reachable: await this.distribution.isReachable() }], next: null };
  }
}
