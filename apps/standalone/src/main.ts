import { runProcess, type ProcessStart } from './process';

/** Entry of `npm start`, called by scripts/start.mjs in its own process. @returns the exit code */
export function main(start: ProcessStart): Promise<number> {
  return runProcess(async () => (await import('./app.js')).standaloneApp(), start);
}
