import { type Attempt, containerSpecs } from './book';

export const attempt: Attempt = {
  title: 'bind a path of the host into the tasks of a service',
  source: 'CVE-2026-44849: mounts of services were not looked at',
  try: (world) =>
    containerSpecs(world, [
      { Type: 'bind', Source: '/' }, { Source: '/' }, { Type: 'volume', Source: '/etc' }, { Type: 'tmpfs', Source: '/' }, { Type: 'cluster',
        Source: 'group:x' }, { Type: 'npipe', Source: '/' }, { Type: 'volume', BindOptions: { Propagation: 'shared' } },
    ].map((mount) => ({ Mounts: [{ Target: '/host', ...mount }] }))),
};
