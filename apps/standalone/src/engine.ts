import { networkInterfaces } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { ask, canAsk } from './ask';
import { callEngine, getEngineInfo, messageOf, probeEngine, type EngineEndpoint } from './engine-api';
import type { StandaloneOptions } from './options';
import { StartError } from './start-error';

/** The engine that Gantry works with. */
export interface UsedEngine {
  endpoint: EngineEndpoint;
  /** Started by us, and stopped with us. */
  isOwn: boolean;
  /** A swarm manager: the sample and every deployment need one. */
  isSwarmManager: boolean;
  /** Why there is no swarm and how to get one; null when there is one. */
  swarmAdvice: string | null;
}

/** Where the machine's engine listens by default. */
export const systemSocket: EngineEndpoint = { host: 'unix:///var/run/docker.sock' };

/** What was found before anything is installed. */
export type EngineFinding = { kind: 'use'; endpoint: EngineEndpoint } | { kind: 'own' } | { kind: 'refuse'; message: string };

/** What `decideEngine` judges. Probe results are null for "answers", else the error's code. */
export interface EngineFacts {
  dockerHost: { endpoint: EngineEndpoint; probe: string | null } | null;
  systemSocketProbe: string | null;
  /** The command that starts the machine's Docker service, where a service manager runs and has one. */
  serviceStartCommand: string | null;
  isRoot: boolean;
}

/** Decides which engine is used: the one that was named, the machine's, or one of our own where no service manager could start one. */
export function decideEngine(facts: EngineFacts): EngineFinding {
  if (facts.dockerHost !== null) {
    const { endpoint, probe } = facts.dockerHost;
    if (probe === null) return { kind: 'use', endpoint };
    return { kind: 'refuse', message: `the engine at DOCKER_HOST=${endpoint.host} doesn't answer (${probe}); start it, correct DOCKER_HOST, or unset it` };
  }
  if (facts.systemSocketProbe === null) return { kind: 'use', endpoint: systemSocket };
  if (facts.systemSocketProbe === 'EACCES') {
    return { kind: 'refuse', message: 'this user may not use the engine at /var/run/docker.sock; run "npm start" as root, add the user to the group docker, or set DOCKER_HOST' };
  }
  if (facts.serviceStartCommand !== null) {
    return { kind: 'refuse', message: `no engine runs, but this machine's service manager has one: run "${facts.serviceStartCommand}", then start again` };
  }
  if (!facts.isRoot) return { kind: 'refuse', message: 'no engine runs, and to run one of our own needs root; run "npm start" as root, or set DOCKER_HOST to an engine that you may use' };
  return { kind: 'own' };
}

/** The endpoint that DOCKER_HOST names; null when it isn't set. */
export function namedEndpoint(external: StandaloneOptions['external']): EngineEndpoint | null {
  if (external.dockerHost === undefined) return null;
  const isUnix = external.dockerHost.startsWith('unix://');
  return { host: external.dockerHost, ...(isUnix || external.dockerCertPath === undefined ? {} : { certPath: external.dockerCertPath }) };
}

/** Gathers the facts and decides. @param serviceStartCommand as in `EngineFacts` */
export async function findEngine(external: StandaloneOptions['external'], serviceStartCommand: string | null): Promise<EngineFinding> {
  const named = namedEndpoint(external);
  return decideEngine({
    dockerHost: named && { endpoint: named, probe: await probeEngine(named) },
    systemSocketProbe: named ? 'unasked' : await probeEngine(systemSocket),
    serviceStartCommand,
    isRoot: process.getuid?.() === 0,
  });
}

/** Waits for the machine's engine after its package was installed: the package starts it in the background. @returns whether it answers */
export async function waitForSystemEngine(timeoutSeconds: number): Promise<boolean> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  while ((await probeEngine(systemSocket)) !== null) {
    if (Date.now() > deadline) return false;
    await wait(200);
  }
  return true;
}

/**
 * Looks whether an engine that we didn't start is a swarm manager. To make it one changes that machine, so it is done
 * only when `--init-swarm` or an answer at the terminal says so, and with an address that is named.
 */
export async function joinForeignEngine(endpoint: EngineEndpoint, initSwarm: boolean | string, ask: ((question: string) => Promise<boolean>) | null): Promise<UsedEngine> {
  const info = await getEngineInfo(endpoint);
  const used = (isSwarmManager: boolean, swarmAdvice: string | null): UsedEngine => ({ endpoint, isOwn: false, isSwarmManager, swarmAdvice });
  if (info.swarmState === 'active') {
    return info.isManager ? used(true, null) : used(false, `the engine ${endpoint.host} is a swarm worker; set DOCKER_HOST to a manager of that swarm`);
  }
  const address = typeof initSwarm === 'string' ? initSwarm : findPrimaryAddress();
  const advice = `the engine ${endpoint.host} is in no swarm, so there is no sample; "npm start -- --init-swarm=${address}" makes it a swarm of one node`;
  if (info.swarmState !== 'inactive') return used(false, `the engine's swarm is ${info.swarmState}; see "docker info" there`);
  const isWanted = initSwarm !== false || (ask !== null && (await ask(`Make the engine ${endpoint.host} a swarm of one node, advertised as ${address}? [y/N] `)));
  if (!isWanted) return used(false, advice);
  const answer = await callEngine(endpoint, 'POST', '/swarm/init', { ListenAddr: `${address.includes(':') ? `[${address}]` : address}:2377`, AdvertiseAddr: address });
  if (answer.status !== 200) throw new StartError(`the engine ${endpoint.host} can't make a swarm at ${address}: ${messageOf(answer)}; name another address with --init-swarm=ADDRESS`);
  return used(true, null);
}

/** The first IPv4 address beyond loopback, or loopback where there is none. */
export function findPrimaryAddress(): string {
  const found = Object.entries(networkInterfaces())
    .filter(([name]) => !/^(docker|br-|veth|gty)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .find((each) => each.family === 'IPv4' && !each.internal);
  return found?.address ?? '127.0.0.1';
}

/** Asks a yes-or-no question at the terminal; an empty answer is no. Null where nobody can answer. */
export function terminalQuestion(): ((question: string) => Promise<boolean>) | null {
  return canAsk() ? async (question) => /^y(es)?$/i.test(await ask(question)) : null;
}
