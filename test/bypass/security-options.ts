import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'take the engine’s own protections away',
  source: '`seccomp=unconfined` and what hides behind empty lists of masked paths',
  try: (world) =>
    hostConfigs(world, [
      ...['seccomp=unconfined', 'seccomp:unconfined', 'apparmor=unconfined', 'label=disable', 'label:type:spc_t', 'systempaths=unconfined',
        'no-new-privileges=false', 'no-new-privileges:false', 'writable-cgroups=true', 'SECCOMP=unconfined',
        ' seccomp=unconfined'].map((option) => ({ SecurityOpt: [option] })),
      { SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'] }, { MaskedPaths: [] }, { ReadonlyPaths: [] },
        { MaskedPaths: ['/nothing'] }, { SecurityOpt: [JSON.stringify({ seccomp: 'unconfined' })] },
    ]),
};
