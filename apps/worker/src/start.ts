import 'reflect-metadata';
import type { INestApplicationContext } from '@nestjs/common';
import { SyslogForwarder } from '@gantry/audit';
import { Watcher } from '@gantry/clusters';
import { openQueue, Worker, type Config, type Db, type Logger } from '@gantry/platform';
import { handlings, sweeps } from './jobs';

/** A running worker. */
export interface RunningWorker {
  /** Takes no more work, waits up to 10 s for what runs, closes the queue. What did not end is taken up again by its lease. */
  close(): Promise<void>;
}

/** Starts dispatching, jobs and sweeps with the rooms of an application context. @throws when a job has no handler */
export async function startWorker(options: { config: Config; logger: Logger; db: Db; app: INestApplicationContext }): Promise<RunningWorker> {
  const { config, logger, db, app } = options;
  const queue = await openQueue({ databaseUrl: config.databaseUrl!.reveal(), redisUrl: config.redisUrl?.reveal() ?? null, logger });
  const worker = new Worker(db, queue, logger, handlings(app), sweeps(app));
  await worker.start(config.workerConcurrency);
  return {
    close: async () => {
      app.get(SyslogForwarder).stop();
      app.get(Watcher).stop();
      await worker.stop();
      await queue.close();
    },
  };
}
