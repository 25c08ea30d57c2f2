import { type Attempt, containerSpecs } from './book';

export const attempt: Attempt = {
  title: 'write members of a service’s container in other case',
  source: 'CVE class of case-folding JSON: `image`, `mounts`, `capabilityadd`',
  try: (world) =>
    containerSpecs(world, [{ image: 'alpine' }, { mounts: [{ Type: 'bind', Source: '/', Target: '/x' }] }, { capabilityadd: ['ALL'] },
      { CapabilityADD: ['ALL'] }, { 'Mount\u017f': [] }, { Mounts: [{ Type: 'volume', Target: '/x',
      volumeoptions: { DriverConfig: { Options: { device: '/' } } } }] }, { privileges: {} },
      { secrets: [{ SecretID: world.foreign[0]!.secret.id }] }]),
};
