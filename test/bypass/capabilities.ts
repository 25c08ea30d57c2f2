import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'add capabilities in every spelling',
  source: 'CVE-2020-24263: capabilities were not among what was checked',
  try: (world) =>
    hostConfigs(world, [
      ...['ALL', 'all', 'SYS_ADMIN', 'CAP_SYS_ADMIN', 'cap_sys_admin', 'NET_ADMIN', ' SYS_ADMIN',
        'sys_ptrace'].map((name) => ({ CapAdd: [name] })),
      { CapAdd: ['CHOWN', 'SYS_ADMIN'] }, { CapAdd: [''] }, { Capabilities: ['CAP_SYS_ADMIN'] }, { CapDrop: ['ALL'],
        CapAdd: ['SYS_MODULE'] }, { CapAdd: 'SYS_ADMIN' },
    ]),
};
