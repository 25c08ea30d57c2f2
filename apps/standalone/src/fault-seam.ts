import { StartError } from './start-error';

/**
 * A test seam, not a setting: the product without these variables has none of it. It lets a test end the whole process, by SIGKILL,
 * at one of the points that a deployment passes before and after each call to something outside.
 */
export interface FaultSeam {
  /** Where to die; empty: nowhere. */
  killAt: KillPoint[];
  /** File that each point passed is appended to, one JSON object a line (`step`, `when`, `object`, and `isReached` where a `killAt` applies); null: none. */
  traceFile: string | null;
}

/** The n-th time (from 1) that a call is reached, of those whose object's name contains `part`. */
export interface KillPoint {
  step: string;
  when: 'before' | 'after';
  n: number;
  part: string;
}

/**
 * Reads the seam from `GANTRY_TEST_KILL_AT` (`<step>:<before|after>:<n>[:<part of the object's name>]`, several with commas) and
 * `GANTRY_TEST_TRACE_POINTS` (a file), or answers null when neither is set. @throws StartError when the form is wrong
 */
export function pickFaultSeam(env: NodeJS.ProcessEnv): FaultSeam | null {
  const killAt = env.GANTRY_TEST_KILL_AT ?? '';
  const traceFile = env.GANTRY_TEST_TRACE_POINTS ?? '';
  if (killAt === '' && traceFile === '') return null;
  return { killAt: killAt === '' ? [] : killAt.split(',').map(parseKillPoint), traceFile: traceFile === '' ? null : traceFile };
}

function parseKillPoint(text: string): KillPoint {
  const [, step, when, n, part] = /^([A-Za-z-]+):(before|after):([1-9]\d{0,3})(?::([\w.-]+))?$/.exec(text) ?? [];
  if (!step || !when || !n) throw new StartError(`GANTRY_TEST_KILL_AT: ${text} is not <step>:<before|after>:<n>[:<part of the object's name>]`);
  return { step, when: when as KillPoint['when'], n: Number(n), part: part ?? '' };
}
