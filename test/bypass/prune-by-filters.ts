import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'prune what others have by filters that name it',
  source: 'filters are handed to the engine, which knows of no owners',
  harmless: 'the answer tells what was removed, which is nothing',
  try: (world) =>
    calls(world, world.foreign.flatMap(({ container, network, volume, service }) => [
      ...['{"label":["note"]}', '{"label!":["io.gantry.claim"]}', '{"label":{"io.gantry.collection":true}}',
        `{"label":["com.docker.swarm.service.id=${service.id}"]}`, '{"until":["1ms"]}', '{"label!":["nothing"],"until":["0s"]}',
      ].map((filters) => ['containers', filters] as const),
      ['containers', `{"id":["${container.id}"]}`], ['containers', `{"name":["${container.name}"],"status":["running"]}`],
      ['containers', '{"status":["running","exited"]}'], ['networks', `{"id":["${network.id}"]}`], ['networks', `{"name":["${network.name}"]}`],
      ['networks', '{"type":["builtin"]}'], ['networks', '{"label!":["io.gantry.claim"]}'], ['volumes', `{"name":["${volume}"]}`],
      ['volumes', '{"dangling":["false"]}'], ['volumes', '{"label":["note"]}'], ['volumes', '{"label!":["io.gantry.claim"]}'],
      ['images', '{"dangling":["false"]}'],
    ] as const).map(([kind, filters]): Call => ['POST', `/${kind}/prune?filters=${encodeURIComponent(filters)}`])),
};
