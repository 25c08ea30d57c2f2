import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { Secret } from './secrets';

const port = z.coerce.number().int().min(1).max(65535);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const seconds = z.coerce.number().int().min(1);

interface Setting {
  schema: z.ZodType;
  /** Default as the reference page shows it; undefined = unset. */
  preset?: string;
  help: string;
  secret?: boolean;
}

/** Kinds of calls to engines that change nothing, and of which an installation chooses whether they are put on record. */
export const engineReads = ['attach', 'copy', 'export', 'logs'] as const;

/** Every setting: name, form, default and help. The reference page `docs/settings.md` is generated from this table. */
export const settings = {
  GANTRY_HOME: { schema: z.string().min(1), preset: process.getuid?.() === 0 ? '/var/lib/gantry' : join(homedir(), '.local/share/gantry'), help: 'Directory that holds all embedded state: database, registry data, engine, keys, logs.' },
  GANTRY_ROLE: { schema: z.enum(['standalone', 'api', 'worker', 'gateway']), preset: 'standalone', help: 'What this process does. `standalone` is all in one; `gateway` is the Docker engine gateway alone.' },
  GANTRY_BIND: { schema: z.string().min(1), preset: '127.0.0.1', help: 'Address that the listeners bind. Beyond loopback, TLS or a trusted proxy is required.' },
  GANTRY_HTTP_PORT: { schema: port, preset: '8080', help: 'Port of the REST API and console.' },
  GANTRY_REGISTRY_PORT: { schema: port, preset: '5000', help: 'Port of the registry.' },
  GANTRY_ENGINE_PORT: { schema: port, preset: '2376', help: 'Port of the Docker engine gateway, always TLS: where docker CLIs with a client bundle or a token find the engines. Opened by the standalone form and the `gateway` role.' },
  GANTRY_SAMPLE_PORT: { schema: port, preset: '8081', help: 'Port on which the sample application answers.' },
  GANTRY_PUBLIC_URL: { schema: z.url({ protocol: /^https?$/ }), help: 'URL by which people reach the API, e.g. `https://gantry.example.org`. Default: made from bind address and port.' },
  GANTRY_REGISTRY_PUBLIC_HOST: { schema: z.string().regex(/^[a-z0-9.[\]-]+(:\d+)?$/i, 'host or host:port'), help: 'Registry host written into image references that nodes pull. Default `127.0.0.1:<registry port>`, good for one node only.' },
  GANTRY_TLS_CERT_FILE: { schema: z.string().min(1), help: 'PEM certificate chain for all listeners.' },
  GANTRY_TLS_KEY_FILE: { schema: z.string().min(1), help: 'PEM private key for the certificate.' },
  GANTRY_TRUSTED_PROXIES: { schema: z.string().transform((text) => text.split(',').map((part) => part.trim()).filter(Boolean)), preset: '', help: 'Comma-separated addresses or CIDR ranges whose X-Forwarded-* headers are believed.' },
  DATABASE_URL: { schema: z.string().regex(/^postgres(ql)?:\/\//, 'postgres://…'), help: 'PostgreSQL 15 or newer. Default: an embedded server under GANTRY_HOME (standalone only).', secret: true },
  REDIS_URL: { schema: z.string().regex(/^rediss?:\/\//, 'redis://…'), help: 'Redis for the queue. Default: the queue lives in PostgreSQL.', secret: true },
  DOCKER_HOST: { schema: z.string().min(1), help: 'Engine that the standalone form registers as cluster `local`. Default: the local socket, or an engine of its own.' },
  GANTRY_SECRET_KEY: { schema: z.string().transform((text) => text.split(/\s+/).filter(Boolean)), help: 'Key or keys (base64, 32 bytes or more, newest first) that seal secrets in the database. The standalone form generates one under GANTRY_HOME.', secret: true },
  GANTRY_REGISTRY_BACKEND_URL: { schema: z.url({ protocol: /^https?$/ }), help: 'URL of the CNCF Distribution registry behind Gantry. Default: an embedded one (standalone only).' },
  GANTRY_TOKEN_KEY_FILE: { schema: z.string().min(1), help: 'PEM private key (P-256) that signs registry tokens. The standalone form generates one under GANTRY_HOME.' },
  GANTRY_TOKEN_CERT_FILE: { schema: z.string().min(1), help: 'PEM certificate of that key; the registry’s `rootcertbundle`.' },
  GANTRY_AUDIT_KEY_FILE: { schema: z.string().min(1), help: 'PEM private key (Ed25519) that signs audit checkpoints. The standalone form generates one under GANTRY_HOME.' },
  GANTRY_AUDIT_RETENTION_DAYS: { schema: z.coerce.number().int().min(1).max(36_500), help: 'Audit rows older than this are removed; signed proofs of what was removed are kept. Default: they are kept for ever.' },
  GANTRY_AUDIT_SYSLOG_HOST: { schema: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'a host name or an address'), help: 'Host to which workers forward the audit log by syslog over TLS (RFC 5424, RFC 5425). Default: it is not forwarded.' },
  GANTRY_AUDIT_SYSLOG_PORT: { schema: port, preset: '6514', help: 'Port of that host, where it takes syslog over TLS.' },
  GANTRY_AUDIT_SYSLOG_CA_FILE: { schema: z.string().min(1), help: 'PEM certificates of the authorities that may vouch for that host. Default: the public ones.' },
  GANTRY_AUDIT_SYSLOG_CERT_FILE: { schema: z.string().min(1), help: 'PEM certificate with which workers show that host who they are.' },
  GANTRY_AUDIT_SYSLOG_KEY_FILE: { schema: z.string().min(1), help: 'PEM private key for that certificate.' },
  GANTRY_AUDIT_ENGINE_READS: {
    schema: z.string().transform((text) => text.split(',').map((part) => part.trim()).filter((part) => part !== '' && part !== 'none')).pipe(z.array(z.enum(engineReads))),
    preset: engineReads.join(','), help: 'What is put on record of calls to engines that change nothing: a comma-separated list of `attach`, `copy` (out of a container), `export` (of containers and images) and `logs`, or `none`. Every call that changes something, and every exec, always is.',
  },
  GANTRY_ADMIN_PASSWORD_FILE: { schema: z.string().min(1), help: 'File with the recovery admin’s first password; read on first boot only. The standalone form generates `$GANTRY_HOME/admin-password`.' },
  GANTRY_DEPLOY_DEADLINE_SECONDS: { schema: seconds, preset: '600', help: 'How long a deployment may take until it is rolled back.' },
  GANTRY_ENGINE_TIMEOUT_SECONDS: { schema: seconds, preset: '15', help: 'Deadline of one call to an engine.' },
  GANTRY_SESSION_MINUTES: { schema: z.coerce.number().int().min(10).max(43_200), preset: '720', help: 'Lifetime of a session, from its start or its last renewal.' },
  GANTRY_SESSION_HOURS: { schema: z.coerce.number().min(0.1).max(720), help: 'The lifetime in hours, as it was set before there were minutes. Set one of the two.' },
  GANTRY_SESSION_RENEWAL_MINUTES: { schema: z.coerce.number().int().min(0).max(43_195), help: 'A session that is used within so many minutes before its end gets a whole lifetime again; 0: never. At most the lifetime less 5. Default: a third of the lifetime.' },
  GANTRY_SESSION_LIMIT: { schema: z.coerce.number().int().min(0).max(10_000), preset: '20', help: 'Sessions that one user may have at a time; one more ends the one that was used least recently. 0: any number.' },
  GANTRY_TOKEN_MAX_DAYS: { schema: z.coerce.number().int().min(1).max(3_653), preset: '731', help: 'How far away the end of a new personal or robot token may be.' },
  GANTRY_CERTIFICATE_DAYS: { schema: z.coerce.number().int().min(1).max(365), preset: '30', help: 'Lifetime of a client certificate for the Docker engine gateway.' },
  GANTRY_CERTIFICATE_LIMIT: { schema: z.coerce.number().int().min(0).max(10_000), preset: '20', help: 'Client certificates that one account may have at a time; one more ends the one that was used least recently. 0: any number.' },
  GANTRY_SAMPLE: { schema: flag, preset: 'true', help: 'Whether the first boot deploys the sample application (`--no-sample`).' },
  GANTRY_LOG_LEVEL: { schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']), preset: 'info', help: 'How much is written to the log.' },
  GANTRY_WORKER_CONCURRENCY: { schema: z.coerce.number().int().min(1).max(500), preset: '32', help: 'Jobs that one worker process runs at a time.' },
  GANTRY_CLUSTER_CONCURRENCY: { schema: z.coerce.number().int().min(1).max(500), preset: '8', help: 'Jobs that may work on one cluster at a time, so that a cluster that hangs holds no more than these slots.' },
} satisfies Record<string, Setting>;

type Name = keyof typeof settings;

/** The validated settings of a process. Paths are absolute or relative to the working directory; durations carry their unit. */
export interface Config {
  home: string;
  role: 'standalone' | 'api' | 'worker' | 'gateway';
  bind: string;
  httpPort: number;
  registryPort: number;
  enginePort: number;
  samplePort: number;
  /** Always set, without trailing slash. */
  publicUrl: string;
  /** host[:port] written into image references. */
  registryPublicHost: string;
  tlsCertFile: string | null;
  tlsKeyFile: string | null;
  trustedProxies: string[];
  databaseUrl: Secret | null;
  redisUrl: Secret | null;
  dockerHost: string | null;
  secretKeys: Secret[];
  registryBackendUrl: string | null;
  tokenKeyFile: string | null;
  tokenCertFile: string | null;
  auditKeyFile: string | null;
  /** Null: rows are kept for ever. */
  auditRetentionDays: number | null;
  /** Null: the audit log is not forwarded. */
  auditSyslog: { host: string; port: number; caFile: string | null; certFile: string | null; keyFile: string | null } | null;
  auditEngineReads: ReadonlySet<(typeof engineReads)[number]>;
  adminPasswordFile: string | null;
  deployDeadlineSeconds: number;
  engineTimeoutSeconds: number;
  /** Lifetime of a session. */
  sessionMinutes: number;
  /** 0: sessions are not renewed. */
  sessionRenewalMinutes: number;
  /** 0: any number. */
  sessionLimit: number;
  tokenMaxDays: number;
  /** Lifetime of a client certificate. */
  certificateDays: number;
  /** 0: any number. */
  certificateLimit: number;
  sample: boolean;
  logLevel: string;
  workerConcurrency: number;
  clusterConcurrency: number;
}

/** All that is wrong with the environment, one line a fault; thrown by `loadConfig`. */
export class ConfigError extends Error {
  constructor(readonly faults: string[]) {
    super(`wrong settings:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * Reads and validates the environment. Each variable can also come from a file named by `<NAME>_FILE` (trailing newline dropped);
 * giving both is a fault. All faults are collected. @throws ConfigError
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const faults: string[] = [];
  const values = new Map<Name, unknown>();
  const names = Object.keys(settings) as Name[];
  for (const name of names) {
    const setting: Setting = settings[name];
    let text = env[name];
    const fileName = `${name}_FILE`;
    const file = fileName in settings ? undefined : env[fileName];
    if (text !== undefined && file !== undefined) {
      faults.push(`${name} and ${fileName} are both set; keep one`);
      continue;
    }
    if (file !== undefined) {
      try {
        text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
      } catch (error) {
        faults.push(`${fileName}: can't read ${file} (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
        continue;
      }
    }
    if (text === '') text = undefined;
    const raw = text ?? setting.preset;
    if (raw === undefined) continue;
    const result = setting.schema.safeParse(raw);
    if (result.success) values.set(name, result.data);
    else faults.push(`${name}${setting.secret ? '' : `=${raw}`}: ${result.error.issues.map((issue) => issue.message).join('; ')}. ${setting.help}`);
  }
  for (const name of Object.keys(env)) {
    if (name.startsWith('GANTRY_') && !name.startsWith('GANTRY_TEST_') && !(name in settings) && !(name.replace(/_FILE$/, '') in settings)) {
      faults.push(`${name} is not a setting; see docs/settings.md for the names`);
    }
  }
  const get = <T>(name: Name): T | null => (values.has(name) ? (values.get(name) as T) : null);
  const bind = get<string>('GANTRY_BIND') ?? '127.0.0.1';
  const cert = get<string>('GANTRY_TLS_CERT_FILE');
  const key = get<string>('GANTRY_TLS_KEY_FILE');
  const proxies = get<string[]>('GANTRY_TRUSTED_PROXIES') ?? [];
  if ((cert === null) !== (key === null)) faults.push('GANTRY_TLS_CERT_FILE and GANTRY_TLS_KEY_FILE go together; one of them is missing');
  // The gateway's listener has TLS with a certificate of Gantry's own where none is given.
  if (!isLoopback(bind) && cert === null && proxies.length === 0 && get('GANTRY_ROLE') !== 'gateway') {
    faults.push(`GANTRY_BIND=${bind} is beyond loopback: set GANTRY_TLS_CERT_FILE and GANTRY_TLS_KEY_FILE, or GANTRY_TRUSTED_PROXIES if a proxy ends TLS`);
  }
  const syslogHost = get<string>('GANTRY_AUDIT_SYSLOG_HOST');
  const [syslogCa, syslogCert, syslogKey] = [get<string>('GANTRY_AUDIT_SYSLOG_CA_FILE'), get<string>('GANTRY_AUDIT_SYSLOG_CERT_FILE'), get<string>('GANTRY_AUDIT_SYSLOG_KEY_FILE')];
  if ((syslogCert === null) !== (syslogKey === null)) faults.push('GANTRY_AUDIT_SYSLOG_CERT_FILE and GANTRY_AUDIT_SYSLOG_KEY_FILE go together; one of them is missing');
  if (syslogHost === null && (syslogCa ?? syslogCert ?? syslogKey) !== null) faults.push('GANTRY_AUDIT_SYSLOG_… is set, but not GANTRY_AUDIT_SYSLOG_HOST: nothing would be forwarded');
  const ports = new Map<number, Name>();
  for (const name of ['GANTRY_HTTP_PORT', 'GANTRY_REGISTRY_PORT', 'GANTRY_ENGINE_PORT', 'GANTRY_SAMPLE_PORT'] as const) {
    const value = get<number>(name);
    if (value === null) continue;
    const other = ports.get(value);
    if (other) faults.push(`${other} and ${name} are both ${value}; give each its own port`);
    else ports.set(value, name);
  }
  const sessionHours = get<number>('GANTRY_SESSION_HOURS');
  if (sessionHours !== null && [env['GANTRY_SESSION_MINUTES'], env['GANTRY_SESSION_MINUTES_FILE']].some((text) => text !== undefined && text !== '')) {
    faults.push('GANTRY_SESSION_MINUTES and GANTRY_SESSION_HOURS are both set; keep the minutes');
  }
  const sessionMinutes = sessionHours === null ? (get<number>('GANTRY_SESSION_MINUTES') ?? 0) : Math.max(Math.round(sessionHours * 60), 1);
  const renewal = get<number>('GANTRY_SESSION_RENEWAL_MINUTES');
  if (renewal !== null && renewal > 0 && renewal > sessionMinutes - 5) {
    faults.push(`GANTRY_SESSION_RENEWAL_MINUTES=${renewal}: at most the lifetime of a session less 5 minutes, here ${Math.max(sessionMinutes - 5, 0)}; 0 for none`);
  }
  if (faults.length > 0) throw new ConfigError(faults);

  const httpPort = get<number>('GANTRY_HTTP_PORT')!;
  const registryPort = get<number>('GANTRY_REGISTRY_PORT')!;
  const host = bind === '0.0.0.0' || bind === '::' ? '127.0.0.1' : bind;
  const secret = (name: Name): Secret | null => {
    const value = get<string>(name);
    return value === null ? null : new Secret(value);
  };
  return {
    home: get<string>('GANTRY_HOME')!,
    role: get<Config['role']>('GANTRY_ROLE')!,
    bind,
    httpPort,
    registryPort,
    enginePort: get<number>('GANTRY_ENGINE_PORT')!,
    samplePort: get<number>('GANTRY_SAMPLE_PORT')!,
    publicUrl: (get<string>('GANTRY_PUBLIC_URL') ?? `${cert ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${httpPort}`).replace(/\/+$/, ''),
    registryPublicHost: get<string>('GANTRY_REGISTRY_PUBLIC_HOST') ?? `127.0.0.1:${registryPort}`,
    tlsCertFile: cert,
    tlsKeyFile: key,
    trustedProxies: proxies,
    databaseUrl: secret('DATABASE_URL'),
    redisUrl: secret('REDIS_URL'),
    dockerHost: get<string>('DOCKER_HOST'),
    secretKeys: (get<string[]>('GANTRY_SECRET_KEY') ?? []).map((value) => new Secret(value)),
    registryBackendUrl: get<string>('GANTRY_REGISTRY_BACKEND_URL'),
    tokenKeyFile: get<string>('GANTRY_TOKEN_KEY_FILE'),
    tokenCertFile: get<string>('GANTRY_TOKEN_CERT_FILE'),
    auditKeyFile: get<string>('GANTRY_AUDIT_KEY_FILE'),
    auditRetentionDays: get<number>('GANTRY_AUDIT_RETENTION_DAYS'),
    auditSyslog: syslogHost === null ? null : { host: syslogHost, port: get<number>('GANTRY_AUDIT_SYSLOG_PORT')!, caFile: syslogCa, certFile: syslogCert, keyFile: syslogKey },
    auditEngineReads: new Set(get<(typeof engineReads)[number][]>('GANTRY_AUDIT_ENGINE_READS')),
    adminPasswordFile: get<string>('GANTRY_ADMIN_PASSWORD_FILE'),
    deployDeadlineSeconds: get<number>('GANTRY_DEPLOY_DEADLINE_SECONDS')!,
    engineTimeoutSeconds: get<number>('GANTRY_ENGINE_TIMEOUT_SECONDS')!,
    sessionMinutes,
    sessionRenewalMinutes: renewal ?? Math.floor(sessionMinutes / 3),
    sessionLimit: get<number>('GANTRY_SESSION_LIMIT')!,
    tokenMaxDays: get<number>('GANTRY_TOKEN_MAX_DAYS')!,
    certificateDays: get<number>('GANTRY_CERTIFICATE_DAYS')!,
    certificateLimit: get<number>('GANTRY_CERTIFICATE_LIMIT')!,
    sample: get<boolean>('GANTRY_SAMPLE')!,
    logLevel: get<string>('GANTRY_LOG_LEVEL')!,
    workerConcurrency: get<number>('GANTRY_WORKER_CONCURRENCY')!,
    clusterConcurrency: get<number>('GANTRY_CLUSTER_CONCURRENCY')!,
  };
}

/** True for 127.0.0.0/8, ::1 and `localhost`. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

/** `docs/settings.md`: the table of settings as Markdown. */
export function settingsReference(): string {
  const rows = Object.entries(settings as Record<string, Setting>).map(([name, setting]) => {
    const preset = name === 'GANTRY_HOME' ? '`/var/lib/gantry` as root, else `~/.local/share/gantry`' : setting.preset ? `\`${setting.preset}\`` : '';
    return `| \`${name}\` | ${preset} | ${setting.help}${setting.secret ? ' Secret.' : ''} |`;
  });
  return [
    '# Settings', '',
    'Every variable can also be read from a file: set `<NAME>_FILE` to its path. All faults are listed at start.', '',
    '| variable | default | what it does |', '|---|---|---|', ...rows, '',
  ].join('\n');
}
