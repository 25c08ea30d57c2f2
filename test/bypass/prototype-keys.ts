import { type Attempt, texts, written } from './book';

export const attempt: Attempt = {
  title: 'use members that mean something to the language of the check',
  source: 'prototype pollution: `__proto__` and `constructor`',
  try: (world) =>
    texts(world, [
      written(world, '"__proto__":{"HostConfig":{"Privileged":true}},'), written(world, '', '"__proto__":{"Privileged":true},'),
        written(world, '"constructor":{"prototype":{"Privileged":true}},'), written(world, '', '"toString":"x",'), written(world,
        '"hasOwnProperty":true,'), written(world, '',
        '"Mounts":[{"__proto__":{"Type":"volume"},"Type":"bind","Source":"/","Target":"/x"}],'),
      written(world, '"__proto__":null,'), written(world, '', '"valueOf":1,'),
    ]),
};
