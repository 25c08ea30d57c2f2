import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkPorts, prepareHome, type PortWish } from './checks';
import { Children } from './children';
import { findEngine, joinForeignEngine, systemSocket, terminalQuestion, waitForSystemEngine, type EngineFinding, type UsedEngine } from './engine';
import { lockHome } from './lock';
import type { StandaloneOptions } from './options';
import { OwnEngine } from './own-engine';
import { startPostgres } from './postgres';
import { removeReady, writeReady } from './ready';
import { startRegistry, type RegistryAuth } from './registry';
import { Interrupted, StartError } from './start-error';
import { Steps } from './steps';
import { ensurePackages, findServiceManager, findServiceStartCommand } from './system-packages';

/** What the application is booted with. */
export interface BootContext {
  options: StandaloneOptions;
  databaseUrl: string;
  /** Loopback URL of the registry behind Gantry's listener. */
  registryUrl: string;
  engine: UsedEngine;
  /** Runs a part of the boot as a named step of its own. */
  step: Steps['run'];
}

/** The running application. */
export interface Booted {
  /** Base URL of console and API. */
  httpUrl: string;
  /** `host:port` for `docker login`. */
  registryHost: string;
  /** Where docker CLIs with a client bundle find the engines, `tcp://host:port`. */
  gatewayUrl: string;
  adminPasswordFile: string;
  /** Deploys the sample, or finds it deployed. Resolves with its page's URL once that answers. */
  deploySample: () => Promise<string>;
  /** Ends listeners and workers; what they have begun goes on at the next start. */
  close: () => Promise<void>;
}

/** Boots the application: migrations, API, registry front and workers in this process. */
export type Boot = (context: BootContext) => Promise<Booted>;

/** The parts of the application that the supervisor calls. */
export interface StandaloneApp {
  /** Sees to it that keys and certificate of the token service exist; the registry needs them before it starts. */
  prepareRegistryAuth: (context: { options: StandaloneOptions; databaseUrl: string }) => Promise<RegistryAuth>;
  boot: Boot;
}

/** A started Gantry. */
export interface RunningStandalone {
  /** Stops all that was started, in reverse order. Idempotent. */
  stop: () => Promise<void>;
  /** Resolves with the reason when a part has ended by itself; the caller then stops the rest. */
  failed: Promise<string>;
}

/**
 * Starts Gantry with its embedded parts: lock, checks, packages, PostgreSQL, registry, engine, application, sample;
 * an engine of our own takes longest, so it begins first and its step is what is left to wait for. Then it writes `ready.json` and says where everything is. What was started is stopped again when a step fails.
 * @param loadApp loads the application's code, while the parts that are processes of their own come up
 * @param interrupted aborted by the first Ctrl-C: the start ends after the step that runs
 * @param onKiller given, early, a function that kills all children at once and leaves the rest to the next start
 */
export async function runStandalone(options: StandaloneOptions, loadApp: () => Promise<StandaloneApp>, interrupted: AbortSignal, onKiller: (killAll: () => void) => void): Promise<RunningStandalone> {
  const steps = new Steps(process.stdout, options.secondsBefore);
  prepareHome(options.home);
  const unlock = lockHome(options.home);
  const undo: { name: string; work: () => Promise<void> | void }[] = [{ name: 'lock', work: unlock }];
  let reportFailure: (reason: string) => void = () => undefined;
  const failed = new Promise<string>((resolve) => {
    reportFailure = resolve;
  });
  const children = new Children(options.home, (_, message) => reportFailure(message));

  onKiller(() => children.killAll());

  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= undoAll(undo, steps);
    return stopping;
  };
  const step = async <T>(name: string, work: (note: (text: string) => void) => T | Promise<T>): Promise<T> => {
    if (interrupted.aborted) throw new Interrupted();
    return steps.run(name, work);
  };

  try {
    removeReady(options.home);
    children.dropStaleRecords();
    // Ours listen on them only after the parts that may choose their own.
    const keptPorts = [options.httpPort, options.registryPort, options.samplePort];
    const sampleMark = join(options.home, 'sample-url');
    await step('checks', () => checkPorts(portWishes(options, children.hasOrphan('engine') || existsSync(sampleMark))));

    const finding = await step('programs', (note) => ensurePrograms(options, children, steps, note));

    const own = finding.kind === 'own' ? beginOwnEngine(options, children) : null;
    if (own) undo.push({ name: 'engine', work: own.stop });

    const databaseUrl =
      options.external.databaseUrl ??
      (await step('PostgreSQL', async (note) => {
        undo.push({ name: 'PostgreSQL', work: () => children.stop('postgres') });
        const postgres = await startPostgres(options.home, children, keptPorts);
        note(`127.0.0.1:${postgres.port}${postgres.adopted ? ', adopted' : ''}`);
        return postgres.databaseUrl;
      }));

    const app = await step('program', loadApp);

    const registryUrl =
      options.external.registryUrl ??
      (await step('registry', async (note) => {
        undo.push({ name: 'registry', work: () => children.stop('registry') });
        const registry = await startRegistry(options.home, await app.prepareRegistryAuth({ options, databaseUrl }), options.path, children, keptPorts);
        note(`127.0.0.1:${registry.port}`);
        return registry.url;
      }));

    const engine = await step('engine', async (note) => {
      if (own) return own.started(note);
      if (finding.kind !== 'use') throw new Error('an engine is used, or one is begun');
      note(finding.endpoint.host);
      return joinForeignEngine(finding.endpoint, options.flags.initSwarm, terminalQuestion());
    });

    const booted = await step('application', async (note) => {
      const result = await app.boot({ options, databaseUrl, registryUrl, engine, step });
      undo.push({ name: 'application', work: result.close });
      note(result.httpUrl);
      return result;
    });

    const wantsSample = !options.flags.noSample && engine.isSwarmManager;
    const sampleUrl = wantsSample
      ? await step('sample', async (note) => {
          const url = await booted.deploySample();
          writeFileSync(sampleMark, `${url}\n`);
          note(url);
          return url;
        })
      : null;

    if (interrupted.aborted) throw new Interrupted();
    undo.push({ name: 'ready.json', work: () => removeReady(options.home) });
    writeReady(options.home, {
      http: booted.httpUrl,
      engine: engine.endpoint.host,
      registry: booted.registryHost,
      gateway: booted.gatewayUrl,
      adminPasswordFile: booted.adminPasswordFile,
      sampleUrl,
      seconds: steps.seconds,
    });
    summarize(steps, options, booted, engine, sampleUrl);
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop, failed };
}

