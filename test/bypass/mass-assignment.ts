import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'set what only Gantry sets by members of a body that it does not expect',
  source: 'CVE-2019-16097: registration took `has_admin_role` from the body',
  try: (world) =>
    containers(world, [{ Owner: 'admin' }, { CollectionId: '00000000-0000-0000-0000-000000000000' }, { collection: '/' },
      { ResourceControl: { AdministratorsOnly: false } }, { gantry: { skip: true } }, { Id: world.foreign[0]!.container.id },
      { Name: world.foreign[0]!.container.name }, { HostConfig: { Owner: 'admin' } }]),
};
