import type { Readable, Transform } from 'node:stream';
import type { Connection } from '../engine-api/table';
import type { RawEngine } from '../engine.raw';
import type { BuildSession } from './buildkit/sessions';

/** One call that may be passed to an engine, in our own words. */
export interface Passage {
  method: string;
  /** Path and query for the engine, beginning with the version prefix. */
  target: string;
  /** Our own serialisation; `stream`: the caller's bytes as they come; null: none. */
  body: Buffer | 'stream' | null;
  /** Of a `stream`: what the caller's bytes go through on their way to the engine. Its error ends the call, and is what the caller is told. */
  upload?: (from: Readable) => Readable;
  /** Headers for the engine besides those the transport sets itself; names in lower case. */
  headers: Readonly<Record<string, string>>;
  connection: Connection;
  /** What a successful (2xx) answer's body goes through; null: as it is. */
  filter: (() => Transform) | null;
  /**
   * For answers that must be read whole before anything of them goes out (a create's id): gets the engine's status and body (at most
   * 1 MiB), answers what is sent instead. Called for every status. Null: not needed.
   */
  whole: ((status: number, body: Buffer) => Promise<{ status: number; body: Buffer }>) | null;
  /** Called where the engine was not asked, or could not be reached: nothing has come of the call. */
  unasked?: () => void;
  /** Done before the engine is asked; answers what is asked in place of `target`. `release` is called when all is over. Its error is what the caller is told. */
  prepare?: (engine: RawEngine, signal: AbortSignal) => Promise<{ target: string; release: () => void }>;
  /** The connection is a session of BuildKit, and the engine not asked: who keeps it, until what is answered is called. */
  session?: (session: BuildSession) => () => void;
  /**
   * The connection speaks to BuildKit's own interface, which Gantry answers itself, and the engine is not asked. `version`: minor of the API in which builds are asked for;
   * `keep` counts it until what it answers is called.
   */
  control?: { version: number; platform: () => Promise<{ os: string; arch: string }>; keep: () => () => void };
  /** What is answered in the engine's place, which is then not asked; `signal`: the caller has gone. Nothing: the engine answers. */
  answer?: (signal: AbortSignal) => Promise<{ status: number; body: Buffer }>;
  /** Whether the caller may still do this; asked about once a second while bytes flow either way, and at `recheck`. */
  stillAllowed: () => Promise<boolean>;
  /** Called once when all is over: the engine's status, or null where it never answered. */
  ended: ((status: number | null) => void) | null;
}
