import { Problem } from '@gantry/platform';
import { oldestAsked, type EngineMatch } from '../engine-api/match';
import { newestMinor } from '../engine-api/table';
import { EngineError, newestApiVersion, type EngineClient } from '../engine.client';
import { clustersProblem } from '../problems';

/** How long an engine is believed what it said of itself: it may be another one after an upgrade. */
const saidMillis = 60_000;
const newestKnown = `1.${newestMinor}`;

/**
 * The newest API version in which calls go on to each engine: the newest that the engine speaks and that the table knows. What Gantry asks for itself is
 * asked in versions that it was written against, and those end earlier.
 */
export class EngineVersions {
  private readonly said = new WeakMap<EngineClient, { minor: Promise<number>; until: number }>();

  /** Its minor number. Engines older than what Gantry itself speaks said theirs when they were last checked, and are not asked. */
  async newestOf(engine: EngineClient): Promise<number> {
    const own = minorOf(engine.apiVersion);
    if (engine.apiVersion !== newestApiVersion) return own;
    const known = this.said.get(engine);
    if (known && known.until > performance.now()) return known.minor;
    const minor = engine.ping().then(
      ({ apiVersion }) => Math.min(newestMinor, minorOf(apiVersion)),
      (error: unknown) => {
        // The call itself will say what is wrong.
        if (!(error instanceof EngineError) && !(error instanceof Problem)) throw error;
        this.said.delete(engine);
        return own;
      },
    );
    this.said.set(engine, { minor, until: performance.now() + saidMillis });
    return minor;
  }
}

/**
 * In which version the engine is asked: the caller's, so that answers look as it expects. Never below 1.41: in older ones what is absent means
 * other things (the host's cgroup namespace, for one), and bodies were judged by what it means now.
 * @throws clusters.call-too-new
 */
export function versionFor(match: Pick<EngineMatch, 'versioned' | 'minor'>, newest: number): number {
  if (match.versioned && match.minor > newest) throw clustersProblem('call-too-new', { detail: `client version 1.${match.minor} is too new. Maximum supported API version is 1.${newest}` });
  return match.versioned ? Math.max(match.minor, Math.min(newest, oldestAsked)) : newest;
}

/** A version that an engine says it speaks, as far as the table does. What is no version stays as it is. */
export function knownVersion(version: string): string {
  return version === newestKnown || version === newestApiVersion ? version : /^1\.\d{1,4}$/.test(version) && minorOf(version) > newestMinor ? newestKnown : version;
}

/** The answer of `GET /version` with the versions that are spoken through Gantry: some clients go by it. The same bytes where it has no others. */
export function knownVersions(body: Buffer): Buffer {
  const said = JSON.parse(body.toString()) as { ApiVersion?: unknown; Components?: { Details?: Record<string, unknown> | null }[] | null };
  let isOther = false;
  for (const part of [said as Record<string, unknown>, ...(said.Components ?? []).map(({ Details }) => Details)]) {
    const version = part?.['ApiVersion'];
    if (!part || typeof version !== 'string' || knownVersion(version) === version) continue;
    part['ApiVersion'] = knownVersion(version);
    isOther = true;
  }
  return isOther ? Buffer.from(JSON.stringify(said)) : body;
}

function minorOf(version: string): number {
  return Number(version.slice(version.indexOf('.') + 1));
}
