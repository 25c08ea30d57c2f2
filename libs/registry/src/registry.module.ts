import { Module } from '@nestjs/common';
import { AccessModule } from '@gantry/access';
import { AuditModule } from '@gantry/audit';
import { Clock, CONFIG, type Config } from '@gantry/platform';
import { DistributionClient } from './distribution.client';
import { Images } from './images';
import { RegistryFront } from './registry-front';
import { RegistryRights } from './registry-rights';
import { RegistryTokens } from './registry-tokens';
import { Repositories } from './repositories';
import { TokenSigner } from './token-signer';

/** The registry. It does not boot without the token key, its certificate and the storage's URL, nor without an answer to `DigestUse`. */
@Module({
  imports: [AuditModule, AccessModule],
  providers: [
    { provide: TokenSigner, inject: [CONFIG], useFactory: (config: Config) => TokenSigner.fromFiles(config.tokenKeyFile, config.tokenCertFile) },
    {
      provide: DistributionClient,
      inject: [CONFIG, TokenSigner, Clock],
      useFactory: (config: Config, signer: TokenSigner, clock: Clock) => {
        if (config.registryBackendUrl === null) throw new Error('set GANTRY_REGISTRY_BACKEND_URL: the registry needs CNCF Distribution behind it');
        return new DistributionClient(config.registryBackendUrl, signer, clock);
      },
    },
    Repositories,
    RegistryRights,
    RegistryTokens,
    RegistryFront,
    Images,
  ],
  exports: [Repositories, RegistryRights, RegistryTokens, RegistryFront, Images, DistributionClient],
})
export class RegistryModule {}
