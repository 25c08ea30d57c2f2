import { type Attempt, texts, written } from './book';

export const attempt: Attempt = {
  title: 'give a member twice, so that the check reads one and the engine the other',
  source: 'parsers that differ in which of two equal keys they take',
  try: (world) => {
    const host = '"HostConfig":{"Privileged":true},';
    return texts(world, [
      written(world, host), written(world, '', '"Privileged":true,"Privileged":false,'), written(world, '',
        '"Privileged":false,"Privileged":true,'), written(world, '', '"Privile\\u0067ed":true,"Privileged":false,'), written(world,
        '"Image":"alpine",'),
      written(world, '"\\u0048ostConfig":{"Binds":["/:/x"]},'), written(world, '"Labels":{"a":"1","a":"2"},'), written(world, '',
        '"Binds":["/:/x"],"Binds":[],'), written(world,
        '"Labels":{"io.gantry.collection":"/Shared/Private/ann","io.gantry.collection":"/"},'),
      written(world).replace(/\}$/, ',"HostConfig":{"Privileged":true}}'), written(world, '',
        '"LogConfig":{"Type":"syslog","Type":"local"},'),
    ]);
  },
};
