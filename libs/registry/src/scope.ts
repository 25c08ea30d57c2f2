import { isRepositoryName } from './reference';

/** One wish of a client: `repository:acme/web:pull,push`. */
export interface Scope {
  type: string;
  name: string;
  actions: string[];
}

const maxScopes = 50;
const typeForm = /^[a-z0-9]+(?:\([a-z0-9]+\))?$/;
const actionForm = /^(?:[a-z]{1,32}|\*)$/;
const otherName = /^[A-Za-z0-9._/:-]{1,300}$/;

/** One scope of the Docker token specification (`type[(class)]:name:action,…`); null when it is not one. The name may hold a port's colon. */
export function parseScope(text: string): Scope | null {
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  if (first <= 0 || last === first || text.length > 600) return null;
  const type = text.slice(0, first);
  const name = text.slice(first + 1, last);
  if (!typeForm.test(type)) return null;
  if (type === 'repository' ? !isRepositoryName(name) : !otherName.test(name)) return null;
  // An empty list of actions asks for nothing; clients send it.
  const actions = text.slice(last + 1) === '' ? [] : text.slice(last + 1).split(',');
  return actions.length <= 16 && actions.every((action) => actionForm.test(action)) ? { type, name, actions: [...new Set(actions)] } : null;
}

/** Every `scope` parameter of a token request, each of which may hold several, separated by spaces. Null when one is malformed or there are more than 50. */
export function parseScopes(parameters: string[]): Scope[] | null {
  const scopes: Scope[] = [];
  for (const text of parameters.flatMap((parameter) => parameter.split(' ')).filter((part) => part !== '')) {
    const scope = parseScope(text);
    if (!scope || scopes.length >= maxScopes) return null;
    scopes.push(scope);
  }
  return scopes;
}
