import { createInterface } from 'node:readline/promises';
import { Interrupted } from './start-error';

/** Whether somebody sits at a terminal who can answer. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** Asks at the terminal and returns the answer without blanks around it. Throws Interrupted on Ctrl-C and at the input's end. */
export async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const gone = new AbortController();
  terminal.once('SIGINT', () => {
    process.kill(process.pid, 'SIGINT'); // readline takes the key away from the process
    gone.abort();
  });
  terminal.once('close', () => gone.abort());
  try {
    process.stdout.write('\r\x1b[K'); // over the line of the step that runs
    return (await terminal.question(question, { signal: gone.signal })).trim();
  } catch (error) {
    if (gone.signal.aborted) throw new Interrupted();
    throw error;
  } finally {
    terminal.close();
  }
}