interface BegunEngine {
  started: (note: (text: string) => void) => Promise<UsedEngine>;
  stop: () => Promise<void>;
}

function beginOwnEngine(options: StandaloneOptions, children: Children): BegunEngine {
  const own = new OwnEngine(options, children);
  const starting = own.start();
  // whoever waits for it hears of a failure; until then it must not end the process
  const settled = starting.then(
    () => undefined,
    () => undefined,
  );
  return {
    started: async (note) => {
      const child = await starting;
      note(`${own.endpoint.host}${child.adopted ? ', adopted' : ''}`);
      return { endpoint: own.endpoint, isOwn: true, isSwarmManager: true, swarmAdvice: null };
    },
    stop: async () => {
      await settled;
      await own.stop();
    },
  };
}

function portWishes(options: StandaloneOptions, sampleMayRun: boolean): PortWish[] {
  const wish = (port: number, setting: string): PortWish => ({ port, address: options.bind, setting });
  const own = [wish(options.httpPort, 'GANTRY_HTTP_PORT'), wish(options.registryPort, 'GANTRY_REGISTRY_PORT'), wish(options.enginePort, 'GANTRY_ENGINE_PORT')];
  // an engine that went on without us may still serve the sample, then its port is taken by right
  return options.flags.noSample || sampleMayRun ? own : [...own, wish(options.samplePort, 'GANTRY_SAMPLE_PORT')];
}

// An engine of our own that survived a kill is ours to adopt, whatever the machine's service manager could do.
async function ensurePrograms(options: StandaloneOptions, children: Children, steps: Steps, note: (text: string) => void): Promise<EngineFinding> {
  const look = (): Promise<EngineFinding> => findEngine(options.external, findServiceStartCommand());
  let finding: EngineFinding = children.hasOrphan('engine') && options.external.dockerHost === undefined ? { kind: 'own' } : await look();
  if (finding.kind === 'refuse') throw new StartError(finding.message);
  const wants = { registry: options.external.registryUrl === undefined, engine: finding.kind === 'own' };
  await ensurePackages(wants, {
    installAllowed: !options.flags.noInstall,
    assumeYes: options.flags.yes,
    path: options.path,
    logFile: children.logFile('apt'),
    env: options.proxyEnv,
    say: (text) => steps.say(text),
  });
  // where a service manager runs, the package's service has just started or can be started
  if (finding.kind === 'own' && findServiceManager() !== null && findServiceStartCommand() !== null) {
    finding = (await waitForSystemEngine(30)) ? { kind: 'use', endpoint: systemSocket } : await look();
    if (finding.kind === 'refuse') throw new StartError(finding.message);
  }
  note(finding.kind === 'own' ? 'engine of our own' : `engine ${finding.endpoint.host}`);
  return finding;
}

async function undoAll(undo: { name: string; work: () => Promise<void> | void }[], steps: Steps): Promise<void> {
  for (let entry = undo.pop(); entry !== undefined; entry = undo.pop()) {
    const { name, work } = entry;
    try {
      if (name === 'lock' || name === 'ready.json') await work();
      else await steps.run(`stop ${name}`, () => work());
    } catch (error) {
      // the rest must be stopped all the same
      steps.say(`Could not stop ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

function summarize(steps: Steps, options: StandaloneOptions, booted: Booted, engine: UsedEngine, sampleUrl: string | null): void {
  const lines = [
    '',
    'Gantry is ready.',
    `  Console and API   ${booted.httpUrl}`,
    `  Registry          ${booted.registryHost}    (docker login ${booted.registryHost})`,
    `  Docker API        ${booted.gatewayUrl}    (client bundle: GET /api/v1/me/bundle)`,
    `  Engine            ${engine.endpoint.host}${engine.isOwn ? `    (docker -H ${engine.endpoint.host} service ls)` : ''}`,
    existsSync(booted.adminPasswordFile) ? `  Sign in           admin, password in ${booted.adminPasswordFile}` : '  Sign in           admin, with the password you have set',
    ...(sampleUrl === null ? [] : [`  Sample            ${sampleUrl}`]),
    `  Logs              ${join(options.home, 'log')}`,
    ...(engine.swarmAdvice === null ? [] : [`Note: ${engine.swarmAdvice}`]),
    'Ctrl-C stops everything that was started.',
    '',
  ];
  for (const line of lines) steps.say(line);
}
