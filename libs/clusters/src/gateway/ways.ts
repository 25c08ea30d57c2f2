/** How calls of a row go on, where they do. */
export interface Way {
  /** Whether the caller's own credentials for a registry go with it. Never where the engine would keep them. */
  registryAuth: boolean;
}

const plainly: Way = { registryAuth: false };

/**
 * The rows that go on. Every other row of the table is refused until all of its rules are kept, and for good where
 * `reasons` says why.
 */
const ways: ReadonlyMap<string, Way> = new Map<string, Way>([
  ...[
    'GET /_ping', 'HEAD /_ping', 'GET /version', 'GET /info', 'GET /events', 'GET /system/df', 'POST /auth',
    'GET /containers/json', 'POST /containers/create', 'GET /containers/{id}/json', 'GET /containers/{id}/top', 'GET /containers/{id}/logs', 'GET /containers/{id}/changes', 'GET /containers/{id}/export',
    'GET /containers/{id}/stats', 'POST /containers/{id}/resize', 'POST /containers/{id}/start', 'POST /containers/{id}/stop', 'POST /containers/{id}/restart', 'POST /containers/{id}/kill',
    'POST /containers/{id}/update', 'POST /containers/{id}/rename', 'POST /containers/{id}/pause', 'POST /containers/{id}/unpause', 'POST /containers/{id}/attach', 'GET /containers/{id}/attach/ws',
    'POST /containers/{id}/wait', 'DELETE /containers/{id}', 'HEAD /containers/{id}/archive', 'GET /containers/{id}/archive', 'PUT /containers/{id}/archive', 'POST /containers/prune',
    'POST /containers/{id}/exec', 'POST /exec/{id}/start', 'POST /exec/{id}/resize', 'GET /exec/{id}/json',
    'GET /images/json', 'GET /images/{name}/json', 'GET /images/{name}/history', 'POST /images/{name}/tag', 'DELETE /images/{name}', 'POST /images/prune', 'GET /images/{name}/get', 'GET /images/get', 'GET /images/search',
    'POST /images/load', 'POST /commit', 'POST /build/prune', 'POST /build/cancel', 'POST /session', 'POST /grpc',
    'GET /networks', 'GET /networks/{id}', 'POST /networks/create', 'DELETE /networks/{id}', 'POST /networks/{id}/connect', 'POST /networks/{id}/disconnect', 'POST /networks/prune',
    'GET /volumes', 'GET /volumes/{name}', 'POST /volumes/create', 'DELETE /volumes/{name}', 'POST /volumes/prune',
    'GET /services', 'GET /services/{id}', 'POST /services/create', 'POST /services/{id}/update', 'DELETE /services/{id}', 'GET /services/{id}/logs', 'GET /tasks', 'GET /tasks/{id}', 'GET /tasks/{id}/logs',
    'GET /secrets', 'POST /secrets/create', 'GET /secrets/{id}', 'DELETE /secrets/{id}', 'POST /secrets/{id}/update', 'GET /configs', 'POST /configs/create', 'GET /configs/{id}', 'DELETE /configs/{id}', 'POST /configs/{id}/update',
    'GET /nodes', 'GET /nodes/{id}', 'POST /nodes/{id}/update', 'DELETE /nodes/{id}', 'GET /swarm', 'POST /swarm/update', 'GET /swarm/unlockkey', 'POST /swarm/unlock', 'PUT /volumes/{name}',
    'GET /plugins', 'GET /plugins/{name}/json',
  ].map((name): [string, Way] => [name, plainly]),
  ...['POST /images/create', 'POST /images/{name}/push', 'GET /distribution/{name}/json', 'POST /build'].map((name): [string, Way] => [name, { registryAuth: true }]),
]);

const onTheEngine = 'Gantry reaches the cluster through this very engine and would lose it. Do it on the engine itself, and register the cluster anew.';
const onTheHost = 'A plugin is root on the host, whatever it is granted. Install and change plugins on the node itself.';

/** Rows that stay refused, and why. */
const reasons: ReadonlyMap<string, string> = new Map([
  ...['POST /swarm/init', 'POST /swarm/join', 'POST /swarm/leave'].map((name) => [name, onTheEngine] as const),
  ...[
    'GET /plugins/privileges', 'POST /plugins/pull', 'DELETE /plugins/{name}', 'POST /plugins/{name}/enable', 'POST /plugins/{name}/disable', 'POST /plugins/{name}/upgrade', 'POST /plugins/create',
    'POST /plugins/{name}/push', 'POST /plugins/{name}/set',
  ].map((name) => [name, onTheHost] as const),
]);

/** Why calls of the row do not go on, where that is for good; null: they may one day, or do. */
export function whyRefused(row: string): string | null {
  return reasons.get(row) ?? null;
}

/** How calls of the row go on; null: they do not. */
export function howPassed(row: string): Way | null {
  return ways.get(row) ?? null;
}
