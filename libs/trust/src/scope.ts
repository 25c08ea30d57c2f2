import type { ResourceRef } from '@gantry/access';

const scopeForm = /^([a-z][a-z-]{0,40}):([0-9a-f-]{36})$/;

/** The resource that a scope `kind:id` stands for, or null when the text is no scope. Rights on a policy are those on this resource. */
export function findScopeResource(scope: string): ResourceRef | null {
  const match = scopeForm.exec(scope);
  return match === null ? null : { kind: match[1]!, id: match[2]! };
}
