import { existsSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `$GANTRY_HOME/ready.json`: there is one exactly while Gantry is ready. */
export interface Ready {
  /** Base URL of console and API. */
  http: string;
  /** The engine's endpoint, such as `unix:///var/lib/gantry/engine/docker.sock`; null when there is none. */
  engine: string | null;
  /** `host:port` for `docker login`. */
  registry: string;
  /** Where docker CLIs with a client bundle find the engines, `tcp://host:port`. */
  gateway: string;
  adminPasswordFile: string;
  /** The sample's page, null without sample. */
  sampleUrl: string | null;
  /** Seconds per step. */
  seconds: Record<string, number>;
}

/** Writes `ready.json` in one go, by rename: who sees it sees all of it. */
export function writeReady(home: string, ready: Ready): void {
  const file = join(home, 'ready.json');
  writeFileSync(`${file}.new`, `${JSON.stringify(ready, null, 2)}\n`, { mode: 0o644 });
  renameSync(`${file}.new`, file);
}

/** Removes `ready.json`, also one that a killed run has left. */
export function removeReady(home: string): void {
  const file = join(home, 'ready.json');
  if (existsSync(file)) unlinkSync(file);
}
