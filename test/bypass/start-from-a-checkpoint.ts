import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'start from a checkpoint that lies somewhere on the host',
  source: '`checkpoint-dir` is a path of the host',
  try: (world) =>
    calls(world, ['checkpoint=x', 'checkpoint=x&checkpoint-dir=/etc', 'checkpoint-dir=/'].map((query): Call => ['POST',
      `/containers/${world.own.container.id}/start?${query}`]).concat([['POST', `/containers/${world.own.container.id}/checkpoints`,
      { CheckpointID: 'x' }], ['GET', `/containers/${world.own.container.id}/checkpoints`]])),
};
