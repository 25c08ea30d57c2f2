import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'write the labels by which services are kept to nodes',
  source: 'where work may run is told by labels on nodes, which are anybody’s to write who may update a node',
  try: (world) =>
    calls(world, [{ 'io.gantry.nodes.x': 'true' }, { 'IO.Gantry.nodes.x': 'true' }, { 'io.gantry.collection': '/' }, {}].flatMap((Labels): Call[] => [
      ['POST', `/nodes/${world.node}/update?version=${world.nodeVersion}`, { Role: 'manager', Availability: 'active', Labels }],
      ['POST', `/nodes/self/update?version=${world.nodeVersion}`, { Role: 'manager', Availability: 'active', Labels }],
    ])),
};
