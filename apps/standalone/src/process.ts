import { isAbsolute, resolve } from 'node:path';
import { ConfigError, loadConfig, type Config } from '@gantry/platform/config';
import { pickFaultSeam } from './fault-seam';
import { parseFlags, pickProxyEnv, type StandaloneOptions, type StartFlags } from './options';
import { runStandalone, type StandaloneApp } from './standalone';
import { Interrupted, StartError } from './start-error';

/** What the process was started with. */
export interface ProcessStart {
  /** Flags of the command line. */
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Seconds of the steps that ran before, by name. */
  secondsBefore: Record<string, number>;
}

const programFolders = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Makes the supervisor's options of the validated settings. */
export function optionsOf(config: Config, flags: StartFlags, start: ProcessStart): StandaloneOptions {
  const { env } = start;
  const faultSeam = pickFaultSeam(env);
  return {
    home: isAbsolute(config.home) ? resolve(config.home) : resolve(process.cwd(), config.home),
    bind: config.bind,
    httpPort: config.httpPort,
    registryPort: config.registryPort,
    enginePort: config.enginePort,
    samplePort: config.samplePort,
    external: {
      ...(config.databaseUrl ? { databaseUrl: config.databaseUrl.reveal() } : {}),
      ...(config.registryBackendUrl ? { registryUrl: config.registryBackendUrl } : {}),
      ...(config.dockerHost ? { dockerHost: config.dockerHost } : {}),
      ...(env.DOCKER_TLS_VERIFY && env.DOCKER_CERT_PATH ? { dockerCertPath: env.DOCKER_CERT_PATH } : {}),
    },
    flags: { ...flags, noSample: flags.noSample || !config.sample },
    config,
    secondsBefore: start.secondsBefore,
    path: env.PATH ?? programFolders,
    proxyEnv: pickProxyEnv(env),
    ...(faultSeam ? { faultSeam } : {}),
  };
}

/**
 * npm passes a Ctrl-C on to a process that the terminal has already told, so the same key press can arrive twice.
 * Only a later one is an impatient second.
 */
const samePressMs = 1000;

/**
 * Runs the embedded default until it is told to stop (SIGINT, SIGTERM, SIGHUP) or a part of it ends.
 * @param loadApp loads the application, which is most of the code
 * @returns the exit code: 0 after a stop that was asked for, 1 after a failure, 130 when interrupted while starting
 */
export async function runProcess(loadApp: () => Promise<StandaloneApp>, start: ProcessStart): Promise<number> {
  const interrupt = new AbortController();
  let kill: () => void = () => undefined;
  let tellStop: () => void = () => undefined;
  const stopAsked = new Promise<'asked'>((done) => {
    tellStop = () => done('asked');
  });
  let firstAt = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt === 0) {
      firstAt = Date.now();
      process.stdout.write(`\n${signal === 'SIGINT' ? 'Ctrl-C' : signal}: stopping. Once more kills what runs.\n`);
      interrupt.abort();
      tellStop();
    } else if (Date.now() - firstAt > samePressMs) {
      kill();
      process.stdout.write('Killed. The next start clears up.\n');
      process.exit(130);
    }
  };
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, onSignal);
  // a terminal that was closed must not end the orderly stop
  const onWriteError = (): void => undefined;
  process.stdout.on('error', onWriteError);
  process.stderr.on('error', onWriteError);
  try {
    const flags = parseFlags(start.args);
    if (typeof flags === 'string') throw new StartError(flags);
    const options = optionsOf(loadConfig(start.env), flags, start);
    const running = await runStandalone(options, loadApp, interrupt.signal, (killAll) => {
      kill = killAll;
    });
    const crashed = new Promise<string>((done) => {
      process.once('uncaughtException', (error) => done(error.stack ?? error.message));
    });
    const reason = await Promise.race([stopAsked, running.failed, crashed]);
    if (reason !== 'asked') process.stderr.write(`\nGantry stops: ${reason}\n`);
    await running.stop();
    return reason === 'asked' ? 0 : 1;
  } catch (error) {
    if (error instanceof Interrupted) return 130;
    const isExpected = error instanceof StartError || error instanceof ConfigError;
    process.stderr.write(`\nGantry can't start: ${isExpected || !(error instanceof Error) ? (error instanceof Error ? error.message : String(error)) : (error.stack ?? error.message)}\n`);
    return 1;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}
