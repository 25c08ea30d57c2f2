import type { LoggerService } from '@nestjs/common';
import { pino, type Logger as PinoLogger, type LoggerOptions } from 'pino';

/** Structured log. ERROR means that somebody must act; expected refusals are info or debug. */
export type Logger = PinoLogger;

/** JSON lines on standard output or `stream`. Fields whose names say they are secret are never printed. */
export function makeLogger(level: string, stream?: NodeJS.WritableStream): Logger {
  const options: LoggerOptions = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ['password', '*.password', 'secret', '*.secret', 'token', '*.token', 'authorization', '*.authorization', 'headers.authorization', 'headers.cookie', '*.privateKey', 'privateKey'],
      censor: '***',
    },
  };
  return stream ? pino(options, stream) : pino(options);
}

/** Lets Nest write to our log. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}
  log(message: unknown, context?: unknown): void {
    this.logger.debug({ context }, String(message));
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.logger.error({ rest }, String(message));
  }
  warn(message: unknown, context?: unknown): void {
    this.logger.warn({ context }, String(message));
  }
  debug(message: unknown, context?: unknown): void {
    this.logger.debug({ context }, String(message));
  }
  verbose(message: unknown, context?: unknown): void {
    this.logger.trace({ context }, String(message));
  }
}
