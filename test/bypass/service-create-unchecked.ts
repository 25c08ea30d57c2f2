import { type Attempt, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'create services with every option that containers are refused',
  source: 'CVE-2026-44849: `POST /services/create` applied one of seven restrictions',
  try: (world) =>
    each(
      [
        { Mounts: [{ Type: 'bind', Source: '/', Target: '/host' }] }, { CapabilityAdd: ['CAP_SYS_ADMIN'] },
          { Sysctls: { 'net.ipv4.ip_forward': '1' } },
        { Privileges: { Seccomp: { Mode: 'unconfined' } } }, { Privileges: { AppArmor: { Mode: 'disabled' } } },
          { Privileges: { SELinuxContext: { Disable: true } } }, { Privileges: { CredentialSpec: { File: 'spec.json' } } },
          { OomScoreAdj: -1000 },
      ],
      (spec) => world.call('POST', `${v}/services/create`, service(world, spec)),
    ),
};
