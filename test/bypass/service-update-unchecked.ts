import { type Attempt, each, updateService } from './book';

export const attempt: Attempt = {
  title: 'bring the same options in by an update of a service of one’s own',
  source: 'CVE-2026-44849: `POST /services/{id}/update` applied none of seven restrictions',
  try: (world) =>
    each(
      [
        { Mounts: [{ Type: 'bind', Source: '/', Target: '/host' }] }, { Mounts: [{ Type: 'volume', Target: '/host',
          VolumeOptions: { DriverConfig: { Name: 'local', Options: { type: 'none', o: 'bind', device: '/' } } } }] },
        { CapabilityAdd: ['ALL'] }, { Sysctls: { 'kernel.shmmax': '1' } }, { Privileges: { Seccomp: { Mode: 'unconfined' } } },
          { Privileges: { NoNewPrivileges: false, AppArmor: { Mode: 'disabled' } } }, { OomScoreAdj: -1000 },
      ],
      (spec) => updateService(world, spec),
    ),
};
