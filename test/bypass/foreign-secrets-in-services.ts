import { type Attempt, containerSpecs, spellings } from './book';

export const attempt: Attempt = {
  title: 'have a service of one’s own read secrets and configs of others',
  source: 'a secret that can’t be read can still be mounted',
  async try(world) {
    const file = { Name: 'x', UID: '0', GID: '0', Mode: 292 };
    return containerSpecs(world, world.foreign.flatMap(({ secret, config }) => [
      ...spellings(secret).flatMap((SecretID) => [secret.name, world.own.secret.name].map((SecretName) => ({ Secrets: [{ File: file,
        SecretID, SecretName }] }))),
      ...spellings(config).flatMap((ConfigID) => [config.name, world.own.config.name].map((ConfigName) => ({ Configs: [{ File: file,
        ConfigID, ConfigName }] }))),
      { Privileges: { CredentialSpec: { Config: config.id } } }, { Configs: [{ Runtime: {}, ConfigID: config.id,
        ConfigName: config.name }] }, { Secrets: [{ File: file, SecretID: world.own.secret.id, SecretName: world.own.secret.name },
        { File: { ...file, Name: 'y' }, SecretID: secret.id, SecretName: secret.name }] },
    ]));
  },
};
