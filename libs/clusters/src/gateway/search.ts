import type { FieldError } from '@gantry/platform';
import { clustersProblem } from '../problems';
import { queryValues } from './query';

/** One repository as engines tell it of a search. */
export interface SearchResult {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
  is_automated: boolean;
}

/** What a search asks for. */
export interface Search {
  /** Another registry that the term names, which is then asked by the engine; null: the term is for us. */
  host: string | null;
  /** What names and descriptions must have in them. */
  text: string;
  limit: number;
  /** Whether the filters let repositories pass that nobody rates, that are official nowhere and built by no robot, as all of ours. */
  anyOfOurs: boolean;
}

const defaultLimit = 25;
const maxLimit = 100;
const flags: ReadonlyMap<string, boolean> = new Map([['1', true], ['true', true], ['0', false], ['false', false]]);

/**
 * Reads a search as engines do: the part of a term before its first slash is a registry where it looks like a host. Unlike them, what names no
 * registry is for the managed one, not for Docker Hub.
 * @param query in our own form
 * @throws clusters.spec-invalid
 */
export function readSearch(query: string, filters: Readonly<Record<string, readonly string[]>> | null, registryHost: string): Search {
  const errors: FieldError[] = [];
  const [term = ''] = queryValues(query, 'term');
  const [limitText = ''] = queryValues(query, 'limit');
  const limit = limitText === '' ? defaultLimit : Number(limitText);
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) errors.push({ pointer: '?limit', detail: `limit ${limitText.slice(0, 32)} is outside the range of [1, ${maxLimit}]` });
  let anyOfOurs = true;
  for (const [name, values] of Object.entries(filters ?? {})) {
    const wrong = (): unknown => errors.push({ pointer: '?filters', detail: `invalid filter '${name.slice(0, 64)}'` });
    if (name === 'is-official' || name === 'is-automated') {
      const [wanted] = values.map((value) => flags.get(value));
      if (values.length > 1 || (values.length === 1 && wanted === undefined)) wrong();
      else if (wanted) anyOfOurs = false;
    } else if (name === 'stars') {
      if (!values.every((value) => /^\d{1,9}$/.test(value))) wrong();
      else if (values.some((value) => Number(value) > 0)) anyOfOurs = false;
    } else wrong();
  }
  if (errors.length > 0) throw clustersProblem('spec-invalid', { detail: `${errors[0]!.detail}.`, errors });
  const slash = term.indexOf('/');
  const host = slash < 0 ? '' : term.slice(0, slash);
  if (host === registryHost || (slash < 0 && term === registryHost)) return { host: null, text: slash < 0 ? '' : term.slice(slash + 1), limit, anyOfOurs };
  return { host: /[.:]/.test(host) || host === 'localhost' ? host : null, text: term, limit, anyOfOurs };
}

/** Tells repositories of ours as an engine would; named so that they can be pulled. */
export function searchResults(found: readonly { path: string; description: string }[], registryHost: string): SearchResult[] {
  return found.map(({ path, description }) => ({ star_count: 0, is_official: false, name: `${registryHost}/${path}`, is_automated: false, description }));
}
