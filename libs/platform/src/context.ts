import type { EntityManager } from 'typeorm';
import { uuidv7 } from './ids';

/** Who is acting. `access` is the only room that makes one for a person, robot or service; jobs act as `system`. */
export interface Actor {
  kind: 'user' | 'robot' | 'service' | 'trigger' | 'system' | 'anonymous';
  /** Account id (user, robot), trigger id, or null for `system` and `anonymous`. */
  id: string | null;
  /** Name as shown in the audit log. */
  name: string;
  /** System administrator: every operation on everything. */
  admin: boolean;
  /** Session, token, certificate or service credential through which the actor came; null when none. */
  credentialId: string | null;
  /** Narrows what the credential may do below what its owner may; null = no narrowing. */
  limits: ActorLimits | null;
}

/** Restrictions that a token carries. An absent list does not restrict; an empty list allows nothing. */
export interface ActorLimits {
  /** Operations (`repository:pull`), exact names. */
  operations?: string[];
  /** Repository ids. */
  repositories?: string[];
  /** Collection ids; what lies in them or below. */
  collections?: string[];
}

/** First argument of every library call that reads or changes state: actor, transaction and request id. */
export interface Context {
  readonly actor: Actor;
  /** Correlates audit rows, log lines and the answer's `X-Request-Id`. */
  readonly requestId: string;
  /** Remote address as seen behind trusted proxies, or null for jobs. */
  readonly address: string | null;
  /** Open transaction, or null. Only `Db.transaction` sets it. */
  readonly tx: EntityManager | null;
  /** Callbacks to run after the outermost transaction commits; managed by `Db`. */
  readonly afterCommit: (() => void | Promise<void>)[] | null;
}

/** The actor of schedules, migrations and sweeps. */
export function systemActor(name: string): Actor {
  return { kind: 'system', id: null, name, admin: true, credentialId: null, limits: null };
}

/** Nobody: a request without (valid) credentials. */
export const anonymous: Actor = { kind: 'anonymous', id: null, name: 'anonymous', admin: false, credentialId: null, limits: null };

/** Makes a context outside any transaction. `requestId` defaults to a new UUIDv7. */
export function makeContext(actor: Actor, options: { requestId?: string; address?: string | null } = {}): Context {
  return { actor, requestId: options.requestId ?? uuidv7(), address: options.address ?? null, tx: null, afterCommit: null };
}

/** A context for background work, e.g. `systemContext('delivery.sweep')`. */
export function systemContext(name: string, requestId?: string): Context {
  return makeContext(systemActor(name), requestId === undefined ? {} : { requestId });
}
