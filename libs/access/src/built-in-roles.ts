import { ofGrades, type Operation } from './operations';

/** A role that is always there, with a fixed id. */
export interface BuiltIn {
  id: string;
  name: string;
  description: string;
  operations: Operation[];
}

const schedule: Operation[] = ['node:view', 'node:schedule'];
const repositoryRead: Operation[] = ['repository:view', 'repository:pull', 'image:verdict'];
const repositoryWrite: Operation[] = [...repositoryRead, 'repository:push'];

/**
 * The roles that are always there. The first five mean what they mean in Docker's Universal Control Plane (2.2 and later); the last three are the
 * registry's own levels, as in Docker Trusted Registry.
 */
export const builtInRoles: readonly BuiltIn[] = [
  { id: 'none', name: 'none', description: 'Nothing.', operations: [] },
  { id: 'viewonly', name: 'viewonly', description: 'Looks at everything and reads logs; changes nothing.', operations: [...ofGrades('view'), 'node:view'] },
  {
    id: 'restrictedcontrol', name: 'restrictedcontrol', operations: [...ofGrades('view', 'control'), ...schedule],
    description: 'Sees and changes everything but what reaches a node: no exec, no files of the node, no privileges, no kernel capabilities.',
  },
  { id: 'scheduler', name: 'scheduler', description: 'Sees nodes and places work on them.', operations: schedule },
  { id: 'fullcontrol', name: 'fullcontrol', description: 'Does everything, options that reach the host included.', operations: ofGrades('view', 'control', 'full', 'host', 'schedule') },
  { id: 'repository-read', name: 'repository-read', description: 'Registry level read-only: sees and pulls.', operations: repositoryRead },
  { id: 'repository-write', name: 'repository-write', description: 'Registry level read-write: pulls and pushes.', operations: repositoryWrite },
  {
    id: 'repository-admin', name: 'repository-admin', description: 'Registry level admin: changes and deletes the repository, and gives levels on it.',
    operations: [...repositoryWrite, 'repository:update', 'repository:delete', 'repository:manage-access'],
  },
];
