/**
 * A reason why Gantry can't start or go on that the reader can act on. Its message is the whole text shown: what is
 * wrong and what to do, without a stack. Any other error is a fault of ours and keeps its stack.
 */
export class StartError extends Error {
  /** @param message what is wrong and what to do; more lines only for commands to copy or a log's end */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartError';
  }
}

/** The start was interrupted by the user. What was started is stopped, and nothing is said about an error. */
export class Interrupted extends Error {}
