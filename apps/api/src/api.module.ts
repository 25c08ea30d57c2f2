import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { LOGGER, type Config, type Db, type Logger } from '@gantry/platform';
import { RoomsModule } from '../../rooms';
import { accessControllers, bundleControllers } from './access';
import { auditControllers } from './audit';
import { clustersControllers } from './clusters';
import { deliveryControllers } from './delivery';
import { AnswerInterceptor } from './http/answer.interceptor';
import { AuthGuard } from './http/auth.guard';
import { CONTROLLERS, MetaController } from './http/meta.controller';
import { ProblemFilter } from './http/problem.filter';
import { Resources } from './http/resources';
import { registryControllers } from './registry';
import { trustControllers } from './trust';

/** Every controller of the REST API. The guard test walks this list. */
export const controllers: Type[] = [
  MetaController, ...accessControllers, ...auditControllers, ...registryControllers, ...trustControllers, ...clustersControllers, ...bundleControllers, ...deliveryControllers,
];

/** The HTTP process: controllers, the one guard, the one answer shape, the one error face. */
@Module({})
export class ApiModule {
  static forRoot(options: { config: Config; logger: Logger; db: Db }): DynamicModule {
    return {
      module: ApiModule,
      imports: [RoomsModule.forRoot(options)],
      controllers,
      providers: [
        Resources,
        { provide: CONTROLLERS, useValue: controllers },
        { provide: APP_GUARD, useClass: AuthGuard },
        { provide: APP_INTERCEPTOR, useClass: AnswerInterceptor },
        { provide: APP_FILTER, useFactory: (logger: Logger) => new ProblemFilter(logger), inject: [LOGGER] },
      ],
    };
  }
}
