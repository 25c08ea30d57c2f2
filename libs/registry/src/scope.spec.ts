import fc from 'fast-check';
import { parseScope, parseScopes } from './scope';

test('a scope has type, name and actions', () => {
  expect(parseScope('repository:acme/web:pull,push')).toEqual({ type: 'repository', name: 'acme/web', actions: ['pull', 'push'] });
  expect(parseScope('repository(plugin):acme/web:pull')).toEqual({ type: 'repository(plugin)', name: 'acme/web', actions: ['pull'] });
  expect(parseScope('registry:catalog:*')).toEqual({ type: 'registry', name: 'catalog', actions: ['*'] });
  expect(parseScope('repository:acme/web:')).toEqual({ type: 'repository', name: 'acme/web', actions: [] });
  expect(parseScope('repository:acme/web:pull,pull')?.actions).toEqual(['pull']);
  // A name with a host and port is a name of the token specification, but not one of a repository here.
  expect(parseScope('other:host.example:5000/x:pull')?.name).toBe('host.example:5000/x');
});

test.each([
  '', 'repository', 'repository:acme/web', ':acme/web:pull', 'repository::pull', 'repository:Acme/web:pull', 'repository:acme/../web:pull', 'repository:acme/web:pull,', 'repository:acme/web:PULL',
  'repository:acme/web:pull push', 'repository:acme%2fweb:pull', 'Repository:acme/web:pull', `repository:${'a'.repeat(300)}:pull`, `repository:a/b:${'pull,'.repeat(20)}pull`,
])('%j is no scope', (text) => expect(parseScope(text)).toBeNull());

test('several scopes come in several parameters or in one', () => {
  expect(parseScopes(['repository:a/b:pull repository:c/d:push', 'registry:catalog:*'])?.map((scope) => scope.name)).toEqual(['a/b', 'c/d', 'catalog']);
  expect(parseScopes([])).toEqual([]);
  expect(parseScopes(['repository:a/b:pull', 'nonsense'])).toBeNull();
  expect(parseScopes(Array.from({ length: 51 }, (_, index) => `repository:a/b${index}:pull`))).toBeNull();
});

test('never throws', () => {
  fc.assert(fc.property(fc.array(fc.string()), (texts) => {
    parseScopes(texts);
  }));
});
