import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'write filters that are read in more than one way',
  source: 'filters have two forms, and are JSON inside a parameter',
  try: (world) =>
    each(
      ['{"name":["x"],"name":[""]}', '{"name":["x"]}{"name":[""]}', '{"name":"x"}', '["name=x"]', '{"name":{"x":false}}',
        '{"name":[["x"]]}', '{"name":[1]}', '"x"', '{"name":{"x":"true"}}', '{name:["x"]}', '{"name":["x"]', '\ufeff{}',
        '{"name":["\ud800"]}'].map((text) => encodeURIComponent(text.isWellFormed() ? text : text.toWellFormed().replace('\ufffd',
        '\u0000'))),
      (filters) => world.call('GET', `${v}/containers/json?all=1&filters=${filters}`),
    ),
};
