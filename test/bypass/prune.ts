import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'prune what others have',
  source: 'a prune is one call on all that nobody uses just now',
  harmless: 'of her own things all are in use, and a prune of hers touches no others',
  try: (world) =>
    calls(world, ['containers', 'networks', 'volumes', 'images'].flatMap((kind) => ['',
      `?filters=${encodeURIComponent('{"label":["io.gantry.collection"]}')}`,
      `?filters=${encodeURIComponent('{"until":["1s"],"dangling":["false"],"all":["true"]}')}`].map((query): Call => ['POST',
      `/${kind}/prune${query}`])).concat([['POST', '/build/prune?all=1'], ['POST', '/system/prune']])),
};
