import type { Config } from '@gantry/platform';
import type { FaultSeam } from './fault-seam';

/** What `npm start` was told: the settings of the embedded default and the command line's flags. */
export interface StandaloneOptions {
  /** Absolute path of GANTRY_HOME. */
  home: string;
  /** Address of all listeners, and of the ports that containers publish on an engine of our own. */
  bind: string;
  httpPort: number;
  registryPort: number;
  enginePort: number;
  samplePort: number;
  /** Settings given from outside, which replace an embedded part. */
  external: {
    /** DATABASE_URL. */
    databaseUrl?: string;
    /** GANTRY_REGISTRY_BACKEND_URL. */
    registryUrl?: string;
    /** DOCKER_HOST. */
    dockerHost?: string;
    /** DOCKER_CERT_PATH when DOCKER_TLS_VERIFY is set. */
    dockerCertPath?: string;
  };
  flags: StartFlags;
  /** All settings, for the application. */
  config: Config;
  /** Seconds of steps before this process, by name (dependencies, build). */
  secondsBefore: Record<string, number>;
  /** PATH, where programs are looked for. */
  path: string;
  /** Proxy settings, passed on to apt and the engine, which reach out. */
  proxyEnv: Record<string, string>;
  /** Where a test wants the process to die; absent otherwise. */
  faultSeam?: FaultSeam;
}

/** Flags of `npm start -- …`. */
export interface StartFlags {
  /** `--no-install`: change nothing on the system. */
  noInstall: boolean;
  /** `--yes`: don't ask before a system package is installed. */
  yes: boolean;
  /** `--no-sample`. */
  noSample: boolean;
  /** `--init-swarm[=address]` for an engine that we didn't start; true picks the address of the default route. */
  initSwarm: boolean | string;
}

const proxyNames = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];

/** The proxy variables of an environment. */
export function pickProxyEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(proxyNames.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

/**
 * Parses the flags. Unknown ones are an error, so that a mistyped `--no-install` installs nothing.
 * @returns the flags, or the words of an error
 */
export function parseFlags(args: readonly string[]): StartFlags | string {
  const flags: StartFlags = { noInstall: false, yes: false, noSample: false, initSwarm: false };
  for (const arg of args) {
    if (arg === '--no-install') flags.noInstall = true;
    else if (arg === '--yes') flags.yes = true;
    else if (arg === '--no-sample') flags.noSample = true;
    else if (arg === '--init-swarm') flags.initSwarm = true;
    else if (/^--init-swarm=[0-9a-zA-Z.:_-]+$/.test(arg)) flags.initSwarm = arg.slice('--init-swarm='.length);
    else return `unknown argument ${arg}; "npm start -- --help" lists what there is`;
  }
  return flags;
}
