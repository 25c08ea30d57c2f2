import { type Attempt, each, service, updateService, v } from './book';

export const attempt: Attempt = {
  title: 'say by constraints of one’s own on which nodes a service may run',
  source: 'a constraint that contradicts the one which keeps a service to the nodes that are open to its owner',
  async try(world) {
    const constraints = ['node.labels.io.gantry.nodes.x==true', 'node.labels.io.gantry.nodes.x!=true', 'node.labels.IO.GANTRY.nodes.x==true', 'NODE.LABELS.io.gantry.nodes.x == true',
      ' node.labels.io.gantry.nodes.x==true', 'node.labels.io.gantry.anything!=x'];
    const placements = constraints.map((constraint) => ({ Placement: { Constraints: ['node.role==manager', constraint] } }));
    return [
      ...(await each(placements, (TaskTemplate) => world.call('POST', `${v}/services/create`, service(world, {}, { TaskTemplate })))),
      ...(await each(placements, (task) => updateService(world, {}, task))),
    ];
  },
};
