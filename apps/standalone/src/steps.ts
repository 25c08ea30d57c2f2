import { performance } from 'node:perf_hooks';

/** Where progress goes: a terminal gets one line that is rewritten, a log gets whole lines only. */
export interface StepOutput {
  isTTY?: boolean;
  write(text: string): unknown;
}

/** A long silence looks like a hang: in a log, an unfinished step says so this often. */
const stillRunningEveryMs = 10_000;

/**
 * Named steps of the start with their times. Each step ends as one line, `ok` or `FAILED`, with its seconds; `seconds`
 * keeps them by name for `ready.json`.
 */
export class Steps {
  readonly seconds: Record<string, number>;

  /** @param before seconds of steps that ran before this process took over, by name */
  constructor(private readonly output: StepOutput, before: Record<string, number> = {}) {
    this.seconds = { ...before };
  }

  /**
   * Runs one step.
   * @param work its `note` argument adds a few words to the step's line, such as the port that was chosen
   */
  async run<T>(name: string, work: (note: (text: string) => void) => T | Promise<T>): Promise<T> {
    const begin = performance.now();
    const elapsed = (): number => (performance.now() - begin) / 1000;
    let words = '';
    if (this.output.isTTY) this.output.write(`  ..      ${name}`);
    const timer = setInterval(() => {
      if (!this.output.isTTY) this.output.write(`  ..      ${name}: ${elapsed().toFixed(0)} s so far\n`);
    }, stillRunningEveryMs);
    timer.unref();
    const finish = (mark: string): void => {
      clearInterval(timer);
      const seconds = elapsed();
      this.seconds[name] = Math.round(seconds * 1000) / 1000;
      this.output.write(`${this.output.isTTY ? '\r\x1b[K' : ''}  ${mark.padEnd(6)}  ${name.padEnd(24)} ${seconds.toFixed(2).padStart(7)} s${words && `  ${words}`}\n`);
    };
    try {
      const result = await work((text) => {
        words = text;
      });
      finish('ok');
      return result;
    } catch (error) {
      finish('FAILED');
      throw error;
    }
  }

  /** A line of its own, also while a step runs. */
  say(text: string): void {
    this.output.write(`${this.output.isTTY ? '\r\x1b[K' : ''}${text}\n`);
  }
}
